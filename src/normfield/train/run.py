"""One training run at a fixed learning rate, and how it ended."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from normfield.data import load
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput
from normfield.report.plain_json import finite
from normfield.seeds import whole_seed
from normfield.train.descent import DIVERGED, FINISHED, Descent, HeavyBall, descend
from normfield.train.epochs import Epoch, Probes, Recording, as_recording, curve_rows
from normfield.train.evaluation import mean_loss, training_mode
from normfield.train.losses import as_training_loss
from normfield.train.prepared import Prepared, prepare
from normfield.train.settings import Settings, number, positive

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """One training run.

    Parameters
    ----------
    learning_rate, momentum
        η and μ of θ ← θ − η∇L + μ(θ − θ_prev), η in units of the user's loss.
    seed
        Of the order of the data.
    status
        "finished", "diverged" or "cut short" (the deadline passed).
    diverged_at
        The step, counted from 1, whose loss or parameters showed it; None otherwise.
    losses
        Loss of each step's batch, before that step.
    first_loss, final_loss
        Mean loss over the same batches of training data, at most 2,048 samples, before the first and after the last
        step, with each batch's own statistics; ``final_loss`` is None unless the run finished.
    test_loss, test_accuracy
        The same over all test batches; None without test data or unless the run finished, the accuracy also
        without class labels.
    dropped_samples
        Samples that each pass left out, since they filled no batch.
    seconds
        Wall-clock time, evaluation included.
    by_epoch
        The run at the end of every epoch that it lived through, where that was asked for; the last of a finished run
        holds its final and test loss. A loss there may be infinite or NaN, just before a run diverges.
    """

    learning_rate: float
    momentum: float
    seed: int
    status: str
    diverged_at: int | None
    losses: tuple[float, ...]
    first_loss: float
    final_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    dropped_samples: int
    seconds: float
    by_epoch: tuple[Epoch, ...] = ()

    @property
    def ended_worse(self) -> bool | None:
        """Whether it diverged or ended with a higher loss than it began; None where it was cut short."""
        if self.final_loss is None:
            return True if self.status == DIVERGED else None
        return self.final_loss > self.first_loss

    @property
    def log10(self) -> float:
        """log₁₀η."""
        return math.log10(self.learning_rate)

    def summary(self) -> dict[str, Any]:
        """All but the losses of the steps and what was recorded by epoch, by name."""
        fields = {name: value for name, value in asdict(self).items() if name not in ("losses", "by_epoch")}
        return {**fields, "log10": self.log10, "steps": len(self.losses), "ended_worse": self.ended_worse}

    def to_frame(self) -> pd.DataFrame:
        """Table with one row per step: step, loss."""
        import pandas as pd

        return pd.DataFrame({"step": range(len(self.losses)), "loss": self.losses})

    def curves(self) -> pd.DataFrame:
        """Table with one row per recorded epoch: epoch, losses, accuracies and probes; empty where none was."""
        import pandas as pd

        return pd.DataFrame(curve_rows(self.by_epoch))

    def to_json(self) -> str:
        """JSON object keyed like the attributes; numbers that are missing or not finite are null, with a reason."""
        curves = {"losses": self.losses, "by_epoch": [asdict(epoch) for epoch in self.by_epoch]}
        return json.dumps(finite({**self.summary(), **curves, "reason": self.reason}))

    @property
    def reason(self) -> str | None:
        """Why numbers are missing; None where none is."""
        if self.status == FINISHED:
            missing = "no test data" if self.test_loss is None else "no class labels"
            return missing if self.test_accuracy is None else None
        return f"the run {'diverged' if self.status == DIVERGED else 'was cut short'}"

    def __str__(self) -> str:
        ending = f"diverged at step {self.diverged_at}" if self.status == DIVERGED else self.status
        line = f"η = {self.learning_rate:.3g} (log₁₀ {self.log10:+.2f}), seed {self.seed}: {ending}"
        if self.final_loss is not None:
            line += f", loss {self.first_loss:.3g} → {self.final_loss:.3g}"
        if self.test_loss is not None:
            line += f", test loss {self.test_loss:.3g}"
        return f"{line}, {self.seconds:.2f} s"


def train_once(
    model: nn.Module,
    data: Any,
    *,
    learning_rate: float,
    momentum: float = 0.9,
    loss: str | Callable = "squared",
    batch_size: int | None = 128,
    epochs: int = 3,
    steps: int | None = None,
    seed: int = 0,
    divergence_factor: float = 1e3,
    deadline: float | None = None,
    every_epoch: bool = False,
    probes: Probes | None = None,
) -> Run:
    """Train a module in place at a fixed learning rate, and say how that ended.

    Heavy ball, θ ← θ − η∇L + μ(θ − θ_prev), on mini-batches in a new order each pass (a last short batch is left
    out) or on the full batch. The run diverges when a step's loss is not finite or exceeds ``divergence_factor``
    times the first step's, or when a parameter or the final loss is not finite. A module in training mode trains with
    its submodules as they are, so that a batch norm that you put into eval mode stays at its running statistics; one in
    eval mode trains wholly in training mode. Modes are put back; ``.grad`` and the global random state stay untouched.

    Parameters
    ----------
    model
        Any module; its parameters and buffers are trained in place. Inputs that are a tuple are its positional
        arguments, a dict its keyword arguments, or its one argument where it takes no such keywords.
    data
        A data set, its name, or a pair (inputs, targets): all that ``normfield.data.load`` takes.
    learning_rate, momentum
        η and μ.
    loss
        "squared" (mean over samples of ½‖f − y‖², labels as one-hot rows), "cross_entropy", ``nn.MSELoss()``,
        ``nn.CrossEntropyLoss()`` or any callable (outputs, targets) -> scalar, which gets outputs and targets of any
        structure. Cross-entropy takes outputs (samples, classes, *positions) with labels (samples, *positions).
    batch_size
        Samples per step; None for all of them, in the order given.
    epochs, steps
        Passes over the data, or the number of steps, which overrides them.
    seed
        Of the order of the data and of dropout.
    divergence_factor
        Times the first loss.
    deadline
        Reading of ``time.monotonic()`` after which the run is cut short; None for none.
    every_epoch
        Whether losses and accuracies, on the batches of the first and final loss and on the test data, are taken at
        the end of every epoch, as ``by_epoch`` of the run. The steps stay the same.
    probes
        Functions of the module, by name, that return a number; called at the end of every epoch, with the module in the
        modes in which it trains. What they change in it is put back.

    Returns
    -------
    Run

    Raises
    ------
    InvalidInput
        For settings out of range, data that do not fit the model, or a loss that is not one finite number.

    Examples
    --------
    >>> inputs = torch.eye(4)
    >>> run = train_once(nn.Linear(4, 2), (inputs, inputs[:, :2]), learning_rate=0.1, batch_size=None)
    >>> run.status, len(run.losses)
    ('finished', 3)
    """
    settings = Settings(momentum, batch_size, epochs, steps, divergence_factor)
    positive(learning_rate, "learning_rate")
    seed = whole_seed(seed)
    if deadline is not None:
        number(deadline, "deadline", isinstance(deadline, int | float) and deadline == deadline, "in seconds")
    if not isinstance(model, nn.Module):
        raise InvalidInput(
            expected="model as a torch.nn.Module", got=type(model).__name__, instead="build it first"
        )
    recording = as_recording(every_epoch, probes)
    prepared = prepare(model, load(data), as_training_loss(loss), batch_size)
    limit = math.inf if deadline is None else deadline
    return run_prepared(model, prepared, settings, learning_rate, seed, limit, recording)


_SILENT = Recording(False, {})


def run_prepared(
    model: nn.Module,
    prepared: Prepared,
    settings: Settings,
    learning_rate: float,
    seed: int,
    deadline: float,
    recording: Recording = _SILENT,
) -> Run:
    """Train on data that were made to fit before."""
    began = time.perf_counter()
    first_loss = mean_loss(model, prepared.loss.function, prepared.evaluation)
    ball = HeavyBall(model, prepared.loss.function, learning_rate, settings.momentum)
    record = partial(recording.of_module, model, prepared) if recording.every_epoch else None
    with training_mode(model), seeded_random_state(seed), torch.enable_grad():
        descent = descend(ball, prepared, settings, seed, deadline, record)
    ending = _ending(model, prepared, descent)
    return Run(
        learning_rate=learning_rate,
        momentum=settings.momentum,
        seed=seed,
        status=descent.status,
        diverged_at=len(descent.losses) if descent.status == DIVERGED else None,
        losses=tuple(descent.losses),
        first_loss=first_loss,
        final_loss=None if ending is None else ending.train_loss,
        test_loss=None if ending is None else ending.test_loss,
        test_accuracy=None if ending is None else ending.test_accuracy,
        dropped_samples=prepared.dropped_samples,
        seconds=time.perf_counter() - began,
        by_epoch=tuple(descent.epochs),
    )


def _ending(model: nn.Module, prepared: Prepared, descent: Descent) -> Epoch | None:
    """The run after its last step; None, with the status put right, where its loss is not finite."""
    if descent.status != FINISHED:
        return None
    last = descent.epochs[-1] if descent.epochs else _SILENT.of_module(model, prepared, 1)
    if math.isfinite(last.train_loss):
        return last
    descent.status = DIVERGED
    return None
