"""Following a module's forward method: every call becomes a step of a description, or is refused by name."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.fx.proxy import TraceError

from normfield.errors import InvalidInput, NormfieldError, NotCovered
from normfield.nets.function_readers import BATCH, is_sum, reader_of, works_in_place
from normfield.nets.module_readers import is_known, read_module
from normfield.nets.modules import ResidualBlock
from normfield.nets.plain_layers import Answer, AsImage
from normfield.nets.random_state import seeded_then_restored
from normfield.nets.refusals import Misfit, culprit, named, refuse, refuse_operation, with_culprit
from normfield.nets.skeleton import OneInput, skeleton
from normfield.nets.steps import Step, Value
from normfield.network import Flatten, Layer, Shape

_INSIDE = "module"


def follow(model: nn.Module, shape: Shape, seed: int) -> tuple[Value, bool]:
    """The module's output for inputs of this shape with all values behind it; whether random numbers were drawn.

    The forward method runs on a copy without weights, with torch's symbolic tracer in place of a tensor.

    Raises
    ------
    NotCovered
        Something in it has no description; the message names it and says why.
    """
    root = OneInput(skeleton(model))
    tracer = _Tracer(model, shape)
    with seeded_then_restored(seed) as draws:
        try:
            graph = tracer.trace(root)
        except Misfit:
            raise
        except NotCovered as refusal:
            raise with_culprit(refusal, model) from None
        except NormfieldError:
            raise
        except Exception as error:
            raise with_culprit(_not_followed(error, tracer.where), model) from error
    return tracer.output(graph), draws.happened


class _Tracer(fx.Tracer):
    """torch's tracer, that reads each call as it is made, so that shapes are known and refusals have a place."""

    def __init__(self, model: nn.Module, shape: Shape) -> None:
        super().__init__()
        self.model, self.input_shape = model, shape
        self.values: dict[fx.Node, Value] = {}
        self.present: dict[Value, Value] = {}  # what a value became where an operation overwrote it
        self.lost: dict[Value, str] = {}  # values whose memory was overwritten through another
        self.inside: list[str] = [""]
        self.where = "the model"

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, ResidualBlock):
            return False
        return is_known(m) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        path = self.path_of_module(m).removeprefix(_INSIDE).removeprefix(".")
        self.inside.append(path)
        self.where = named(path, m)
        answer = super().call_module(m, forward, args, kwargs)
        self.inside.pop()
        self.where = named(self.inside[-1], self.model.get_submodule(self.inside[-1]))
        return answer

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return (
            _Followed(node, self) if node in self.values or node.op == "placeholder" else fx.Proxy(node, self)
        )

    def create_proxy(self, kind: str, target: Any, args: tuple, kwargs: dict, *rest: Any, **more: Any) -> Any:
        if kind == "get_attr":
            return super().create_proxy(kind, target, args, kwargs, *rest, **more)
        if kind == "placeholder":
            proxy = super().create_proxy(kind, target, args, kwargs, *rest, **more)
            self.values[proxy.node] = Value(self.input_shape)
            return proxy
        if kind == "output":
            return super().create_proxy(kind, target, args, kwargs, *rest, **more)
        return self._read(kind, target, args, kwargs)

    def _read(self, kind: str, target: Any, args: tuple, kwargs: dict) -> Any:
        """The proxy of what a call gives; the operand's own where the call passes it on."""
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        if kind == "call_module":
            return self._module(args, kwargs)
        operands = [value for value in (*args, *kwargs.values()) if isinstance(value, _Followed)]
        if is_sum(target):
            return self._sum(target, args, kwargs, operands)
        reader = reader_of(target)
        if (
            reader is None
            or len(operands) != 1
            or not ((args and args[0] is operands[0]) or "input" in kwargs)
        ):
            refuse_operation(self.where, name)
        before = self._now(operands[0])
        shapes = [before.shape if value is operands[0] else value for value in args]
        named_shapes = {key: before.shape if value is operands[0] else value for key, value in kwargs.items()}
        try:
            answer = reader(*shapes, **named_shapes)
            overwrites = works_in_place(target, tuple(shapes), named_shapes)
        except TypeError:
            refuse(f"{name} in {self.where}", "it is called in a way that no layer of a description has")
        return self._stepped(operands[0], answer, f"{name} in {self.where}", None, overwrites)

    def _module(self, args: tuple, kwargs: dict) -> Any:
        path = self.inside[-1]
        module = self.model.get_submodule(path)
        if not is_known(module):
            below, part, reason = culprit(module)
            refuse(named(".".join(p for p in (path, below) if p), part), reason)
        operands = [*args, *kwargs.values()]
        if len(operands) != 1 or not isinstance(operands[0], _Followed):
            refuse(self.where, "it is called with more than one tensor")
        try:
            answer = read_module(module, self._now(operands[0]).shape)
        except Misfit as misfit:
            raise Misfit(f"{self.where}: {misfit}") from None
        overwrites = getattr(module, "inplace", False) is True
        return self._stepped(operands[0], answer, self.where, module, overwrites)

    def _stepped(
        self, operand: _Followed, answer: Answer, where: str, module: nn.Module | None, overwrites: bool
    ) -> Any:
        if answer is None:
            return operand
        if isinstance(answer, str):
            refuse(where, answer)
        before = self._now(operand)
        if isinstance(answer, AsImage):
            return self._new(_image_at_the_start(answer, before, where), None)
        shape = _shape_after(answer, before.shape, where)
        value = Value(shape, (before,), Step(answer, self.inside[-1], module), where)
        if isinstance(answer, Flatten):
            value.shares = [before, *before.shares]
            before.shares.append(value)
        return self._new(value, before if overwrites else None)

    def _sum(self, target: Any, args: tuple, kwargs: dict, operands: list[_Followed]) -> Any:
        if len(operands) != 2 or len(args) != 2 or kwargs.get("alpha", 1) != 1 or set(kwargs) - {"alpha"}:
            refuse(f"a sum in {self.where}", "a description adds two paths, unscaled, and nothing else")
        first, second = (self._now(value) for value in operands)
        if first.shape != second.shape:
            refuse(f"a sum in {self.where}", f"shapes {first.shape} and {second.shape} differ")
        block = self.model.get_submodule(self.inside[-1])
        ours = True if isinstance(block, ResidualBlock) else None
        value = Value(first.shape, (first, second), None, f"a sum in {self.where}", ours)
        overwrites = target in (operator.iadd, "add_", "__iadd__")
        return self._new(value, first if overwrites else None)

    def _new(self, value: Value, overwritten: Value | None) -> _Followed:
        node = self.create_node("call_function", _value_number, (len(self.values),), {})
        self.values[node] = value
        if overwritten is not None:
            self.present[overwritten] = value
            for other in overwritten.shares:
                self.lost[other] = value.where
        return _Followed(node, self)

    def _now(self, operand: _Followed) -> Value:
        """The value that a tensor has now, after operations that overwrote it."""
        value = self.values[operand.node]
        while value in self.present:
            value = self.present[value]
        if value in self.lost:
            refuse(self.lost[value], "it overwrites a tensor that is used again in another shape")
        return value

    def output(self, graph: fx.Graph) -> Value:
        """The value that the forward method returned."""
        (result,) = next(node for node in graph.nodes if node.op == "output").args
        if not isinstance(result, fx.Node) or result not in self.values:
            refuse(
                "the model's output", f"it is a {type(result).__name__}, and a description ends in one tensor"
            )
        return self._now(_Followed(result, self))


