"""Noise that moves what comes after every batch norm, so that distributions shift from step to step.

[Santurkar] is Santurkar, Tsipras, Ilyas and Madry, "How Does Batch Normalization Help Optimization?", NeurIPS 2018.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.errors import InvalidInput
from normfield.measure.batch_norm.layer_moments import norms_of
from normfield.measure.subject.function import unwrapped
from normfield.seeds import whole_seed


class NoisyBatchNorm(nn.Module):
    """A batch norm followed by noise whose mean and scale are drawn anew at every step.

    For channel j of sample i, at every call in training mode [Santurkar, Sec. 2.2 and appendix],

    y_ij → s_ij y_ij + m_ij,  m_ij ~ U(μ_j − r_m, μ_j + r_m),  s_ij ~ N(σ_j, r_s²),  μ_j ~ U(−n_m, n_m),
    σ_j ~ U(1, n_s),

    m_ij and s_ij alike at all positions of a sample. In eval mode there is no noise.

    Every forward pass in training mode is a step. Under activation checkpointing (``torch.utils.checkpoint``) a part of
    the model runs forward twice, so its noise is drawn and counted twice, and the gradient is taken at other noise than
    the loss: leave checkpointing off.

    Parameters
    ----------
    batch_norm : nn.BatchNorm1d, 2d, 3d or SyncBatchNorm
        The layer itself, kept as ``batch_norm``.
    seed : int
        Of its own draws; the global random state is neither read nor written.
    stream : int
        Layers of one seed and different streams draw independently.
    mean, scale : float
        n_m and n_s: how far the noise's mean and scale go from step to step.
    mean_spread, scale_spread : float
        r_m and r_s: how far they go from sample to sample.

    Attributes
    ----------
    steps : Tensor
        Calls in training mode so far: the draws depend on seed, stream and this buffer alone, so that a run goes on
        from its state_dict as if it had not been stopped.

    Raises
    ------
    InvalidInput
        Another layer than a batch norm, a seed or a spread that does not fit.
    """

    steps: Tensor

    def __init__(
        self,
        batch_norm: _BatchNorm,
        *,
        seed: int = 0,
        stream: int = 0,
        mean: float = 0.5,
        scale: float = 1.25,
        mean_spread: float = 0.1,
        scale_spread: float = 0.1,
    ) -> None:
        super().__init__()
        if not isinstance(batch_norm, _BatchNorm):
            raise InvalidInput(
                expected="a batch norm", got=type(batch_norm).__name__, instead="give nn.BatchNorm1d(…)"
            )
        self.batch_norm = batch_norm
        self.seed, self.stream = whole_seed(seed), whole_seed(stream)
        self.mean, self.scale = _checked("mean", mean, 0.0), _checked("scale", scale, 1.0)
        self.mean_spread = _checked("mean_spread", mean_spread, 0.0)
        self.scale_spread = _checked("scale_spread", scale_spread, 0.0)
        self.train(batch_norm.training)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64, device=_device(batch_norm)))

    def forward(self, x: Tensor) -> Tensor:
        """The batch norm's outputs, in training mode scaled by s and moved by m."""
        outputs = self.batch_norm(x)
        if not self.training:
            return outputs
        shift, scale = self._noise(outputs)
        with torch.no_grad():
            self.steps.add_(1)
        return scale * outputs + shift

    def extra_repr(self) -> str:
        """The noise's settings, for printing."""
        return (
            f"seed={self.seed}, stream={self.stream}, mean={self.mean}, scale={self.scale}, "
            f"mean_spread={self.mean_spread}, scale_spread={self.scale_spread}"
        )

    def _noise(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """m and s, (samples, C, 1, …), of the step that the buffer counts."""
        samples, channels = outputs.shape[:2]
        generator = np.random.default_rng((self.seed, self.stream, int(self.steps)))
        centre = generator.uniform(-self.mean, self.mean, channels)
        middle = generator.uniform(1.0, self.scale, channels)
        shift = generator.uniform(centre - self.mean_spread, centre + self.mean_spread, (samples, channels))
        scale = generator.normal(middle, self.scale_spread, (samples, channels))
        return _like(shift, outputs), _like(scale, outputs)


def with_noisy_batch_norm(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Copy a module with noise after every batch norm, as in the experiment on covariate shift [Santurkar, Sec. 2.2].

    Each batch norm ``name`` becomes a `NoisyBatchNorm` that holds its copy as ``name.batch_norm``; one that the
    module holds in several places becomes one. Wrappers of torch.compile and of data parallelism are taken off. A model
    that has such noise already is refused, since its layers draw from their own seed.

    Parameters
    ----------
    model : nn.Module
        Left as it is; it keeps its own parameters.
    seed : int
        Of all noise; every layer draws independently.

    Returns
    -------
    nn.Module

    Raises
    ------
    InvalidInput
        A module without batch norm, one that has noise already, or one that cannot be copied.

    Examples
    --------
    >>> noisy = with_noisy_batch_norm(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)))
    >>> [type(layer).__name__ for layer in noisy]
    ['Linear', 'NoisyBatchNorm']
    """
    whole_seed(seed)
    norms_of(model, instead="give one that has a batch norm for the noise to follow")
    _check_quiet(unwrapped(model))
    found = _copied(unwrapped(model))
    norms = dict.fromkeys(module for module in found.modules() if isinstance(module, _BatchNorm))
    noisy = {norm: NoisyBatchNorm(norm, seed=seed, stream=stream) for stream, norm in enumerate(norms)}
    for module in list(found.modules()):
        for name, child in list(module._modules.items()):
            if isinstance(child, _BatchNorm):
                module._modules[name] = noisy[child]
    return noisy[found] if isinstance(found, _BatchNorm) else found


def _check_quiet(model: nn.Module) -> None:
    noisy = [name for name, module in model.named_modules() if isinstance(module, NoisyBatchNorm)]
    if noisy:
        raise InvalidInput(
            expected="a model without noise after its batch norms",
            got=f"NoisyBatchNorm at {noisy[0] or 'the module'!r}",
            instead="give the model that it was made from",
        )


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InvalidInput(
            expected="a module that can be copied",
            got=f"{type(error).__name__}: {error}",
            instead="copy it before its first forward pass",
        ) from error


def _checked(name: str, value: float, least: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value < math.inf:
        raise InvalidInput(expected=f"{name} as a finite number of at least {least:g}", got=repr(value))
    return float(value)


def _device(batch_norm: _BatchNorm) -> torch.device | None:
    return next((tensor.device for tensor in (*batch_norm.parameters(), *batch_norm.buffers())), None)


def _like(noise: np.ndarray, outputs: Tensor) -> Tensor:
    """(samples, C) spread over positions, in the outputs' dtype and on their device."""
    wide = noise.reshape(*noise.shape, *[1] * (outputs.dim() - 2))
    return torch.from_numpy(wide).to(outputs)
