"""Kernels of a batch: time and memory of the exact ones, a rate of depth, neural-tangents and Monte Carlo beside them.

exact      NNGP and tangent kernel of 784 – 1000 – … with batch norm and ReLU, x ~ N(0, 1), in turn with float64 matrix
           products of the batch's size, which are the yardstick of the machine. "uneven": inputs of variances 1/k².
memory     in matrices of B × B float64, see kernel_memory.py.
Monte      the same kernels by method="monte_carlo"; error is the tangent kernel's in the Frobenius norm, against the
Carlo      exact one; the time to an error of 1e-4 is extrapolated as (error/1e-4)², from two numbers of draws.
neural-    a plain ReLU network, in the environment that jax.sh makes; left out, and said so, where there is none. Its
tangents   tangent kernel's diagonal is √round-off off (an arc cosine at 1): the closed form is compared there instead.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import kernel_scaling
import numpy as np
from kernel_cases import batch, exact, network, product
from kernel_memory import peak
from outcome import Outcome, Verdict, arguments, conclude_all
from rounds import Prepare, Rounds, Timed, alternate, median_ratio, median_seconds, spread

import normfield as nf

SMALL, LARGE = 512, 2048
DRAWS = (1_000, 4_000)
ASKED_ERROR = 1e-4
PEER = Path(__file__).parent / ".venv-jax" / "bin" / "python"
EXACT, UNEVEN, LARGER = f"exact, B = {SMALL}", f"exact, B = {SMALL}, uneven", f"exact, B = {LARGE}"
PRODUCT, LARGER_PRODUCT = f"product, B = {SMALL}", f"product, B = {LARGE}"
RELU_RATE, TANH_RATE = "a rate of depth, relu", "a rate of depth, tanh"


def _calls(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Prepare]:
    """The same call in every round."""
    return {name: (lambda _, call=call: call) for name, call in calls.items()}


def _concentrated(activation: str, samples: int) -> Callable[[], nf.BatchKernel]:
    net, x = network(activation=activation), batch(samples)
    return lambda: nf.batch_kernel(net, x, method="concentrated")


def _rate(activation: str) -> Callable[[], Any]:
    return lambda: nf.depth_limits(activation, batch_size=32).explosion_rate


def quick_calls() -> dict[str, Callable[[], Any]]:
    """What takes a second at most."""
    return {
        EXACT: exact(SMALL),
        UNEVEN: exact(SMALL, uneven=True),
        PRODUCT: product(SMALL),
        "concentrated, tanh, B = 400": _concentrated("tanh", 400),
        "concentrated, relu, B = 1000": _concentrated("relu", 1000),
        RELU_RATE: _rate("relu"),
        TANH_RATE: _rate("tanh"),
    }


def _row(name: str, rounds: Rounds, yardstick: Rounds | None = None, note: str = "") -> dict[str, str]:
    products = f"{median_ratio(rounds, yardstick):.1f}" if yardstick else ""
    return {
        "kernels, depth 4": name,
        "median s": f"{median_seconds(rounds):.5f}",
        "least – most": spread(rounds),
        "B×B products": products,
        "note": note,
    }


def timings(rounds: int) -> Outcome:
    """Exact and concentrated kernels and a rate of depth, beside matrix products."""
    quick = alternate(_calls(quick_calls()), rounds)
    large = alternate(_calls({LARGER: exact(LARGE), LARGER_PRODUCT: product(LARGE)}), 2)
    yardsticks = {EXACT: quick[PRODUCT], UNEVEN: quick[PRODUCT], LARGER: large[LARGER_PRODUCT]}
    rows = [
        _row(name, timed, yardsticks.get(name), _stated_error(timed))
        for name, timed in (quick | large).items()
    ]
    verdicts = [
        Verdict(f"{EXACT}, s", median_seconds(quick[EXACT]), "at most", 2),
        Verdict(f"{UNEVEN}, s", median_seconds(quick[UNEVEN]), "at most", 2),
        Verdict(f"{LARGER}, products", median_ratio(large[LARGER], large[LARGER_PRODUCT]), "at most", 500),
        Verdict(f"{RELU_RATE}, s", median_seconds(quick[RELU_RATE]), "at most", 0.005),
        Verdict(f"{TANH_RATE}, s", median_seconds(quick[TANH_RATE]), "at most", 0.005),
    ]
    return Outcome(f"Kernels of a batch: medians of {rounds} rounds in turn", rows, verdicts)


def _stated_error(rounds: Rounds) -> str:
    found = rounds[-1].value
    return f"stated error {found.error:.0e}" if isinstance(found, nf.BatchKernel) else ""


def memory() -> Outcome:
    """Peak memory of the larger exact kernel."""
    found = peak(LARGE)
    row = {
        "peak memory": LARGER,
        "B×B arrays traced": f"{found.arrays:.1f}",
        "resident growth in B×B arrays": f"{found.resident:.1f}",
    }
    verdicts = [
        Verdict(f"{what}, B×B arrays", value, "at most", 14)
        for what, value in (("arrays traced", found.arrays), ("resident growth", found.resident))
    ]
    return Outcome("Memory of the exact kernels", [row], verdicts)


def monte_carlo(rounds: int) -> Outcome:
    """How long sampling takes to the error asked for, over the exact kernel's time."""
    net, x = network(), batch(SMALL)

    def sampled(draws: int) -> Prepare:
        return lambda seed: lambda: nf.batch_kernel(net, x, method="monte_carlo", samples=draws, seed=seed)

    names = {draws: f"Monte Carlo, {draws} draws" for draws in DRAWS}
    prepared = {name: sampled(draws) for draws, name in names.items()} | _calls({EXACT: exact(SMALL)})
    timed = alternate(prepared, rounds)
    ours, rows, verdicts = timed[EXACT], [_row(EXACT, timed[EXACT])], []
    for name in names.values():
        errors = [_error(each, ours[0]) for each in timed[name]]
        needed = [
            each.seconds * (error / ASKED_ERROR) ** 2 for each, error in zip(timed[name], errors, strict=True)
        ]
        note = f"error {median(errors):.1e}, {median(needed):.0f} s to {ASKED_ERROR:g}"
        rows.append(_row(name, timed[name], note=note))
        times = median(theirs / own.seconds for theirs, own in zip(needed, ours, strict=True))
        verdicts.append(Verdict(f"times faster than {name}, to {ASKED_ERROR:g}", times, "at least", 100))
    return Outcome("Monte Carlo beside the exact kernels", rows, verdicts)


