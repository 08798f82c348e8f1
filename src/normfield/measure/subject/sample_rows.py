"""Which dimension of a layer's values counts the batch's samples, as far as their shape says so."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


def _unit_dimension(layer: nn.Module, values: Tensor) -> int:
    """Channels stand before a convolution's positions, features last."""
    return values.dim() - 1 - len(layer.kernel_size) if isinstance(layer, _ConvNd) else values.dim() - 1


def with_rows(layer: nn.Module, values: Tensor) -> Tensor:
    """An affine layer's inputs or outputs (m, …), of one row where they have no dimension before the units."""
    return values[None] if _unit_dimension(layer, values) == 0 else values


def samples_first(values: Tensor, samples: int, *, channels_first: bool) -> Tensor | None:
    """Values (m, …) with the batch's samples in front; None where they cannot be told apart.

    The first dimension counts them where it has their number. Where it has not, the only other one with that number
    does, as in (positions, samples, units) of a model that takes its sequences that way round; the units' own and a
    convolution's positions do not count. Rows that are a multiple of the samples are left alone: whether a sample's
    stand together is not to be seen from outside.

    Parameters
    ----------
    values : Tensor
    samples : int
        Of the batch.
    channels_first : bool
        Units are in the second dimension and positions behind them, not in the last.
    """
    if len(values) == samples:
        return values
    found = [] if channels_first else [d for d in range(1, values.dim() - 1) if values.shape[d] == samples]
    return values.movedim(found[0], 0) if len(found) == 1 else None
