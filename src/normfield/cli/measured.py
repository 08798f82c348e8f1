"""What ``normfield measure`` measures of one module, and how it is printed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from normfield.measure import Curvature, curvature, curvature_trace, layer_curvature, spectral_density


@dataclass(frozen=True)
class Subject:
    """A module, batches, a loss, which matrix under which statistics, and seconds for all that is measured of it."""

    module: nn.Module
    batches: Any
    loss: Any
    kind: str
    statistics: str
    seed: int
    budget: float | None

    @property
    def common(self) -> dict[str, Any]:
        """What every measurement is given."""
        return {
            "model": self.module,
            "batches": self.batches,
            "loss": self.loss,
            "kind": self.kind,
            "statistics": self.statistics,
            "seed": self.seed,
        }

    def measure(
        self, top: int, tolerance: float, parts: list[str], progress: Callable[[str], object]
    ) -> Found:
        """The largest eigenvalues, and the parts asked for, one after the other within the budget."""
        end = None if self.budget is None else time.monotonic() + self.budget
        progress("measuring the curvature")
        whole = curvature(
            **self.common, top=top, tolerance=tolerance, budget=self.budget, on_failure=self._on_failure
        )
        more: dict[str, Any] = {}
        for part in parts:
            progress(f"measuring {_TITLES[part]}")
            more[part] = _MEASUREMENTS[part](self, None if end is None else max(end - time.monotonic(), 1e-3))
        return Found(whole, more)

    @property
    def _on_failure(self) -> str:
        """Within a budget, what there is counts."""
        return "raise" if self.budget is None else "return"

    def trace(self, budget: float | None) -> Any:
        """tr G with its standard error."""
        return curvature_trace(**self.common, budget=budget, on_failure="return")

    def density(self, budget: float | None) -> Any:
        """The distribution of all eigenvalues."""
        return spectral_density(**self.common, budget=budget)

    def by_layer(self, budget: float | None) -> Any:
        """The diagonal blocks."""
        return layer_curvature(**self.common, budget=budget, on_failure="return")


_MEASUREMENTS: dict[str, Callable[[Subject, float | None], Any]] = {
    "trace": Subject.trace,
    "density": Subject.density,
    "by_layer": Subject.by_layer,
}
_TITLES = {"trace": "the trace", "density": "the spectral density", "by_layer": "the curvature by layer"}


@dataclass(frozen=True)
class Found:
    """The largest eigenvalues, and further results by part."""

    curvature: Curvature
    parts: dict[str, Any]

    def for_json(self) -> dict[str, Any]:
        """Every further part as its own JSON has it."""
        return {part: json.loads(result.to_json()) for part, result in self.parts.items()}

    def words(self) -> str:
        """Every further part in words, without the line that says of what."""
        return "".join(
            f"\n{_TITLES[part]}:\n" + "\n".join(str(result).splitlines()[1:]) + "\n"
            for part, result in self.parts.items()
        )
