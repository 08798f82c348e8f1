"""``normfield data``: the named data sets, and where they are."""

from __future__ import annotations

import click

from normfield.data import available


@click.command(epilog="Example: NORMFIELD_DATA=~/data normfield data")
def data() -> None:
    """List the named data sets and whether they are found."""
    for row in available():
        click.echo(f"{row.name:<8} {'found  ' if row.found else 'missing'}  {row.description}; {row.where}")
