"""Eight modules in training mode × Normfield and its peers: right, wrong or crash, and what the module is left as.

Right is within 1 % of the largest eigenvalue by central differences of plain training-mode passes (see truth.py), for
PyHessian of the largest in modulus, which is what power iteration finds; where dropout draws a mask, with the mask that
the tool's own first call drew. What a call leaves changed is found by comparing the module before and after: running
statistics and other buffers, train or eval, .grad, parameters. Nothing is decided by hand.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from largest_by_tool import TOOLS, Tool
from modules import MAKERS, Subject, subject
from outcome import Outcome, Verdict, arguments, conclude
from torch import Tensor, nn
from truth import Extremes, extremes

NEAR = 0.01
OURS, POWER = "normfield", "PyHessian"


@dataclass(frozen=True)
class Found:
    """What one tool made of one module."""

    answer: str
    changed: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether the answer is right and nothing changed."""
        return self.answer == "right" and not self.changed

    def __str__(self) -> str:
        return self.answer + (f"; changes {', '.join(self.changed)}" if self.changed else "")


def _state(model: nn.Module) -> dict[str, object]:
    """What a call should leave as it is, as values that compare."""

    def bits(tensors: Iterator[tuple[str, Tensor]]) -> list[tuple[str, list]]:
        return [(name, tensor.detach().tolist()) for name, tensor in tensors]

    return {
        "parameters": bits(model.named_parameters()),
        "running statistics": bits(model.named_buffers()),
        "its mode": [module.training for module in model.modules()],
        ".grad": [name for name, p in model.named_parameters() if p.grad is not None],
    }


def _changed(before: dict[str, object], after: dict[str, object]) -> tuple[str, ...]:
    return tuple(what for what in before if before[what] != after[what])


def _first_random_state(model: nn.Module) -> list[Tensor]:
    """Filled with the state of torch's generator when the model is first called."""
    seen: list[Tensor] = []

    def look(*_: object) -> None:
        if not seen:
            seen.append(torch.get_rng_state())

    model.register_forward_pre_hook(look)
    return seen


def _called(tool: Tool, given: Subject) -> float | str:
    """The tool's number, or the kind of exception."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            return tool(given)
        except Exception as error:  # whatever a peer raises is what the table says
            return type(error).__name__


def _answer(value: float | str, exact: float) -> str:
    if isinstance(value, str):
        return f"crash: {value}"
    return "right" if abs(value / exact - 1) <= NEAR else f"wrong: {value / exact:.2f} of it"


def _judged(name: str, matrix: str, tool: Tool, by_modulus: bool, exact: dict[bytes, Extremes]) -> Found:
    given = subject(name)
    seen = _first_random_state(given.model)
    before = _state(given.model)
    value = _called(tool, given)
    changed = _changed(before, _state(given.model))
    if isinstance(value, str):
        return Found(_answer(value, 1.0), changed)
    mask = seen[0] if seen and any(isinstance(m, nn.Dropout) and m.p for m in given.model.modules()) else None
    key = b"" if mask is None else mask.numpy().tobytes()
    if key not in exact:
        exact[key] = extremes(subject(name), matrix, torch.get_rng_state() if mask is None else mask)
    wanted = exact[key].in_modulus if by_modulus else exact[key].largest
    return Found(_answer(value, wanted), changed)


def main() -> int:
    """Measure, print, and give the exit code."""
    asked = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    rows, ours = [], []
    exact: dict[tuple[str, str], dict[bytes, Extremes]] = {}
    for name in MAKERS:
        row = {"in training mode": name}
        for (tool, matrix), call in TOOLS.items():
            found = _judged(name, matrix, call, tool == POWER, exact.setdefault((name, matrix), {}))
            row[f"{tool}, {matrix}"] = str(found)
            ours += [found] if tool == OURS else []
        rows.append(row)
    wrong = sum(not found.is_right for found in ours)
    verdict = Verdict(f"{OURS}'s answers that are not right, or change something", wrong, "at most", 0)
    return conclude(
        Outcome("The largest eigenvalue of modules in training mode", rows, [verdict], 1), asked.json
    )


if __name__ == "__main__":
    raise SystemExit(main())
