"""``normfield sweep status`` and ``export``: what is in a store, also while it is filled."""

from __future__ import annotations

import click

from normfield.cli.sweep_shown import status_json, status_lines
from normfield.sweep import Store

_file = click.argument("file", metavar="FILE")


@click.command(epilog="Example: normfield sweep status map.db")
@_file
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(file: str, as_json: bool) -> None:
    """Say how far a sweep is, also while it runs: trials, diverged, failed with the first errors, rate."""
    with Store.open(file) as store:
        click.echo(status_json(store) if as_json else status_lines(store))


@click.command(epilog="Example: normfield sweep export map.db --to map.parquet")
@_file
@click.option("--to", "target", required=True, help="New file: .csv, .parquet or .jsonl.")
@click.option("--curves", is_flag=True, help="The numbers by epoch instead of one row for each trial.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def export(file: str, target: str, curves: bool, overwrite: bool) -> None:
    """Write the finished trials as a table, one row for each."""
    with Store.open(file) as store:
        write = store.export_curves if curves else store.export
        write(target, overwrite=overwrite)
        click.echo(f"{store.status().finished:,} trials in {target}")
