"""How many networks fit into memory at once, and how many of them are stepped at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from normfield.data.batching import Pair
from normfield.data.random_state import kept_random_state
from normfield.errors import InvalidInput
from normfield.samples import apply, size_in_bytes
from normfield.train.ensemble.optimizers import Rule
from normfield.train.evaluation import batch_mode
from normfield.train.losses import LossFunction

_COPIES = 3
"""Of a member's parameters and buffers while it waits: themselves, the module they came from, and those made anew when
members that diverged make room."""
_STEPPED_BYTES = 32 * 2**20
"""What a step of some members may take on a CPU. More is slower there, since it leaves the cache and since memory of
such size is mapped anew each time: a step of 784-1000-1000-1000-10 took 16 ms a member by ones and 28 by eights, of
784-64-64-64-10 0.47 ms by eights and 0.65 by 64s (one core)."""
_CUDA_SHARES = 4


@dataclass(frozen=True)
class Room:
    """Members that train together, and how many of them a step takes at once."""

    at_once: int
    chunk: int


@dataclass(frozen=True)
class Needs:
    """Bytes of a member: while it waits for its turn, and what its step takes besides."""

    waiting: int
    stepping: int


def needs_of(module: nn.Module, loss: LossFunction, batch: Pair, rule: Rule) -> Needs:
    """Bytes of one member: copies of its values and what the optimizer keeps; gradients, a batch, and what one forward
    pass keeps for the backward pass, twice."""
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    inputs, targets = batch
    with batch_mode(module), kept_random_state(), saved_tensors_hooks(note, lambda tensor: tensor):
        loss(apply(module, inputs), targets)
    trained = sum(tensor.nbytes for tensor in module.parameters() if tensor.requires_grad)
    own = sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers()])
    given = size_in_bytes(inputs) + size_in_bytes(targets)
    waiting = _COPIES * own + 2 * len(rule.moments) * trained
    return Needs(waiting, trained + given + 2 * sum(saved.values()))


def room_for(members: int, needs: Needs, memory: float, device: torch.device) -> Room:
    """How many members train together, evenly cut, and how many of them a step takes at once.

    Raises
    ------
    InvalidInput
        Not even one fits.
    """
    one = needs.waiting + needs.stepping
    if one > memory:
        raise InvalidInput(
            expected=f"members that fit into memory={memory:.3g} bytes",
            got=f"{one:.3g} bytes for one",
            instead="raise memory, or use smaller batches",
        )
    fitting = int(memory // one) if device.type == "cpu" else members
    chunk = min(members, max(1, fitting), _stepped(members, needs, device))
    chunk = max(1, min(chunk, int((memory - needs.waiting) // max(needs.stepping, 1))))
    most = max(1, int((memory - chunk * needs.stepping) // max(needs.waiting, 1)))
    at_once = _evenly(members, most)
    return Room(at_once, _least_filling(at_once, chunk))


def _stepped(members: int, needs: Needs, device: torch.device) -> int:
    """How many a step takes at once where memory is no matter."""
    if device.type == "cpu":
        return max(1, _STEPPED_BYTES // max(needs.stepping, 1))
    return -(-members // _CUDA_SHARES)


def _least_filling(total: int, most: int) -> int:
    """The size of at most so many at which the fewest rows are added to fill every part; the largest of them."""
    sizes = range(min(total, most), min(total, most) // 2, -1)
    return min(sizes, key=lambda size: -(-total // size) * size)


def _evenly(total: int, most: int) -> int:
    """The size of the parts, of at most so many each, that a total is cut into evenly."""
    parts = -(-total // min(most, total))
    return -(-total // parts)
