"""Grey images as text in a table's cell, and side by side as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from normfield.report import Figure
from normfield.report.layout import figure_layout
from normfield.report.palette import INK

_ACROSS = 3
_APART, _BELOW = 1.06, 1.3


def as_text(image: np.ndarray) -> str:
    """Brightness from 0 to 1, cut off there, as two hexadecimal digits for each pixel."""
    return np.clip(np.rint(255 * image.ravel()), 0, 255).astype(np.uint8).tobytes().hex()


def from_text(text: str) -> np.ndarray:
    """The image (side, side) of `as_text`, 0 to 255."""
    flat = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    side = round(flat.size**0.5)
    return flat.reshape(side, side)


def side_by_side(images: Mapping[str, np.ndarray], title: str, caption: str) -> Figure:
    """Images (side, side) of bytes in rows of three, each with its name, of two lines at most, above."""
    down = -(-len(images) // _ACROSS)
    placed = [(name, image, k % _ACROSS, k // _ACROSS) for k, (name, image) in enumerate(images.items())]
    reach_x, reach_y = [0, _APART * _ACROSS - 0.06], [0.3 - _BELOW * down, 0]
    hidden: dict[str, Any] = {"visible": False, "fixedrange": True}
    layout = figure_layout(title, height=270 * down, top=40) | {
        "xaxis": {"range": reach_x, "constrain": "domain", **hidden},
        "yaxis": {
            "range": reach_y,
            "scaleanchor": "x",
            "constrain": "domain",
            "constraintoward": "top",
            "title": {"text": ""},
            **hidden,
        },
        "annotations": [_name(name, column, row) for name, _, column, row in placed],
        "showlegend": False,
    }
    words = f"{title} Images: {'; '.join(images).replace('<br>', ' ')}."
    return Figure(title, [_heatmap(*each) for each in placed], layout, (), words, caption)


def _heatmap(name: str, image: np.ndarray, column: int, row: int) -> dict[str, Any]:
    """The first row of pixels on top."""
    pixel = 1 / len(image)
    return {
        "type": "heatmap",
        "name": name.replace("<br>", " "),
        "z": image[::-1].tolist(),
        "x0": _APART * column + pixel / 2,
        "dx": pixel,
        "y0": -_BELOW * row - 1 + pixel / 2,
        "dy": pixel,
        "zmin": 0,
        "zmax": 255,
        "colorscale": [[0, "rgb(0,0,0)"], [1, "rgb(255,255,255)"]],
        "showscale": False,
        "hoverinfo": "skip",
    }


def _name(name: str, column: int, row: int) -> dict[str, Any]:
    place = {"x": _APART * column + 0.5, "y": -_BELOW * row, "xanchor": "center", "yanchor": "bottom"}
    return {"text": name, "showarrow": False, "font": {"size": 11, "color": INK}, **place}
