"""What a group computes, chunk by chunk: steps of training, evaluations; side by side where that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from normfield.data.batching import Pair
from normfield.data.random_state import seeded_random_state
from normfield.train.ensemble.group import Chunk, Group
from normfield.train.ensemble.programs import Bound, Compilation, Function
from normfield.train.ensemble.refusal import NotVectorised
from normfield.train.ensemble.side_by_side import Mapped
from normfield.train.ensemble.vectorised import Together

_SEED = 0

Batches = Callable[[Chunk, int], Pair]
"""A chunk's i-th batch."""


@dataclass(frozen=True)
class Shares:
    """Mean loss of each row over some batches, and its share of hits, None without labels."""

    losses: list[float]
    accuracies: list[float | None]


@dataclass(frozen=True, eq=False)
class Computing:
    """How chunks compute: what, by which programs, and on which threads."""

    together: Together
    steps: Compilation
    evaluations: Compilation
    mapped: Mapped

    def descended(self, group: Group, batches: Batches, taken: Sequence[int]) -> Tensor:
        """Some steps of every chunk; the losses before each, (steps, rows)."""

        def block(chunk: Chunk, step: Bound) -> Tensor:
            return torch.stack([step(*batches(chunk, i)) for i in taken])

        first = batches(group.chunks[0], taken[0])
        with _told_of_the_model():
            return torch.cat(self._each(group, self.steps, self.together.step, first, block), 1)

    def measured(self, group: Group, batches: Sequence[Pair], labelled: bool) -> Shares:
        """Every row's mean loss over the same batches and share of hits, in batch mode, buffers as they were."""

        def means(chunk: Chunk, evaluate: Bound) -> Tensor:
            return torch.stack([torch.stack(evaluate(*batch)) for batch in batches]).mean(0)

        asked = self.together.losses_and_hits if labelled else self.together.losses
        with seeded_random_state(_SEED), _told_of_the_model():
            found = torch.cat(self._each(group, self.evaluations, asked, batches[0], means), 1).tolist()
        return Shares(found[0], found[1] if labelled else [None] * len(found[0]))

    def _each(
        self,
        group: Group,
        compilation: Compilation,
        function: Function,
        batch: Pair,
        work: Callable[[Chunk, Bound], Tensor],
    ) -> list[Tensor]:
        """Work with every chunk and the function bound to it; the program of the first serves all."""
        _, may_part = compilation.of(function, group.chunks[0].stack, *batch)

        def one(chunk: Chunk) -> Any:
            return work(chunk, compilation.of(function, chunk.stack, *batch)[0])

        return list((self.mapped if may_part else map)(one, group.chunks))


@contextmanager
def _told_of_the_model() -> Iterator[None]:
    """A vectorised pass complains of the model: in an evaluation or, with batches of their own, in a step."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise NotVectorised(
            expected="a model whose operations torch.func.vmap can vectorise",
            got=str(error).splitlines()[0],
            instead="train such models one by one with train_once",
        ) from error
