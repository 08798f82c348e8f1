"""How every trial of a task trains, but for what its point says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from normfield.errors import InvalidInput
from normfield.seeds import whole_seed
from normfield.sweep import Cell, Point
from normfield.train.ensemble import Member
from normfield.train.ensemble.optimizers import RULES
from normfield.train.epochs import Probes, as_recording
from normfield.train.identity import function_words
from normfield.train.losses import as_training_loss
from normfield.train.settings import Settings, positive, whole

#: Axes of training itself, which every task has.
OWN_AXES = ("learning_rate", "momentum", "seed", "batch_size", "loss")
_PRECISIONS, _COMPILED = (None, "float32", "bfloat16"), (True, False, "auto")
# Names by which `train_ensemble` takes what all points have in common.
_COMMON = (
    "epochs",
    "steps",
    "optimizer",
    "shared_order",
    "divergence_factor",
    "every_epoch",
    "precision",
    "compiled",
)


@dataclass(frozen=True, eq=False)
class TaskSettings:
    """The settings of `TrainingTask`, checked when made; a point's own values stand before them."""

    loss: str | Callable
    batch_size: int | None
    epochs: int
    steps: int | None
    momentum: float
    learning_rate: float | None
    seed: int
    optimizer: str
    shared_order: bool
    precision: str | None
    compiled: bool | str
    divergence_factor: float
    every_epoch: bool
    probes: Probes | None
    memory: float | None
    device: str | None
    threads: int | None
    _accepted: dict[str, set[Any]] = field(
        default_factory=lambda: {name: set() for name in OWN_AXES}, repr=False
    )

    def __post_init__(self) -> None:
        Settings(self.momentum, self.batch_size, self.epochs, self.steps, self.divergence_factor)
        as_training_loss(self.loss)
        as_recording(self.every_epoch, self.probes)
        whole_seed(self.seed)
        if self.learning_rate is not None:
            positive(self.learning_rate, "learning_rate")
        if self.threads is not None:
            whole(self.threads, "threads", 1)
        if self.memory is not None:
            positive(self.memory, "memory")
        for name, among in (("optimizer", tuple(RULES)), ("precision", _PRECISIONS), ("compiled", _COMPILED)):
            if getattr(self, name) not in among:
                words = ", ".join(map(repr, among))
                raise InvalidInput(expected=f"{name} one of {words}", got=repr(getattr(self, name)))

    def cells(self) -> dict[str, Cell]:
        """A short cell for each."""
        functions = {name: function_words(probe) for name, probe in (self.probes or {}).items()}
        return {
            **{name: getattr(self, name) for name in OWN_AXES},
            **{name: getattr(self, name) for name in (*_COMMON, "memory", "device", "threads")},
            "loss": self.loss if isinstance(self.loss, str) else function_words(self.loss),
            "probes": "; ".join(f"{name}: {words}" for name, words in functions.items()) or None,
        }

    def at(self, point: Point, name: str) -> Any:
        """A point's own value, or that of all."""
        return point.get(name, getattr(self, name))

    def member(self, point: Point, build: Any) -> Member:
        """The point as one of an ensemble."""
        return Member(*(self.at(point, name) for name in ("learning_rate", "momentum", "seed")), build=build)

    def of_ensemble(self, batch_size: Any, loss: Any) -> dict[str, Any]:
        """The arguments of `train_ensemble` besides build, data and members."""
        room = {} if self.memory is None else {"memory": self.memory}
        common = {name: getattr(self, name) for name in _COMMON}
        return {**common, **room, "probes": self.probes, "batch_size": batch_size, "loss": loss}

    @property
    def is_plain(self) -> bool:
        """Whether `train_once` can do it: heavy ball, in the modules' own precision, each run with its own order."""
        return self.optimizer == "sgd" and self.precision is None and not self.shared_order

    def of_one(self, batch_size: Any, loss: Any) -> dict[str, Any]:
        """The arguments of `train_once` besides the model, data and what is each run's own."""
        common = {
            name: getattr(self, name)
            for name in ("epochs", "steps", "divergence_factor", "every_epoch", "probes")
        }
        return {**common, "batch_size": batch_size, "loss": loss}

    def check_values(self, points: Sequence[Point]) -> None:
        """Refuse values of the axes of training that no run can have.

        Raises
        ------
        InvalidInput
            The message names the axis's value.
        """
        for name in OWN_AXES:
            for value in {point[name] for point in points if name in point} - self._accepted[name]:
                self._check_value(name, value)
                self._accepted[name].add(value)

    def _check_value(self, name: str, value: Any) -> None:
        if name == "loss":
            as_training_loss(value)
        elif name == "batch_size":
            Settings(self.momentum, value, self.epochs, self.steps, self.divergence_factor)
        else:
            self.member({"learning_rate": 1.0, name: value}, None)
