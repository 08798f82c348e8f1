"""Which way a normalised layer's moments are computed: exactly, with the normaliser at its mean, or by sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from normfield.errors import InvalidInput
from normfield.network import ActivationFunction
from normfield.theory.kernels.concentrated import DOUBTFUL, concentrated_moments, participation_ratio
from normfield.theory.kernels.homogeneous import homogeneous_moments
from normfield.theory.kernels.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.sampled import sampled_moments

EXACT_ON_IMAGES = 1024
"""The most samples × positions for which "auto" integrates exactly (about 4 s a layer); beyond, positions are many
enough for the normaliser to be at its mean."""

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
    """The way that one layer took, and what speaks against it."""

    method: str
    doubt: str = ""


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
    reason = _not_exact(norm, phi)
    if ways.method == "exact" and reason:
        raise InvalidInput(
            expected='φ(x) = c₁x + c₂|x| and β = 0 for method="exact"',
            got=f"{reason} at layer {name}",
            instead='use method="concentrated", "monte_carlo" or "auto"',
        )
    if ways.method == "monte_carlo":
        return sampled_moments(nngp, ntk, norm, phi, ways.samples, ways.seed), Used("monte_carlo")
    is_short = not on_image or nngp.shape[0] <= EXACT_ON_IMAGES
    if ways.method == "exact" or (ways.method == "auto" and not reason and is_short):
        assert phi.homogeneous is not None
        return homogeneous_moments(nngp, ntk, norm, *phi.homogeneous, ways.tolerance), Used("exact")
    return concentrated_moments(nngp, ntk, norm, phi), Used("concentrated", _doubt(nngp, name))


def _not_exact(norm: BatchNormalisation, phi: ActivationFunction) -> str:
    """Why there are no exact integrals; empty where there are."""
    if phi.homogeneous is None:
        return phi.name
    return f"β = {norm.beta:g}" if norm.beta != 0 else ""


def _doubt(nngp: Any, name: str) -> str:
    """A few directions carry the batch's variance: then its sum is no constant."""
    ratio = float(participation_ratio(nngp))
    if ratio >= DOUBTFUL:
        return ""
    return (
        f"layer {name}: the batch's variance lies in about {ratio:.3g} directions, too few (below {DOUBTFUL:g}) to "
        f'take it as constant; compare method="monte_carlo"'
    )
