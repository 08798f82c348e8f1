"""Figures of explosion rates over batch size, and of gradients over layers."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from normfield.report import Figure, Mark, Series, lines
from normfield.studies.curves import column, number, where
from normfield.studies.frame import Row, Rows
from normfield.studies.rate_rows import (
    FINE,
    activation_words,
    activations,
    furthest_in_percent,
    ratio,
    relative_error,
    trainable_depth,
)


def steps(rows: Rows) -> list[int]:
    """Numbers of layers after which the table has the gradient's growth."""
    return [int(key.removeprefix("grown_")) for key in rows[0] if key.startswith("grown_")]


def draw(rows: Rows) -> tuple[Figure, ...]:
    """Rates, growth, the depth that follows, and how near simulation and theory are."""
    return (_rate_figure(rows), _growth_figure(rows), _depth_figure(rows), _nearness_figure(rows))


def _rate_figure(rows: Rows) -> Figure:
    series = [one for name in activations(rows) for one in _rate_series(name, where(rows, activation=name))]
    return lines(
        series,
        "batch size B",
        "explosion rate λ_G: growth of the squared gradient per layer",
        log_x=True,
        title=_headline(rows),
        caption="Lines: theory at infinite width, nothing fitted. Points: networks at initialisation, with two "
        "standard errors (mostly smaller than the point).",
    )


def _headline(rows: Rows) -> str:
    """The finding as a sentence, with its numbers."""
    near = furthest_in_percent(rows)
    return f"Gradients explode at every batch size: {len(rows)} simulated rates are within {near} of theory"


def _rate_series(name: str, own: Rows) -> list[Series]:
    sizes, simulated, error = (column(own, key) for key in ("batch_size", "simulated", "error"))
    fine = np.geomspace(sizes.min(), sizes.max(), FINE)
    return [
        Series(
            f"{activation_words(name)}, theory",
            fine,
            _line(own)(1 / (fine - 3)),
            group=activation_words(name),
        ),
        Series(
            f"{activation_words(name)}, simulated",
            sizes,
            simulated,
            "markers",
            low=simulated - 2 * error,
            high=simulated + 2 * error,
            group=activation_words(name),
        ),
    ]


def _line(own: Rows) -> PchipInterpolator:
    """Through the table's values of the theory, B = ∞ included, over 1/(B − 3), in which it is nearly straight."""
    x = np.append(1 / (column(own, "batch_size") - 3), 0.0)
    y = np.append(column(own, "theory"), number(own[0], "theory_infinite"))
    order = np.argsort(x)
    return PchipInterpolator(x[order], y[order])


def _growth_figure(rows: Rows) -> Figure:
    """Of one batch size, the table's middle one."""
    sizes = sorted({int(number(row, "batch_size")) for row in rows})
    middle = sizes[len(sizes) // 2]
    own = where(rows, batch_size=middle)
    series = [one for row in own for one in _growth_series(row, steps(rows))]
    return lines(
        series,
        "layers going backwards",
        "squared gradient norm, as a multiple of where we start",
        log_y=True,
        title=f"At batch size {middle} the squared gradient grows by the same factor at every layer",
        caption="Lines: powers of the theory's rate. Points: mean and spread over networks, both of logarithms.",
    )


def _growth_series(row: Row, steps: list[int]) -> list[Series]:
    name = activation_words(row["activation"])
    grown = np.array([1.0, *(number(row, f"grown_{step}") for step in steps)])
    spread = np.exp([0.0, *(number(row, f"spread_{step}") for step in steps)])
    x = np.array([0, *steps])
    return [
        Series(f"{name}, theory", x, number(row, "theory") ** x, group=name),
        Series(
            f"{name}, simulated", x, grown, "markers", low=grown / spread, high=grown * spread, group=name
        ),
    ]


def _depth_figure(rows: Rows) -> Figure:
    series = [one for name in activations(rows) for one in _depth_series(name, where(rows, activation=name))]
    return lines(
        series,
        "batch size B",
        "16ξ = 16/ln λ_G, in layers",
        log_x=True,
        log_y=True,
        title="About how deep a network can be to train",
        caption="The paper's rule, from the rates of the first figure; shallower networks train, deeper ones do not.",
    )


def _depth_series(name: str, own: Rows) -> list[Series]:
    sizes = column(own, "batch_size")
    fine = np.geomspace(sizes.min(), sizes.max(), FINE)
    return [
        Series(
            f"{activation_words(name)}, theory",
            fine,
            trainable_depth(_line(own)(1 / (fine - 3))),
            group=activation_words(name),
        ),
        Series(
            f"{activation_words(name)}, simulated",
            sizes,
            trainable_depth(column(own, "simulated")),
            "markers",
            group=activation_words(name),
        ),
    ]


def _nearness_figure(rows: Rows) -> Figure:
    series = []
    for place, name in enumerate(activations(rows)):
        own = where(rows, activation=name)
        off, error = 100 * (ratio(own) - 1), 200 * relative_error(own)
        aside = column(own, "batch_size") * (1 + 0.03 * place)
        series.append(
            Series(activation_words(name), aside, off, "markers", low=off - error, high=off + error)
        )
    return lines(
        series,
        "batch size B",
        "simulated above theory, per cent",
        log_x=True,
        marks=[Mark(0.0, "", axis="y")],
        title="How far the simulated rates are from the theory's",
        caption="Bars: two standard errors. At each batch size the activations stand a little beside one another.",
    )
