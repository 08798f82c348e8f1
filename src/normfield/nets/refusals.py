"""Why a module or a function has no description, and the errors that say so."""

from __future__ import annotations

from typing import NoReturn

from torch import nn

from normfield.errors import NotCovered
from normfield.network import Shape

_KNOWN = (
    "a description has dense and convolutional layers, norms over units or the batch, pointwise activations, "
    "pooling, flattening and sums of two paths"
)
_REASONS: dict[type[nn.Module], str] = {
    nn.MultiheadAttention: "attention multiplies functions of the input, which no layer of a description does",
    nn.Embedding: "an embedding looks rows up by index, and a description takes real inputs",
    nn.EmbeddingBag: "an embedding looks rows up by index, and a description takes real inputs",
    nn.RNNBase: "a recurrent layer uses its weights at every step, and theory takes each layer's weights once",
    nn.GroupNorm: "it normalises over groups of channels; a description normalises over the batch or all units",
    nn.modules.instancenorm._InstanceNorm: "it normalises each channel of each sample by itself",
    nn.SyncBatchNorm: "its statistics are shared between processes; convert it back to BatchNorm",
    nn.PReLU: "its slope is trainable, and a description's activations have no parameters",
    nn.RReLU: "its slope is random",
    nn.Softmax: "softmax couples the units; leave it to the loss (cross-entropy takes the outputs before it)",
    nn.LogSoftmax: "softmax couples the units; leave it to the loss (cross-entropy takes the outputs before it)",
    nn.Conv1d: "convolutions along one axis are not among the layers of a description",
    nn.Conv3d: "convolutions along three axes are not among the layers of a description",
    nn.modules.conv._ConvTransposeNd: "transposed convolutions are not among the layers of a description",
    nn.Bilinear: "it multiplies two inputs",
}


class Misfit(NotCovered):
    """The inputs have another shape than a module takes."""


def culprit(module: nn.Module) -> tuple[str, nn.Module, str]:
    """(path below it, module, reason): the part of a module that is known to have no description, else itself."""
    for path, part in module.named_modules():
        for kind, reason in _REASONS.items():
            if isinstance(part, kind):
                return path, part, reason
    return "", module, _KNOWN


def with_culprit(refusal: NotCovered, model: nn.Module) -> NotCovered:
    """The refusal, and the first submodule known to have no description, where it names another place."""
    path, part, reason = culprit(model)
    where = named(path, part)
    if reason == _KNOWN or where in str(refusal):
        return refusal
    return NotCovered(f"{refusal}; nor has {where}: {reason}")


def named(path: str, module: nn.Module) -> str:
    """A part of a model in a sentence: ``layers.0.self_attn (MultiheadAttention)``."""
    return f"{path or 'the model'} ({type(module).__name__})"


def refuse(where: str, reason: str) -> NoReturn:
    """Raise NotCovered: where it is, and why it has no description."""
    raise NotCovered(" ".join(f"{where} has no description: {reason}".split()))


def refuse_operation(where: str, name: str) -> NoReturn:
    """Raise NotCovered for a function that stands in a forward method."""
    within = (words for part, words in _OPERATIONS.items() if part in name)
    reason = _COMPARED if name in ("gt", "ge", "lt", "le", "eq", "ne") else next(within, _KNOWN)
    refuse(f"{name} in {where}", reason)


_COMPARED = "what depends on comparing values is not among the layers of a description"
_OPERATIONS = {
    "softmax": _REASONS[nn.Softmax],
    "attention": _REASONS[nn.MultiheadAttention],
    "embedding": _REASONS[nn.Embedding],
    "matmul": "products of two functions of the input are not among the layers of a description",
    "bmm": "products of two functions of the input are not among the layers of a description",
    "einsum": "products of two functions of the input are not among the layers of a description",
    "mul": "multiplication is not among the layers of a description",
    "div": "division is not among the layers of a description",
    "sub": "subtraction is not among the layers of a description",
    "cat": "concatenation is not among the layers of a description; paths can be added",
    "stack": "stacking is not among the layers of a description; paths can be added",
    "sum": "a sum over axes is not among the layers of a description; the mean over all positions is",
    "getitem": "parts of a tensor are not among the layers of a description",
    "linear": "its weights stand outside a module; use nn.Linear",
    "conv": "its weights stand outside a module; use nn.Conv2d",
    "norm": "its parameters stand outside a module; use nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm or nn.RMSNorm",
    "permute": "another order of the axes is not among the layers of a description",
    "transpose": "another order of the axes is not among the layers of a description",
}


def misfit(module: nn.Module, wanted: str, shape: Shape) -> Misfit:
    """The error of a module that stands after another shape than it takes."""
    return Misfit(f"{type(module).__name__} takes {wanted}, and gets shape {shape}")
