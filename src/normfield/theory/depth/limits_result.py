"""What depth does to a batch-normalised network: fixed point, rates, and the depth to which it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Facts, fragment_html
from normfield.report.plain_json import json_text
from normfield.theory.depth.drawing import growth_figure
from normfield.theory.depth.fixed_point import FixedPoint
from normfield.theory.depth.transition import CollapseTransition
from normfield.theory.depth.words import reasons, title, verdict

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure

_RATES = (
    "explosion_rate",
    "depth_scale",
    "trainable_depth",
    "residual_exponent",
    "norm_rate",
    "correlation_rate",
    "scale_rate",
    "cross_batch_rate",
)
_SETTINGS = ("batch_size", "gamma", "beta", "eps", "weight_variance")


@dataclass(frozen=True)
class DepthLimits:
    """Fixed point and rates of a deep network with batch norm at infinite width; numbers, or arrays over a grid.

    Attributes
    ----------
    explosion_rate
        λ_G, the factor by which the squared norm of gradients grows per layer, going backwards. NaN at B = 2 and
        infinite at B = 3 without ε, for reasons in ``status``.
    depth_scale
        ξ = 1/ln λ_G, in layers; infinite where gradients do not grow.
    trainable_depth
        16ξ, about the number of layers beyond which networks do not train [Yang, Fig. 2]; infinite where gradients
        do not grow.
    residual_exponent
        λ_G at ε = 0: with blocks x + Wφ(BN(x)) the squared gradient of layer l is only ∝ (L/l)^λ_G.
    fixed_point
        q*, c*, μ* of the activations of a batch, and their covariance between batches.
    norm_rate, correlation_rate
        λ_L and λ_M, the factors by which differences of per-sample norms and of correlations from the fixed point
        shrink per layer, going forwards. NaN where B is too small to have such a difference.
    scale_rate
        The same for the batch's common scale; 0 at ε = 0.
    cross_batch_rate
        λ_CB, the same for the covariance of two batches normalised separately.
    transition
        The ε_c above which the batch collapses.
    regime
        "normalised"; "collapsed" (ε too large: samples become alike); "outlier" (only a batch with an outlying sample
        does not collapse); "constant" (φ does not vary). Rates of the middle two are those of the collapsed batch.
    errors
        Estimated absolute error of each rate and each number of the fixed point.
    status
        Why numbers are missing or infinite; "" where none is.
    activation, batch_size, gamma, beta, eps, weight_variance
        What was asked.
    """

    explosion_rate: Any
    depth_scale: Any
    trainable_depth: Any
    residual_exponent: Any
    fixed_point: FixedPoint
    norm_rate: Any
    correlation_rate: Any
    scale_rate: Any
    cross_batch_rate: Any
    transition: CollapseTransition
    regime: Any
    errors: Mapping[str, Any]
    status: Any
    activation: str
    batch_size: Any
    gamma: Any
    beta: Any
    eps: Any
    weight_variance: Any

    def gradient_growth(self, depth: Any) -> Any:
        """λ_G^depth, the growth of squared gradients over so many layers; ``depth`` a number or an array.

        Raises
        ------
        InvalidInput
            A depth is negative or no number.
        """
        with np.errstate(over="ignore"):
            return _number(np.asarray(self.explosion_rate, dtype=float) ** _layers(depth, "depth", 0))

    def residual_gradient_growth(self, depth: Any, layer: Any = 1) -> Any:
        """(depth/layer)^λ_G, the growth of squared gradients from the last of the blocks x + Wφ(BN(x)) back to one.

        The variance that batch norm divides by grows with each block, so that λ_G is that of ε = 0 whatever ε is. It
        holds behind the first blocks, where the variance of the inputs no longer counts.

        Raises
        ------
        InvalidInput
            A depth or layer is below 1 or no number.
        """
        ratio = _layers(depth, "depth", 1) / _layers(layer, "layer", 1)
        with np.errstate(over="ignore"):
            return _number(ratio ** np.asarray(self.residual_exponent, dtype=float))

    def to_frame(self) -> pandas.DataFrame:
        """One row per point: what was asked, every rate, fixed point and transition, regime and status."""
        import pandas

        columns = (
            self._settings()
            | self._numbers()
            | {
                "is_stable": self.is_stable,
                "regime": self.regime,
                "status": self.status,
            }
        )
        return pandas.DataFrame({name: np.ravel(value) for name, value in columns.items()})

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, lists and words, for JSON."""
        rates = {name: getattr(self, name) for name in _RATES}
        return {
            "activation": self.activation,
            **self._settings(),
            **rates,
            **({} if self._is_grid else reasons(self)),
            "fixed_point": asdict(self.fixed_point),
            "transition": asdict(self.transition),
            "regime": self.regime,
            "is_stable": self.is_stable,
            "errors": dict(self.errors),
            "status": self.status,
            "verdict": "" if self._is_grid else verdict(self),
        }

    def to_json(self) -> str:
        """The same as JSON text; infinite or missing numbers are null, with a reason beside them."""
        return json_text(self.as_dict())

    def plot(self, depth: int = 100) -> PlotlyFigure:
        """Squared gradient norm against the layer, in plain networks and in residual ones, on a logarithmic axis.

        Parameters
        ----------
        depth
            L, the number of layers drawn.

        Raises
        ------
        InvalidInput
            The limits are those of a grid, or there is no rate to draw.
        """
        if self._is_grid:
            raise InvalidInput(
                expected="the limits of one network to draw",
                got=f"a grid of shape {np.shape(self.explosion_rate)}",
                instead="draw one point of it, or use .to_frame()",
            )
        if not np.isfinite(self.explosion_rate):
            raise InvalidInput(expected="a finite explosion rate to draw", got=self.status)
        return growth_figure(self, int(_layers(depth, "depth", 1))).to_plotly()

    @property
    def is_stable(self) -> Any:
        """Whether what differs from the fixed point shrinks with depth: no forward rate exceeds 1, errors aside.

        Where one does (SiLU at B = 32), deep networks leave the fixed point that the rates belong to.
        """
        rates = ("norm_rate", "correlation_rate", "scale_rate", "cross_batch_rate")
        beyond = [np.abs(getattr(self, name)) > 1 + np.asarray(self.errors[name]) for name in rates]
        stable = ~np.any(beyond, axis=0)
        return stable if self._is_grid else bool(stable)

    @property
    def _is_grid(self) -> bool:
        return np.ndim(self.explosion_rate) > 0

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS}

    def _numbers(self) -> dict[str, Any]:
        return (
            {name: getattr(self, name) for name in _RATES}
            | asdict(self.fixed_point)
            | {f"{name}_transition": value for name, value in asdict(self.transition).items()}
            | {f"{name}_error": value for name, value in self.errors.items()}
        )

    def _repr_html_(self) -> str:
        if self._is_grid:
            return fragment_html(str(self))
        facts: list[tuple[str, float | str | None]] = [
            ("growth of squared gradients per layer", self.explosion_rate),
            ("layers that train, about", self.trainable_depth),
            ("correlation of two samples", self.fixed_point.correlation),
        ]
        return fragment_html(Facts(facts), verdict(self))

    def __str__(self) -> str:
        if self._is_grid:
            return f"depth limits ({self.activation}) on a grid of shape {np.shape(self.explosion_rate)}"
        return f"{title(self)}\n{verdict(self)}"


def _layers(value: Any, what: str, least: int) -> np.ndarray:
    try:
        layers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InvalidInput(expected=f"{what} as a number or an array", got=repr(value)) from None
    if not np.all(np.isfinite(layers)) or np.any(layers < least):
        raise InvalidInput(expected=f"a finite {what} of at least {least}", got=repr(value))
    return layers


def _number(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value
