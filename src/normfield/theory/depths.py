"""Grids over depth: one field per depth, put together along the broadcast shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.network import Conv, Dense, Network
from normfield.theory.field import MeanField, number_or_array
from normfield.theory.population import OrderParameters


def over_depths(
    network: Network,
    depths: np.ndarray,
    axes: dict[str, Any],
    evaluate: Callable[[Network, dict[str, Any]], MeanField],
) -> MeanField:
    """The fields of all depths as one; order parameters end in NaN where L is smaller, and terms are left out.

    Parameters
    ----------
    network
        A description with equal hidden blocks.
    depths, axes
        The depth axis, and the others by name (None where the description's own value stands).
    evaluate
        The field of one network at the given points of the other axes.
    """
    given = {name: value for name, value in axes.items() if value is not None}
    depths, *others = np.broadcast_arrays(depths, *given.values())
    longest = int(depths.max())
    values: dict[str, np.ndarray] = {}
    found: list[MeanField] = []
    for number in np.unique(depths):
        here = depths == number
        at = {name: other[here] for name, other in zip(given, others, strict=True)}
        found.append(evaluate(with_depth(network, int(number)), at))
        _scatter(values, found[-1], here, longest)
    parameters = OrderParameters(*(values.pop(item.name) for item in fields(OrderParameters)))
    return replace(
        found[-1],
        order_parameters=parameters,
        terms=(),
        samples=axes["samples"],
        network=network,
        error=max(field.error for field in found),
        **{name: number_or_array(value) for name, value in values.items()},
    )


def _scatter(values: dict[str, np.ndarray], field: MeanField, here: np.ndarray, longest: int) -> None:
    for name in ("largest_eigenvalue", "finite_sample", "other_directions", "is_top"):
        found = np.asarray(getattr(field, name))
        values.setdefault(name, np.zeros(here.shape, found.dtype))[here] = found
    for item in fields(OrderParameters):
        found = getattr(field.order_parameters, item.name)
        target = values.setdefault(item.name, np.full((longest, *here.shape), np.nan))
        target[: len(found), here] = found.reshape(len(found), -1)


def with_depth(network: Network, depth: int) -> Network:
    """The same hidden block repeated to ``depth`` affine layers.

    Raises
    ------
    InvalidInput
        There is no hidden block, or they are not all alike, so that there is nothing to repeat.
    """
    head = network.layers[-1]
    starts = [k for k, layer in enumerate(network.layers[:-1]) if isinstance(layer, Dense | Conv)]
    if not starts:
        raise InvalidInput(
            expected="a hidden layer to repeat for a depth grid",
            got="none in front of the head",
            instead="describe a network of depth 2 or more",
        )
    ends = [*starts[1:], len(network.layers) - 1]
    blocks = [network.layers[a:b] for a, b in zip(starts, ends, strict=True)]
    if any(block != blocks[0] for block in blocks) or starts[0] != 0:
        raise InvalidInput(
            expected="equal hidden layers for a depth grid", got="layers that differ", instead="use nf.mlp"
        )
    return replace(network, layers=(*blocks[0] * (depth - 1), head))
