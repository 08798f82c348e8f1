"""Signal and gradient scale by layer: one forward and one backward pass over a batch, in training mode."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from normfield.growth import Growth, growth_through
from normfield.measure.subject.batches import Batch, read_batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import Loss, recognise
from normfield.measure.subject.modes import batch_norm_statistics
from normfield.measure.subject.untouched import untouched
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LayerSignal:
    """One call of one affine layer.

    Attributes
    ----------
    name
        The layer's name in the module, with the call's number where it is called more than once.
    kind
        Its class, such as Linear.
    units, positions
        N, its units or channels, and at how many positions each sample has them.
    mean_square, standard_deviation
        E z² and the standard deviation of its outputs z, over samples, positions and units.
    gradient
        ‖∂ℓ/∂z‖ of the batch's loss ℓ, over all outputs z of the batch.
    weight, weight_gradient
        ‖W‖ and ‖∂ℓ/∂W‖ of its weights; None where they are frozen or computed from other parameters.
    correlation
        Mean cosine between the outputs z of two samples; None of one sample, or where a sample's are all 0.
    """

    name: str
    kind: str
    units: int
    positions: int
    mean_square: float
    standard_deviation: float
    gradient: float
    weight: float | None
    weight_gradient: float | None
    correlation: float | None = None

    @property
    def relative_weight_gradient(self) -> float | None:
        """‖∂ℓ/∂W‖/‖W‖."""
        if self.weight is None or self.weight_gradient is None or self.weight == 0:
            return None
        return self.weight_gradient / self.weight


@dataclass(frozen=True)
class LayerSignals:
    """The affine layers of a module in the order of their calls, with the scale of signal and gradient at each.

    Attributes
    ----------
    layers
        One for each call of a linear or convolutional layer.
    samples
        Of the batch.
    loss, statistics
        Of what, and with which batch-norm statistics.
    """

    layers: tuple[LayerSignal, ...]
    samples: int
    loss: str
    statistics: str

    @property
    def signal_growth(self) -> Growth | None:
        """By what √(E z²) grows from layer to layer, the first and the last left out; None below two such layers."""
        return growth_through([math.sqrt(layer.mean_square) for layer in self.layers[1:-1]])

    @property
    def gradient_growth(self) -> Growth | None:
        """By what ‖∂ℓ/∂z‖ grows per layer going backwards, the first and the last left out: data scale the first."""
        return growth_through([layer.gradient for layer in reversed(self.layers[1:-1])])

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, in the order of the calls."""
        import pandas as pd

        return pd.DataFrame(self._rows())

    def to_json(self) -> str:
        """JSON object: layers, both growths, on what; a number that is missing is null, with the reason."""
        growths = {name: getattr(self, name) for name in ("signal_growth", "gradient_growth")}
        found: dict[str, Any] = {
            "layers": self._rows(),
            **{name: None if growth is None else asdict(growth) for name, growth in growths.items()},
            "samples": self.samples,
            "loss": self.loss,
            "statistics": self.statistics,
        }
        missing = (
            "growth needs two layers between the first and last, its error three; frozen weights have none"
        )
        return json.dumps(finite(found | {"reason": missing}), allow_nan=False)

    def __str__(self) -> str:
        lines = [
            f"{layer.name}: √(E z²) {math.sqrt(layer.mean_square):.3g}, ‖∂ℓ/∂z‖ {layer.gradient:.3g}"
            for layer in self.layers
        ]
        return "\n".join(
            [*lines, f"gradient, going backwards: {self.gradient_growth or 'too few layers to fit'}"]
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [
            asdict(layer) | {"relative_weight_gradient": layer.relative_weight_gradient}
            for layer in self.layers
        ]


def layer_signals(
    model: nn.Module, batch: Any, loss: Any = "squared", statistics: str = "batch", seed: int = 0
) -> LayerSignals:
    """How large signals and gradients are at every affine layer, on one batch in training mode.

    A model in eval mode is taken in training mode; of one in training mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found, its hooks included.
    batch : pair (inputs, targets)
        The samples that share batch norm's statistics.
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use.
    seed : int
        Of dropout's masks.

    Returns
    -------
    LayerSignals
        Empty of layers where the model calls no linear or convolutional layer.

    Raises
    ------
    InvalidInput
        A model without trainable parameters, a batch, loss or statistics that do not fit.
    """
    function, recognised = ModelFunction.of(model, seed), recognise(loss)
    read = read_batches([batch]).items[0]
    with (
        untouched(function.model, seed, function.device),
        batch_norm_statistics(function.model, statistics),
    ):
        if not function.model.training:
            function.model.train()
        layers = _measured(function, read.like(function.parameters[0]), recognised)
    return LayerSignals(tuple(layers), read.samples, recognised.name, statistics)


@dataclass(frozen=True)
class _Call:
    """An affine layer's name, the layer, and what it gave."""

    name: str
    layer: nn.Module
    output: Tensor


def _measured(function: ModelFunction, batch: Batch, loss: Loss) -> list[LayerSignal]:
    with _calls(function.model) as calls:
        outputs = function(batch.inputs)
    value = loss.value(outputs, loss.read_targets(outputs, batch.targets))
    wanted = (*(call.output for call in calls), *function.parameters)
    gradients = torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True)
    by_parameter = dict(zip(_identities(function), gradients[len(calls) :], strict=True))
    names = _numbered([call.name for call in calls])
    return [
        _signal(name, call, gradient, by_parameter)
        for name, call, gradient in zip(names, calls, gradients, strict=False)
    ]


