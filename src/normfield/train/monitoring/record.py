"""What a monitor found."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Facts, Table, fragment_html
from normfield.report.plain_json import finite
from normfield.train.monitoring.readings import Reading
from normfield.train.monitoring.shown import cost_table, loss_figure
from normfield.train.monitoring.tensorboard_files import write_tensorboard
from normfield.train.monitoring.watched import Watched
from normfield.train.monitoring.worded import counted, percent, seconds, spaced

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

TRAINING = "training"
"""Under which name the loss and the learning rate of every step stand in the table."""


@dataclass(frozen=True, eq=False)
class MonitorRecord:
    """A training run as its instruments saw it.

    Attributes
    ----------
    model, loss : str
    optimizer : str or None
    statistics : str
        Which statistics batch norms used while they were measured.
    seed : int
    losses, learning_rates : tuple of float or None
        Of every step, in its order; None where they were not told.
    readings : tuple of Reading
        In the order in which they were found.
    instruments : tuple of Watched
    training_seconds, monitor_seconds : float
        Outside and inside the monitor.
    overhead_limit : float or None
        The bound that was asked for; None for none.
    notes : tuple of str
        What came late, failed, or never ran, in one line each.
    """

    model: str
    loss: str
    optimizer: str | None
    statistics: str
    seed: int
    losses: tuple[float | None, ...]
    learning_rates: tuple[float | None, ...]
    readings: tuple[Reading, ...]
    instruments: tuple[Watched, ...]
    training_seconds: float
    monitor_seconds: float
    overhead_limit: float | None
    notes: tuple[str, ...]

    @property
    def steps(self) -> int:
        """How many steps were told."""
        return len(self.losses)

    @property
    def overhead(self) -> float:
        """monitor_seconds over training_seconds; NaN before any training."""
        return self.monitor_seconds / self.training_seconds if self.training_seconds > 0 else math.nan

    @cached_property
    def _curves(self) -> dict[tuple[str, str, str | None], tuple[list[int], list[float]]]:
        """Steps and values by instrument, quantity and layer."""
        found: dict[tuple[str, str, str | None], tuple[list[int], list[float]]] = {}
        for reading in self.readings:
            steps, values = found.setdefault((reading.instrument, reading.quantity, reading.layer), ([], []))
            steps.append(reading.step)
            values.append(reading.value)
        return found

    def quantities(self, instrument: str) -> tuple[str, ...]:
        """The names of what an instrument found, in order; empty where it found nothing."""
        return tuple(dict.fromkeys(quantity for name, quantity, _ in self._curves if name == instrument))

    def has(self, instrument: str, quantity: str, layer: str | None = None) -> bool:
        """Whether `curve` has something to give."""
        if instrument == TRAINING and layer is None:
            return any(value is not None for value in self._told().get(quantity, ()))
        return (instrument, quantity, layer) in self._curves

    def layers(self, instrument: str, quantity: str) -> tuple[str, ...]:
        """The layers for which an instrument found a quantity, in order."""
        keys = (key for key in self._curves if key[:2] == (instrument, quantity))
        return tuple(layer for *_, layer in keys if layer is not None)

    def curve(
        self, instrument: str, quantity: str, layer: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of one quantity, both (n,), of a layer or (None) of the whole model.

        Loss and learning rate of every step are quantities of the instrument "training".

        Raises
        ------
        InvalidInput
            Nothing of that name was found.
        """
        if not self.has(instrument, quantity, layer):
            raise self._nothing_of(instrument, quantity, layer)
        if instrument == TRAINING:
            told = [(step, value) for step, value in enumerate(self._told()[quantity]) if value is not None]
            return np.array([step for step, _ in told]), np.array([value for _, value in told])
        steps, values = self._curves[instrument, quantity, layer]
        return np.array(steps), np.array(values)

    def _nothing_of(self, instrument: str, quantity: str, layer: str | None) -> InvalidInput:
        """What there is instead: layers of the quantity, or quantities."""
        got = f"{instrument}, {quantity}" + ("" if layer is None else f", {layer}")
        layers = [f'"{name}"' for name in self.layers(instrument, quantity)]
        if layers:
            return InvalidInput(expected=f"layer= with one of {', '.join(layers)}", got=got)
        known = dict.fromkeys(f"{name} {found}" for name, found, _ in self._curves)
        return InvalidInput(
            expected=f"something that was measured: {', '.join(known) or 'nothing was'}", got=got
        )

    def _told(self) -> dict[str, tuple[float | None, ...]]:
        return {"loss": self.losses, "learning_rate": self.learning_rates}

    def to_frame(self) -> pd.DataFrame:
        """One row for each number: step, instrument, quantity, layer, value.

        Loss and learning rate of every step stand under the instrument "training"; the layer is None where a
        quantity is of the whole model.
        """
        import pandas as pd

        columns = ["step", "instrument", "quantity", "layer", "value"]
        rows = [
            (step, TRAINING, quantity, None, value)
            for quantity, values in self._told().items()
            for step, value in enumerate(values)
            if value is not None
        ]
        rows += [(r.step, r.instrument, r.quantity, r.layer, r.value) for r in self.readings]
        return pd.DataFrame(rows, columns=columns)

    def to_json(self) -> str:
        """Every attribute under its name, as a JSON object; numbers that are not finite are null, with a reason."""
        content: dict[str, Any] = {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "steps": self.steps,
            "overhead": self.overhead,
            "readings": [asdict(reading) for reading in self.readings],
            "instruments": [asdict(each) for each in self.instruments],
        }
        numbers = [*self.losses, *self.learning_rates, self.overhead, *(r.value for r in self.readings)]
        if any(number is None or not math.isfinite(number) for number in numbers):
            content["reason"] = "null: not told, infinite, or not a number; see notes"
        return json.dumps(finite(content), allow_nan=False)

    def to_tensorboard(self, folder: str | os.PathLike[str]) -> Path:
        """Write every number as scalars that TensorBoard reads, tagged instrument/quantity/layer.

        Parameters
        ----------
        folder
            Made where it does not exist; what is in it stays.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InvalidInput
            TensorBoard is not installed (``pip install 'normfield[tensorboard]'``), or the path is a file.
        """
        frame = self.to_frame()
        return write_tensorboard(frame.itertuples(index=False), folder)

    def table(self) -> Table:
        """What each instrument cost and how often it ran."""
        return cost_table(self.instruments, self.training_seconds)

    def plot(self) -> PlotlyFigure:
        """The loss of every step; raises InvalidInput where none was told."""
        return loss_figure(self.losses).to_plotly()

    def _repr_html_(self) -> str:
        return fragment_html(Facts(self._facts()), self.table(), *self.notes)

    def _facts(self) -> list[tuple[str, float | str | None]]:
        return [
            ("model", self.model),
            ("steps", self.steps),
            ("loss", self.loss),
            ("statistics", self.statistics),
            ("overhead", self._overhead_words()),
        ]

    def _overhead_words(self) -> str:
        limit = "no bound"
        if self.overhead_limit is not None:
            limit = f"bound {percent(self.overhead_limit, 3)} after each instrument's first measurement"
        if math.isnan(self.overhead):
            return f"not known before any training ({limit})"
        return (
            f"{percent(self.overhead)} ({seconds(self.monitor_seconds)} beside {seconds(self.training_seconds)} of "
            f"training; {limit})"
        )

    def __str__(self) -> str:
        head = f'{counted(self.steps, "step")} of {self.model}, {self.loss}, statistics="{self.statistics}"'
        told = [loss for loss in self.losses if loss is not None]
        losses = f", loss {told[0]:.4g} → {told[-1]:.4g}" if told else ""
        lines = [f"{head}{losses}", f"overhead {self._overhead_words()}"]
        lines += [
            f"{each.name}: {counted(each.runs, 'measurement')}, {spaced(each.every)}, {seconds(each.seconds)}"
            for each in self.instruments
        ]
        return "\n".join([*lines, *self.notes])
