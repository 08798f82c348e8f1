"""``normfield data``: the named data sets, where they are, whether they are whole, and how to get them."""

from __future__ import annotations

import click

from normfield.data import Availability, Checked, available, fetch, verify
from normfield.data.verification import present
from normfield.errors import DataUnavailable
from normfield.report.plain_json import json_text

_NAMES = tuple(row.name for row in available())


@click.group(invoke_without_command=True, epilog="Example: normfield data; normfield data fetch mnist")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_context
def data(context: click.Context, json: bool) -> None:
    """The named data sets: list them, get them, check them. Without a command: list."""
    if context.invoked_subcommand is None:
        _list(json)


@data.command(name="list", epilog="Example: NORMFIELD_DATA=~/data normfield data list")
@click.option("--json", is_flag=True, help="Print JSON.")
def list_sets(json: bool) -> None:
    """List the named data sets, and where each is found or how to get it."""
    _list(json)


@data.command(name="verify", epilog="Example: normfield data verify mnist")
@click.argument("names", nargs=-1, type=click.Choice(_NAMES))
@click.option("--json", is_flag=True, help="Print JSON.")
def verify_sets(names: tuple[str, ...], json: bool) -> None:
    """Check files against the published ones: format, size and checksum; by default of all sets that are here.

    Exits with 2 where a file is missing, corrupt or different.
    """
    rows = [row for name in names or present() for row in verify(name)]
    click.echo(json_text([row._asdict() for row in rows]) if json else "\n".join(map(_checked, rows)))
    wrong = [row for row in rows if row.is_wrong]
    if wrong:
        sets = ", ".join(dict.fromkeys(row.name for row in wrong))
        raise DataUnavailable(
            f"{len(wrong)} of {len(rows)} files are missing, corrupt or different ({sets}); "
            "normfield data fetch NAME gets a set"
        )


@data.command(name="fetch", epilog="Example: normfield data fetch mnist")
@click.argument("name", type=click.Choice(_NAMES))
@click.option("--json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def fetch_set(name: str, json: bool, quiet: bool) -> None:
    """Download a set to the user's cache folder now, unless it is here; damaged files there are replaced."""
    row = fetch(name, quiet=quiet or json)
    click.echo(json_text(row._asdict()) if json else _line(row))


def _list(json: bool) -> None:
    rows = available()
    click.echo(json_text([row._asdict() for row in rows]) if json else "\n".join(map(_line, rows)))


def _line(row: Availability) -> str:
    shape = "×".join(map(str, row.shape))
    return (
        f"{row.name:<14} {row.samples:,} + {row.test_samples:,} {row.description}, {shape}, "
        f"{row.classes} classes, {row.megabytes:.1f} MB; {row.where}"
    )


def _checked(row: Checked) -> str:
    return f"{row.name:<14} {row.status:<10} {row.words or row.path}"
