"""HTML of each kind of block; a new kind registers its own with ``block_html.register``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from normfield.errors import InvalidInput
from normfield.report.blocks import Card, Cards, Code, Facts, Finding, Findings, Fold, Html, Statement
from normfield.report.figures import Figure, LegendEntry
from normfield.report.formatting import MISSING, format_number, plain_number
from normfield.report.palette import SERIES
from normfield.report.series import SYMBOLS, symbol
from normfield.report.tables import Cell, Column, Table, cell_text, columns_of, sides_of
from normfield.report.text import escaped, plot_text, script_json, typeset

_SEVERITY_WORDS = {"problem": "Problem", "warning": "Take care", "note": "Note", "good": "Good"}
_WORDY, _LONG = 24, 60
_MOST_COLUMNS_ON_A_PHONE = 3


@singledispatch
def block_html(block: object) -> str:
    """Write a block of a section as HTML; a plain string is a paragraph and is escaped."""
    raise InvalidInput(
        expected="a Table, Figure, Cards, Findings, Facts, Fold, Code, Html or a string in a section",
        got=type(block).__name__,
        instead="wrap markup in Html(...)",
    )


@block_html.register
def _paragraph(block: str) -> str:
    return f"<p>{typeset(block)}</p>"


@block_html.register
def _markup(block: Html) -> str:
    return block.markup


@block_html.register
def table_html(table: Table) -> str:
    """Write the table as accessible HTML.

    Returns
    -------
    str
        A ``<table>`` with caption and scoped headers in a box that scrolls sideways; on a phone a table of more than
        three columns becomes one card per row, each value beside its header. A number's cell carries ``data-value``,
        the shortest text that gives the same number back (empty where the value is missing).
    """
    stacks = " stacks" if len(columns_of(table)) > _MOST_COLUMNS_ON_A_PHONE else ""
    head = "".join(
        _header(column, side) for column, side in zip(columns_of(table), sides_of(table), strict=True)
    )
    body = "".join(f'<tr role="row">{_row(table, row)}</tr>' for row in table.rows)
    notes = "".join(f"<p>{typeset(note)}</p>" for note in table.footnotes)
    inside = (
        f"<caption>{typeset(table.title)}</caption>"
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{body}</tbody>'
    )
    footnotes = f'<div class="footnotes">{notes}</div>' if notes else ""
    return (
        f'<div class="table{stacks}"><div class="scroll" role="group" tabindex="0" aria-label="{escaped(table.title)}">'
        f'<table role="table">{inside}</table></div>{footnotes}</div>'
    )


@block_html.register
def _cards_block(block: Cards) -> str:
    return cards_html(block.cards)


def cards_html(cards: Sequence[Card]) -> str:
    """Write answers side by side, each a list item with its value shown large."""
    return f'<ul class="cards">{"".join(map(_card, cards))}</ul>'


@block_html.register
def _findings_block(block: Findings) -> str:
    return findings_html(block.findings)


def findings_html(findings: Sequence[Finding]) -> str:
    """Write findings as a list: how grave, the sentence, the number behind it."""
    return f'<ul class="findings">{"".join(map(_finding, findings))}</ul>'


@block_html.register
def facts_html(facts: Facts) -> str:
    """Write named facts as a description list."""
    pairs = "".join(
        f"<div{_width(value)}><dt>{typeset(name)}</dt><dd>{_value(value)}</dd></div>"
        for name, value in facts.facts
    )
    return f'<dl class="facts">{pairs}</dl>'


@block_html.register
def figure_html(figure: Figure) -> str:
    """Write the figure's frame with its data; the page's script draws into it.

    Returns
    -------
    str
        A ``<figure>`` with title, legend (buttons that show and hide), the plot with its text alternative, caption, and
        its numbers in a table that opens.
    """
    name = escaped(figure.title or figure.alt)
    title = f"<h3>{typeset(figure.title)}</h3>" if figure.title else ""
    y_title = f'<p class="y-title" aria-hidden="true">{typeset(figure.y_title)}</p>' if figure.y_title else ""
    data = script_json({"data": figure.data, "layout": figure.layout})
    height = figure.layout["meta"]["height"]
    return (
        f'<figure class="plate" aria-label="{name}">{title}{_legend(figure.legend)}{y_title}'
        f'<div class="plot" role="img" aria-label="{escaped(figure.alt)}" style="min-height:{height}px"></div>'
        f'<script type="application/json" class="plot-data">{data}</script>'
        f"<noscript><p>{escaped(figure.alt)}</p></noscript>"
        f'<figcaption><span>{typeset(figure.caption)}</span><button type="button" class="save" '
        f'aria-label="Save as PNG: {name}">Save as PNG</button></figcaption>{_numbers(figure, name)}</figure>'
    )


@block_html.register
def _statement(block: Statement) -> str:
    return f'<div class="statement"><p>{typeset(block.sentence)}</p>{_line("note", block.note)}</div>'


@block_html.register
def _fold(block: Fold) -> str:
    if any(isinstance(one, Figure) for one in block.blocks):
        raise InvalidInput(
            expected="a fold without figures",
            got="a Figure",
            instead="put it beside the fold, where it is drawn",
        )
    inside = "".join(map(block_html, block.blocks))
    return f'<details class="fold"><summary>{typeset(block.summary)}</summary>{inside}</details>'


@block_html.register
def _code(block: Code) -> str:
    return f'<pre tabindex="0"><code>{escaped(block.text)}</code></pre>'


def _numbers(figure: Figure, name: str) -> str:
    """The figure's numbers, folded away; their summary says whose they are to those who hear it alone."""
    if figure.table is None:
        return ""
    whose = f'<span class="unseen"> of {name}</span>'
    return (
        f'<details class="numbers"><summary>The numbers{whose}</summary>{table_html(figure.table)}</details>'
    )


