"""The fully connected MNIST panel of Wei et al., Fig. 2, on a GPU: 784-1000-1000-1000-10, 20 × 20 × 5 runs of 5 epochs.

Needs a CUDA device and MNIST under NORMFIELD_DATA. The diagram goes on where it was stopped (--store). Twenty of its
runs, spread over the grid, are trained one by one as a plain PyTorch loop that stops where they diverge, and scaled to
all 2,000. The shares of arithmetic and of bandwidth follow from the counts below, as if no run stopped early, and from
what large matrix products and copies reach in this run.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter

import torch
from outcome import Outcome, Verdict, arguments, conclude
from torch import nn

import normfield as nf

WIDTH, DEPTH, INPUTS, CLASSES, BATCH, EPOCHS, MOMENTUM, RESTARTS = 1000, 4, 784, 10, 128, 5, 0.9, 5
GAMMAS = [10 ** (-1 + 2 * i / 19) for i in range(20)]
RATES = [10 ** (-3 + 4 * i / 19) for i in range(20)]
TIMED_RUNS = 20
WEIGHTS = INPUTS * WIDTH + (DEPTH - 2) * WIDTH**2 + WIDTH * CLASSES
OPERATIONS = 2 * BATCH * (3 * WEIGHTS - INPUTS * WIDTH)
"""Of a step: products forward, for the weights' gradients and, but for the first layer, for the inputs'."""
BYTES = 4 * 8 * WEIGHTS
"""Of a step, at the least: weights read forward and backward, gradients written and read, weights and velocities read
and written."""


def network(gamma: float) -> nf.Network:
    """The panel's network, σ_w² = 2 and σ_b² = 0.5."""
    return nf.mlp(
        inputs=INPUTS,
        width=WIDTH,
        depth=DEPTH,
        outputs=CLASSES,
        gamma=gamma,
        weight_variance=2.0,
        bias_variance=0.5,
    )


def seconds_of(call: object) -> float:
    """Of a call, until the device is done."""
    torch.cuda.synchronize()
    began = perf_counter()
    call()  # type: ignore[operator]
    torch.cuda.synchronize()
    return perf_counter() - began


def trained_alone(data: nf.DataSet, gamma: float, rate: float, seed: int) -> None:
    """One ordinary training, until it is done or diverges."""
    model = nf.build(network(gamma), seed=seed, device="cuda")
    inputs, targets = (
        data.inputs.flatten(1).cuda(),
        nn.functional.one_hot(data.targets, CLASSES).float().cuda(),
    )
    optimizer, first = torch.optim.SGD(model.parameters(), rate, MOMENTUM, fused=True), None
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs), device="cuda")
        for start in range(0, len(inputs) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            optimizer.zero_grad(set_to_none=True)
            loss = 0.5 * (model(inputs[chosen]) - targets[chosen]).square().sum() / BATCH
            first = loss.item() if first is None else first
            if not loss.item() <= 1e3 * first:
                return
            loss.backward()
            optimizer.step()


def peaks() -> tuple[float, float]:
    """Operations and bytes a second that large products in the present precision and large copies reach."""
    square = torch.randn(8192, 8192, device="cuda")
    long = torch.empty(2**28, device="cuda")
    other = torch.empty_like(long)
    for _ in range(2):
        products = seconds_of(lambda: [square @ square for _ in range(5)])
        copies = seconds_of(lambda: [other.copy_(long) for _ in range(5)])
    return 5 * 2 * 8192**3 / products, 5 * 2 * long.nbytes / copies


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--store", type=Path, help="keep the sweep here (default: a new folder)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here: nothing measured")
        return 0
    data = nf.load("mnist")
    store = asked.store or Path(tempfile.mkdtemp()) / "wei-fig-2.sqlite"
    runs = len(GAMMAS) * len(RATES) * RESTARTS
    whole = seconds_of(
        lambda: nf.phase_diagram(
            network(1.0), "mnist", {"gamma": GAMMAS, "learning_rate": RATES}, restarts=RESTARTS, store=store,
            batch_size=BATCH, epochs=EPOCHS, momentum=MOMENTUM, precision=asked.precision, device="cuda",
        )
    )  # fmt: skip
    trained_alone(data, 1.0, RATES[0], 0)
    loop = seconds_of(
        lambda: [trained_alone(data, GAMMAS[i], RATES[7 * i % 20], i) for i in range(TIMED_RUNS)]
    ) * (runs / TIMED_RUNS)
    arithmetic, bandwidth = peaks()
    steps = runs * EPOCHS * (len(data.inputs) // BATCH)
    row = {
        "runs": f"{runs:,}",
        "together, s": f"{whole:.0f}",
        f"loop, {TIMED_RUNS} runs scaled, s": f"{loop:.0f}",
        "share of arithmetic, at most": f"{steps * OPERATIONS / whole / arithmetic:.2f}",
        "share of bandwidth, at most": f"{steps * BYTES / whole / bandwidth:.2f}",
    }
    verdicts = [
        Verdict("minutes for the panel", whole / 60, "at most", 10),
        Verdict("times faster than the loop", loop / whole, "at least", 15),
    ]
    title = f"Wei Fig. 2, FC on MNIST, {asked.precision}, on {torch.cuda.get_device_name()}"
    return conclude(Outcome(title, [row], verdicts), asked.json)


if __name__ == "__main__":
    sys.exit(main())
