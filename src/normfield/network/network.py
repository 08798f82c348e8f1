"""The description of a network: a value that theory and PyTorch read separately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from normfield.errors import InvalidInput
from normfield.network.checks import finite_number, whole_number
from normfield.network.layers import (
    Activation,
    Conv,
    Dense,
    Layer,
    Residual,
    Shape,
    layer_tuple,
    through,
)
from normfield.network.serial import (
    fields_of,
    from_json_text,
    from_toml_text,
    json_text,
    table_of,
    toml_text,
)

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Network:
    """A network as data: frozen, hashable, equal when equal, checked when made.

    Weights are W ~ N(0, σ_w²/fan_in) and biases b ~ N(0, σ_b²) ("standard parametrisation"), layer by layer
    where a layer gives its own variances.

    Parameters
    ----------
    input_shape
        (features,) or (channels, height, width).
    layers
        The layers in order.
    weight_variance, bias_variance
        σ_w² and σ_b² of every layer that gives none (2 and 0.5, the setting of [Wei, sec. 4]).

    Raises
    ------
    InvalidInput
        A shape does not fit its layer, or a number is out of range; the message names the layer.

    Examples
    --------
    >>> from normfield.network import BatchNorm
    >>> net = Network((64,), [Dense(300), BatchNorm(), Activation("relu"), Dense(10)])
    >>> net.depth, net.output_shape, net.parameter_count
    (2, (10,), 23110)
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    weight_variance: float = 2.0
    bias_variance: float = 0.5

    def __post_init__(self) -> None:
        values = {
            "input_shape": _checked_shape(self.input_shape),
            "layers": layer_tuple(self.layers, "Network"),
            "weight_variance": finite_number(self.weight_variance, "weight_variance", above=0.0),
            "bias_variance": finite_number(self.bias_variance, "bias_variance", least=0.0),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_fit()

    def _check_fit(self) -> None:
        shape = self.input_shape
        for number, layer in enumerate(self.layers, start=1):
            try:
                shape = layer.output_shape(shape)
            except InvalidInput as misfit:
                raise InvalidInput(
                    expected=misfit.expected,
                    got=f"{misfit.got} at item {number} of layers, {type(layer).__name__}",
                    instead=misfit.instead,
                ) from None
        if self.depth == 0:
            raise InvalidInput(expected="at least one Dense or Conv among the layers", got="none")

    @property
    def depth(self) -> int:
        """L: affine layers on the main path and in residual branches."""
        return sum(isinstance(layer, Dense | Conv) for layer in _flat(self.layers))

    def variances(self, layer: Dense | Conv) -> tuple[float, float]:
        """(σ_w², σ_b²) of one affine layer: its own where it gives them, else the network's."""
        own = layer.weight_variance, layer.bias_variance
        return (
            self.weight_variance if own[0] is None else own[0],
            self.bias_variance if own[1] is None else own[1],
        )

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shape of the input and after each layer."""
        return tuple(through(self.layers, self.input_shape))

    @property
    def output_shape(self) -> Shape:
        """Shape after the last layer."""
        return self.shapes[-1]

    @property
    def parameter_count(self) -> int:
        """Trainable numbers."""
        return sum(row[2] for row in self._rows())

    def _rows(self) -> list[tuple[str, Shape, int]]:
        """(what, shape after, parameters) of each layer."""
        before = self.shapes[:-1]
        return [
            (_words(layer), shape, layer.parameter_count(earlier))
            for layer, shape, earlier in zip(self.layers, self.shapes[1:], before, strict=True)
        ]

    @property
    def path(self) -> str:
        """The layers in one line, "Dense(width=300) → BatchNorm() → relu → …"."""
        return " → ".join(_words(layer) for layer in self.layers)

    def to_frame(self) -> pandas.DataFrame:
        """One row per layer: layer, shape after it, parameters."""
        import pandas

        return pandas.DataFrame(self._rows(), columns=["layer", "shape", "parameters"])

    def to_dict(self) -> dict[str, Any]:
        """The table that `to_toml` and `to_json` write: plain numbers, words and lists.

        Raises
        ------
        InvalidInput
            An activation is a function of the user's own, which no file holds.
        """
        return table_of({item.name: getattr(self, item.name) for item in fields(self)})

    def to_toml(self) -> str:
        """The network as TOML text, one ``[[layers]]`` table per layer; fields at their defaults are left out.

        Raises
        ------
        InvalidInput
            As in `to_dict`.

        Examples
        --------
        >>> print(Network((64,), [Dense(10)]).to_toml().strip())
        input_shape = [
            64,
        ]
        weight_variance = 2.0
        bias_variance = 0.5
        <BLANKLINE>
        [[layers]]
        type = "Dense"
        width = 10
        """
        return toml_text(self.to_dict())

    def to_json(self) -> str:
        """The network as JSON text with the same keys; raises as `to_dict`."""
        return json_text(self.to_dict())

    @classmethod
    def from_dict(cls, table: Any) -> Network:
        """The network of such a table.

        Raises
        ------
        InvalidInput
            A key or a layer's type is unknown or missing, or a value has another type or does not fit; the
            message names the layer.
        """
        return cls(**fields_of(table))

    @classmethod
    def from_toml(cls, text: str) -> Network:
        """The network that TOML text describes; raises as `from_dict`."""
        return cls.from_dict(from_toml_text(text))

    @classmethod
    def from_json(cls, text: str) -> Network:
        """The network that JSON text describes; raises as `from_dict`."""
        return cls.from_dict(from_json_text(text))

    def __str__(self) -> str:
        rows = [("input", self.input_shape, 0), *self._rows()]
        cells = [(what, "×".join(map(str, shape)), f"{count:,}") for what, shape, count in rows]
        cells = [("layer", "shape", "parameters"), *cells]
        wide = [max(len(row[k]) for row in cells) for k in range(3)]
        lines = [f"{a:<{wide[0]}}  {b:>{wide[1]}}  {c:>{wide[2]}}" for a, b, c in cells]
        lines.insert(1, "─" * len(lines[0]))
        lines.append(
            f"depth {self.depth}, {self.parameter_count:,} parameters, "
            f"σ_w² = {self.weight_variance:g}, σ_b² = {self.bias_variance:g}"
        )
        return "\n".join(lines)


def _checked_shape(shape: object) -> Shape:
    items = (shape,) if isinstance(shape, int) else shape
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) not in (1, 3):
        raise InvalidInput(
            expected="input_shape as (features,) or (channels, height, width)", got=repr(shape)
        )
    return tuple(whole_number(item, "each entry of input_shape") for item in items)


def _flat(layers: tuple[Layer, ...]) -> list[Layer]:
    found: list[Layer] = []
    for layer in layers:
        found += _flat(layer.branch + layer.shortcut) if isinstance(layer, Residual) else [layer]
    return found


def _words(layer: Layer) -> str:
    """A layer as a table shows it."""
    if isinstance(layer, Residual):
        paths = [" → ".join(_words(part) for part in path) for path in (layer.branch, layer.shortcut)]
        return f"Residual({paths[0]} | {paths[1] or 'identity'})"
    if isinstance(layer, Activation):
        return layer.row.name if layer.slope is None else f"{layer.row.name}({layer.slope:g})"
    return str(layer)
