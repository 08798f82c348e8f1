"""Descents on linear models: 1,000 learning rates × 10,000 steps with batch norm, beside the same without it.

Least squares in 50 dimensions with eigenvalues 1 to 100, and a halfspace of Gaussian inputs at 50 learning rates. Both
rest on elementwise float64 work, so that the number of cores matters little.
"""

from __future__ import annotations

import numpy as np
from outcome import Outcome, Verdict, arguments, conclude
from rounds import Prepare, Rounds, alternate, median_seconds, spread

import normfield as nf

INPUTS, RATES, STEPS = 50, 1_000, 10_000
BATCH_NORM, PLAIN = "least squares, batch norm", "least squares, plain"
HALFSPACE, NORMALISED = "Gaussian halfspace, batch norm, 50 rates", "Gaussian halfspace, GDNP, 100 steps"
LIMIT = 10.0


def _moments() -> tuple[np.ndarray, np.ndarray]:
    values = 1 + 99 * np.arange(INPUTS) / (INPUTS - 1)
    return np.diag(values), values / np.sqrt(INPUTS)


def _halfspace() -> nf.GaussianHalfspace:
    """The same second moment, and a correlation with gᵀS⁻¹g = ½."""
    moment, correlation = _moments()
    return nf.GaussianHalfspace(
        moment, correlation * np.sqrt(0.5 / (correlation @ np.linalg.solve(moment, correlation)))
    )


def _contenders() -> dict[str, Prepare]:
    squares, halfspace = nf.LeastSquares(*_moments()), _halfspace()
    many, few = np.geomspace(1e-4, 10, RATES), np.geomspace(1e-2, 100, 50)
    return {
        BATCH_NORM: lambda _: lambda: nf.descend(squares, "batch_norm", many, steps=STEPS),
        PLAIN: lambda _: lambda: nf.descend(squares, "gradient", many, steps=STEPS),
        HALFSPACE: lambda _: lambda: nf.descend(halfspace, "batch_norm", few, steps=STEPS),
        NORMALISED: lambda _: lambda: nf.descend(halfspace, "normalised", steps=100),
    }


def _row(name: str, rounds: Rounds) -> dict[str, str]:
    return {"descents": name, "median s": f"{median_seconds(rounds):.3f}", "least – most": spread(rounds)}


def main() -> int:
    """Measure, print, and give the exit code."""
    asked = arguments(__doc__, rounds=3).parse_args()
    timed = alternate(_contenders(), asked.rounds)
    title = f"{RATES} learning rates × {STEPS} steps, d = {INPUTS}: medians of {asked.rounds} rounds in turn"
    verdicts = [
        Verdict(f"{name}, s", median_seconds(timed[name]), "at most", LIMIT) for name in (BATCH_NORM, PLAIN)
    ]
    return conclude(Outcome(title, [_row(name, timed[name]) for name in timed], verdicts), asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
