"""Many networks trained together against a loop of ordinary PyTorch trainings: as many, of the same shape and data.

784-w-w-w-10 with batch norm after each hidden layer, batch 128, heavy ball 0.9, squared loss. The loop is what one
writes by hand, in float32: autograd and torch.optim.SGD as it comes; beside it the same with its fused form, which few
ask for. All train K networks for so many steps (234 are three epochs of 10,000 images), each in its own order of the
data, and take the loss of 2,048 samples before and after; compiling is listed apart. Each round times all in turn.

Then what members cost that diverge at the first step, and how far products in bfloat16 move the boundary of divergence.
Limits in bfloat16 hold where the processor has matrix units.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from time import perf_counter, process_time

import torch
from outcome import Outcome, Verdict, arguments, conclude_all
from torch import Tensor, nn

import normfield as nf

INPUTS, CLASSES, BATCH, MOMENTUM, RATE, EVALUATED = 784, 10, 128, 0.9, 0.01, 2048
SAMPLES, TESTS = 4096, 256
LOOP, FUSED, FLOAT32, BFLOAT16 = "loop", "loop, fused SGD", "float32", "bfloat16"
EDGE_WIDTH, EDGE_SEEDS, EDGE_STEPS, EDGE_LIMIT = 256, 4, 96, 0.05


@dataclass(frozen=True)
class Case:
    """Networks of one width, how many, the steps of a round, and how many times faster than the loop they must be."""

    width: int
    members: int
    steps: int
    limits: dict[str, float]

    def build(self, seed: int) -> nn.Module:
        """A network of this width."""
        net = nf.mlp(inputs=INPUTS, width=self.width, depth=4, outputs=CLASSES)
        return nf.build(net, seed=seed)


CASES = (
    Case(64, 64, 234, {FLOAT32: 6.0, BFLOAT16: 6.0}),
    Case(256, 16, 234, {FLOAT32: 1.8, BFLOAT16: 3.0}),
    Case(1000, 8, 117, {FLOAT32: 1.0, BFLOAT16: 1.4}),
)


@dataclass(frozen=True)
class Cost:
    """Seconds of a network's step by the clock, of all cores together, and what compiling took."""

    wall: float
    cores: float
    compiling: float = 0.0


def clouds() -> dict[str, Tensor]:
    """Ten Gaussian clouds with their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (SAMPLES + TESTS,), generator=generator)
    centres = torch.randn(CLASSES, INPUTS, generator=generator) / 2
    inputs = centres[labels] + torch.randn(len(labels), INPUTS, generator=generator)
    return {"inputs": inputs[:SAMPLES], "targets": labels[:SAMPLES]}


Step = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
FORMS: dict[str, Step] = {
    LOOP: lambda own: torch.optim.SGD(own, RATE, MOMENTUM),
    FUSED: lambda own: torch.optim.SGD(own, RATE, MOMENTUM, fused=True),
}


def half_squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """½‖f − y‖², averaged over samples."""
    return 0.5 * (outputs - targets).square().sum() / len(outputs)


def evaluated(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Mean loss over the first 2,048 samples in batches."""
    with torch.no_grad():
        parts = zip(inputs[:EVALUATED].split(BATCH), targets[:EVALUATED].split(BATCH), strict=True)
        return mean(half_squared(model(x), y).item() for x, y in parts)


def trained_alone(case: Case, data: dict[str, Tensor], seed: int, make: Step) -> list[float]:
    """One ordinary training; the losses of its steps."""
    model = case.build(seed)
    inputs, targets = data["inputs"], nn.functional.one_hot(data["targets"], CLASSES).float()
    optimizer = make(list(model.parameters()))
    generator = torch.Generator().manual_seed(seed)
    losses = [evaluated(model, inputs, targets)]
    order = torch.empty(0, dtype=torch.long)
    for _ in range(case.steps):
        if len(order) < BATCH:
            order = torch.randperm(len(inputs), generator=generator)
        chosen, order = order[:BATCH], order[BATCH:]
        optimizer.zero_grad(set_to_none=True)
        loss = half_squared(model(inputs[chosen]), targets[chosen])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [*losses, evaluated(model, inputs, targets)]


