"""What is diagnosed: a description, a module, or a function that makes one, with its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from normfield.data import DataSet
from normfield.diagnosis.reading import read
from normfield.errors import InvalidInput
from normfield.network import BatchNorm, Network, Residual
from normfield.train.builders import as_builder, data_for

#: Test samples that each training run is evaluated on.
TEST_SAMPLES = 2048


@dataclass(frozen=True)
class Subject:
    """A network in both forms as far as they are known, and the data in its shape.

    Attributes
    ----------
    given
        What the caller gave: a Network, a module or a callable seed → module.
    network
        The description, given or read from the module; None where it has none.
    module
        One module at its initial weights, from the diagnosis's seed, in the mode in which it is trained: one that
        was given in eval mode is in training mode; in others the submodules stay as they are.
    data
        The data set, in the network's shape.
    no_network
        Why the module has no description; empty where there is one.
    extrapolation
        A sentence for theory to add where the weights are not what it takes them for; else empty.
    """

    given: Any
    network: Network | None
    module: nn.Module
    data: DataSet
    no_network: str = ""
    extrapolation: str = ""

    @classmethod
    def of(cls, model: Any, data: Any, seed: int) -> Subject:
        """Read what the caller gave; raises InvalidInput where it is neither network nor module."""
        if isinstance(model, Network) and len(model.output_shape) != 1:
            raise InvalidInput(
                expected="a network that ends in (outputs,)",
                got=f"output shape {model.output_shape}",
                instead="end it with Flatten() or GlobalAveragePool() and Dense(outputs)",
            )
        dataset = data_for(model, data, None).with_less_test(TEST_SAMPLES)
        module = _as_it_trains(as_builder(model)(seed))
        if isinstance(model, Network):
            return cls(model, model, module, dataset)
        found = read(module, dataset)
        return cls(model, found.network, module, dataset, found.refusal, found.extrapolation)

    @property
    def gamma(self) -> float | None:
        """γ of the batch norms where all have the same, else None."""
        if self.network is None:
            return None
        found = {layer.gamma for layer in _layers(self.network.layers) if isinstance(layer, BatchNorm)}
        return found.pop() if len(found) == 1 else None

    @property
    def has_batch_norm(self) -> bool:
        """Whether any batch norm is in the module."""
        return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in self.module.modules())

    @property
    def name(self) -> str:
        """A few words for titles."""
        parameters = sum(p.numel() for p in self.module.parameters())
        if not isinstance(self.given, Network):
            return f"{type(self.module).__name__}, {parameters:,} parameters"
        kind = "with" if self.has_batch_norm else "without"
        return f"network of depth {self.given.depth} {kind} batch norm, {parameters:,} parameters"


def _as_it_trains(module: nn.Module) -> nn.Module:
    return module if module.training else module.train()


def _layers(layers: tuple) -> list:
    inner = [
        part
        for layer in layers
        if isinstance(layer, Residual)
        for part in _layers(layer.branch + layer.shortcut)
    ]
    return [*layers, *inner]
