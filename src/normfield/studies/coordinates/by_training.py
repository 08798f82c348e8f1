"""What a network really learns of a target, by full-batch heavy ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from normfield.nets import build
from normfield.network import Network
from normfield.train.run import train_once


@dataclass(frozen=True, eq=False)
class Fit:
    """Mean squares of target minus output after each asked step (steps,), and that difference at the end (B,)."""

    mean_squares: np.ndarray
    left: np.ndarray

    @property
    def is_finite(self) -> bool:
        """False where the run diverged."""
        return bool(np.all(np.isfinite(self.mean_squares)))


def fitted(
    network: Network,
    inputs: np.ndarray,
    target: np.ndarray,
    rate: float,
    momentum: float,
    steps: Sequence[int],
    seed: int,
) -> Fit:
    """Train one network on all samples at once, its initial output taken off, so that it starts at 0.

    Parameters
    ----------
    inputs, target : array
        (B, features) and (B,).
    steps : sequence of int
        After which to look, the last one being the end.
    """
    model = build(network, seed)
    given = torch.tensor(inputs, dtype=torch.float32)
    with torch.no_grad():
        wanted = model(given) + torch.tensor(target, dtype=torch.float32)[:, None]
    run = train_once(
        model,
        (given, wanted),
        learning_rate=rate,
        momentum=momentum,
        batch_size=None,
        steps=steps[-1],
        seed=seed,
    )
    with torch.no_grad():
        left = (wanted - model(given))[:, 0].double().numpy()
    squares = np.full(steps[-1] + 1, np.nan)
    squares[: len(run.losses)] = 2 * np.array(run.losses)
    if run.status == "finished":
        squares[-1] = np.mean(left**2)
    return Fit(squares[list(steps)], left)


def best_rate(rates: Sequence[float], fits: Sequence[Fit]) -> int:
    """Which rate ended with the least difference; diverged runs last.

    Raises
    ------
    ValueError
        Every run diverged.
    """
    ends = [fit.mean_squares[-1] if fit.is_finite else np.inf for fit in fits]
    if not np.isfinite(min(ends)):
        raise ValueError(
            f"training diverged at every learning rate of {', '.join(f'{rate:.3g}' for rate in rates)}"
        )
    return int(np.argmin(ends))
