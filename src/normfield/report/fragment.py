"""Blocks as a piece of HTML for a notebook's cell: no script, no request, the notebook's own colours."""

from __future__ import annotations

from importlib import resources

from normfield.errors import InvalidInput
from normfield.report.blocks import Facts, Findings, Fold
from normfield.report.markup import block_html
from normfield.report.tables import Table

Piece = Table | Findings | Facts | Fold | str


def fragment_html(*blocks: Piece) -> str:
    """Write blocks below each other as HTML that stands by itself, every text escaped.

    Parameters
    ----------
    *blocks : Table, Findings, Facts, Fold or str
        A string is a paragraph.

    Returns
    -------
    str
        One ``<div class="normfield">`` with its own style, as ``_repr_html_`` gives it.

    Raises
    ------
    InvalidInput
        If a block is a figure, which needs a script, or anything else.
    """
    for block in blocks:
        if not isinstance(block, Piece):
            raise InvalidInput(
                expected="a Table, Findings, Facts, Fold or a string in a fragment",
                got=type(block).__name__,
                instead="show a figure with its own .plot()",
            )
    style = (resources.files("normfield.report") / "assets" / "fragment.css").read_text(encoding="utf-8")
    return f'<div class="normfield"><style>{style}</style>{"".join(map(block_html, blocks))}</div>'
