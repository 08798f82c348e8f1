"""The population theory's door: from a description to λ_max in one call."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Literal, get_args

import numpy as np

from normfield.errors import InvalidInput, NotCovered
from normfield.network import Network
from normfield.theory.chain import Chain, Grid, read_chain
from normfield.theory.depths import over_depths
from normfield.theory.field import MeanField, number_or_array
from normfield.theory.fisher import finite_sample_term, fisher_terms, other_directions
from normfield.theory.population import Statistics, run_population

Parameters = Literal["all", "weights"]


def mean_field(
    network: Network,
    statistics: Statistics = "batch",
    *,
    samples: Any = None,
    parameters: Parameters | None = None,
    gamma: Any = None,
    beta: Any = None,
    weight_variance: Any = None,
    bias_variance: Any = None,
    width: Any = None,
    depth: Any = None,
) -> MeanField:
    r"""Order parameters and largest Fisher eigenvalue of a network at initialisation, by population theory.

    The Fisher matrix is I = E_x Σ_c ∇f_c ∇f_cᵀ; theory gives its top eigenvalue per output at infinite width, where
    the C top eigenvalues coincide. ``statistics`` says how batch norm is taken:

    * "published": batch variance q, no gradient through the statistics [Wei, Eqs. 23–25];
    * "frozen": the statistics are constants of the data (inference mode);
    * "batch": the gradient flows through mean and variance (training mode), which leaves the closed form
      λ_max = N_{L−1}(E φ)² + 1 + σ_w²[(E φ′z)² + (E φ′)²] if every hidden layer is normalised.

    Parameters
    ----------
    network
        A chain of Dense or Conv layers, each with at most one norm and one activation; a dense head.
    statistics
        "published" | "frozen" | "batch".
    samples
        m, the number of samples; None is m → ∞. A finite m adds its leading-order term.
    parameters
        "all" | "weights". By default the published bound counts weights only, everything else all parameters.
    gamma, beta, weight_variance, bias_variance, width, depth
        Numbers or arrays that replace the description's in every layer; they broadcast against one another, so that
        a curve or a map is one call. ``depth`` needs equal hidden layers.

    Returns
    -------
    MeanField
        Numbers, or arrays of the broadcast shape.

    Raises
    ------
    NotCovered
        The theory does not cover the network; the message says why.
    InvalidInput
        A word is not among the choices, or a number is out of range.

    Examples
    --------
    >>> from normfield.network import mlp
    >>> net = mlp(inputs=784, width=1000, depth=4, outputs=10, gamma=1.0)
    >>> round(mean_field(net, statistics="published").largest_eigenvalue, 1)
    229.9
    >>> mean_field(net, gamma=np.linspace(0.1, 4, 5)).largest_eigenvalue.shape
    (5,)
    """
    _check_words(network, statistics, parameters)
    grid = Grid(*_checked_axes(gamma, beta, weight_variance, bias_variance, width))
    m = None if samples is None else _axis("samples", samples, least=1)
    axes = {item.name: getattr(grid, item.name) for item in fields(grid)} | {"samples": m}
    given = {name: value for name, value in axes.items() if value is not None}
    with np.errstate(over="ignore", invalid="ignore"):
        if depth is None:
            return replace(_field(network, statistics, m, parameters, grid), axes=given)
        depths = _axis("depth", depth, least=1)
        _shape(grid, m, depths)
        if np.any(depths % 1):
            raise InvalidInput(expected="depth as whole numbers", got=str(depths[depths % 1 > 0].flat[0]))
        found = over_depths(
            network,
            depths,
            axes,
            lambda deep, at: _field(deep, statistics, at.pop("samples", None), parameters, Grid(**at)),
        )
    return replace(found, axes=given | {"depth": depths})


def _field(
    network: Network, statistics: Statistics, m: Any, parameters: Parameters | None, grid: Grid
) -> MeanField:
    chain = read_chain(network, grid)
    _refuse_convolutions(chain, statistics)
    shape = _shape(grid, m)
    population = run_population(chain, statistics, shape)
    counted = parameters or ("weights" if statistics == "published" else "all")
    terms = tuple(t for t in fisher_terms(chain, population) if counted == "all" or t.kind == "weight")
    common = np.asarray(sum(np.broadcast_to(term.value, shape) for term in terms))
    added = np.zeros(shape) if m is None else finite_sample_term(chain, population, statistics) / m
    if not np.all(np.isfinite(common + added)):
        raise InvalidInput(
            expected="numbers whose moments float64 can hold", got="an overflow", instead="use smaller ones"
        )
    others = other_directions(chain, population, common, m)
    return MeanField(
        largest_eigenvalue=number_or_array(common + added),
        statistics=statistics,
        parameters=counted,
        samples=None if m is None else number_or_array(m),
        order_parameters=population.order_parameters,
        terms=terms,
        finite_sample=number_or_array(added),
        other_directions=number_or_array(others),
        is_top=number_or_array(common > others),
        assumption=_assumption(chain, statistics, bool(np.all(common > others))),
        error=population.error,
        network=network,
    )


def _shape(grid: Grid, *others: np.ndarray | None) -> tuple[int, ...]:
    given = [getattr(grid, item.name) for item in fields(grid)] + list(others)
    shapes = [np.shape(value) for value in given if value is not None]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise InvalidInput(
            expected="axes that broadcast against one another", got=f"shapes {shapes}"
        ) from None


def _check_words(network: Network, statistics: object, parameters: object) -> None:
    if not isinstance(network, Network):
        raise InvalidInput(
            expected="a Network", got=type(network).__name__, instead="describe it with nf.mlp or nf.Network"
        )
    if statistics not in get_args(Statistics):
        raise InvalidInput(expected='statistics "published", "frozen" or "batch"', got=repr(statistics))
    if parameters is not None and parameters not in get_args(Parameters):
        raise InvalidInput(expected='parameters "all" or "weights"', got=repr(parameters))


def _checked_axes(gamma: Any, beta: Any, weight_variance: Any, bias_variance: Any, width: Any) -> list[Any]:
    axes = (
        ("gamma", gamma, -np.inf),
        ("beta", beta, -np.inf),
        ("weight_variance", weight_variance, np.finfo(float).tiny),
        ("bias_variance", bias_variance, 0.0),
        ("width", width, 1.0),
    )
    return [None if value is None else _axis(name, value, least) for name, value, least in axes]


def _axis(name: str, values: Any, least: float) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InvalidInput(expected=f"{name} as a number or an array", got=repr(values)) from None
    if array.size == 0:
        raise InvalidInput(expected=f"at least one value of {name}", got="none")
    if not np.all(np.isfinite(array)) or np.any(array < least):
        bound = "positive" if 0 < least < 1 else f"at least {least:g}"
        raise InvalidInput(
            expected=f"finite {name}" + ("" if least == -np.inf else f", {bound}"),
            got=str(array.reshape(-1)[~(np.isfinite(array) & (array >= least)).reshape(-1)][0]),
        )
    return array


def _refuse_convolutions(chain: Chain, statistics: str) -> None:
    padded = [affine.number for affine in chain.affines if affine.padded]
    if padded and statistics != "published" and chain.has("batch"):
        raise NotCovered(
            f"layer {padded[0]} is a padded convolution, whose border has other statistics (289 measured with "
            f'padding 1 against 130.7): use statistics="published", the kernel or the measured answer'
        )


def _assumption(chain: Chain, statistics: str, is_top: bool) -> str:
    if not is_top:
        return (
            "The direction that all samples share does not dominate here (an odd activation, gradients that grow with "
            "depth, or too few units): the value is a lower bound, not the top eigenvalue; use the measured answer."
        )
    if any(affine.kind == "conv" for affine in chain.affines):
        border = " Padding is ignored." if any(affine.padded for affine in chain.affines) else ""
        return f"Infinite width, i.i.d. inputs of unit variance; for convolutions a lower bound.{border}"
    if statistics == "published" and chain.has("batch"):
        return "As published: batch variance q, no gradient through the statistics; i.i.d. inputs of unit variance."
    return "Infinite width, i.i.d. inputs of unit variance; the mean of the C top eigenvalues."
