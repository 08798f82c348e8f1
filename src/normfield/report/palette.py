"""The colours of figures: Okabe and Ito's, which colour-blind readers can tell apart, in light and in dark.

A figure is made in the light colours; the page swaps each for its dark twin where the reader prefers dark.
"""

from __future__ import annotations

# Okabe & Ito 2008 (jfly.uni-koeln.de/color), strongest contrast on white first, their purple, orange and sky blue
# darkened to a contrast of at least 3 : 1; the dark twins are lighter in the same hue.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#b0578d", "#b47700", "#3a93c8", "#6b7280")
_SERIES_DARK = ("#58aee6", "#f58a4b", "#3fc79a", "#e3a3c8", "#f5c04a", "#a5d8f7", "#b3bac4")

INK, MUTED, GRID, MARK = "#1c2330", "#5b6472", "#e4e7ec", "#3b4351"
_INK_DARK, _MUTED_DARK, _GRID_DARK, _MARK_DARK = "#e8eaee", "#a3abb8", "#2b323d", "#d0d5dd"

# Behind a label that stands on lines.
VEIL, _VEIL_DARK = "rgba(255,255,255,0.55)", "rgba(18,21,27,0.55)"
PAPER, _PAPER_DARK = "#ffffff", "#12151b"

# Of heat maps, from dark to bright: seaborn's "mako" (even steps, for colour-blind readers too) without its ends,
# which would vanish on dark and on white paper; the same in both schemes.
HEAT = ("#2e1e3b", "#413d7b", "#37659e", "#348fa7", "#40b7ad", "#8bdab2")

_BAND_OPACITY = 0.16


def series_colour(index: int) -> str:
    """Colour of the so-manieth series; after seven they begin again."""
    return SERIES[index % len(SERIES)]


def band_colour(colour: str) -> str:
    """Tint a colour for an area behind lines."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{_BAND_OPACITY})"


def dark_twins() -> dict[str, str]:
    """Light colour to dark colour, tints included."""
    light = (*SERIES, INK, MUTED, GRID, MARK)
    dark = (*_SERIES_DARK, _INK_DARK, _MUTED_DARK, _GRID_DARK, _MARK_DARK)
    pairs = dict(zip(light, dark, strict=True))
    return (
        pairs
        | {band_colour(a): band_colour(b) for a, b in pairs.items()}
        | {VEIL: _VEIL_DARK, PAPER: _PAPER_DARK}
    )


def style_variables() -> tuple[str, str]:
    """CSS variables ``--series-0`` … of the light and of the dark palette."""

    def rules(colours: tuple[str, ...]) -> str:
        return "".join(f"--series-{i}:{colour};" for i, colour in enumerate(colours))

    return rules(SERIES), rules(_SERIES_DARK)
