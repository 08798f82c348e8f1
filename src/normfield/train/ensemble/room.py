"""How many networks fit into memory at once."""

from __future__ import annotations

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from normfield.data.batching import Pair
from normfield.data.random_state import kept_random_state
from normfield.errors import InvalidInput
from normfield.samples import apply
from normfield.train.evaluation import batch_mode
from normfield.train.losses import LossFunction

_COPIES = 6
"""Of a member's parameters: themselves, gradients, two of an optimizer's state, the module they came from, and one for
what a step makes on its way."""


def bytes_each(module: nn.Module, loss: LossFunction, batch: Pair) -> int:
    """Memory of one member: copies of its parameters, and what one forward pass keeps for the backward pass, twice."""
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    inputs, targets = batch
    with batch_mode(module), kept_random_state(), saved_tensors_hooks(note, lambda tensor: tensor):
        loss(apply(module, inputs), targets)
    own = sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers()])
    return _COPIES * own + 2 * sum(saved.values())


def members_at_once(members: int, each: int, memory: float) -> int:
    """How many members of so many bytes each fit, evenly cut.

    Raises
    ------
    InvalidInput
        Not even one does.
    """
    most = int(memory // max(each, 1))
    if most < 1:
        raise InvalidInput(
            expected=f"members that fit into memory={memory:.3g} bytes",
            got=f"{each:.3g} bytes for one",
            instead="raise memory, or use smaller batches",
        )
    groups = -(-members // most)
    return -(-members // groups)
