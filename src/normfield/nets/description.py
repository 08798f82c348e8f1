"""What was read from a module: the description, the numbers behind it, and how far theory may trust it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from normfield.errors import InvalidInput
from normfield.network import Network
from normfield.report.plain_json import json_text

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class DescribedLayer:
    """One layer with parameters, and the numbers read from its module.

    Attributes
    ----------
    path
        Where the module stands in the model, as `named_modules` spells it.
    kind
        "Dense", "Conv", "BatchNorm", "LayerNorm" or "RMSNorm".
    source
        What its numbers were taken from: "as built", an initialisation's name, or "measured".
    fan_in
        Inputs of one unit; None for a norm, as are the next four.
    weight_variance, measured_weight_variance, weight_variance_error
        σ_w² as described; fan_in · (mean square of the weights), and one standard error of that.
    bias_variance
        σ_b²; None without biases.
    gamma, gamma_mean, gamma_spread
        γ as described (the root mean square over units where they differ), mean and standard deviation over
        units; None for an affine layer, as are the last two.
    beta_mean, beta_spread
        β as described, and its standard deviation over units; None for RMSNorm.
    """

    path: str
    kind: str
    source: str
    fan_in: int | None = None
    weight_variance: float | None = None
    measured_weight_variance: float | None = None
    weight_variance_error: float | None = None
    bias_variance: float | None = None
    gamma: float | None = None
    gamma_mean: float | None = None
    gamma_spread: float | None = None
    beta_mean: float | None = None
    beta_spread: float | None = None


@dataclass(frozen=True)
class Description:
    """A module read as a network at initialisation, the result of `examine`.

    Attributes
    ----------
    network
        The description.
    layers
        The layers that have parameters, in order, branches before shortcuts.
    departures
        Sentences: where the module is not what theory takes it for. Empty for a fresh network, with the
        chance `false_alarm_rate` that a test speaks against fresh weights nevertheless.
    false_alarm_rate
        Of all tests of the weights together.
    """

    network: Network
    layers: tuple[DescribedLayer, ...]
    departures: tuple[str, ...]
    false_alarm_rate: float

    @property
    def is_extrapolation(self) -> bool:
        """Whether theory for `network` says something about this module only by extrapolation."""
        return bool(self.departures)

    def to_frame(self) -> pandas.DataFrame:
        """One row per layer that has parameters."""
        import pandas

        return pandas.DataFrame([asdict(layer) for layer in self.layers])

    def to_json(self) -> str:
        """Network, layers and departures as a JSON object; a network that cannot be stored is null, with the reason."""
        return json_text(
            {
                **self._stored_network(),
                "layers": [asdict(layer) for layer in self.layers],
                "departures": list(self.departures),
                "is_extrapolation": self.is_extrapolation,
                "false_alarm_rate": self.false_alarm_rate,
            }
        )

    def _stored_network(self) -> dict:
        try:
            return {"network": self.network.to_dict()}
        except InvalidInput as refused:
            return {"network": None, "network_reason": str(refused)}

    def __str__(self) -> str:
        lines = [str(self.network), "", *(_words(layer) for layer in self.layers), ""]
        if not self.departures:
            return "\n".join(
                [*lines, "The weights look as theory takes them: independent, zero mean, one variance."]
            )
        return "\n".join(
            [*lines, "Theory is an extrapolation:", *(f"• {words}" for words in self.departures)]
        )


def _words(layer: DescribedLayer) -> str:
    """A layer in a line."""
    numbers = _of_norm(layer) if layer.fan_in is None else _of_affine(layer)
    return f"{layer.path or 'the model'}: {layer.kind}, {numbers}; {layer.source}"


def _of_affine(layer: DescribedLayer) -> str:
    bias = "no bias" if layer.bias_variance is None else f"σ_b² = {layer.bias_variance:.4g}"
    measured = f"{layer.measured_weight_variance:.4g} ± {layer.weight_variance_error:.2g} measured"
    return f"fan-in {layer.fan_in}, σ_w² = {layer.weight_variance:.4g} ({measured}), {bias}"


def _of_norm(layer: DescribedLayer) -> str:
    beta = "" if layer.beta_mean is None else f", β = {layer.beta_mean:.4g} ± {layer.beta_spread:.2g}"
    return f"γ = {layer.gamma:.4g} (mean {layer.gamma_mean:.4g} ± {layer.gamma_spread:.2g}){beta}"
