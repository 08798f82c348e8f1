"""A step of training as a compiled program."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from normfield.data.foreign_errors import described
from normfield.errors import InvalidInput
from normfield.samples import Samples
from normfield.train.ensemble.stack import Stack
from normfield.train.ensemble.vectorised import Together
from normfield.train.evaluation import training_mode

Step = Callable[[Samples, Samples], Tensor]
"""(inputs, targets) -> losses (K,), a stack changed in place."""
Program = Callable[..., Tensor]
"""The same of the tensors of a stack, inputs and targets one by one."""

_WORTHWHILE = 20_000
"""Steps of single networks from which on compiling pays: it took 10 to 25 s and saved 0.7 to 2.5 ms of each."""
_MOST_KEPT = 8
_OPTIONS: dict[str, Any] = {"cpp.threads": 1}
"""On a processor a program keeps to one thread: chunks, each a program's call, are what runs side by side."""
_kept: dict[str, Callable[..., Any]] = {}
"""Programs by their text, the shapes of their arguments included; what they compute depends on nothing else."""


@dataclass
class Compilation:
    """How training steps are compiled, and what that took.

    Attributes
    ----------
    wanted : bool
    required : bool
        Whether it is an error that steps cannot be compiled.
    seconds : float
        Spent on tracing and compiling so far.
    refusal : str or None
        Why nothing was compiled although it was wanted.
    draws : bool
        Whether a step draws at random, so that the order of steps matters.
    """

    wanted: bool
    required: bool = False
    seconds: float = 0.0
    refusal: str | None = None
    draws: bool = False
    _programs: dict[Any, Program | None] = field(default_factory=dict)

    @property
    def happened(self) -> bool:
        """Whether steps were compiled."""
        return bool(self._programs) and self.refusal is None

    def step(self, together: Together, stack: Stack, inputs: Samples, targets: Samples) -> Step:
        """Steps of a stack with batches of these shapes: by a program where that is wanted and can be had."""
        program = self._program(together, stack, inputs, targets)
        if program is None:
            return partial(together.step, stack)
        own = pytree.tree_leaves(stack.parts)

        def step(inputs: Samples, targets: Samples) -> Tensor:
            with torch.no_grad():
                return program(*own, *pytree.tree_leaves((inputs, targets)))

        return step

    def _program(self, together: Together, stack: Stack, inputs: Samples, targets: Samples) -> Program | None:
        """The program for arguments of these shapes, made where it is missing."""
        if not self.wanted or self.refusal is not None:
            return None
        key = _shapes(stack, inputs, targets)
        if key not in self._programs:
            self._programs[key] = self._made(together, stack, inputs, targets)
        return self._programs[key]

    def _made(self, together: Together, stack: Stack, inputs: Samples, targets: Samples) -> Program | None:
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._compiled(together, stack, inputs, targets)
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

    def _compiled(self, together: Together, stack: Stack, inputs: Samples, targets: Samples) -> Program:
        """Traced, compiled, and run once on a copy, since compilers set to work at the first call."""
        leaves, structure = pytree.tree_flatten((stack.parts, inputs, targets))
        graph = _traced(together, stack, structure, leaves)
        self.draws = self.draws or _draws(graph)
        program = _compiled(graph)
        with torch.no_grad():
            program(*(leaf.clone() for leaf in leaves))
        return program


def pays(steps: int) -> bool:
    """Whether compiling is worth its time for so many steps of single networks."""
    return steps >= _WORTHWHILE


def _shapes(stack: Stack, inputs: Samples, targets: Samples) -> Any:
    leaves, structure = pytree.tree_flatten((stack.parts, inputs, targets))
    return str(structure), tuple((tuple(t.shape), t.dtype, t.device) for t in leaves)


def _traced(together: Together, stack: Stack, structure: Any, leaves: Sequence[Tensor]) -> GraphModule:
    """The step as a graph of tensor operations on the leaves of its arguments."""

    def flat(*leaves: Tensor) -> Tensor:
        parts, inputs, targets = pytree.tree_unflatten(leaves, structure)
        return together.pure_step(Stack(stack.module, *parts), inputs, targets)

    with training_mode(stack.module), torch.no_grad():
        return make_fx(flat, tracing_mode="fake")(*leaves)


def _compiled(graph: GraphModule) -> Callable[..., Any]:
    """The compiled form of a graph, the one at hand where the same was compiled before."""
    text = _text(graph)
    if text is None:
        return torch.compile(graph, dynamic=False, options=_OPTIONS)
    if text not in _kept:
        while len(_kept) >= _MOST_KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[text] = torch.compile(graph, dynamic=False, options=_OPTIONS)
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
