"""What a measurement of gradient noise answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from normfield.errors import InvalidInput
from normfield.report import Figure, Mark, Series, format_number, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure


def _check_rate(learning_rate: Any) -> None:
    is_number = isinstance(learning_rate, Real) and not isinstance(learning_rate, bool)
    if not is_number or not 0 < float(learning_rate) < math.inf:
        raise InvalidInput(expected="a finite learning_rate above 0", got=repr(learning_rate))


def _check_sizes(batch_size: Any, samples: Any) -> None:
    for name, value in (("batch_size", batch_size), ("samples", samples)):
        is_count = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
        if not is_count and not (name == "samples" and value is None):
            raise InvalidInput(expected=f"{name} as a whole number of at least 1", got=repr(value))
    if samples is not None and batch_size > samples:
        raise InvalidInput(
            expected=f"a batch_size of at most the {samples} samples",
            got=str(batch_size),
            instead="leave samples out for a stream that never ends",
        )


@dataclass(frozen=True)
class GradientNoise:
    """C, the scatter of gradients around their mean, beside that mean's length.

    Attributes
    ----------
    covariance_trace : float
        C = E‖∇ℓ_i − ∇ℓ‖², the trace of the covariance of a sample's gradient; where samples meet, |B| times that of a
        mini-batch's. In units of the squared gradient of the loss as given.
    standard_error : float
        Of C, by the jackknife over independent gradients.
    squared_gradient, squared_gradient_error : float
        ‖∇ℓ‖² without the bias that noise adds to it, hence possibly below 0, and its standard error.
    signal_to_noise, signal_to_noise_error : float
        ‖∇ℓ‖²/C and its standard error; NaN where nothing scatters.
    unit : str
        "samples" or "mini-batches": of what the gradients were that scatter.
    batch_size : int
        |B| of the mini-batches; 1 for samples.
    draws : int
        How many gradients.
    loss, statistics : str
        Of what, and with which batch-norm statistics.
    samples, dropped_samples : int
        On how many; a last short batch is dropped and its samples counted.
    seconds : float
    assumes : tuple of str
        What the numbers rest on beside these, in words.
    """

    covariance_trace: float
    standard_error: float
    squared_gradient: float
    squared_gradient_error: float
    signal_to_noise: float
    signal_to_noise_error: float
    unit: str
    batch_size: int
    draws: int
    loss: str
    statistics: str
    samples: int
    dropped_samples: int
    seconds: float
    assumes: tuple[str, ...] = ()

    @property
    def _reach(self) -> float:
        """Standard errors to either side of a 95 % interval: Student's with one degree of freedom less than draws."""
        return float(stdtrit(self.draws - 1, 0.975))

    @property
    def interval(self) -> tuple[float, float]:
        """A 95 % interval for C, symmetric in its logarithm."""
        if self.covariance_trace == 0:
            return 0.0, 0.0
        factor = math.exp(self._reach * self.standard_error / self.covariance_trace)
        return self.covariance_trace / factor, self.covariance_trace * factor

    @property
    def noise_scale(self) -> float:
        """C/‖∇ℓ‖², the batch size at which noise is as long as the gradient [McCandlish, Eq. 2.9].

        Infinite where ‖∇ℓ‖² is not above 0, NaN where nothing scatters.
        """
        if math.isnan(self.signal_to_noise):
            return math.nan
        return 1 / self.signal_to_noise if self.signal_to_noise > 0 else math.inf

    @property
    def noise_scale_interval(self) -> tuple[float, float]:
        """A 95 % interval for the noise scale; infinite above where the gradient may be all noise."""
        reach = self._reach * self.signal_to_noise_error
        ends = (self.signal_to_noise + reach, self.signal_to_noise - reach)
        low, high = (math.nan if math.isnan(end) else 1 / end if end > 0 else math.inf for end in ends)
        return low, high

    def at(self, learning_rate: float, batch_size: int, samples: int | None = None) -> float:
        """E‖α∇ℓ − α∇_SGD‖² of a step with this learning rate on a batch of this size.

        α²·C_N/|B|·(N − |B|)/(N − 1) for batches of N samples without replacement [Bjorck, Section 4.1], where
        C_N = C·(N − 1)/N is what N samples from the measured population have on average; α²·C/|B| where N is unlimited.

        Parameters
        ----------
        learning_rate : float
            α.
        batch_size : int
            |B|.
        samples : int, optional
            N, of the training set.

        Raises
        ------
        InvalidInput
            A rate or size that is none, a batch larger than the training set.
        """
        _check_rate(learning_rate)
        _check_sizes(batch_size, samples)
        left = 1.0 if samples is None else (samples - batch_size) / samples
        return float(learning_rate) ** 2 * self.covariance_trace / int(batch_size) * left

    def to_frame(self) -> pd.DataFrame:
        """One row for each of C, ‖∇ℓ‖² and their ratio, with errors."""
        import pandas as pd

        names = ("covariance_trace", "squared_gradient", "signal_to_noise")
        errors = ("standard_error", "squared_gradient_error", "signal_to_noise_error")
        rows = {
            "quantity": names,
            "value": [getattr(self, name) for name in names],
            "standard_error": [getattr(self, name) for name in errors],
        }
        return pd.DataFrame(rows).assign(
            unit=self.unit,
            batch_size=self.batch_size,
            draws=self.draws,
            loss=self.loss,
            statistics=self.statistics,
        )

    def to_json(self) -> str:
        """Every attribute and property under its name, as a JSON object; a missing number is null with the reason."""
        content: dict[str, Any] = dict(vars(self))
        content |= {name: getattr(self, name) for name in ("interval", "noise_scale", "noise_scale_interval")}
        reason = self._reason()
        return json.dumps(finite(content | ({"reason": reason} if reason else {})), allow_nan=False)

    def _reason(self) -> str:
        """Why numbers are missing."""
        if math.isnan(self.signal_to_noise):
            return "signal_to_noise, noise_scale: the gradients do not scatter"
        if not math.isfinite(self.noise_scale):
            return "noise_scale: the gradient cannot be told from noise"
        if not math.isfinite(self.noise_scale_interval[1]):
            return "noise_scale_interval: the gradient may be all noise"
        return ""

    def figure(self) -> Figure:
        """Noise C/|B| of a mini-batch's gradient against |B|, beside the squared gradient.

        Raises
        ------
        InvalidInput
            The gradients do not scatter.
        """
        if self.covariance_trace == 0:
            raise InvalidInput(
                expected="gradients that scatter, to draw their noise",
                got="the same one from every draw",
                instead="give batches that differ",
            )
        sizes = np.geomspace(1, max(1024, 8 * self.batch_size), 11)
        low, high = self.interval
        band = Series("noise C/|B|", sizes, self.covariance_trace / sizes, low=low / sizes, high=high / sizes)
        marks = [Mark(self.batch_size, "measured mini-batches")] if self.unit == "mini-batches" else []
        if self.squared_gradient > 0:
            level = format_number(self.squared_gradient)
            marks.append(Mark(self.squared_gradient, f"squared gradient, {level}", "y"))
        return lines(
            [band],
            "batch size |B|",
            "squared distance from the gradient",
            log_x=True,
            log_y=True,
            marks=marks,
            title="Gradient noise against batch size",
            caption=f"{self.loss}, {self.statistics} statistics, {self.draws} {self.unit}; band: 95 % interval.",
        )

    def plot(self) -> PlotlyFigure:
        """`figure` as a ``plotly.graph_objects.Figure``."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        of = f" of {self.batch_size}" if self.unit == "mini-batches" else ""
        low, high = self.noise_scale_interval
        return "\n".join(
            [
                f'gradient noise of {self.loss}, statistics="{self.statistics}", from {self.draws} {self.unit}{of}',
                f"C {self.covariance_trace:.4g} ± {self.standard_error:.2g}; squared gradient "
                f"{self.squared_gradient:.4g} ± {self.squared_gradient_error:.2g}",
                f"noise scale {self.noise_scale:.4g} ({low:.3g} to {high:.3g}), in samples; {self.seconds:.2g} s",
                *self.assumes,
            ]
        )
