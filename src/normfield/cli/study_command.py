"""``normfield study``: a paper's claims, computed and judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from normfield.cli.progress import shown_progress
from normfield.report.plain_json import json_text
from normfield.studies import Study, StudyResult, read_study, run_study, study_names
from normfield.studies import study as study_called
from normfield.studies.folder import PAGE, TABLE, find_folder
from normfield.studies.frame import SIZES

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_name = click.argument("name")


@click.group(epilog="Example: normfield study run wei-fig-1 --size small --out wei-fig-1")
def study() -> None:
    """A paper's claim: computed, drawn, and whether it held."""


@study.command("list", epilog="Example: normfield study list")
@_json
def list_studies(as_json: bool) -> None:
    """Name every study and its sizes."""
    found = [study_called(name) for name in study_names()]
    click.echo(json_text([_as_dict(one) for one in found]) if as_json else "\n\n".join(map(_words, found)))


@study.command(epilog="Example: normfield study run wei-fig-1 --size small --out wei-fig-1")
@_name
@click.option(
    "--size", type=click.Choice(SIZES), default="smoke", show_default=True, help="How much of it to compute."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random draw.")
@click.option("--out", "folder", help="Folder for table.csv, result.json and page.html (default: NAME-SIZE).")
@_json
def run(name: str, size: str, seed: int, folder: str | None, as_json: bool) -> None:
    """Compute a study; stopped and run again it goes on where it was, and a finished one is only read."""
    asked = study_called(name)
    home = Path(f"{name}-{size}" if folder is None else folder)
    try:
        with shown_progress() as progress:
            found = run_study(asked, size, seed, home, progress=progress)
    except KeyboardInterrupt:
        _say_what_is_kept(home)
        raise
    _print(found, home, as_json)


@study.command(epilog="Example: normfield study show wei-fig-1 --from wei-fig-1")
@_name
@click.option(
    "--from", "folder", help="Folder that the study was run into (default: NAME-SIZE, the largest there is)."
)
@_json
def show(name: str, folder: str | None, as_json: bool) -> None:
    """Draw a finished study again from its table; nothing is computed."""
    asked = study_called(name)
    home = _run_earlier(name) if folder is None else Path(folder)
    found = read_study(home, expected=asked.name)
    found.to_html(home / PAGE)
    _print(found, home, as_json)


def _run_earlier(name: str) -> Path:
    """The default folder of the largest size that was run; of the smallest where none was."""
    homes = [Path(f"{name}-{size}") for size in SIZES]
    return next((home for home in reversed(homes) if home.is_dir()), homes[0])


def _print(found: StudyResult, home: Path, as_json: bool) -> None:
    if as_json:
        click.echo(found.to_json())
    else:
        click.echo(f"{found}\n\npage: {(home / PAGE).absolute()}")


def _say_what_is_kept(home: Path) -> None:
    """Where an interrupted run goes on."""
    rows = len(find_folder(home).rows())
    print(
        f"normfield: {rows} finished rows are kept in {home / TABLE}; the same command goes on from there",
        file=sys.stderr,
    )


def _as_dict(one: Study[Any]) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.title,
        "citation": one.citation,
        "claim": one.claim,
        "sizes": {name: {"words": size.words, "cost": size.cost} for name, size in one.sizes.items()},
    }


def _words(one: Study[Any]) -> str:
    sizes = "\n".join(f"  {name:<6} {size.words} ({size.cost})" for name, size in one.sizes.items())
    return f"{one.name}: {one.title}\n  {one.citation}\n{sizes}"
