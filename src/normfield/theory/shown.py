"""How a field is shown: its terms as bars, its order parameters as lines, and both as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Column, Figure, Series, Table, bars, lines

if TYPE_CHECKING:
    from normfield.theory.fisher import Term
    from normfield.theory.population import OrderParameters

KINDS = {"weight": "weights", "bias": "biases", "gamma": "γ of norms", "beta": "β of norms"}

_LETTERS = {
    "q": "q, pre-activations",
    "q_xy": "q_xy, two samples",
    "q_hat": "q̂, activations",
    "q_hat_xy": "q̂_xy, two samples",
    "q_tilde": "q̃, gradient",
    "q_tilde_xy": "q̃_xy, two samples",
}


def shares(terms: Sequence[Term], scale: float = 1.0) -> dict[str, dict[int, float]]:
    """kind → layer → term of λ_max, times a scale that takes it to another loss."""
    found: dict[str, dict[int, float]] = {}
    for term in terms:
        by_layer = found.setdefault(term.kind.removesuffix(" after"), {})
        by_layer[term.layer] = by_layer.get(term.layer, 0.0) + float(term.value) * scale
    return found


def by_layer(found: dict[str, dict[int, float]]) -> tuple[list[str], dict[str, list[float]]]:
    """Labels "layer 1" … and, for each kind, one value per layer."""
    last = max((layer for values in found.values() for layer in values), default=0)
    labels = [f"layer {l}" for l in range(1, last + 1)]
    return labels, {kind: [values.get(l, 0.0) for l in range(1, last + 1)] for kind, values in found.items()}


def terms_figure(terms: Sequence[Term]) -> Figure:
    """What each layer's parameters add to λ_max, as stacked bars."""
    labels, values = by_layer(shares(terms))
    named = {KINDS.get(kind, kind): value for kind, value in values.items()}
    return bars(labels, named, value_title="part of λ_max", title="Where λ_max comes from, by theory")


def terms_table(terms: Sequence[Term], title: str) -> Table:
    """One row per layer, one column per kind of parameter."""
    labels, values = by_layer(shares(terms))
    columns = [Column("layer"), *(Column(KINDS.get(kind, kind), digits=4) for kind in values)]
    rows = [(label, *(column[i] for column in values.values())) for i, label in enumerate(labels)]
    return Table(title, columns, rows)


def parameters_figure(parameters: OrderParameters) -> Figure:
    """Every order parameter against the layer, on a logarithmic axis.

    Raises
    ------
    InvalidInput
        The parameters are those of a grid.
    """
    one_network(parameters.q.ndim == 1, "order parameters", parameters.q.shape[1:])
    layers = np.arange(1, len(parameters.q) + 1)
    series = [
        Series(_LETTERS[item.name], layers, values, style="dashed" if item.name.endswith("xy") else "line")
        for item in fields(parameters)
        if np.any((values := getattr(parameters, item.name)) > 0)
    ]
    return lines(series, "layer", "order parameter", log_y=True, title="Order parameters by layer")


def one_network(is_one: bool, what: str, shape: tuple[int, ...]) -> None:
    """Refuse to draw a grid as if it were one network."""
    if not is_one:
        raise InvalidInput(
            expected=f"the {what} of one network to draw",
            got=f"a grid of shape {shape}",
            instead="draw one point of it, or use .to_frame()",
        )
