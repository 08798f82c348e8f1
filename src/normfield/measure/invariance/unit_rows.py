"""Which entries of a weight belong to one unit: those that one output feature or channel is computed with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

_OF_A_LAYER = ("weight", "parametrizations.weight.original")


def _owner(model: nn.Module, name: str) -> nn.Module | None:
    """The layer whose weight, as it is or before a parametrisation, a parameter is."""
    for ending in _OF_A_LAYER:
        before = name.removesuffix(ending)
        if name != before and (not before or before.endswith(".")):
            return model.get_submodule(before.removesuffix("."))
    return None


@dataclass(frozen=True)
class UnitRows:
    """A weight by units.

    Attributes
    ----------
    groups : int or None
        Of a transposed convolution, whose weights (inputs, outputs/groups, …) have their units in the second dimension,
        as many for each group; None where the first dimension counts them.
    """

    groups: int | None = None

    @classmethod
    def of(cls, model: nn.Module, name: str) -> UnitRows:
        """Of a model's parameter of two dimensions or more."""
        owner = _owner(model, name)
        return cls(owner.groups if isinstance(owner, _ConvTransposeNd) else None)

    def count(self, weight: Tensor) -> int:
        """The number of units."""
        return len(weight) if self.groups is None else self.groups * weight.shape[1]

    def rows(self, weight: Tensor) -> Tensor:
        """(units, entries)."""
        if self.groups is None:
            return weight.flatten(1)
        apart = weight.reshape(self.groups, len(weight) // self.groups, weight.shape[1], -1)
        return apart.transpose(1, 2).flatten(2).flatten(0, 1)

    def factors(self, by_unit: Tensor, weight: Tensor) -> Tensor:
        """One number for each unit (units,) as something to multiply the weight by."""
        ones = [1] * (weight.dim() - 2)
        if self.groups is None:
            return by_unit.reshape(-1, 1, *ones)
        apart = by_unit.reshape(self.groups, 1, -1).expand(-1, len(weight) // self.groups, -1)
        return apart.reshape(len(weight), -1, *ones)
