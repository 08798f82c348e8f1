"""Points made into modules and trained, those that fit one ensemble together; a failure is its own trial's."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from normfield.data.foreign_errors import described
from normfield.errors import InvalidInput, NormfieldError
from normfield.sweep import Outcome, Point
from normfield.train.ensemble import Member, train_ensemble
from normfield.train.ensemble.refusal import NotVectorised
from normfield.train.run import train_once
from normfield.train.sweeps.loaded_data import LoadedData
from normfield.train.sweeps.makers import Made, Maker
from normfield.train.sweeps.outcomes import outcome_of
from normfield.train.sweeps.task_settings import TaskSettings


@dataclass(frozen=True, eq=False)
class Trial:
    """A point as a member that is about to train, with what it must share with others to train with them."""

    member: Member
    made: Made
    batch_size: int | None
    loss: object

    @property
    def alike(self) -> Hashable:
        """Equal for trials that can be one ensemble."""
        return self.made.shape, self.batch_size, self.loss


def trial_at(point: Point, maker: Maker, settings: TaskSettings) -> Trial | Outcome:
    """A trial, or the outcome with the error of what the user's code raised."""
    try:
        made = maker.make(point, settings.at(point, "seed"))
        if settings.device is not None:
            made.module.to(settings.device)
        member = settings.member(point, made.module)
    except torch.OutOfMemoryError:
        raise
    except (Exception, SystemExit) as error:
        return failed(error, maker.file)
    return Trial(member, made, settings.at(point, "batch_size"), settings.at(point, "loss"))


def failed(error: BaseException, file: str | None = None) -> Outcome:
    """The outcome of a trial that raised: what, in a line, and in which line of the file."""
    return Outcome(error=str(error) if isinstance(error, NormfieldError) else described(error, file))


def trained(trials: Sequence[Trial], data: LoadedData, settings: TaskSettings) -> list[Outcome]:
    """Outcomes of trials that are alike.

    Models that cannot be vectorised train one after another. Where an ensemble is refused otherwise, its halves are
    tried by themselves, so that one member that cannot train fails alone.
    """
    first = trials[0]
    try:
        ensemble = train_ensemble(
            None,
            data.in_shape(first.made.input_shape),
            [trial.member for trial in trials],
            **settings.of_ensemble(first.batch_size, first.loss),
        )
    except NotVectorised as refused:
        return [_alone(trial, data, settings, refused) for trial in trials]
    except InvalidInput as refused:
        if len(trials) == 1:
            return [failed(refused)]
        middle = len(trials) // 2
        return trained(trials[:middle], data, settings) + trained(trials[middle:], data, settings)
    return [outcome_of(run) for run in ensemble.runs]


def _alone(trial: Trial, data: LoadedData, settings: TaskSettings, refused: InvalidInput) -> Outcome:
    """The outcome of a trial whose model trains by itself only, where what was asked for can be done so."""
    if not settings.is_plain:
        return failed(refused)
    try:
        run = train_once(
            trial.made.module,
            data.in_shape(trial.made.input_shape),
            learning_rate=trial.member.learning_rate,
            momentum=trial.member.momentum,
            seed=trial.member.seed,
            **settings.of_one(trial.batch_size, trial.loss),
        )
    except InvalidInput as error:
        return failed(error)
    return outcome_of(run)