@contextmanager
def _calls(model: nn.Module) -> Iterator[list[_Call]]:
    """While open, every call of an affine layer is kept, in order."""
    calls: list[_Call] = []

    def keeping(name: str) -> Any:
        def keep(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
            kept = output if output.requires_grad else output.requires_grad_()
            calls.append(_Call(name, layer, kept))
            return kept.clone()  # so that an operation in place does not reach what is kept

        return keep

    handles = [
        layer.register_forward_hook(keeping(name))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | _ConvNd)
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _identities(function: ModelFunction) -> list[int]:
    """Of the model's own parameters, in the order of the function's aliases of them."""
    own = dict(function.model.named_parameters())
    return [id(own[name]) for name in function.names]


def _signal(name: str, call: _Call, gradient: Tensor, by_parameter: dict[int, Tensor]) -> LayerSignal:
    z = call.output.detach().double()
    units = z.shape[1] if isinstance(call.layer, _ConvNd) else z.shape[-1]
    weight = call.layer._parameters.get("weight")
    found = None if weight is None else by_parameter.get(id(weight))
    return LayerSignal(
        name=name,
        kind=type(call.layer).__name__,
        units=units,
        positions=z[0].numel() // units,
        mean_square=float(z.square().mean()),
        standard_deviation=float(z.std(correction=0)),
        gradient=_norm(gradient),
        weight=None if weight is None or found is None else _norm(weight.detach()),
        weight_gradient=None if found is None else _norm(found),
        correlation=_mean_cosine(z.reshape(len(z), -1)),
    )


def _mean_cosine(rows: Tensor) -> float | None:
    """Over all pairs of different rows, from the square of the sum of unit vectors."""
    samples, norms = len(rows), rows.norm(dim=1)
    if samples < 2 or not bool((norms > 0).all()):
        return None
    total = float((rows / norms[:, None]).sum(0).square().sum())
    return (total - samples) / (samples * (samples - 1))


def _norm(tensor: Tensor) -> float:
    return float(tensor.double().norm())


def _numbered(names: Sequence[str]) -> list[str]:
    """Layers called more than once get the number of the call behind their name."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name or "the module" if names.count(name) == 1 else f"{name}, call {seen[name]}")
    return found
