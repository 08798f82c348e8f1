"""A module as a function of its flat parameter vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from normfield.errors import InvalidInput
from normfield.measure.subject.plainly import plainly
from normfield.measure.subject.randomness import seed_generators
from normfield.measure.subject.structured import OutputLayout
from normfield.samples import Samples, arguments

Tensors = Tensor | Sequence[Tensor]


def unwrapped(model: nn.Module) -> nn.Module:
    """The module itself, out of torch.compile's wrapper and those of data parallelism."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := vars(model)["_modules"].get("_orig_mod"), nn.Module):
            model = inner
        else:
            return model


def _check_tensors(model: nn.Module) -> None:
    """Refuse what cannot be copied and differentiated as plain tensors on one device."""
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    if any(is_lazy(tensor) for tensor in tensors.values()):
        raise InvalidInput(
            expected="initialised parameters", got="a lazy module", instead="run one forward pass first"
        )
    devices = sorted({str(tensor.device) for tensor in tensors.values()})
    if len(devices) > 1 or "meta" in devices:
        raise InvalidInput(
            expected="a module whose parameters and buffers have values on one device",
            got=", ".join(devices),
            instead="move it to one device with .to(device)",
        )
    for name, parameter in model.named_parameters():
        _check_parameter(name, parameter)


def _check_parameter(name: str, parameter: nn.Parameter) -> None:
    plain = parameter.detach()
    if plain.is_complex():
        raise InvalidInput(
            expected="real parameters",
            got=f"{str(plain.dtype).removeprefix('torch.')} at {name!r}",
            instead="hold real and imaginary parts as two real parameters",
        )
    if type(plain) is not Tensor or plain.layout is not torch.strided:
        kind = type(plain).__name__ if type(plain) is not Tensor else f"layout {plain.layout}"
        raise InvalidInput(
            expected="parameters that are plain dense tensors",
            got=f"{kind} at {name!r}",
            instead="gather or convert them first",
        )


