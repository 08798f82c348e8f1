"""The second answer: the infinite-width kernel on one batch of these data, and what it says of depth."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from normfield.data import DataSet
from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.clock import Clock
from normfield.diagnosis.memory import in_words, usable_bytes
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.trust import CROWDED, runner_up
from normfield.errors import NormfieldError
from normfield.network import Flatten, Network
from normfield.theory.kernels import BatchKernel, DepthProfile, batch_kernel, depth_profile
from normfield.theory.kernels.batch import ARRAYS_AT_ONCE

_SHARE = 0.05  # of the time left: what the kernel may take, and the way back through it as much again
_LAYER_SECONDS = (
    0.05  # of one layer on few samples, most of it fixed: no kernel takes less, on any processor we saw
)
_LEAST, _STEP = 64, 4  # samples below which the kernel is another batch's, and by what a next trial is larger
_FIRST_NUMBERS = 512  # samples × positions of the first trial on images, at most
_GROWS = (
    2.0  # time as a power of the samples, from the fixed part on few to between squares and cubes on many
)
_WAY_BACK = 2.5  # times the kernel's own time, with the way forwards that it repeats
_DRAWS = 2000  # of Monte Carlo for each layer, on the way back
_MOST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class OneBatch:
    """The samples that share statistics, as theory takes them: inputs (B, …) in float64, targets where they fit."""

    network: Network
    inputs: np.ndarray
    targets: np.ndarray | None

    @property
    def size(self) -> int:
        """B."""
        return len(self.inputs)

    @property
    def positions(self) -> int:
        """The most positions that any layer has; 1 without images."""
        return max(math.prod(shape[1:]) for shape in self.network.shapes)

    @property
    def least(self) -> int:
        """The fewest samples that stand for the batch."""
        return min(_LEAST, self.size)

    def first(self, samples: int) -> OneBatch:
        """So many of them."""
        targets = None if self.targets is None else self.targets[:samples]
        return OneBatch(self.network, self.inputs[:samples], targets)


def one_batch(subject: Subject, asked: Asked) -> OneBatch | None:
    """The first batch that is also measured; None without a description, or where there is no room for reading it."""
    if subject.network is None:
        return None
    inputs, targets = _first_batch(subject.data, asked)
    network = _of_features(subject.network)
    x = inputs.double().cpu().numpy().reshape(-1, *network.input_shape)
    return OneBatch(network, x, _numbers(targets))


def _of_features(network: Network) -> Network:
    """Images that are flattened at once are features: their positions need no kernel."""
    if not isinstance(network.layers[0], Flatten):
        return network
    return replace(network, input_shape=(math.prod(network.input_shape),), layers=network.layers[1:])


def _first_batch(data: DataSet, asked: Asked) -> tuple[torch.Tensor, object]:
    batch = data.batches(asked.batch_size, asked.seed)[0]
    return batch[0], batch[1]


def _numbers(targets: object) -> np.ndarray | None:
    return targets.cpu().numpy() if isinstance(targets, torch.Tensor) else None


def kernel_answer(subject: Subject, asked: Asked, clock: Clock) -> Answer:
    """Top eigenvalue of Θ/B on one batch, of as many of its samples as a small share of the time left allows."""
    began = time.perf_counter()
    reason = _not_covered(subject, asked)
    batch = one_batch(subject, asked)
    if reason or batch is None:
        return Answer.without("kernel", "not covered", reason)
    if (needed := _bytes(batch)) > _memory():
        return Answer.without("kernel", "cut", _no_room(batch, needed))
    if _LAYER_SECONDS * batch.network.depth > _SHARE * clock.left:
        return Answer.without("kernel", "cut", _no_time(batch, clock))
    try:
        found = _largest_in_time(batch, began + _SHARE * clock.left)
        if found is not None and found.status == "converged":
            return _answer(found, subject, asked, began)
    except NormfieldError as refusal:
        return Answer.without("kernel", "not covered", str(refusal))
    seconds = time.perf_counter() - began
    if found is None:
        return Answer.without("kernel", "cut", _no_time(batch, clock, seconds), seconds)
    return Answer.without("kernel", "failed", found.status, seconds)


def _not_covered(subject: Subject, asked: Asked) -> str:
    """Why there is no kernel, as far as can be told before; empty where nothing speaks against one."""
    if subject.network is None:
        return subject.no_network
    if asked.squared_loss_factor(1) is None and not asked.is_cross_entropy:
        return f"the kernel covers squared loss and cross-entropy, not {asked.loss_name}"
    if asked.is_cross_entropy and subject.network.output_shape[0] < 2:
        return "cross-entropy needs at least 2 outputs"
    if asked.statistics != "batch" and subject.has_batch_norm:
        return f"the kernel is that of training mode, with each batch's statistics, not of {asked.statistics} ones"
    return ""


def _largest_in_time(batch: OneBatch, deadline: float) -> BatchKernel | None:
    """Kernels of ever more samples, as long as the next one will be there in time; None where too few fit."""
    found, size = None, min(_LEAST, batch.size, max(_FIRST_NUMBERS // batch.positions, 1))
    while True:
        last = _kernel(batch.first(size))
        found = last if size >= batch.least else None
        larger = _next(size, batch.size)
        wait = last.seconds * (larger / size) ** _GROWS
        if larger == size or time.perf_counter() + wait > deadline:
            return found
        size = larger


def _next(size: int, whole: int) -> int:
    """The next trial; one that would be near to the whole batch is the whole batch."""
    return whole if _STEP * size * 2 > whole else _STEP * size


def _kernel(batch: OneBatch) -> BatchKernel:
    return batch_kernel(batch.network, batch.inputs, memory=_memory(), on_failure="return")


def _memory() -> float:
    return min(_MOST_BYTES, usable_bytes(torch.device("cpu")))


def _bytes(batch: OneBatch) -> float:
    """What the fewest samples that stand for the batch take."""
    return 8.0 * ARRAYS_AT_ONCE * (batch.least * batch.positions) ** 2


def _no_room(batch: OneBatch, needed: float) -> str:
    return (
        f"kernels between all {batch.positions:,} positions of {batch.least} samples would take "
        f"{in_words(needed)}, and {in_words(_memory())} may be used"
    )


def _no_time(batch: OneBatch, clock: Clock, seconds: float = 0.0) -> str:
    left = clock.left + seconds
    return (
        f"{left:.2g} s of the budget were left, and {100 * _SHARE:.0f} % of that, which the kernel may take, is too "
        f"short for a batch of {batch.size}: give a larger budget, or ask normfield kernel"
    )


def _answer(found: BatchKernel, subject: Subject, asked: Asked, began: float) -> Answer:
    factor = asked.squared_loss_factor(found.outputs)
    cut = (
        ""
        if found.samples == asked.batch_size
        else f"{found.samples} of the batch's {asked.batch_size} samples"
    )
    answer = Answer(
        name="kernel",
        status="answered",
        assumes=_words(found, subject, asked) + (f" Cut: {cut}." if cut else "") + subject.extrapolation,
        cut=cut,
        detail=found,
    )
    scale = 2 * (1 + asked.momentum)
    if factor is not None:
        largest, interval = found.largest_eigenvalue * factor, None
    else:
        spread = found.cross_entropy(seed=asked.seed)
        largest, interval = spread.mean, (scale / spread.high, scale / spread.low)
    return replace(
        answer,
        max_learning_rate=scale / largest,
        interval=interval,
        largest_eigenvalue=largest,
        seconds=time.perf_counter() - began,
    )


def _words(found: BatchKernel, subject: Subject, asked: Asked) -> str:
    batches = subject.data.samples_used // asked.batch_size
    of = f"one batch of {found.samples}" if batches > 1 else f"a batch of {found.samples}, all there is"
    ways = {"exact": "exact integrals", "concentrated": "each layer's normaliser at its mean"}
    how = ", ".join(ways.get(part, part) for part in found.method.split(" and "))
    which = f"the mean of the top {found.outputs} eigenvalues" if found.outputs > 1 else "the top eigenvalue"
    words = f"Infinite width and random weights, on {of} ({how}); {which}."
    if (second := runner_up(found)) > CROWDED:
        words += (
            f" The second eigenvalue is {100 * second:.0f} % of the first: a finite width spreads such neighbours and "
            "makes the largest larger, the more the narrower."
        )
    if batches > 1:
        words += " What is measured is the mean of several batches' matrices, whose eigenvalue is no larger."
    if asked.is_cross_entropy:
        words += " For cross-entropy the interval is over networks."
    return " ".join([words, *(f"{doubt[:1].upper()}{doubt[1:]}." for doubt in found.doubts)])


def profile_in_time(subject: Subject, asked: Asked, kernel: Answer, clock: Clock) -> DepthProfile | None:
    """The depth profile on the samples that the kernel was computed for; None without one, or without time."""
    batch, found = one_batch(subject, asked), kernel.detail
    if batch is None or found is None or _WAY_BACK * found.seconds > _SHARE * clock.left:
        return None
    part = batch.first(found.samples)
    loss = "cross_entropy" if asked.is_cross_entropy else "squared"
    try:
        return depth_profile(part.network, part.inputs, part.targets, loss, samples=_DRAWS, seed=asked.seed)
    except NormfieldError:
        return None