class _Followed(fx.Proxy):
    """A tensor whose shape is known, with BATCH samples in front."""

    tracer: _Tracer

    @property
    def shape(self) -> torch.Size:
        return torch.Size((BATCH, *self.tracer._now(self).shape))

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return BATCH

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.tracer.model.parameters()), torch.get_default_dtype())

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")


def _value_number(number: int) -> None:
    """What a node of the graph calls: the graph is never run."""


def _image_at_the_start(answer: AsImage, before: Value, where: str) -> Value:
    """The input with another shape."""
    if before.before:
        refuse(where, "it makes an image of features; a description takes an image as its input only")
    return Value(answer.shape)


def _shape_after(layer: Layer, shape: Shape, where: str) -> Shape:
    try:
        return layer.output_shape(shape)
    except InvalidInput as misfit:
        raise Misfit(f"{where}: {misfit}") from None


def _not_followed(error: Exception, where: str) -> NotCovered:
    line = " ".join(str(error).split())
    if isinstance(error, TraceError):
        return NotCovered(
            f"{where} has no description: its forward method decides by the values of its input ({line})"
        )
    if isinstance(error, TypeError) and "required positional argument" in str(error):
        return NotCovered(f"{where} has no description: it takes several inputs ({line})")
    return NotCovered(
        f"{where} has no description: its forward method fails when followed ({type(error).__name__}: {line})"
    )