def _error(sampled: Timed, exactly: Timed) -> float:
    """‖Θ̂ − Θ‖/‖Θ‖."""
    theta = exactly.value.ntk
    return float(np.linalg.norm(sampled.value.ntk - theta) / np.linalg.norm(theta))


def scaling(rounds: int, path: Path | None) -> Outcome:
    """What depth and batch cost, with a page of figures where asked for."""
    found = kernel_scaling.measured(rounds)
    if path is not None:
        kernel_scaling.plot(found, path)
    return Outcome("Cost of the exact kernels with depth and batch", found.rows(), found.verdicts())


def neural_tangents() -> Outcome | None:
    """The peer's run, in its own environment; nothing where that is missing."""
    if not PEER.exists():
        return None
    script = Path(__file__).with_name("neural_tangents_peer.py")
    ran = subprocess.run(
        [str(PEER), str(script)], check=True, capture_output=True, text=True, cwd=script.parent
    )
    said = json.loads(ran.stdout.strip().splitlines()[-1])
    rounds = {name: [Timed(each, None) for each in seconds] for name, seconds in said["seconds"].items()}
    return Outcome(
        f"A plain ReLU network, B = 1024, beside {_versions(said['versions'])}",
        [_row(name, timed) for name, timed in rounds.items()],
        list(_peer_verdicts(rounds, said)),
    )


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _peer_verdicts(rounds: Mapping[str, Rounds], said: Mapping[str, float]) -> Iterator[Verdict]:
    times = median_ratio(rounds["neural-tangents"], rounds["normfield"])
    yield Verdict("times faster than neural-tangents", times, "at least", 1)
    named = {"nngp": "NNGP, relative difference", "ntk": "NTK off its diagonal, relative difference"}
    named |= {"our_diagonal": "NTK's diagonal from its closed form"}
    for key, what in named.items():
        yield Verdict(what, said[key], "at most", 1e-10)


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--plot", type=Path, metavar="PATH", help="write the figures of cost as a page here")
    asked = parser.parse_args()
    outcomes = [timings(asked.rounds), memory(), monte_carlo(3), scaling(2, asked.plot), neural_tangents()]
    if outcomes[-1] is None:
        print(
            f"neural-tangents is left out: there is no {PEER.parent.parent.name} (benchmarks/jax.sh makes it)\n"
        )
    return conclude_all([outcome for outcome in outcomes if outcome is not None], asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
