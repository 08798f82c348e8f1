"""Which way a normalised layer's moments are computed: exactly, with the normaliser at its mean, or by sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normfield.errors import InvalidInput
from normfield.network import ActivationFunction
from normfield.theory.kernels.layer.concentrated import DOUBTFUL, concentrated_moments, participation_ratio
from normfield.theory.kernels.layer.homogeneous import homogeneous_moments
from normfield.theory.kernels.layer.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.layer.sampled import sampled_moments
from normfield.theory.kernels.pair_laws.laws import slope_at

EXACT_ON_IMAGES = 1024
"""The most samples × positions for which "auto" integrates exactly (about 4 s a layer); beyond, positions are many
enough for the normaliser to be at its mean."""

# Measured in multiples of 1/directions, see `DOUBTFUL`.
_TOP_ERROR, _ENTRY_ERROR = 0.6, 2.5

METHODS = ("auto", "exact", "concentrated", "monte_carlo")


@dataclass(frozen=True)
class Ways:
    """What the caller chose.

    Attributes
    ----------
    method : {"auto", "exact", "concentrated", "monte_carlo"}
    tolerance : float
        Relative, of the exact integrals.
    samples, seed : int
        Of Monte Carlo.
    """

    method: str = "auto"
    tolerance: float = 1e-8
    samples: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class Used:
    """The way that one layer took, and over how many directions its variance is spread where that matters."""

    layer: str
    method: str
    directions: float = math.inf


def batch_normalised(
    nngp: Any,
    ntk: Any,
    norm: BatchNormalisation,
    phi: ActivationFunction,
    ways: Ways,
    name: str,
    on_image: bool,
) -> tuple[LayerMoments, Used]:
    """The moments of φ(γu + β), and how they were found.

    Parameters
    ----------
    nngp, ntk : array
        K and Θ (n, n) in front of the norm.
    norm, phi
    ways : Ways
        "auto" takes the exact integrals where they exist, on images of many positions the concentrated ones.
    name : str
        The layer's, for messages.
    on_image : bool
        Whether n counts positions too.

    Raises
    ------
    InvalidInput
        method="exact" for an activation or a shift that has no exact integrals.
    """
    reason = not_exact(norm, phi)
    if ways.method == "exact" and reason:
        raise InvalidInput(
            expected='φ(x) = c₁x + c₂|x| and β = 0 for method="exact"',
            got=f"{reason} at layer {name}",
            instead='use method="concentrated", "monte_carlo" or "auto"',
        )
    if ways.method == "monte_carlo":
        return sampled_moments(nngp, ntk, norm, phi, ways.samples, ways.seed), Used(name, "monte_carlo")
    is_short = not on_image or nngp.shape[0] <= EXACT_ON_IMAGES
    if ways.method == "exact" or (ways.method == "auto" and not reason and is_short):
        assert phi.homogeneous is not None
        moments = homogeneous_moments(nngp, ntk, norm, *phi.homogeneous, ways.tolerance, slope_at(phi, 0.0))
        return moments, Used(name, "exact")
    return concentrated_moments(nngp, ntk, norm, phi), Used(name, "concentrated", participation_ratio(nngp))


def not_exact(norm: BatchNormalisation, phi: ActivationFunction) -> str:
    """Why there are no exact integrals; empty where there are."""
    if phi.homogeneous is None:
        return phi.name
    return f"β = {norm.beta:g}" if norm.beta != 0 else ""


def doubts_in_words(used: Sequence[Used]) -> tuple[str, ...]:
    """One sentence on the layers whose batch has its variance in too few directions for a constant normaliser."""
    # Without any variance, 0 directions, ε alone divides: that is a constant.
    doubtful = [each for each in used if 0 < each.directions < DOUBTFUL]
    if not doubtful:
        return ()
    least = min(each.directions for each in doubtful)
    layers = f"layer{'s' * (len(doubtful) > 1)} " + ", ".join(each.layer.split()[0] for each in doubtful)
    return (
        f"concentrated: the batch's variance lies in {least:.3g} directions or a few more before {layers}, below "
        f"{DOUBTFUL:g}, so that the top eigenvalue may be off by {100 * _TOP_ERROR / least:.2g} %, entries by "
        f'{100 * _ENTRY_ERROR / least:.2g} %; compare method="monte_carlo"',
    )
