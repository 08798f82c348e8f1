"""The number of the network that varies across a map, and the theories of the largest learning rate it allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from normfield.network import Network
from normfield.studies.phase_diagrams.panels import Panel


@dataclass(frozen=True)
class Theory:
    """One theory of η*.

    Attributes
    ----------
    column
        What its η* is called in the table.
    words
        What it is called in figures and sentences.
    rate
        Network → η*.
    """

    column: str
    words: str
    rate: Callable[[Network], float]


@dataclass(frozen=True)
class Axis:
    """What varies across a map.

    Attributes
    ----------
    column, symbol, words
        What it is called in the table, in a sentence, and on the axis.
    network
        (panel, value) → the network that is trained.
    theories
        The paper's first.
    """

    column: str
    symbol: str
    words: str
    network: Callable[[Panel, float], Network]
    theories: tuple[Theory, ...]

    @property
    def paper(self) -> Theory:
        """The paper's own theory."""
        return self.theories[0]
