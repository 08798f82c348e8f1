"""Many runs that were made together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from normfield.train.descent import DIVERGED
from normfield.train.ensemble.member import Member
from normfield.train.epochs import curve_rows
from normfield.train.run import Run

if TYPE_CHECKING:
    import pandas

_OWN = ("learning_rate", "momentum", "seed")


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Runs of an ensemble, in the order of its members.

    Attributes
    ----------
    members : tuple of Member
    runs : tuple of Run
        As `train_once` gives them; ``seconds`` of each is its share of its group's.
    at_once : int
        How many were trained together.
    optimizer : str
    models : tuple of nn.Module
        The trained modules; empty unless they were asked for.
    seconds : float
        Compilation included.
    compiled : bool
        Whether steps were compiled.
    compile_seconds : float
        Spent on tracing and compiling, or on trying to.
    """

    members: tuple[Member, ...]
    runs: tuple[Run, ...]
    at_once: int
    optimizer: str
    models: tuple[nn.Module, ...]
    seconds: float
    compiled: bool
    compile_seconds: float

    def to_frame(self) -> pandas.DataFrame:
        """One row for each member: everything of its run but the losses of its steps and its epochs."""
        import pandas

        return pandas.DataFrame([run.summary() for run in self.runs])

    def curves(self) -> pandas.DataFrame:
        """One row for each member and recorded epoch: member, learning_rate, momentum, seed, and what was recorded."""
        import pandas

        return pandas.DataFrame(
            [
                {"member": i, **{name: getattr(run, name) for name in _OWN}, **row}
                for i, run in enumerate(self.runs)
                for row in curve_rows(run.by_epoch)
            ]
        )

    def __str__(self) -> str:
        diverged = sum(run.status == DIVERGED for run in self.runs)
        return (
            f"{len(self.runs)} runs, {self.at_once} at once, by {self.optimizer}: {diverged} diverged; "
            f"{self.seconds:.2g} s{f', {self.compile_seconds:.2g} of them to compile' if self.compiled else ''}"
        )
