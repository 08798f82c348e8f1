"""How good a suggested learning rate is: nf.suggest_learning_rate beside torch-lr-finder, in one run.

For each case (suggestion_cases.py): the final test loss of full runs on a fine grid of rates, three seeds each; then
for each of three other seeds the suggestion of each tool, and a full run at it with one of the grid's seeds. Regret is
the median over seeds of that run's test loss over the lowest median of the grid; it can fall below 1, since the grid's
best is not the best of all. No tool sees the test images. Gradients are of one batch; those of normfield hold the
products for η*. Seconds are of the three suggestions, those to compile apart. Test losses are in batch mode: each
batch's own statistics.

With --results FOLDER every case is kept as a JSON file there, and cases that are there already are not run again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from outcome import Outcome, Verdict, arguments, conclude
from suggestion_cases import CASES, Case
from suggestion_peer import range_test

import normfield as nf

SEEDS, SUGGESTING = (0, 1, 2), (10, 20, 30)
OURS, STEEPEST, TENTH = "normfield", "torch-lr-finder, steepest", "torch-lr-finder, minimum / 10"
LOWEST, HIGHEST = -3.0, 0.5
_REGRET, _RUNS = 1.10, 2.0


@dataclass(frozen=True)
class Judged:
    """One tool on one case: a rate, a final test loss and gradients for each seed; None where there is none."""

    rates: list[float | None]
    losses: list[float | None]
    gradients: list[int]
    seconds: float
    compile_seconds: float = 0.0

    @property
    def diverged(self) -> int:
        """Full runs at the suggestion that diverged."""
        return sum(
            rate is not None and loss is None for rate, loss in zip(self.rates, self.losses, strict=True)
        )

    def regret(self, best: float) -> float:
        """Median over seeds; infinite where most have no loss."""
        return median(math.inf if loss is None else loss / best for loss in self.losses)


@dataclass(frozen=True)
class Result:
    """One case: the grid's medians, and every tool."""

    case: str
    full_steps: int
    grid: dict[str, float | None]
    tools: dict[str, Judged]
    reference: list[float | None]
    boundary: list[float | None]
    half_widths: list[float | None]
    seconds: float

    @property
    def best(self) -> tuple[float, float]:
        """(log₁₀η, median loss) of the grid's best."""
        seen = {float(x): loss for x, loss in self.grid.items() if loss is not None}
        x = min(seen, key=seen.__getitem__)
        return x, seen[x]

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """As it was kept."""
        kept = json.loads(text)
        return cls(**{**kept, "tools": {name: Judged(**tool) for name, tool in kept["tools"].items()}})


def full_runs(case: Case, data: nf.DataSet, members: Sequence[nf.Member]) -> list[float | None]:
    """Final test losses; None where a run diverged."""
    found = nf.train_ensemble(
        case.make, data, members, loss=case.loss, batch_size=case.batch_size, epochs=case.epochs
    )
    return [run.test_loss for run in found.runs]


def fine_grid(case: Case, data: nf.DataSet, spacing: float) -> dict[str, float | None]:
    """Median test loss over seeds by log₁₀η; None where one of them diverged."""
    xs = [LOWEST + spacing * i for i in range(round((HIGHEST - LOWEST) / spacing) + 1)]
    members = [nf.Member(10**x, case.momentum, seed) for x in xs for seed in SEEDS]
    losses = full_runs(case, data, members)
    return {f"{x:.3f}": _median(losses[i * len(SEEDS) : (i + 1) * len(SEEDS)]) for i, x in enumerate(xs)}


def _median(losses: Sequence[float | None]) -> float | None:
    seen = [loss for loss in losses if loss is not None]
    return median(seen) if len(seen) == len(losses) else None


def judged(
    case: Case,
    data: nf.DataSet,
    rates: list[float | None],
    gradients: list[int],
    seconds: float,
    compile_seconds: float = 0.0,
) -> Judged:
    """A full run at each suggestion."""
    members = [nf.Member(rate, case.momentum, seed) for rate, seed in zip(rates, SEEDS, strict=True) if rate]
    made = iter(full_runs(case, data, members) if members else [])
    return Judged(
        rates, [next(made) if rate else None for rate in rates], gradients, seconds, compile_seconds
    )


