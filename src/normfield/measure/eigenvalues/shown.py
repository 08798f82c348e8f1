"""How a curvature is shown: its eigenvalues by rank, as a figure and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normfield.errors import InvalidInput
from normfield.report import Column, Figure, Mark, Series, Table, format_number, lines

if TYPE_CHECKING:
    from normfield.measure.eigenvalues.result import Curvature


_MATRIX = {"fisher": "Fisher", "ggn": "Gauss–Newton", "hessian": "Hessian"}


def eigenvalue_figure(found: Curvature) -> Figure:
    """The largest eigenvalues by rank, with the mean of their cluster.

    Raises
    ------
    InvalidInput
        No eigenvalue was found.
    """
    count = len(found.eigenvalues)
    if count == 0:
        raise InvalidInput(
            expected="at least one eigenvalue to draw", got=found.status, instead="give it a larger budget"
        )
    mean = found.cluster_mean
    marks = [Mark(mean, f"mean of the top {found.cluster_size}, {format_number(mean, 4)}", "y")]
    return lines(
        [Series("eigenvalue", list(range(1, count + 1)), found.eigenvalues, style="markers")],
        "rank",
        "eigenvalue",
        marks=marks if found.cluster_size > 1 else (),
        title=f"Largest eigenvalues of the {_MATRIX.get(found.kind, found.kind)} matrix",
        caption=f"{found.loss}, {found.statistics} statistics, {found.samples} samples; {found.status}.",
    )


def eigenvalue_table(found: Curvature) -> Table:
    """One row per eigenvalue."""
    rows = [
        (rank, float(value), rank <= found.cluster_size)
        for rank, value in enumerate(found.eigenvalues, start=1)
    ]
    columns = [Column("rank"), Column("eigenvalue", digits=6), Column("in the cluster")]
    return Table(f"Largest eigenvalues of the {_MATRIX.get(found.kind, found.kind)} matrix", columns, rows)
