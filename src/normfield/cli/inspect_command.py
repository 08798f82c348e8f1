"""``normfield inspect``: instruments on a module, as tables, JSON or a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from normfield.cli.flags import flag, taking_flags
from normfield.cli.instruments import INSTRUMENTS, Subject
from normfield.cli.loss_flag import LOSS_WORDS, read_loss
from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags
from normfield.cli.progress import shown_progress
from normfield.errors import InvalidInput, NormfieldError
from normfield.report import Code, Page, Section, checked_target, write
from normfield.report.plain_json import json_text
from normfield.train.batch_size import batch_size_for
from normfield.train.builders import as_builder

_DEFAULT = ("signals", "landscape", "scale_invariance")


@dataclass(frozen=True)
class InspectFlags:
    """What is asked."""

    what: tuple[str, ...] = flag(
        _DEFAULT,
        f"One of {', '.join(INSTRUMENTS)}, or all; repeatable (default: {', '.join(_DEFAULT)}).",
        kind="NAME",
    )
    loss: str = flag("squared", LOSS_WORDS)
    statistics: str = flag(
        "batch",
        "batch (as it trains), frozen (this batch's, constant) or running (the module's buffers).",
        kind=click.Choice(["batch", "frozen", "running"]),
    )
    batch_size: int | None = flag(
        None,
        "Samples that share batch norm's statistics (default: 128, or all where there are fewer).",
        kind=int,
    )
    batches: int = flag(
        8, "How many batches, at most, for gradient_noise and statistics_drift.", kind=click.IntRange(2)
    )
    learning_rate: float = flag(
        0.1, "Of the steps that landscape and gradient_shift try.", kind=click.FloatRange(0, min_open=True)
    )
    html: str | None = flag(None, "Also write a page with the figures.", kind=str)
    json: bool = flag(False, "Print JSON.")


@click.command(epilog="Example: normfield inspect --data digits --depth 20 --what signals --what landscape")
@taking_flags
def inspect(network: NetworkFlags, model: ModelFlags, ask: InspectFlags) -> None:
    """What batch norm does to a module's signals, gradients and landscape: instruments on one batch, or a few.

    A module in eval mode is put into training mode first. What an instrument cannot say of a module is one line, and
    the others go on.
    """
    names = _names(ask.what)
    loss = read_loss(ask.loss)
    if ask.html is not None:
        checked_target(ask.html)
    given, data = model.read(network)
    batches = data.batches(batch_size_for(data.samples_used, ask.batch_size), model.seed)
    module = as_builder(given)(model.seed)
    subject = Subject(
        module if module.training else module.train(),
        [batches[i] for i in range(min(len(batches), ask.batches))],
        loss,
        ask.statistics,
        ask.learning_rate,
        model.seed,
    )
    with shown_progress() as progress:
        found = {name: _asked(name, subject, progress) for name in names}
    _require_any(found)
    if ask.json:
        click.echo(json_text({name: _plain(result) for name, result in found.items()}))
    else:
        click.echo(f"{data}\n\n" + "\n\n".join(f"{INSTRUMENTS[n].words}\n{r}" for n, r in found.items()))
    if ask.html is not None:
        write(_page(found, str(data)), ask.html)
        click.echo(f"\npage: {ask.html}", err=ask.json)


def _names(what: tuple[str, ...]) -> list[str]:
    """Which instruments, each once, in the order asked."""
    for name in what:
        if name not in (*INSTRUMENTS, "all"):
            raise InvalidInput(expected=f"--what one of {', '.join(INSTRUMENTS)} or all", got=repr(name))
    return list(INSTRUMENTS) if "all" in what else list(dict.fromkeys(what))


def _asked(name: str, subject: Subject, progress: Any) -> Any:
    """An instrument's result, or the line in which it says why there is none."""
    progress(INSTRUMENTS[name].words)
    try:
        return INSTRUMENTS[name].ask(subject)
    except NormfieldError as error:
        return error


def _require_any(found: Mapping[str, Any]) -> None:
    """Where not one could say anything, the first one's line is the answer."""
    if all(isinstance(result, NormfieldError) for result in found.values()):
        raise next(iter(found.values()))


def _plain(result: Any) -> Any:
    """As its own JSON has it; null with the reason where there is none."""
    if isinstance(result, NormfieldError):
        return {"value": None, "reason": str(result)}
    return json.loads(result.to_json())


def _page(found: Mapping[str, Any], data: str) -> Page:
    """A section for each instrument: its figure where it draws one, and its table."""
    sections = [
        Section(INSTRUMENTS[name].words, [*_figures(result), Code(str(result))])
        for name, result in found.items()
    ]
    return Page("What batch norm does to this network", data, sections)


def _figures(result: Any) -> list[Any]:
    """A result's picture, where there is something to draw."""
    try:
        return [result.figure()] if hasattr(result, "figure") else []
    except NormfieldError:
        return []
