"""The registry of instruments, and the six modules on which each must work.

A new instrument is one entry in `INSTRUMENTS`, and every promise of test_instruments.py is then made for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import normfield as nf
from normfield.samples import mapped
from normfield.studies.architectures.preact_resnet import preact_resnet18


class Masked(nn.Module):
    """Inputs by name, one layer used twice, a frozen part and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.head = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.head.bias.requires_grad_(False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.inner(x * mask)))
        return self.head(torch.relu(self.inner(hidden)))


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def _labels(samples: int) -> Tensor:
    return torch.arange(samples) % 3


def _transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def _residual_mlp() -> nn.Module:
    """A hundred layers of width 5: forty-nine blocks of two between the first and the last."""
    block = nf.Residual((nf.BatchNorm(), nf.Activation("relu"), nf.Dense(5)) * 2)
    return nf.build(nf.Network((5,), [nf.Dense(5), *[block] * 49, nf.Dense(3)]), seed=0)


@dataclass(frozen=True)
class Case:
    """A module, a batch and a loss that fit each other, and what an instrument of single layers is to look at.

    Attributes
    ----------
    make : callable
        A fresh module, at every call the same.
    batch : tuple
        Inputs and targets.
    loss : str or nn.Module
    layers : tuple of str
        Two layers with weights: where each costs passes of its own, only these are measured.
    norms : tuple of str
        Two batch norms, or all there are.
    """

    make: Callable[[], nn.Module]
    batch: tuple[Any, Any]
    loss: Any
    layers: tuple[str, ...]
    norms: tuple[str, ...]


CASES = {
    "batch-norm MLP": Case(
        lambda: nf.build(nf.mlp(inputs=6, width=8, depth=3, outputs=3), seed=0),
        (_normal(16, 6), _labels(16)),
        "squared",
        ("0", "3"),
        ("1", "4"),
    ),
    "batch-norm convnet": Case(
        lambda: nf.build(nf.convnet((2, 9, 9), (4, 4), 3), seed=0),
        (_normal(12, 2, 9, 9), _labels(12)),
        "cross_entropy",
        ("0", "3"),
        ("1", "4"),
    ),
    "PreAct-ResNet18": Case(
        lambda: preact_resnet18(2, 3, 0),
        (_normal(6, 3, 16, 16), _labels(6)),
        "cross_entropy",
        ("1.conv1", "8.conv2"),
        ("1.norm1", "8.norm2"),
    ),
    "residual MLP of 100 layers": Case(
        _residual_mlp,
        (_normal(12, 5), _labels(12)),
        "squared",
        ("1.branch.2", "49.branch.5"),
        ("1.branch.0", "49.branch.3"),
    ),
    "transformer encoder": Case(
        _transformer,
        (_normal(6, 5, 4), _normal(6, 5, 4)),
        nn.MSELoss(),
        ("layers.0.linear1", "layers.1.linear2"),
        (),
    ),
    "inputs by name": Case(
        Masked,
        ({"x": _normal(16, 6), "mask": (_normal(16, 6) > 0).float()}, _labels(16)),
        "cross_entropy",
        ("inner", "head"),
        ("norm",),
    ),
}


@dataclass(frozen=True)
class Instrument:
    """One name at the door.

    Attributes
    ----------
    measure : callable
        (model, batch, loss, case) -> result.
    takes_loss : bool
        Whether the loss is used.
    """

    measure: Callable[[nn.Module, Any, Any, Case], Any]
    takes_loss: bool = True


def _shift(model: nn.Module, batch: Any) -> Any:
    return nf.distribution_shift(nf.layer_inputs(model, batch), nf.layer_inputs(model, batch))


def _parts(batch: Any) -> list[Any]:
    """Four different batches of half the samples each; what is no batch as it is."""
    if not isinstance(batch, tuple):
        return [batch]
    return [
        tuple(mapped(part, lambda x, i=i: x.roll(-i, 0)[: max(len(x) // 2, 2)]) for part in batch)
        for i in range(4)
    ]


INSTRUMENTS = {
    "signals": Instrument(lambda model, batch, loss, _: nf.signals(model, batch, loss)),
    "channel_moments": Instrument(
        lambda model, batch, _, __: nf.channel_moments(model, batch), takes_loss=False
    ),
    "output_gradients": Instrument(lambda model, batch, loss, _: nf.output_gradients(model, batch, loss)),
    "gradient_coherence": Instrument(lambda model, batch, loss, _: nf.gradient_coherence(model, batch, loss)),
    "first_steps": Instrument(
        lambda model, batch, loss, _: nf.first_steps(model, [batch], loss, learning_rate=0.01)
    ),
    "gradient_noise": Instrument(lambda model, batch, loss, _: nf.gradient_noise(model, _parts(batch), loss)),
    "landscape": Instrument(lambda model, batch, loss, _: nf.landscape(model, batch, loss, points=3)),
    "gradient_inequality": Instrument(
        lambda model, batch, loss, case: nf.gradient_inequality(model, batch, loss, layers=case.norms or None)
    ),
    "population_statistics": Instrument(
        lambda model, batch, _, __: nf.population_statistics(model, [batch]), takes_loss=False
    ),
    "statistics_drift": Instrument(lambda model, batch, loss, _: nf.statistics_drift(model, [batch], loss)),
    "layer_inputs": Instrument(lambda model, batch, _, __: nf.layer_inputs(model, batch), takes_loss=False),
    "distribution_shift": Instrument(lambda model, batch, _, __: _shift(model, batch), takes_loss=False),
    "input_percentiles": Instrument(
        lambda model, batch, _, __: nf.input_percentiles(model, batch), takes_loss=False
    ),
    "gradient_shift": Instrument(
        lambda model, batch, loss, case: nf.gradient_shift(
            model, batch, loss, learning_rate=0.1, layers=case.layers
        )
    ),
    "scale_invariance": Instrument(
        lambda model, batch, loss, case: nf.scale_invariance(
            model, batch, loss, weights=[f"{name}.weight" for name in case.layers]
        )
    ),
}
