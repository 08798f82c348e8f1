"""The house style of a whole figure: fonts, margins, title and legend."""

from __future__ import annotations

from typing import Any

from normfield.report.palette import INK, MUTED
from normfield.report.text import plot_text

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def figure_layout(title: str, height: int, top: int) -> dict[str, Any]:
    """The whole figure: title above, legend below. ``meta`` holds its measures on the page, which draws both itself."""
    header = 44 if title else 0
    return {
        "title": {
            "text": plot_text(title),
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14, "l": 14},
            "font": {"size": 17, "color": INK},
        },
        "meta": {"height": height, "top": top},
        "font": {"family": FONT, "size": 13, "color": MUTED},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "height": height + header + 44,
        "margin": {"l": 12, "r": 16, "t": top + header, "b": 12},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "font": {"color": INK},
        },
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 13}, "align": "left"},
        "autosize": True,
        "uirevision": "kept",
    }
