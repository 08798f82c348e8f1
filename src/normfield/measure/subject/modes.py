"""Which statistics every batch norm of a module uses while it is measured.

[Hoffer] is Hoffer, Hubara and Soudry, "Train longer, generalize better", NeurIPS 2017: ghost batch normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.errors import InvalidInput
from normfield.measure.subject.replaced import replaced

_TORCH_FORWARDS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)


def _by_batch(layer: _BatchNorm, input: Tensor) -> Tensor:
    """Normalise by its own mean and biased variance; gradients flow through both; no buffer is read or written."""
    layer._check_input_dim(input)
    return F.batch_norm(input, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)


def _by_frozen_batch(layer: _BatchNorm, input: Tensor) -> Tensor:
    """The same numbers as `_by_batch`, with mean and variance as constants of differentiation."""
    layer._check_input_dim(input)
    positions = [d for d in range(input.dim()) if d != 1]
    variance, mean = torch.var_mean(input.detach(), positions, correction=0)
    return F.batch_norm(input, mean, variance, layer.weight, layer.bias, training=False, eps=layer.eps)


def _by_running(layer: _BatchNorm, input: Tensor) -> Tensor:
    """Normalise by the module's own buffers, as `eval()` does."""
    layer._check_input_dim(input)
    return F.batch_norm(
        input, layer.running_mean, layer.running_var, layer.weight, layer.bias, training=False, eps=layer.eps
    )


def _by_group(
    normalise: Callable[[_BatchNorm, Tensor], Tensor], size: int, layer: _BatchNorm, input: Tensor
) -> Tensor:
    """Normalise every `size` consecutive samples by themselves [Hoffer]."""
    return torch.cat([normalise(layer, group) for group in input.split(size)])


_FORWARDS: dict[str, Callable[[_BatchNorm, Tensor], Tensor]] = {
    "batch": _by_batch,
    "frozen": _by_frozen_batch,
    "running": _by_running,
}
STATISTICS = tuple(_FORWARDS)


def batch_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """The module's batch norms by name, each once."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)}


def _keeps_running(model: nn.Module, layer: _BatchNorm) -> bool:
    """Whether it alone was put into eval mode, as in fine-tuning; a whole model in eval mode is none of that."""
    has_running = layer.running_mean is not None and layer.running_var is not None
    return model.training and not layer.training and has_running


def batch_normalised(model: nn.Module, statistics: str = "batch") -> dict[str, _BatchNorm]:
    """Those of the module's batch norms that normalise by the batch under these statistics, by name.

    Under "running" none; else all but those that are in eval mode inside a module in training mode.
    """
    if statistics == "running":
        return {}
    return {name: layer for name, layer in batch_norms(model).items() if not _keeps_running(model, layer)}


def _check(layers: dict[str, _BatchNorm], statistics: str) -> None:
    for name, layer in layers.items():
        if type(layer).forward not in _TORCH_FORWARDS:
            raise InvalidInput(
                expected="batch norms that compute what torch's own compute",
                got=f"{type(layer).__name__} at {name!r} with a forward of its own",
                instead="derive it from nn.Module instead of a batch norm, and it is measured as it is",
            )
        if statistics == "running" and (layer.running_mean is None or layer.running_var is None):
            raise InvalidInput(
                expected='batch norms with running statistics for statistics="running"',
                got=f"track_running_stats=False at {name!r}",
                instead='use statistics="batch" or "frozen"',
            )


def _check_ghosts(model: nn.Module, statistics: str) -> None:
    if statistics == "running":
        raise InvalidInput(
            expected='statistics="batch" or "frozen" with a ghost_batch_size',
            got='"running"',
            instead="leave ghost_batch_size out: running statistics know no batch",
        )
    if not batch_normalised(model, statistics):
        raise InvalidInput(
            expected="a model with batch norm for a ghost_batch_size",
            got="one whose batch norms are all in eval mode" if batch_norms(model) else "one without",
            instead="leave it out",
        )


@contextmanager
def batch_norm_statistics(
    model: nn.Module, statistics: str, ghost_batch_size: int | None = None
) -> Iterator[None]:
    """While open, every batch norm of the model normalises by the chosen statistics and writes no buffer.

    Only the instances' ``forward`` is replaced, and it is put back, also when the body raises; the mode (train or
    eval) of every submodule stays as it is. Of a model in training mode, a batch norm that is itself in eval mode, as
    in fine-tuning, keeps its running statistics under "batch" and "frozen" too, since so the model trains. Of a model
    in eval mode as a whole every batch norm normalises as asked.

    With a ghost batch size g, each group of g consecutive samples has its own statistics [Hoffer]. Where samples
    meet in batch norms only, the outputs are then those of the groups one by one, and a loss that is the mean over
    its samples is the mean of the groups' losses; so its curvature is that of batches of g samples each.

    Parameters
    ----------
    model : nn.Module
    statistics : {"batch", "frozen", "running"}
        The batch's own with gradient flowing through them; the batch's own as constants; the module's buffers.
    ghost_batch_size : int, optional
        g, which divides the first dimension of what the batch norms get.

    Raises
    ------
    InvalidInput
        Unknown statistics; a batch norm with a forward of its own; "running" without running statistics, or with
        ghost batches; ghost batches of a model without batch norm.
    """
    if statistics not in _FORWARDS:
        raise InvalidInput(expected=f"statistics one of {', '.join(STATISTICS)}", got=repr(statistics))
    layers, by_batch = batch_norms(model), batch_normalised(model, statistics)
    _check(layers, statistics)
    normalise = _FORWARDS[statistics]
    if ghost_batch_size is not None:
        _check_ghosts(model, statistics)
        normalise = partial(_by_group, normalise, ghost_batch_size)
    chosen = {layer: normalise if name in by_batch else _by_running for name, layer in layers.items()}
    with replaced("forward", {layer: partial(forward, layer) for layer, forward in chosen.items()}):
        yield
