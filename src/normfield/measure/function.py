"""A module as a function of its flat parameter vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy

from normfield.errors import InvalidInput

Tensors = Tensor | Sequence[Tensor]


@dataclass(frozen=True)
class ModelFunction:
    """θ → model(x), θ on detached aliases of the trainable parameters, so that ``.grad`` and hooks are never met.

    Attributes
    ----------
    model : nn.Module
    names : tuple of str
        The trainable parameters, in the module's order.
    parameters : tuple of Tensor
        Leaves that share the parameters' memory.
    """

    model: nn.Module
    names: tuple[str, ...]
    parameters: tuple[Tensor, ...]

    @classmethod
    def of(cls, model: nn.Module) -> ModelFunction:
        """Alias the trainable parameters of a model; raise InvalidInput where there are none to alias."""
        if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
            raise InvalidInput(expected="a torch.nn.Module in Python", got=type(model).__name__)
        model = getattr(
            model, "_orig_mod", model
        )  # torch.compile's wrapper: its graphs have no second derivative
        if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
            raise InvalidInput(
                expected="initialised parameters", got="a lazy module", instead="run one forward pass first"
            )
        trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not trainable:
            raise InvalidInput(
                expected="a module with trainable parameters",
                got=f"{type(model).__name__} with none",
                instead="set requires_grad=True on what is to be measured",
            )
        aliases = tuple(p.detach().requires_grad_() for p in trainable.values())
        return cls(model, tuple(trainable), aliases)

    @property
    def size(self) -> int:
        """The number P of trainable parameters."""
        return sum(p.numel() for p in self.parameters)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the flat vector: the widest of the parameters'."""
        widest = self.parameters[0].dtype
        for p in self.parameters:
            widest = torch.promote_types(widest, p.dtype)
        return widest

    @property
    def device(self) -> torch.device:
        """The device of the first parameter."""
        return self.parameters[0].device

    def __call__(self, inputs: Tensor, parameters: Sequence[Tensor] | None = None) -> Tensor:
        """Run the model; it reads copies of its buffers, so that every call starts from the same ones.

        Attention takes torch's plain kernel: the fused ones have no second derivative.
        """
        swapped = dict(zip(self.names, self.parameters if parameters is None else parameters, strict=True))
        swapped |= {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        with sdpa_kernel(SDPBackend.MATH):
            return torch.func.functional_call(self.model, swapped, (inputs,))

    def split(self, vector: Tensor) -> tuple[Tensor, ...]:
        """A flat vector (P,) as pieces in the parameters' shapes."""
        pieces = vector.split([p.numel() for p in self.parameters])
        return tuple(piece.view_as(p).to(p.dtype) for piece, p in zip(pieces, self.parameters, strict=True))

    def gradient(self, outputs: Tensors, weights: Tensors | None = None) -> Tensor:
        """Jᵀ·weights as a flat vector (P,) (weights None: of a scalar); the graph is kept."""
        pieces = torch.autograd.grad(
            outputs, self.parameters, weights, retain_graph=True, materialize_grads=True
        )
        return torch.cat([piece.reshape(-1) for piece in pieces])
