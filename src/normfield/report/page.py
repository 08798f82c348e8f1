"""The frame of a page: one HTML file that needs no network, in light and dark, on a phone and on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from normfield.errors import InvalidInput
from normfield.report.blocks import Cards, Code, Facts, Findings, Fold, Html, Statement
from normfield.report.figures import Figure
from normfield.report.markup import block_html
from normfield.report.palette import dark_twins, style_variables
from normfield.report.tables import Table
from normfield.report.text import escaped, one_line, script_json, typeset

Block = Table | Figure | Cards | Findings | Facts | Fold | Code | Statement | Html | str

_SECTIONS_WITHOUT_CONTENTS = 3

# Plotly's bundle for two axes (lines, bars, heat maps …), a third of the whole; MIT licence, in its first lines.
_PLOTLY = "plotly-cartesian-4.1.1.min.js"


@dataclass(frozen=True)
class Section:
    """A heading, a line that leads in, and blocks below.

    Parameters
    ----------
    heading : str
        May be empty for the first section, which then stands directly below the title.
    blocks : Block or sequence of Block
        A string is a paragraph and is escaped; markup comes as ``Html``.
    lead : str
        One sentence below the heading.
    """

    heading: str
    blocks: Block | Sequence[Block]
    lead: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", _as_tuple(self.blocks))


@dataclass(frozen=True)
class Page:
    """What a page says; `render` makes the file of it.

    Parameters
    ----------
    title, subtitle : str
    sections : sequence of Section
    data : object
        Whatever JSON can hold, kept in the page under ``id="normfield-data"``; infinities and NaN become null.
    footer : str
        The last line, such as version and date.

    Raises
    ------
    InvalidInput
        If the title is empty, or ``sections`` holds something else.
    """

    title: str
    subtitle: str = ""
    sections: Sequence[Section] = ()
    data: object = None
    footer: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", tuple(self.sections))
        if not self.title.strip():
            raise InvalidInput(expected="a page with a title", got=repr(self.title), instead="name the page")
        for section in self.sections:
            if not isinstance(section, Section):
                raise InvalidInput(
                    expected="sections of type Section",
                    got=type(section).__name__,
                    instead="wrap it in Section(...)",
                )


def render(page: Page) -> str:
    """Write the page as one HTML document.

    Everything it needs is inside; a content security policy forbids it any request and any script but its own two.

    Parameters
    ----------
    page : Page

    Returns
    -------
    str

    Raises
    ------
    InvalidInput
        If a section holds a block of unknown kind.
    """
    scripts = _scripts(page)
    light, dark = style_variables()
    style = _asset("page.css").replace("/* light series */", light).replace("/* dark series */", dark)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<title>{escaped(one_line(page.title))}</title>\n<link rel="icon" href="data:,">\n<style>{style}</style>\n'
        f"</head>\n<body>\n{_body(page)}\n"
        f'<script type="application/json" id="normfield-data">{script_json(page.data)}</script>\n'
        f'<script type="application/json" id="normfield-palette">{script_json(dark_twins())}</script>\n'
        + "\n".join(f"<script>{script}</script>" for script in scripts)
        + "\n</body>\n</html>\n"
    )


def _as_tuple(blocks: Block | Sequence[Block]) -> tuple[Block, ...]:
    """A string is one block, not a sequence of letters."""
    return tuple(blocks) if isinstance(blocks, Sequence) and not isinstance(blocks, str) else (blocks,)


def _scripts(page: Page) -> list[str]:
    """Plotly and the page's own script, where there is a figure to draw."""
    if not any(isinstance(block, Figure) for section in page.sections for block in _as_tuple(section.blocks)):
        return []
    return [_asset(_PLOTLY), _asset("page.js")]


def _asset(name: str) -> str:
    return (resources.files("normfield.report") / "assets" / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _body(page: Page) -> str:
    subtitle = f'<p class="subtitle">{typeset(page.subtitle)}</p>' if page.subtitle else ""
    footer = f"<footer><p>{typeset(page.footer)}</p></footer>" if page.footer else ""
    sections = "".join(_section(section, i) for i, section in enumerate(page.sections))
    return (
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f"<header><h1>{typeset(page.title)}</h1>{subtitle}{_contents(page.sections)}</header>\n"
        f'<main id="content" tabindex="-1">{sections}</main>\n{footer}'
    )


def _contents(sections: Sequence[Section]) -> str:
    headed = [(i, section) for i, section in enumerate(sections) if section.heading]
    if len(headed) <= _SECTIONS_WITHOUT_CONTENTS:
        return ""
    links = "".join(
        f'<li><a href="#section-{i}">{typeset(section.heading)}</a></li>' for i, section in headed
    )
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _section(section: Section, index: int) -> str:
    heading = (
        f"<h2>{typeset(section.heading)}</h2>" if section.heading else '<h2 class="unseen">Overview</h2>'
    )
    lead = f'<p class="lead">{typeset(section.lead)}</p>' if section.lead else ""
    blocks = "".join(map(block_html, _as_tuple(section.blocks)))
    return f'<section id="section-{index}">{heading}{lead}{blocks}</section>'
