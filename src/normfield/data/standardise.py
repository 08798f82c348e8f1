"""Standardisation: with one mean and one deviation for all entries, or with a pair for each pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from normfield.data.dataset import DataSet, Standardisation
from normfield.errors import InvalidInput

_CHUNK = 256  # samples widened to float64 at a time


@dataclass(frozen=True, eq=False)
class Scaling:
    """The affine map x ↦ (x - mean)·scale; both broadcast over the inputs."""

    mean: torch.Tensor
    scale: torch.Tensor

    def apply(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map the inputs, computing in float64, to float32."""
        mapped = torch.empty_like(inputs)
        for piece, into in zip(inputs.split(_CHUNK), mapped.split(_CHUNK), strict=True):
            into.copy_((piece.double() - self.mean).mul_(self.scale))
        return mapped


def standardised(data: DataSet, how: Standardisation) -> DataSet:
    """Standardise inputs over the training samples that `data` holds, test inputs with the same numbers.

    "global" takes one mean m and one deviation s over all entries of all samples, x ↦ (x - m)/s; then the
    mean of ‖x‖² is the number of entries N_0 of an input. "pixel" takes m_i and s_i for each entry i of an
    input, over the samples; an entry that never varies becomes 0. Deviations are the population's (divided
    by the sample count).

    Raises
    ------
    InvalidInput
        No entry varies, or the inputs are whole numbers or no single tensor.
    """
    if how == data.standardise:
        return data
    if data.standardise != "none":
        raise InvalidInput(
            expected="data that are not standardised yet",
            got=f'data with standardise="{data.standardise}"',
            instead=f'load them with standardise="{how}" to begin with',
        )
    inputs = _floats(data)
    scaling = global_scaling(inputs) if how == "global" else pixel_scaling(inputs)
    test = None if data.test_inputs is None else scaling.apply(data.test_inputs)
    return replace(data, inputs=scaling.apply(inputs), test_inputs=test, standardise=how)


def _floats(data: DataSet) -> torch.Tensor:
    """The inputs where they are one tensor of floats: indices and structures have no mean."""
    inputs = data.inputs
    if isinstance(inputs, torch.Tensor) and inputs.is_floating_point():
        return inputs
    raise InvalidInput(
        expected="inputs of one tensor of floats, to standardise them",
        got=f"a {type(inputs).__name__}" if not isinstance(inputs, torch.Tensor) else f"{inputs.dtype}",
        instead='standardise the parts that are to be before, and leave standardise="none"',
    )


def global_scaling(inputs: torch.Tensor) -> Scaling:
    """Return the mean and inverse deviation over all entries, so that E‖x‖² = N_0 after the map."""
    _refuse_constant(inputs.min() == inputs.max(), len(inputs))
    mean = _sample_mean(inputs, lambda x: x).mean()
    variance = _sample_mean(inputs, lambda x: (x - mean).square_()).mean()
    return Scaling(mean, variance.rsqrt())


def pixel_scaling(inputs: torch.Tensor) -> Scaling:
    """Return means and inverse deviations over the samples; the scale of a constant entry is 0."""
    constant = inputs.amin(dim=0) == inputs.amax(dim=0)
    _refuse_constant(constant.all(), len(inputs))
    mean = _sample_mean(inputs, lambda x: x)
    variance = _sample_mean(inputs, lambda x: (x - mean).square_())
    return Scaling(mean, torch.where(constant, 0.0, variance.rsqrt()))


def _sample_mean(inputs: torch.Tensor, of: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return the mean of of(x) over the samples, in float64 and in little memory."""
    total = torch.zeros(inputs.shape[1:], dtype=torch.float64, device=inputs.device)
    for piece in inputs.split(_CHUNK):
        total += of(piece.double()).sum(dim=0)
    return total / len(inputs)


def _refuse_constant(constant: torch.Tensor, samples: int) -> None:
    if bool(constant):
        raise InvalidInput(
            expected="inputs that vary, to standardise them",
            got=f"{samples:,} samples without any variation",
            instead='give more samples or standardise="none"',
        )
