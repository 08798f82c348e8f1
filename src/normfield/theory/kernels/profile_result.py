"""Signal and gradient by layer, as a network's kernels on one batch predict them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from normfield.growth import Growth, growth_through
from normfield.network import Network
from normfield.report import Figure, Series, format_number, fragment_html, lines
from normfield.report.plain_json import json_text

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure

_STEADY = 1.005  # a factor per layer nearer to 1 than this changes nothing over a hundred layers
_DEEPEST = 1000.0
_MISSING = "a rate needs four layers, and with skip connections there is no one depth that trains"


@dataclass(frozen=True)
class LayerProfile:
    """One affine layer at infinite width, averaged over random weights.

    Attributes
    ----------
    name
        Its number and kind in the description.
    units, positions
        Units or channels, and at how many positions each sample has them.
    mean_square
        q = E z², the mean over the batch.
    correlation
        Mean cosine between the outputs z of two samples; None of one sample.
    gradient
        √E‖∂ℓ/∂z‖², over all outputs z of the batch.
    gradient_mean_square
        E(∂ℓ/∂z)² of one unit, position and sample.
    gradient_correlation
        Mean cosine between the gradients at two samples; None of one sample, or where a sample has none.
    """

    name: str
    units: int
    positions: int
    mean_square: float
    correlation: float | None
    gradient: float
    gradient_mean_square: float
    gradient_correlation: float | None


@dataclass(frozen=True)
class DepthProfile:
    """How signals, and gradients of the loss, change from layer to layer of an infinitely wide network on one batch.

    Attributes
    ----------
    layers : tuple of LayerProfile
        The affine layers in the order of the way forwards.
    samples : int
        B.
    loss : str
        "squared" or "cross_entropy".
    method : str
        How batch-normed layers were computed: "exact", "concentrated", or "closed form" without any.
    error : float
        Largest estimated relative error of a layer's expectations.
    status : str
        "converged", or why the gradient is infinite.
    doubts : tuple of str
        What speaks against the method.
    has_skips : bool
        Whether paths of the network are added, so that growth slows down with depth.
    seconds : float
    network : Network
    """

    layers: tuple[LayerProfile, ...]
    samples: int
    loss: str
    method: str
    error: float
    status: str
    doubts: tuple[str, ...]
    has_skips: bool
    seconds: float
    network: Network = field(repr=False)

    @property
    def signal_growth(self) -> Growth | None:
        """By what √q grows from layer to layer, the first and the last left out; None below two such layers."""
        return growth_through([math.sqrt(layer.mean_square) for layer in self.layers[1:-1]])

    @property
    def gradient_growth(self) -> Growth | None:
        """By what ‖∂ℓ/∂z‖ grows per layer going backwards, the first and the last left out: data scale the first."""
        return growth_through([layer.gradient for layer in reversed(self.layers[1:-1])])

    @property
    def explosion_rate(self) -> float | None:
        """λ_G: by what the squared gradient grows per layer going backwards; None below four layers."""
        growth = self.gradient_growth
        return None if growth is None else growth.factor**2

    @property
    def trainable_depth(self) -> float | None:
        """16ξ, ξ = 1/ln λ_G: networks of such layers that are deeper do not train [Yang, Fig. 2].

        Infinite where gradients do not grow; None with skip connections, where growth is no constant factor.
        """
        rate = self.explosion_rate
        if rate is None or self.has_skips:
            return None
        return 16 / math.log(rate) if rate > _STEADY else math.inf

    @property
    def verdict(self) -> str:
        """What this means for training, with numbers."""
        growth = self.gradient_growth
        if growth is None:
            return "fewer than four layers, too few for a rate" if self.status == "converged" else self.status
        return _rate_words(self, growth) + _depth_words(self)

    def to_frame(self) -> pandas.DataFrame:
        """One row per affine layer, in the order of the way forwards."""
        import pandas

        return pandas.DataFrame([asdict(layer) for layer in self.layers])

    def as_dict(self) -> dict[str, Any]:
        """Numbers and words, for JSON."""
        growths = {name: getattr(self, name) for name in ("signal_growth", "gradient_growth")}
        missing = None in (self.gradient_growth, self.trainable_depth)
        return {
            "layers": [asdict(layer) for layer in self.layers],
            **{name: None if growth is None else asdict(growth) for name, growth in growths.items()},
            "explosion_rate": self.explosion_rate,
            "trainable_depth": self.trainable_depth,
            "verdict": self.verdict,
            "samples": self.samples,
            "loss": self.loss,
            "method": self.method,
            "error": self.error,
            "status": self.status,
            "doubts": list(self.doubts),
            "seconds": self.seconds,
            **({"reason": _MISSING} if missing else {}),
        }

    def to_json(self) -> str:
        """The same as JSON text; infinite or missing numbers are null, with a reason beside them."""
        return json_text(self.as_dict())

    def figure(self) -> Figure:
        """√q and ‖∂ℓ/∂z‖ by layer."""
        x, names = list(range(1, len(self.layers) + 1)), [layer.name for layer in self.layers]
        signal = [math.sqrt(layer.mean_square) for layer in self.layers]
        gradient = [layer.gradient for layer in self.layers]
        return lines(
            [
                Series("signal √(E z²)", x, signal, hover=names),
                Series("gradient ‖∂ℓ/∂z‖", x, gradient, hover=names),
            ],
            "affine layer, from the input",
            "root mean square of z; norm of the loss's gradient",
            log_y=True,
            least_decades=1.0,
            title="Signal and gradient by layer, at infinite width",
            caption=f"{self.loss} loss, a batch of {self.samples}. {self.verdict}.",
        )

    def plot(self) -> PlotlyFigure:
        """Signal and gradient by layer on one logarithmic axis."""
        return self.figure().to_plotly()

    def _repr_html_(self) -> str:
        return fragment_html(str(self))

    def __str__(self) -> str:
        rows = [
            f"{layer.name}: √(E z²) {math.sqrt(layer.mean_square):.3g}, ‖∂ℓ/∂z‖ {layer.gradient:.3g}"
            + ("" if layer.correlation is None else f", correlation {layer.correlation:.3f}")
            for layer in self.layers
        ]
        return "\n".join([*rows, self.verdict, *self.doubts])


def _rate_words(profile: DepthProfile, growth: Growth) -> str:
    layers = profile.layers
    over = layers[1].gradient / layers[-2].gradient
    if 1 / _STEADY < growth.factor < _STEADY:
        return f"gradients keep their size over the {growth.layers} inner layers"
    way, size, total = (
        ("grow", growth.factor, over) if growth.factor > 1 else ("shrink", 1 / growth.factor, 1 / over)
    )
    return (
        f"gradients {way} {size:.3g}-fold per layer going backwards (their square {size**2:.3g}-fold), "
        f"{format_number(total, 3)}-fold over the {growth.layers} inner layers"
    )


def _depth_words(profile: DepthProfile) -> str:
    """How many such layers would train; nothing where that is far away."""
    deepest = profile.trainable_depth
    if deepest is None or deepest > _DEEPEST:
        return ""
    return f"; about {format_number(deepest, 2)} such layers are the limit of what trains"
