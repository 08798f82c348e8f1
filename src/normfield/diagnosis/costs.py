"""What a step of training costs in time and memory, measured on few samples before anything dear is begun."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from normfield.data import DataSet
from normfield.data.random_state import seeded_random_state
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.clock import Clock
from normfield.train.descent import HeavyBall
from normfield.train.evaluation import training_mode
from normfield.train.losses import as_training_loss
from normfield.train.prepared import Prepared, prepare

_FEW = 8
_SHARE = 0.05  # of the time left: what a look at a larger batch may take
_LOOKS = 3  # such a look in steps: forward passes that check model and loss, and two steps
_REPEATS, _REPEATS_SHARE = 5, 0.002
#: A product with the matrix is a forward pass on dual numbers and a backward pass through a kept graph: in steps of
#: training, 1.9 for PreAct-ResNet18 on batches of 32 and 128, 2.5 for small dense networks.
PRODUCT_STEPS = 2.5
_GRAPHS = 2.0  # kept graph, and what a pass on dual numbers holds beside it
_ROWS_PER_PRODUCT = 2  # a basis vector, and its image


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes of one step of training, as functions of the batch.

    Attributes
    ----------
    seconds_fixed, seconds_per_sample
        Of forward and backward pass.
    seconds_at_least
        Of a step on a few samples: no larger batch takes less.
    bytes_per_sample
        What the forward pass keeps for the backward pass.
    parameter_bytes
        Of all trainable parameters.
    """

    seconds_fixed: float
    seconds_per_sample: float
    seconds_at_least: float
    bytes_per_sample: float
    parameter_bytes: int

    def step(self, batch_size: int) -> float:
        """Seconds of a gradient."""
        return self.seconds_fixed + self.seconds_per_sample * batch_size

    def product(self, batch_size: int) -> float:
        """Seconds of a product with the measured matrix."""
        return PRODUCT_STEPS * self.step(batch_size)

    def measuring_bytes(self, batch_size: int, products: int) -> float:
        """Memory of a measurement: graphs, basis and images."""
        return (
            _GRAPHS * self.bytes_per_sample * batch_size + _ROWS_PER_PRODUCT * products * self.parameter_bytes
        )

    def training_bytes(self, batch_size: int) -> float:
        """Memory of a run: the graph, parameters, velocity and gradient."""
        return self.bytes_per_sample * batch_size + 4 * self.parameter_bytes


def costs_of(module: nn.Module, data: DataSet, asked: Asked, clock: Clock) -> Costs:
    """Time steps on 8, 32, 128, ... samples, up to the batch asked for as far as that is cheap.

    Raises
    ------
    InvalidInput
        The module, the data and the loss do not fit each other.
    """
    module = copy.deepcopy(module)
    few = min(_FEW, asked.batch_size)
    trial = _Trial.of(module, data, asked, few)
    kept = trial.kept_bytes()
    timed = [(few, trial.seconds(clock))]
    while (size := _next(timed, asked.batch_size, clock)) is not None:
        timed.append((size, _Trial.of(module, data, asked, size).seconds(clock)))
    parameters = sum(p.nbytes for p in module.parameters() if p.requires_grad)
    return Costs(*_line(timed), timed[0][1], kept / few, parameters)


def _next(timed: list[tuple[int, float]], batch_size: int, clock: Clock) -> int | None:
    """A batch four times as large, where that is wanted and cheap even if the time grows as much."""
    size, seconds = timed[-1]
    larger = min(4 * size, batch_size)
    cheap = _LOOKS * seconds * larger / size < _SHARE * clock.left
    return larger if larger > size and cheap else None


def _line(timed: list[tuple[int, float]]) -> tuple[float, float]:
    """(seconds, seconds per sample) through the last two points; through one, proportional: no step is faster."""
    size, seconds = timed[-1]
    if len(timed) == 1:
        return 0.0, seconds / size
    before, less = timed[-2]
    each = max((seconds - less) / (size - before), 0.0)
    return max(seconds - each * size, 0.0), each


@dataclass(frozen=True)
class _Trial:
    """A batch and a module that makes steps of no length on it."""

    module: nn.Module
    prepared: Prepared
    ball: HeavyBall
    seed: int

    @classmethod
    def of(cls, module: nn.Module, data: DataSet, asked: Asked, samples: int) -> _Trial:
        first = replace(data.subset(samples), test_inputs=None, test_targets=None)
        prepared = prepare(module, first, as_training_loss(asked.loss), samples)
        return cls(module, prepared, HeavyBall(module, prepared.loss.function, 0.0, 0.0), asked.seed)

    def seconds(self, clock: Clock) -> float:
        """Of one step: the least of a few, since other work on the machine only adds; the first warms up."""
        self._step()
        taken = [self._step()]
        while len(taken) < _REPEATS and sum(taken) < _REPEATS_SHARE * clock.left:
            taken.append(self._step())
        return min(taken)

    def _step(self) -> float:
        with training_mode(self.module), seeded_random_state(self.seed), torch.enable_grad():
            began = time.perf_counter()
            self.ball.step(self.ball.loss(self.prepared.evaluation[0]))
            return time.perf_counter() - began

    def kept_bytes(self) -> int:
        """What the forward pass keeps besides the parameters."""
        own = {p.untyped_storage().data_ptr() for p in self.module.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with training_mode(self.module), seeded_random_state(self.seed), torch.enable_grad(), hooks:
            self.ball.loss(self.prepared.evaluation[0])
        return sum(kept.values())
