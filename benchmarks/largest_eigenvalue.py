"""Time to the top Gauss-Newton eigenvalue of the yardstick, beside curvlinops + eigsh and PyHessian.

normfield and curvlinops are asked for the GGN to a relative 1e-3. PyHessian has no GGN: it is timed on what it does,
the top Hessian eigenvalue by power iteration, at its own tolerance, 1e-3 between two steps (the limit is held to
this one), and at 1e-4, where its error falls below 1e-3. Every round has another random start. Errors are against
float64 references to 1e-10, each of its own matrix. One gradient is timed as the unit of cost.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import torch
from outcome import Outcome, Verdict, arguments, conclude
from peers import Answer, GaussNewton, Hessian, curvlinops_top, pyhessian_call, reference
from rounds import Prepare, Rounds, alternate, median_ratio, median_seconds, spread
from yardstick import YARDSTICK, Problem, problem

from normfield.measure import curvature

TOLERANCE = 1e-3
OURS, THEIRS, POWER = "normfield", "curvlinops + eigsh", "PyHessian"
POWER_CLOSER, UNIT = "PyHessian, tol=1e-4", "one gradient"
MATRICES = {OURS: "GGN", THEIRS: "GGN", POWER: "Hessian", POWER_CLOSER: "Hessian"}


def ours(given: Problem, seed: int) -> Answer:
    """normfield's call."""
    batch = (given.inputs, given.labels)
    found = curvature(given.model, batch, loss="cross_entropy", kind="ggn", tolerance=TOLERANCE, seed=seed)
    return Answer(found.largest_eigenvalue, found.products)


def _gradient(given: Problem) -> None:
    torch.autograd.grad(given.loss(given.model(given.inputs), given.labels), given.parameters)


def _contenders(given: Problem) -> dict[str, Prepare]:
    def plain(call: Callable[[int], object]) -> Prepare:
        return lambda seed: lambda: call(seed)

    return {
        OURS: plain(lambda seed: ours(given, seed)),
        THEIRS: plain(lambda seed: curvlinops_top(GaussNewton, given, TOLERANCE, seed)),
        POWER: lambda seed: pyhessian_call(given, 1e-3, seed),
        POWER_CLOSER: lambda seed: pyhessian_call(given, 1e-4, seed),
        UNIT: plain(lambda seed: _gradient(given)),
    }


def _worst_error(rounds: Rounds, exact: float) -> float:
    return max(abs(timed.value.eigenvalue / exact - 1) for timed in rounds)


def _products(rounds: Rounds) -> list[int]:
    return sorted(timed.value.products for timed in rounds)


def _row(name: str, timed: dict[str, Rounds], exact: dict[str, float]) -> dict[str, str]:
    rounds = timed[name]
    row = {
        "top eigenvalue": name,
        "median s": f"{median_seconds(rounds):.4f}",
        "least – most": spread(rounds),
    }
    row |= {"gradients": f"{median_ratio(rounds, timed[UNIT]):.1f}"}
    row |= {"normfield's times": f"{median_ratio(rounds, timed[OURS]):.2f}"}
    if name not in MATRICES:
        return row | dict.fromkeys(("products", "of the", "exactly", "worst error"), "")
    spent, matrix = _products(rounds), MATRICES[name]
    row |= {"products": f"{median(spent):g} ({spent[0]} – {spent[-1]})", "of the": matrix}
    return row | {
        "exactly": f"{exact[matrix]:.5f}",
        "worst error": f"{_worst_error(rounds, exact[matrix]):.0e}",
    }


def _verdicts(timed: dict[str, Rounds], exact: dict[str, float]) -> list[Verdict]:
    return [
        Verdict(f"times faster than {THEIRS}", median_ratio(timed[THEIRS], timed[OURS]), "at least", 10),
        Verdict(f"times faster than {POWER}", median_ratio(timed[POWER], timed[OURS]), "at least", 3),
        Verdict("products", _products(timed[OURS])[-1], "at most", 5),
        Verdict("worst relative error", _worst_error(timed[OURS], exact["GGN"]), "at most", TOLERANCE),
    ]


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of network and batch (default: %(default)s)")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    given, double = problem(YARDSTICK, asked.seed), problem(YARDSTICK, asked.seed, torch.float64)
    exact = {"GGN": reference(GaussNewton, double), "Hessian": reference(Hessian, double)}
    timed = alternate(_contenders(given), asked.rounds)
    rows = [_row(name, timed, exact) for name in timed]
    title = f"Top curvature eigenvalue: {YARDSTICK}; medians of {asked.rounds} rounds in turn"
    return conclude(Outcome(title, rows, _verdicts(timed, exact), asked.threads), asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
