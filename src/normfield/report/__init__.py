"""Tables, figures and the page they stand on; knows nothing of networks or theory."""

from __future__ import annotations

from normfield.report.blocks import Card, Cards, Code, Facts, Finding, Findings, Fold, Html, Statement
from normfield.report.estimates import Estimate, estimates
from normfield.report.figures import Figure, LegendEntry, bars, lines
from normfield.report.files import checked_target, write
from normfield.report.formatting import format_number
from normfield.report.fragment import fragment_html
from normfield.report.heat_maps import heat_map
from normfield.report.markup import block_html, cards_html, facts_html, figure_html, findings_html, table_html
from normfield.report.page import Block, Page, Section, render
from normfield.report.regions import Band, Mark
from normfield.report.series import Series
from normfield.report.tables import Column, Table, table_text
from normfield.report.terminal import print_table

__all__ = [
    "Band",
    "Block",
    "Card",
    "Cards",
    "Code",
    "Column",
    "Estimate",
    "Facts",
    "Figure",
    "Finding",
    "Findings",
    "Fold",
    "Html",
    "LegendEntry",
    "Mark",
    "Page",
    "Section",
    "Series",
    "Statement",
    "Table",
    "bars",
    "block_html",
    "cards_html",
    "checked_target",
    "estimates",
    "facts_html",
    "figure_html",
    "findings_html",
    "format_number",
    "fragment_html",
    "heat_map",
    "lines",
    "print_table",
    "render",
    "table_html",
    "table_text",
    "write",
]