def looped(case: Case, data: dict[str, Tensor], make: Step, members: int) -> Cost:
    """Ordinary trainings one after another."""
    began, cores = perf_counter(), process_time()
    for seed in range(members):
        trained_alone(case, data, seed, make)
    steps = members * case.steps
    return Cost((perf_counter() - began) / steps, (process_time() - cores) / steps)


def together(case: Case, data: dict[str, Tensor], precision: str, members: Sequence[nf.Member]) -> Cost:
    """The same trainings as an ensemble; the cores' seconds without those of compiling."""
    cores = process_time()
    found = nf.train_ensemble(
        case.build, data, members, batch_size=BATCH, steps=case.steps, precision=precision, compiled=True
    )
    steps = len(members) * case.steps
    share = 1 - found.compile_seconds / found.seconds
    wall = (found.seconds - found.compile_seconds) / steps
    return Cost(wall, share * (process_time() - cores) / steps, found.compile_seconds)


def members_of(case: Case) -> list[nf.Member]:
    """Of one rate, each with its own seed."""
    return [nf.Member(RATE, MOMENTUM, seed) for seed in range(case.members)]


def in_turn(contenders: dict[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """Every contender in every round, after one that is not counted but for its compiling."""
    kept = {name: [call()] for name, call in contenders.items()}
    for _ in range(rounds):
        for name, call in contenders.items():
            kept[name].append(call())
    return kept


def times_faster(costs: dict[str, list[Cost]], name: str) -> list[float]:
    """The loop's time over a contender's, round by round."""
    return [a.wall / b.wall for a, b in zip(costs[LOOP][1:], costs[name][1:], strict=True)]


def speed(case: Case, data: dict[str, Tensor], rounds: int) -> Outcome:
    """A case's table and verdicts."""
    contenders: dict[str, Callable[[], Cost]] = {
        name: lambda make=make: looped(case, data, make, case.members) for name, make in FORMS.items()
    }
    for precision in (FLOAT32, BFLOAT16):
        contenders[precision] = lambda precision=precision: together(case, data, precision, members_of(case))
    costs = in_turn(contenders, rounds)
    rows = [_row(name, each, times_faster(costs, name)) for name, each in costs.items()]
    verdicts = [
        Verdict(
            f"{precision}: times faster than the loop",
            median(times_faster(costs, precision)),
            "at least",
            limit,
        )
        for precision, limit in case.limits.items()
        if precision == FLOAT32 or has_matrix_units()
    ]
    title = f"{case.members} networks of width {case.width}, {case.steps} steps"
    return Outcome(title, rows, verdicts, torch.get_num_threads())


def _row(name: str, costs: Sequence[Cost], ratios: Sequence[float]) -> dict[str, str]:
    return {
        "a network's step": name,
        "ms": f"{1e3 * median(c.wall for c in costs[1:]):.3f}",
        "ms of all cores": f"{1e3 * median(c.cores for c in costs[1:]):.3f}",
        "times faster": f"{median(ratios):.2f}",
        "spread": f"{min(ratios):.2f} – {max(ratios):.2f}",
        "compiling, s": f"{costs[0].compiling:.1f}",
    }


def diverged_members(data: dict[str, Tensor], rounds: int) -> Outcome:
    """All of the narrow networks, half of them alone, and all of which half diverge at the first step."""
    case = CASES[0]
    half = case.members // 2
    alive = members_of(case)
    lost = [nf.Member(1e30, MOMENTUM, member.seed) for member in alive[half:]]
    groups = {"all": alive, "half of them": alive[:half], "half diverge at once": [*alive[:half], *lost]}
    contenders = {name: lambda own=own: together(case, data, FLOAT32, own) for name, own in groups.items()}
    costs = in_turn(contenders, rounds)
    seconds = {name: [c.wall * len(groups[name]) * case.steps for c in costs[name][1:]] for name in groups}
    rows = [
        {"members": name, "s": f"{median(s):.3f}", "spread": f"{min(s):.3f} – {max(s):.3f}"}
        for name, s in seconds.items()
    ]
    whole, part, mixed = (median(seconds[name]) for name in groups)
    verdict = Verdict(
        "what a diverged member costs, of one that lives", (mixed - part) / (whole - part), "at most", 0.75
    )
    return Outcome(
        f"{case.members} networks of width {case.width}, {case.steps} steps, of which losses are read in blocks",
        rows,
        [verdict],
        torch.get_num_threads(),
    )


def boundary(case: Case, data: dict[str, Tensor], precision: str, seed: int, centre: float) -> float:
    """log₁₀ of the rate between the highest below all that diverge and the lowest that does, to 0.01 decades."""
    width = 0.8
    for spacing in (0.1, 0.01):
        grid = [centre - width / 2 + spacing * i for i in range(round(width / spacing) + 1)]
        members = [nf.Member(10**x, MOMENTUM, seed) for x in grid]
        found = nf.train_ensemble(
            case.build, data, members, batch_size=BATCH, steps=case.steps, precision=precision, compiled=False
        )
        first = next(i for i, run in enumerate(found.runs) if run.status == "diverged")
        centre, width = grid[first] - spacing / 2, spacing
    return centre


def moved_boundary(data: dict[str, Tensor]) -> Outcome:
    """The boundary in both precisions, seed by seed."""
    case = Case(EDGE_WIDTH, 9, EDGE_STEPS, {})
    middle = rough_boundary(case, data)
    pairs = [
        (boundary(case, data, FLOAT32, seed, middle), boundary(case, data, BFLOAT16, seed, middle))
        for seed in range(EDGE_SEEDS)
    ]
    shifts = [low - whole for whole, low in pairs]
    rows = [
        {"seed": str(seed), "log₁₀ η, float32": f"{a:.3f}", "bfloat16": f"{b:.3f}", "shift": f"{b - a:+.3f}"}
        for seed, (a, b) in enumerate(pairs)
    ]
    error = stdev(shifts) / math.sqrt(len(shifts))
    verdict = Verdict(
        f"mean shift of the boundary in decades (standard error {error:.3f}), in size",
        abs(mean(shifts)),
        "at most",
        EDGE_LIMIT,
    )
    title = f"Where networks of width {case.width} diverge within {case.steps} steps"
    return Outcome(title, rows, [verdict], torch.get_num_threads())


def rough_boundary(case: Case, data: dict[str, Tensor]) -> float:
    """log₁₀ of the lowest rate on a coarse grid that diverges, less half its spacing."""
    grid = [-3 + 0.4 * i for i in range(12)]
    members = [nf.Member(10**x, MOMENTUM, 0) for x in grid]
    found = nf.train_ensemble(
        case.build, data, members, batch_size=BATCH, steps=case.steps, precision=FLOAT32, compiled=False
    )
    return next(x for x, run in zip(grid, found.runs, strict=True) if run.status == "diverged") - 0.2


def has_matrix_units() -> bool:
    """Whether the processor multiplies matrices in bfloat16; false where nobody says."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and "amx_bf16" in flags.read_text(encoding="utf-8")


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument("--widths", type=int, nargs="*", help="only these cases")
    parser.add_argument("--no-boundary", action="store_true", help="leave out the boundary of divergence")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = clouds()
    chosen = [case for case in CASES if asked.widths is None or case.width in asked.widths]
    outcomes = [speed(case, data, asked.rounds) for case in chosen]
    outcomes += [diverged_members(data, asked.rounds)] if CASES[0] in chosen else []
    outcomes += [] if asked.no_boundary else [moved_boundary(data)]
    return conclude_all(outcomes, asked.json)


if __name__ == "__main__":
    sys.exit(main())
