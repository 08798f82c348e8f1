"""What watching a training run costs: time of the loop with and without a monitor, and memory beside a training step.

The loop is plain PyTorch: heavy ball on batches of the yardstick (or of a small convolutional network), 1,000 steps,
the same seeds with and without a monitor, in turn. Watched are `signals` every 50 steps; the same monitor with nothing
due tells what its bookkeeping costs. Both loops must end in the same weights, to the bit.

The landscape probe is called by itself, with 8 steps; its gradients are those that it says it took, and its time is
given in training steps beside it. Peak memory is torch's allocator's, model and batch included, each in a process of
its own as in peak_memory.py, beside the loop's own step, on the yardstick with its batch of 512.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import torch
from outcome import Outcome, Verdict, arguments, conclude
from peak_memory import peak
from rounds import alternate, median_ratio, median_seconds, spread
from torch import Tensor, nn
from yardstick import YARDSTICK, Problem, Size, problem

import normfield as nf

EVERY, STEPS, POINTS = 50, 1000, 8
NEVER = 10**9
MLP = Size((784, 512, 512, 10), 128)


@dataclass(frozen=True)
class Loop:
    """A network and the batch on which it trains, made anew for every run."""

    name: str
    made: Callable[[], Problem]


def _mlp() -> Problem:
    return problem(MLP, seed=0)


def _convnet() -> Problem:
    """Three convolutions with batch norm on images of CIFAR-10's shape, batch 64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for inputs, channels in ((3, 16), (16, 32), (32, 64)):
            layers += [
                nn.Conv2d(inputs, channels, 3, stride=2, padding=1),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))
        return Problem(model, nn.CrossEntropyLoss(), torch.randn(64, 3, 32, 32), torch.randint(10, (64,)))


LOOPS = (Loop(f"MLP {MLP}", _mlp), Loop("convnet 16-32-64 on 3×32×32, batch 64", _convnet))


def _train(given: Problem, every: Mapping[str, int] | None, steps: int) -> list[Tensor]:
    """A loop of so many steps, watched where intervals are given; the weights in which it ends."""
    optimizer = torch.optim.SGD(given.parameters, lr=0.01, momentum=0.9)
    monitor = None
    if every is not None:
        monitor = nf.Monitor(given.model, given.loss, optimizer=optimizer, every=every, overhead=None)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = given.loss(given.model(given.inputs), given.labels)
        loss.backward()
        optimizer.step()
        if monitor is not None:
            monitor.step((given.inputs, given.labels), loss_value=loss)
    return given.parameters


def _contender(loop: Loop, every: Mapping[str, int] | None, steps: int, _: int) -> Callable[[], list[Tensor]]:
    return partial(_train, loop.made(), every, steps)


def overheads(loop: Loop, rounds: int, steps: int) -> tuple[list[dict[str, str]], list[Verdict]]:
    """Rows and limits of one loop with and without a monitor."""
    ways = {
        "bare": None,
        "watched, nothing due": {"signals": NEVER},
        f"signals every {EVERY}": {"signals": EVERY},
    }
    timed = alternate({name: partial(_contender, loop, every, steps) for name, every in ways.items()}, rounds)
    bare = timed["bare"]
    rows = [
        {
            "loop": loop.name,
            "way": name,
            "median s": f"{median_seconds(found):.3f}",
            "spread s": spread(found),
            "over the bare loop": f"{100 * (median_ratio(found, bare) - 1):+.2f} %",
        }
        for name, found in timed.items()
    ]
    watched = timed[f"signals every {EVERY}"]
    differing = sum(
        not torch.equal(one, other)
        for ours, theirs in zip(watched, bare, strict=True)
        for one, other in zip(ours.value, theirs.value, strict=True)
    )
    overhead = 100 * (median_ratio(watched, bare) - 1)
    return rows, [
        Verdict(f"signals every {EVERY} steps, per cent of training, {loop.name}", overhead, "at most", 5),
        Verdict(f"weights that differ at the end, {loop.name}", differing, "at most", 0),
    ]


def training_step(given: Problem) -> None:
    """One step of the loop, its optimizer's state included."""
    _train(given, None, 1)


def look_along_the_gradient(given: Problem) -> nf.Landscape:
    """The landscape probe with eight steps."""
    batch = (given.inputs, given.labels)
    return nf.landscape(given.model, batch, given.loss, learning_rate=0.1, points=POINTS)


def look_at_signals(given: Problem) -> nf.LayerSignals:
    """Signals and gradients by layer."""
    return nf.signals(given.model, (given.inputs, given.labels), given.loss)


def probes(loop: Loop, rounds: int) -> tuple[list[dict[str, str]], list[Verdict]]:
    """The landscape and the signals in training steps, and how many gradients the landscape takes."""
    given = loop.made()
    works = {"step": training_step, "signals": look_at_signals, "landscape": look_along_the_gradient}
    timed = alternate(
        {name: lambda _, work=work: partial(work, given) for name, work in works.items()}, rounds
    )
    rows = [
        {
            "loop": loop.name,
            "way": name if name == "step" else f"{name}, one call",
            "median s": f"{median_seconds(found):.4f}",
            "spread s": spread(found),
            "over the bare loop": f"{median_ratio(found, timed['step']):.1f} training steps",
        }
        for name, found in timed.items()
    ]
    gradients = timed["landscape"][0].value.gradient_evaluations
    return rows, [
        Verdict(f"gradients of the landscape, {POINTS} steps, {loop.name}", gradients, "at most", 10)
    ]


def memory() -> Iterator[tuple[dict[str, str], Verdict]]:
    """Peak of the allocator of each probe over a training step's, on the yardstick."""
    step = peak(training_step, YARDSTICK)
    for name, work in (("signals", look_at_signals), ("landscape", look_along_the_gradient)):
        found = peak(work, YARDSTICK)
        ratio = found.total / step.total
        row = {
            "loop": f"MLP {YARDSTICK}",
            "way": f"{name}, peak memory",
            "median s": "",
            "spread s": f"{found.total:.1f} MiB beside {step.total:.1f} MiB",
            "over the bare loop": f"{ratio:.2f} times a training step's",
        }
        yield (
            row,
            Verdict(f"peak memory of {name} over a training step's", ratio, "at most", 2),
        )


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each loop (default: %(default)s)")
    asked = parser.parse_args()
    began = perf_counter()
    rows: list[dict[str, str]] = []
    verdicts: list[Verdict] = []
    for loop in LOOPS:
        for found_rows, found_verdicts in (
            overheads(loop, asked.rounds, asked.steps),
            probes(loop, asked.rounds),
        ):
            rows += found_rows
            verdicts += found_verdicts
    for row, verdict in memory():
        rows.append(row)
        verdicts.append(verdict)
    title = f"Watching a training run ({perf_counter() - began:.0f} s)"
    return conclude(Outcome(title, rows, verdicts, torch.get_num_threads()), asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
