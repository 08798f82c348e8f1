"""A monitor as a callback of Lightning's Trainer; the one file that knows Lightning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from torch import nn

from normfield.data.foreign_errors import described
from normfield.errors import InvalidInput
from normfield.train.monitoring.moment import Moment
from normfield.train.monitoring.record import MonitorRecord
from normfield.train.monitoring.watching import Monitor, present_rate


def check_lightning() -> None:
    """Refuse where Lightning is not installed."""
    if find_spec("lightning") is None:
        raise InvalidInput(
            expected="Lightning, for its callback",
            got="none",
            instead="pip install 'normfield[lightning]', or use nf.Monitor in a loop of your own",
        )


class LightningHooks:
    """What a callback does: makes the monitor when training starts, and tells it every batch.

    Parameters
    ----------
    loss, settings
        Of `Monitor`.
    model : callable
        LightningModule ↦ the module to measure.
    """

    def __init__(self, loss: Any, model: Callable[[Any], nn.Module], settings: Mapping[str, Any]) -> None:
        self._loss, self._model, self._settings = loss, model, dict(settings)
        self.monitor: Monitor | None = None
        self._rate: float | None = None

    @property
    def record(self) -> MonitorRecord:
        """What was found until now; raises InvalidInput before training has started."""
        if self.monitor is None:
            raise InvalidInput(
                expected="a record of a training that has started",
                got="none yet",
                instead="call trainer.fit with this callback first",
            )
        return self.monitor.record

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the monitor, of the first optimizer."""
        optimizer = trainer.optimizers[0] if trainer.optimizers else None
        self.monitor = Monitor(self._model(pl_module), self._loss, optimizer=optimizer, **self._settings)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Remember the learning rate, since schedulers step before the batch ends."""
        self._rate = present_rate(trainer.optimizers[0]) if trainer.optimizers else None

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Remember the learning rate with which the first optimizer steps, where the module has just set it."""
        if optimizer.param_groups is trainer.optimizers[0].param_groups:
            self._rate = present_rate(optimizer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell the monitor a step; with accumulated gradients every batch is one."""
        if self.monitor is not None:
            value = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            if value is not None and pl_module.automatic_optimization:
                value = value * trainer.accumulate_grad_batches  # Lightning has divided by it
            self.monitor.step(batch, loss_value=value, learning_rate=self._rate)


def lightning_callback(
    loss: Any = "squared",
    *,
    model: Callable[[Any], nn.Module] | None = None,
    batch: Any = None,
    every: Mapping[str, int] | None = None,
    instruments: Mapping[str, Callable[[Moment], Any]] | None = None,
    overhead: float | None = 0.05,
    statistics: str = "batch",
    seed: int = 0,
) -> Any:
    """Give a monitor as a callback: ``Trainer(callbacks=[nf.lightning_callback("cross_entropy")])``.

    The callback's ``record`` is the `MonitorRecord`, during training and after it, Ctrl-C included. Learning rates are
    those with which the trainer's first optimizer steps, before a scheduler changes them; the loss is what
    ``training_step`` returns, for every batch also where gradients are accumulated.

    Parameters
    ----------
    loss, batch, every, instruments, overhead, statistics, seed
        As for `Monitor`.
    model : callable, optional
        LightningModule ↦ the module whose forward gives the outputs of the loss; by default itself.

    Raises
    ------
    InvalidInput
        Lightning is not installed (``pip install 'normfield[lightning]'``), or cannot be imported.
    """
    check_lightning()
    settings = {
        "batch": batch,
        "every": every,
        "instruments": instruments,
        "overhead": overhead,
        "statistics": statistics,
        "seed": seed,
    }
    kind: Any = type("MonitorCallback", (LightningHooks, _callback_class()), {})
    return kind(loss, model or _itself, settings)


def _callback_class() -> type:
    """Lightning's own, which its Trainer asks for; what goes wrong in importing it in one line."""
    try:
        from lightning.pytorch import Callback
    except Exception as error:
        raise InvalidInput(
            expected="a Lightning that can be imported",
            got=described(error),
            instead="make its packages fit each other (torch and torchvision above all), or use nf.Monitor",
        ) from error
    return Callback


def _itself(module: Any) -> nn.Module:
    return module
