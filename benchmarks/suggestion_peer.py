"""torch-lr-finder as its documentation has it: the range test, its own suggestion, and the minimum over ten."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import torch
from suggestion_cases import Case
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import normfield as nf

try:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from torch_lr_finder import LRFinder
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"{missing}: run benchmarks/peers.sh, then use benchmarks/.venv-peers/bin/python"
    ) from missing

_START, _END, _ITERATIONS = 1e-7, 100.0, 100  # those of its README


@dataclass(frozen=True)
class Finding:
    """Its two suggestions, None where it has none, and the gradients that it took."""

    steepest: float | None
    tenth_of_minimum: float
    gradients: int


def half_squared(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean over samples of ½‖f − y‖²."""
    return (outputs - F.one_hot(labels, outputs.shape[1])).square().sum() / (2 * len(outputs))


def range_test(case: Case, data: nf.DataSet, seed: int) -> Finding:
    """100 steps at rates that grow from 1e-7 to 100, stopped where the loss has grown five times."""
    model = case.make(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=_START, momentum=case.momentum)
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(
        TensorDataset(data.inputs, data.targets),
        case.batch_size,
        shuffle=True,
        drop_last=True,
        generator=generator,
    )
    criterion: Callable = half_squared if case.loss == "squared" else nn.CrossEntropyLoss()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        finder = LRFinder(model, optimizer, criterion, device="cpu")
        finder.range_test(loader, end_lr=_END, num_iter=_ITERATIONS)
        steepest = _steepest(finder)
    rates, losses = finder.history["lr"], finder.history["loss"]
    lowest = min(range(len(losses)), key=losses.__getitem__)
    return Finding(steepest, rates[lowest] / 10, len(rates))


def _steepest(finder: LRFinder) -> float | None:
    """Its suggestion, drawn as it is; None where it says that there are too few steps for one."""
    figure, axes = pyplot.subplots()
    try:
        return float(finder.plot(ax=axes, suggest_lr=True)[1])
    except RuntimeError:
        return None
    finally:
        pyplot.close(figure)