def _header(column: Column, side: str) -> str:
    unit = f' <span class="unit">{typeset(column.unit)}</span>' if column.unit else ""
    return f'<th scope="col" role="columnheader" class="{side}">{typeset(column.header)}{unit}</th>'


def _row(table: Table, row: Sequence[Cell]) -> str:
    columns, sides = columns_of(table), sides_of(table)
    cells = [_cell(cell, column, side) for cell, column, side in zip(row, columns, sides, strict=True)]
    return f'<th scope="row" role="rowheader"{cells[0]}</th>' + "".join(
        f'<td role="cell" data-label="{escaped(column.label)}"{cell}</td>'
        for column, cell in zip(columns[1:], cells[1:], strict=True)
    )


def _cell(cell: Cell, column: Column, side: str) -> str:
    """Everything of a cell after its tag's name: attributes and content."""
    if isinstance(cell, str | bool):
        text = cell_text(cell, column.digits)
        wordy = " wordy" if len(text) > _WORDY else ""
        return f' class="{side}{wordy}">{typeset(text)}'
    shown = format_number(plain_number(cell), column.digits)
    missing = " missing" if shown == MISSING else ""
    return f' class="{side} number{missing}" data-value="{_precise(cell)}">{shown}'


def _precise(value: object) -> str:
    number = plain_number(value)
    return "" if number is None else repr(number)


def _value(value: float | str | None) -> str:
    """A word, or a number with its full precision in an attribute."""
    if isinstance(value, str):
        return typeset(value)
    shown = format_number(plain_number(value))
    return f'<span class="number" data-value="{_precise(value)}">{shown}</span>'


def _width(value: float | str | None) -> str:
    """A long fact takes a line of its own."""
    return ' class="long"' if isinstance(value, str) and len(value) > _LONG else ""


def _line(kind: str, text: str) -> str:
    return f'<p class="{kind}">{typeset(text)}</p>' if text else ""


def _card(card: Card) -> str:
    lines = _line("unit", card.unit) + _line("detail", card.detail) + _line("note", card.note)
    return (
        f'<li class="card {card.tone}"><p class="whose">{typeset(card.heading)}</p>'
        f'<p class="value">{_value(card.value)}</p>{lines}</li>'
    )


def _finding(finding: Finding) -> str:
    unit = f" <span>{typeset(finding.unit)}</span>" if finding.unit else ""
    behind = "" if finding.value is None else f'<p class="behind"><b>{_value(finding.value)}</b>{unit}</p>'
    return (
        f'<li class="{finding.severity}"><p class="severity">{_SEVERITY_WORDS[finding.severity]}</p>'
        f'<p class="sentence">{typeset(finding.sentence)}</p>{behind}</li>'
    )


def _legend(entries: Sequence[LegendEntry]) -> str:
    if len(entries) < 2 and not any(entry.style == "hatched" for entry in entries):
        return ""
    return f'<div class="keys" role="group" aria-label="Show or hide">{"".join(map(_key, entries))}</div>'


def _key(entry: LegendEntry) -> str:
    return (
        f'<button type="button" class="key" aria-pressed="true" data-group="{escaped(plot_text(entry.name))}">'
        f'<span class="swatch {entry.style}" style="--swatch:var(--series-{entry.colour % len(SERIES)})" '
        f'aria-hidden="true">{SYMBOLS[symbol(entry.colour)] if entry.style == "markers" else ""}</span>'
        f"{typeset(entry.name)}</button>"
    )