def run_case(case: Case, spacing: float) -> Result:
    """The grid, both tools, and the full runs at what they suggest."""
    began = time.perf_counter()
    data = case.load()
    ours = [_suggested(case, data, seed) for seed in SUGGESTING]
    first = time.perf_counter()
    theirs = [range_test(case, data, seed) for seed in SUGGESTING]
    second = time.perf_counter()
    spent = [found.gradients for found in theirs]
    compiling = sum(found.compile_seconds for found in ours)
    tools = {
        OURS: judged(
            case,
            data,
            [found.learning_rate for found in ours],
            [found.gradient_evaluations for found in ours],
            first - began - compiling,
            compiling,
        ),
        STEEPEST: judged(case, data, [found.steepest for found in theirs], spent, second - first),
        TENTH: judged(case, data, [found.tenth_of_minimum for found in theirs], spent, second - first),
    }
    return Result(
        case=str(case),
        full_steps=case.steps,
        grid=fine_grid(case, data, spacing),
        tools=tools,
        reference=[found.reference for found in ours],
        boundary=[found.boundary for found in ours],
        half_widths=[found.half_width for found in ours],
        seconds=time.perf_counter() - began,
    )


def _suggested(case: Case, data: nf.DataSet, seed: int) -> nf.LearningRateSuggestion:
    return nf.suggest_learning_rate(
        case.make, data, case.loss, case.batch_size, case.momentum, seed=seed, epochs=case.epochs
    )


def _rows(results: Sequence[Result]) -> list[dict[str, str]]:
    rows = []
    for result in results:
        x, best = result.best
        for name, tool in result.tools.items():
            logs = [math.log10(rate) for rate in tool.rates if rate]
            lost = tool.regret(best) > min(other.regret(best) for other in result.tools.values())
            rows.append(
                {
                    "case": result.case if name == OURS else "",
                    "tool": name,
                    "log₁₀η of three seeds": ", ".join(f"{log:+.2f}" for log in logs),
                    "grid's best": f"{x:+.2f}",
                    "regret": f"{tool.regret(best):.2f}",
                    "diverged": f"{tool.diverged} of {len(logs)}",
                    "full runs' gradients": f"{median(tool.gradients) / result.full_steps:.2f}",
                    "s": f"{tool.seconds:.1f}",
                    "s to compile": f"{tool.compile_seconds:.1f}",
                    "": "loses" if lost and name == OURS else "",
                }
            )
    return rows


def _verdicts(results: Sequence[Result]) -> list[Verdict]:
    ours = [result.tools[OURS] for result in results]
    regrets = [result.tools[OURS].regret(result.best[1]) for result in results]
    spent = [max(tool.gradients) / result.full_steps for tool, result in zip(ours, results, strict=True)]
    return [
        Verdict("cases", len(results), "at least", 8),
        Verdict("regret, median of the cases", median(regrets), "at most", _REGRET),
        Verdict(
            "full runs at our suggestions that diverged", sum(tool.diverged for tool in ours), "at most", 0
        ),
        Verdict("gradients, in full runs, the most of any", max(spent), "at most", _RUNS),
    ]


def _kept(case: Case, spacing: float, folder: Path | None) -> Result:
    """From the folder where it is there, else run, and put there."""
    name = "".join(letter if letter.isalnum() else "-" for letter in str(case)) + ".json"
    if folder is not None and (folder / name).exists():
        return Result.from_json((folder / name).read_text(encoding="utf-8"))
    result = run_case(case, spacing)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(result.to_json() + "\n", encoding="utf-8")
    return result


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument(
        "--spacing", type=float, default=0.25, help="of the grid, in decades (default: %(default)s)"
    )
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="keep every case here, and go on from it"
    )
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    results = []
    for case in (case for case in CASES if asked.only in str(case)):
        results.append(_kept(case, asked.spacing, asked.results))
        print(f"{results[-1].seconds:6.1f} s  {case}", flush=True)
    title = f"Suggested learning rates: full runs of {min(r.full_steps for r in results)} to "
    title += f"{max(r.full_steps for r in results)} steps; regrets are medians of {len(SEEDS)} seeds"
    return conclude(Outcome(title, _rows(results), _verdicts(results), asked.threads), asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
