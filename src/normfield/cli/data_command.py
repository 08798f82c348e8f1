"""``normfield data``: the named data sets, and where they are."""

from __future__ import annotations

import click

from normfield.data import available
from normfield.report.plain_json import json_text


@click.command(epilog="Example: NORMFIELD_DATA=~/data normfield data")
@click.option("--json", is_flag=True, help="Print JSON.")
def data(json: bool) -> None:
    """List the named data sets and whether they are found."""
    rows = available()
    if json:
        click.echo(json_text([row._asdict() for row in rows]))
        return
    for row in rows:
        click.echo(f"{row.name:<8} {'found  ' if row.found else 'missing'}  {row.description}; {row.where}")
