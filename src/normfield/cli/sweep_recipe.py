"""How a sweep of the command line was asked for, kept in its store, and read again to go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import click

from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags, described_in
from normfield.cli.placed_loss import placed_loss
from normfield.cli.sweep_flags import TrainingFlags
from normfield.data import DataSet
from normfield.data.target import is_target
from normfield.errors import InvalidInput
from normfield.train.batch_size import batch_size_for
from normfield.train.sweeps import TrainingTask

_PROGRAM = "normfield sweep run"

Group = TypeVar("Group")


def recipe_of(arguments: Sequence[str]) -> str:
    """The arguments of a run as the text that its store keeps."""
    return json.dumps({"program": _PROGRAM, "arguments": list(arguments)}, ensure_ascii=False)


def arguments_in(recipe: str | None, file: str) -> list[str]:
    """The arguments that a store keeps.

    Raises
    ------
    InvalidInput
        The sweep was not made on the command line.
    """
    try:
        found = json.loads(recipe or "null")
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or found.get("program") != _PROGRAM:
        raise InvalidInput(
            expected="a sweep made by normfield sweep run",
            got=f"{file}, made in Python",
            instead="go on with nf.resume_sweep(file, task) and the same task",
        )
    return [str(argument) for argument in found["arguments"]]


def task_again(run: click.Command, arguments: Sequence[str]) -> TrainingTask:
    """The task of an earlier run, from its arguments.

    Raises
    ------
    InvalidInput
        Its model, data or loss is not where it was.
    """
    try:
        context = run.make_context("run", list(arguments), parent=click.get_current_context())
    except click.ClickException as mistake:
        raise InvalidInput(
            expected="flags in the store that this version has", got=mistake.format_message()
        ) from mistake
    with context:
        values = context.params
        return task_of(
            _group(NetworkFlags, values), _group(ModelFlags, values), _group(TrainingFlags, values)
        )


def task_of(network: NetworkFlags, model: ModelFlags, training: TrainingFlags) -> TrainingTask:
    """The task that the flags ask for.

    Raises
    ------
    InvalidInput, DataUnavailable
        Something named does not exist, or does not fit.
    """
    loss = placed_loss(training.loss)
    data = model.data_set()
    return TrainingTask(
        _build(network, model, data),
        model.data if model.standardise is None else data,
        loss=loss,
        batch_size=batch_size_for(data.samples_used, training.batch_size),
        epochs=training.epochs,
        steps=training.steps,
        momentum=training.momentum,
        learning_rate=training.learning_rate,
        seed=model.seed,
        optimizer=training.optimizer,
        samples=model.samples,
        shared_order=training.shared_order,
        precision=training.precision,
        device=training.device,
    )


def _build(network: NetworkFlags, model: ModelFlags, data: DataSet) -> Any:
    """A description, or the place of a function, which workers load for themselves."""
    spec = model.spec()
    if spec is None:
        return model.network(network, data)
    described = described_in(spec)
    if described is not None:
        return described
    if not is_target(spec):
        raise InvalidInput(
            expected="FILE.toml, FILE.json, path.py:function or package.module:function for a model",
            got=repr(spec),
        )
    return spec


def _group(group: type[Group], values: dict[str, Any]) -> Group:
    return group(**{item.name: values[item.name] for item in fields(group)})  # type: ignore[arg-type]
