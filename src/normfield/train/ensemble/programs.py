"""What members compute at once as a compiled program: a step of training, an evaluation."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from normfield.data.foreign_errors import described
from normfield.errors import InvalidInput
from normfield.samples import Samples
from normfield.train.ensemble.stack import Stack

Function = Callable[[Stack, Samples, Samples], Any]
"""(stack, inputs, targets) -> tensors; what it changes of the stack it changes in place."""
Bound = Callable[[Samples, Samples], Any]
"""The same for one stack."""
Program = Callable[..., Any]
"""The same of the tensors of a stack, inputs and targets one by one."""

_WORTHWHILE = 20_000
"""Steps of single networks from which on compiling pays: it took 6 to 17 s and saved 0.7 to 2.5 ms of each."""
_MOST_KEPT = 16
_ON_PROCESSORS: dict[str, Any] = {"cpp.threads": 1, "cpp_wrapper": True}
"""A program there keeps to one thread: chunks, each a program's call, are what runs side by side, which they can since
a program in C++ as a whole lets go of Python's interpreter."""
_kept: dict[str, Callable[..., Any]] = {}
"""Programs by their text, the shapes of their arguments included; what they compute depends on nothing else."""


@dataclass
class Compilation:
    """Whether steps, or evaluations, are compiled, and what that took.

    Attributes
    ----------
    wanted : bool
    required : bool
        Whether it is an error that something cannot be compiled.
    seconds : float
        Spent on tracing and compiling so far.
    refusal : str or None
        Why nothing is compiled although it was wanted.
    """

    wanted: bool
    required: bool = False
    seconds: float = 0.0
    refusal: str | None = None
    _programs: dict[Any, _Compiled | None] = field(default_factory=dict)

    @property
    def happened(self) -> bool:
        """Whether anything was compiled."""
        return bool(self._programs) and self.refusal is None

    def of(self, function: Function, stack: Stack, inputs: Samples, targets: Samples) -> tuple[Bound, bool]:
        """A function of a stack with batches of these shapes, by a program where that is wanted and can be had; beside
        it whether calls of several stacks may be made side by side: on a processor, of programs that draw nothing."""
        compiled = self._compiled(function, stack, inputs, targets)
        if compiled is None:
            return partial(function, stack), False
        own, program = pytree.tree_leaves(stack.parts), compiled.program

        def bound(inputs: Samples, targets: Samples) -> Any:
            with torch.no_grad():
                return program(*own, *pytree.tree_leaves((inputs, targets)))

        return bound, own[0].device.type == "cpu" and not compiled.draws

    def _compiled(
        self, function: Function, stack: Stack, inputs: Samples, targets: Samples
    ) -> _Compiled | None:
        """The program for arguments of these shapes, made where it is missing."""
        if not self.wanted or self.refusal is not None:
            return None
        key = function.__name__, *_shapes(stack, inputs, targets)
        if key not in self._programs:
            self._programs[key] = self._made(function, stack, inputs, targets)
        return self._programs[key]

    def _made(self, function: Function, stack: Stack, inputs: Samples, targets: Samples) -> _Compiled | None:
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _made(function, stack, inputs, targets)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            self.refusal = described(error)
            if self.required:
                raise InvalidInput(
                    expected="compiled=True where torch.compile can compile the steps",
                    got=self.refusal,
                    instead='give compiled="auto" or False',
                ) from error
            return None
        finally:
            self.seconds += time.perf_counter() - began


@dataclass(frozen=True)
class _Compiled:
    """A program, and whether it draws at random, so that the order of its calls matters."""

    program: Program
    draws: bool


def pays(steps: int) -> bool:
    """Whether compiling is worth its time for so many steps of single networks."""
    return steps >= _WORTHWHILE


def _shapes(stack: Stack, inputs: Samples, targets: Samples) -> Any:
    leaves, structure = pytree.tree_flatten((stack.parts, inputs, targets))
    return str(structure), tuple((tuple(t.shape), t.dtype, t.device) for t in leaves)


def _made(function: Function, stack: Stack, inputs: Samples, targets: Samples) -> _Compiled:
    """Traced, compiled, and run once on a copy, since compilers set to work at the first call."""
    leaves, structure = pytree.tree_flatten((stack.parts, inputs, targets))
    graph = _traced(function, stack.module, structure, leaves)
    program = _compiled(graph, _ON_PROCESSORS if leaves[0].device.type == "cpu" else {})
    with torch.no_grad():
        program(*(leaf.clone() for leaf in leaves))
    return _Compiled(program, _draws(graph))


def _traced(function: Function, module: nn.Module, structure: Any, leaves: Sequence[Tensor]) -> GraphModule:
    """A function as a graph of tensor operations on the leaves of its arguments."""

    def flat(*leaves: Tensor) -> Any:
        parts, inputs, targets = pytree.tree_unflatten(leaves, structure)
        return function(Stack(module, *parts), inputs, targets)

    with torch.no_grad():
        return make_fx(flat, tracing_mode="fake")(*leaves)


def _compiled(graph: GraphModule, options: dict[str, Any]) -> Callable[..., Any]:
    """The compiled form of a graph, the one at hand where the same was compiled before."""
    text = _text(graph)
    if text is None:
        return torch.compile(graph, dynamic=False, options=options)
    if text not in _kept:
        while len(_kept) >= _MOST_KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[text] = torch.compile(graph, dynamic=False, options=options)
    return _kept[text]


def _draws(graph: GraphModule) -> bool:
    """Whether anything in a graph is drawn at random."""
    return any(
        torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) for node in graph.graph.nodes
    )


def _text(graph: GraphModule) -> str | None:
    """All that a graph computes and of what shapes; None where it holds tensors of its own."""
    if any(node.op == "get_attr" for node in graph.graph.nodes):
        return None
    return graph.print_readable(print_output=False)
