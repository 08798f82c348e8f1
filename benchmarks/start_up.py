"""Time until something is there: the import, one answer on the command line, a curve of 10,000 points.

The first two are whole processes, start of the interpreter included, taken in turn with a bare interpreter and with
``import numpy``. The curve is a repeated call in this process; its first call is shown too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from outcome import Outcome, Verdict, arguments, conclude
from rounds import Prepare, Rounds, alternate, median_ratio, median_seconds, spread

import normfield as nf

BARE, NUMPY, IMPORT, THEORY = "bare interpreter", "import numpy", "import normfield", "normfield theory"
RELU, TANH = "10,000 values of γ, relu", "10,000 values of γ, tanh"
NETWORK = "--inputs 784 --width 1000 --depth 4 --outputs 10 --gamma 1 --weight-variance 2 --bias-variance 0.5"
COMMANDS = {
    BARE: [sys.executable, "-c", "pass"],
    NUMPY: [sys.executable, "-c", "import numpy"],
    IMPORT: [sys.executable, "-c", "import normfield"],
    THEORY: [str(Path(sys.executable).with_name("normfield")), "theory", *NETWORK.split(), "--json"],
}


def _process(command: Sequence[str]) -> Prepare:
    return lambda _: lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _curve(activation: str) -> Prepare:
    network, gamma = nf.mlp(784, 1000, 4, 10, activation=activation), np.linspace(0.1, 5, 10_000)
    return lambda _: lambda: nf.mean_field(network, gamma=gamma).largest_eigenvalue


def _first(prepare: Prepare) -> float:
    begin = perf_counter()
    prepare(0)()
    return perf_counter() - begin


def torch_loaded() -> bool:
    """Whether a bare ``import normfield`` loads torch."""
    question = "import normfield, sys; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", question], check=True, capture_output=True, text=True)
    return answer.stdout.strip() == "True"


def _row(name: str, timed: dict[str, Rounds]) -> dict[str, str]:
    rounds = timed[name]
    row = {"start-up": name, "median s": f"{median_seconds(rounds):.4f}", "least – most": spread(rounds)}
    return row | {f"over {other}": f"{median_ratio(rounds, timed[other]):.2f}" for other in (BARE, NUMPY)}


def _verdicts(timed: dict[str, Rounds]) -> list[Verdict]:
    limits = {IMPORT: 0.2, THEORY: 0.6, RELU: 0.05}
    within = [
        Verdict(f"{name}, s", median_seconds(timed[name]), "at most", limit) for name, limit in limits.items()
    ]
    return [*within, Verdict("torch loaded by import normfield", int(torch_loaded()), "at most", 0)]


def main() -> int:
    """Measure, print, and give the exit code."""
    asked = arguments(__doc__, rounds=15).parse_args()
    curves = {RELU: _curve("relu"), TANH: _curve("tanh")}
    first = {name: _first(curve) for name, curve in curves.items()}
    contenders = {name: _process(command) for name, command in COMMANDS.items()} | curves
    timed = alternate(contenders, asked.rounds)
    rows = [_row(name, timed) for name in timed]
    calls = "; ".join(f"{name}: {seconds:.3f} s" for name, seconds in first.items())
    title = f"Start-up: medians of {asked.rounds} rounds in turn (first calls, with their imports: {calls})"
    return conclude(Outcome(title, rows, _verdicts(timed)), asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
