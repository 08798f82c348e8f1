"""What is said of descents in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from normfield.theory.linear_models.descent import Descent


def status_words(descent: Descent) -> str:
    """Method and problem, how many runs came how far, and which learning rates work."""
    counts = {
        word: int(np.count_nonzero(descent.status == word)) for word in ("converged", "running", "diverged")
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    lines = [f"{descent.method.name} on {descent.problem}", f"after {descent.steps} steps: {told}"]
    if np.ndim(descent.learning_rates) == 1:
        lines.append(str(descent.plateau))
    elif np.ndim(descent.steps_needed) == 0:
        lines.append(_one(descent))
    if descent.problem.caveat and not descent.method.takes_rates:
        lines.append(descent.problem.caveat)
    return "\n".join(lines)


def _one(descent: Descent) -> str:
    needed = f"{descent.steps_needed:g} steps" if np.isfinite(descent.steps_needed) else "more steps"
    return f"{needed} to {descent.tolerance:g} of the loss at 0; excess loss {descent.excess_losses[-1]:.3g} at the end"


def run_names(descent: Descent) -> list[str]:
    """A label for each run, in the order of the flattened arrays."""
    shape = np.shape(descent.steps_needed)
    rates = [] if descent.learning_rates is None else np.atleast_1d(descent.learning_rates)
    own = [f"ε = {rate:.3g}" for rate in rates] or [descent.method.name]
    starts = int(np.prod(shape)) // len(own)
    return own if starts == 1 else [f"{name}, start {s}" for s in range(starts) for name in own]
