"""How a training by lengths and directions went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from normfield.report import Series, lines
from normfield.report.plain_json import json_text

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True, eq=False)
class DecoupledRun:
    """A network trained by the length and the direction of one unit after another; made by `train_decoupled`.

    Attributes
    ----------
    model : nn.Module
        The trained network.
    loss : str
        The loss by name, a mean over the full batch.
    steps, halvings, seed : int
        What was asked.
    losses : array (steps + 1,)
        Before the first sweep over all units and after each.
    gradient_evaluations : array (steps + 1,)
        Spent so far: passes over the full batch that gave a derivative, backwards or forwards.
    units : tuple of str
        Names, in the order of the visits: "0[3]" is row 3 of the weights of layer 0.
    lengths : array (steps + 1, units)
        ‖w̃‖_S = √(w̃ᵀSw̃) with S the second moments of the unit's inputs, which is the root mean square of its outputs.
    step_sizes : array (steps, units)
        s of the direction's step w ← w − s∇_w f, taken at w = w̃; NaN where the unit has no influence on the loss and
        was left.
    rises : int
        Visits after which the loss was higher than before, by more than the square root of the round-off.
    test_loss, test_accuracy : float, optional
        After the last sweep; None without test data, the accuracy also without class labels.
    seconds : float
    """

    model: nn.Module
    loss: str
    steps: int
    halvings: int
    seed: int
    losses: np.ndarray
    gradient_evaluations: np.ndarray
    units: tuple[str, ...]
    lengths: np.ndarray
    step_sizes: np.ndarray
    rises: int
    test_loss: float | None
    test_accuracy: float | None
    seconds: float

    @property
    def visits(self) -> int:
        """Steps times units."""
        return self.steps * len(self.units)

    def to_frame(self) -> pandas.DataFrame:
        """One row for each sweep, and one for the start: step, gradient_evaluations, loss, and a length by unit."""
        import pandas

        own = {f"length {name}": self.lengths[:, i] for i, name in enumerate(self.units)}
        return pandas.DataFrame(
            {
                "step": range(self.steps + 1),
                "gradient_evaluations": self.gradient_evaluations,
                "loss": self.losses,
                **own,
            }
        )

    def to_json(self) -> str:
        """JSON object keyed like the attributes, without the model; a number that is missing is null."""
        names = [name for name in self.__dataclass_fields__ if name != "model"]
        return json_text({name: getattr(self, name) for name in names})

    def plot(self) -> PlotlyFigure:
        """Loss against the gradient evaluations spent."""
        return lines(
            [Series("lengths and directions", self.gradient_evaluations.tolist(), self.losses.tolist())],
            "gradient evaluations",
            f"loss ({self.loss})",
            log_y=bool((self.losses > 0).all()),
            title="Training by lengths and directions",
        ).to_plotly()

    def __str__(self) -> str:
        spent = int(self.gradient_evaluations[-1])
        line = (
            f"{len(self.units)} units by length and direction, {self.steps} sweeps, {spent:,} gradient evaluations: "
            f"loss {self.losses[0]:.3g} → {self.losses[-1]:.3g}"
        )
        if self.test_loss is not None:
            line += f", test loss {self.test_loss:.3g}"
        if self.test_accuracy is not None:
            line += f", test accuracy {self.test_accuracy:.1%}"
        return f"{line}; it rose in {self.rises} of {self.visits:,} visits, {self.seconds:.2g} s"
