"""The data and the steps of every group of an ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from normfield.data.batching import shuffled_order
from normfield.samples import Samples, count, mapped
from normfield.train.ensemble.member import Member
from normfield.train.epochs import Recording
from normfield.train.prepared import Prepared
from normfield.train.settings import Settings


@dataclass(frozen=True, eq=False)
class Schedule:
    """The data and the steps of every group."""

    prepared: Prepared
    settings: Settings
    shared_seed: int | None
    deadline: float
    recording: Recording

    @property
    def is_shared(self) -> bool:
        """Whether all members take the same batches."""
        return self.shared_seed is not None or self.prepared.batch_size is None

    @property
    def steps(self) -> int:
        """Of a member that neither diverges nor is cut short."""
        return self.settings.steps or self.settings.epochs * self.prepared.steps_per_epoch

    @property
    def evaluated_batches(self) -> int:
        """Of a member: before its first step, and after every epoch or the last step."""
        first, test = len(self.prepared.evaluation), len(self.prepared.test or ())
        times = -(-self.steps // self.prepared.steps_per_epoch) if self.recording.every_epoch else 1
        return first + times * (first + test)

    def passes(self, members: Sequence[Member]) -> Iterator[Tensor | None]:
        """Orders of the data without end: one row for each member, one for all, or none for the full batch."""
        seeds = [self.shared_seed] if self.shared_seed is not None else [member.seed for member in members]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        total = count(self.prepared.inputs)
        while True:
            if self.prepared.batch_size is None:
                yield None
            else:
                yield torch.stack([shuffled_order(total, generator) for generator in generators])

    def batch(self, orders: Tensor | None, rows: Sequence[int], i: int) -> tuple[Any, Any]:
        """The i-th batch of a pass, (B, …) where it is shared, else (K, B, …) for the members of some rows."""
        prepared, size = self.prepared, self.prepared.batch_size
        if orders is None or size is None:
            return prepared.inputs, prepared.targets
        part = orders[:, i * size : (i + 1) * size]
        chosen = part[0] if self.shared_seed is not None else part[list(rows)]
        return gathered(prepared.inputs, chosen), gathered(prepared.targets, chosen)


def gathered(values: Samples, orders: Tensor) -> Samples:
    """Samples (…, B, …) by an index (…, B) into the data."""

    def taken(tensor: Tensor) -> Tensor:
        flat = tensor.index_select(0, orders.flatten().to(tensor.device))
        return flat.view(*orders.shape, *tensor.shape[1:])

    return mapped(values, taken)