def _is_narrow(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype.itemsize < 4


def _copy(tensor: Tensor) -> Tensor:
    """A detached copy, in float32 where the original is in half precision."""
    return tensor.detach().float() if _is_narrow(tensor) else tensor.detach().clone()


@contextmanager
def differentiable() -> Iterator[None]:
    """torch's word for a missing derivative is RuntimeError."""
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except RuntimeError as error:
        raise InvalidInput(
            expected="a model whose derivatives torch can take",
            got=f"{type(error).__name__}: {error}",
            instead="replace that operation, or try another kind",
        ) from error


def _checked(model: nn.Module) -> nn.Module:
    """Out of its wrappers; refused where it is none that can be run on copies."""
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise InvalidInput(expected="a torch.nn.Module in Python", got=type(model).__name__)
    model = unwrapped(model)
    _check_tensors(model)
    return model


@dataclass(frozen=True)
class ModelFunction:
    """θ → model(x), θ on detached copies of the trainable parameters, so that nothing of the model is ever written.

    Attributes
    ----------
    model : nn.Module
        Without the wrappers of torch.compile and data parallelism.
    names : tuple of str
        The trainable parameters, in the module's order.
    parameters : tuple of Tensor
        Leaves that are copies of them, in float32 where they are in half precision.
    frozen, buffers : mapping of str to Tensor
        Copies of the parameters that are not trainable, and of the buffers.
    seed : int
        Of every random draw inside the model: each call draws the same, such as dropout's masks.
    layout : OutputLayout, optional
        Lays structured outputs out as one tensor.
    """

    model: nn.Module
    names: tuple[str, ...]
    parameters: tuple[Tensor, ...]
    frozen: Mapping[str, Tensor] = field(default_factory=dict)
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0
    layout: OutputLayout | None = None

    @classmethod
    def of(cls, model: nn.Module, seed: int = 0) -> ModelFunction:
        """Copy the parameters of a model; raise InvalidInput where it is none that can be measured."""
        model = _checked(model)
        if not any(p.requires_grad for p in model.parameters()):
            raise InvalidInput(
                expected="a module with trainable parameters",
                got=f"{type(model).__name__} with none",
                instead="set requires_grad=True on what is to be measured",
            )
        return cls._on_copies(model, seed, lambda p: p.requires_grad)

    @classmethod
    def only_run(cls, model: nn.Module, seed: int = 0) -> ModelFunction:
        """The same of a model that is not differentiated: all its parameters count, and it needs none."""
        return cls._on_copies(_checked(model), seed, torch.is_floating_point)

    @classmethod
    def _on_copies(cls, model: nn.Module, seed: int, counts: Callable[[Tensor], bool]) -> ModelFunction:
        """With those parameters as its own that count."""
        chosen = {name: p for name, p in model.named_parameters() if counts(p)}
        with torch.inference_mode(False):
            copies = tuple(_copy(p).requires_grad_() for p in chosen.values())
            frozen = {name: _copy(p) for name, p in model.named_parameters() if name not in chosen}
            buffers = {name: _copy(buffer) for name, buffer in model.named_buffers()}
        return cls(model, tuple(chosen), copies, frozen, buffers, seed)

    @property
    def like(self) -> Tensor:
        """Of the dtype and on the device of the first parameter, or of the first buffer where there is none."""
        tensors = [*self.parameters, *self.frozen.values(), *self.buffers.values()]
        return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))

    @property
    def size(self) -> int:
        """The number P of trainable parameters."""
        return sum(p.numel() for p in self.parameters)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the flat vector: the widest of the parameters'."""
        widest = self.like.dtype
        for p in self.parameters:
            widest = torch.promote_types(widest, p.dtype)
        return widest

    @property
    def device(self) -> torch.device:
        """The device of the first parameter, or of the first buffer where there is none."""
        return self.like.device

    @property
    def widened(self) -> tuple[str, ...]:
        """The dtypes of parameters that are computed in float32 instead."""
        narrow = {str(p.dtype).removeprefix("torch.") for p in self.model.parameters() if _is_narrow(p)}
        return tuple(sorted(narrow))

    def __call__(self, inputs: Samples, parameters: Sequence[Tensor] | None = None) -> Tensor:
        """Run the model on copies of its buffers and from the same random state, so that every call is alike.

        The global generators are left where the model leaves them: call it within `untouched`.
        """
        swapped = dict(zip(self.names, self.parameters if parameters is None else parameters, strict=True))
        swapped |= self.frozen
        swapped |= {name: buffer.clone() for name, buffer in self.buffers.items()}
        positional, keyword = arguments(self.model, inputs)
        with plainly():
            seed_generators(self.seed, self.device)
            outputs = torch.func.functional_call(self.model, swapped, positional, keyword)
        return outputs if self.layout is None else self.layout.rows(outputs)

    def split(self, vector: Tensor) -> tuple[Tensor, ...]:
        """A flat vector (P,) as pieces in the parameters' shapes."""
        pieces = vector.split([p.numel() for p in self.parameters])
        return tuple(piece.view_as(p).to(p.dtype) for piece, p in zip(pieces, self.parameters, strict=True))

    def gradient(self, outputs: Tensors, weights: Tensors | None = None) -> Tensor:
        """Jᵀ·weights as a flat vector (P,) (weights None: of a scalar); the graph is kept.

        Raises
        ------
        InvalidInput
            An operation has no derivative.
        """
        with differentiable():
            pieces = torch.autograd.grad(
                outputs, self.parameters, weights, retain_graph=True, materialize_grads=True
            )
        return torch.cat([piece.to_dense().reshape(-1) for piece in pieces])

    def slopes(self, value: Tensor) -> tuple[Tensor, ...]:
        """The gradient of a scalar in the parameters' shapes, to be differentiated again.

        Raises
        ------
        InvalidInput
            An operation has no derivative.
        """
        with differentiable():
            pieces = torch.autograd.grad(value, self.parameters, create_graph=True, materialize_grads=True)
        return tuple(piece.to_dense() for piece in pieces)
