"""The way back through layers that move between positions: adjoints of the maps of ``positions``.

A gradient at a window's output reaches every place of the window, so that kernels of gradients spread where kernels of
signals were gathered: Σ_f S_f K S_fᵀ / |F| goes back as Σ_f S_fᵀ Π S_f / |F|, and A K Aᵀ as Aᵀ Π A.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from normfield.theory.kernels.walk.positions import Windows, everywhere, window_places


def _inside(positions: tuple[int, ...], windows: Windows) -> tuple[slice, slice, slice]:
    """The image within its padding."""
    (_, _, top), (_, _, left) = windows.down, windows.across
    return slice(None), slice(top, top + positions[0]), slice(left, left + positions[1])


def _wide(samples: int, positions: tuple[int, ...], windows: Windows) -> tuple[int, int, int]:
    """(B, H, W) with the padding."""
    (_, _, top), (_, _, left) = windows.down, windows.across
    return samples, positions[0] + 2 * top, positions[1] + 2 * left


def convolved_back(pi: Any, samples: int, positions: tuple[int, ...], windows: Windows) -> Any:
    """(1/|F|) Σ_f S_fᵀ Π S_f, the adjoint of `positions.convolved`.

    Parameters
    ----------
    pi : array
        (n′, n′), n′ = samples × positions of the output.
    samples : int
    positions : tuple of int
        (height, width) of the input.
    windows : Windows

    Returns
    -------
    array
        (n, n), n = samples × height × width.
    """
    xp = array_namespace(pi)
    wide = xp.zeros(_wide(samples, positions, windows) * 2, dtype=pi.dtype, device=pi.device)
    for place in window_places(positions, windows):
        one = wide[place + place]
        wide[place + place] = one + xp.reshape(pi, one.shape) / windows.places
    inside = _inside(positions, windows)
    side = samples * positions[0] * positions[1]
    return xp.reshape(wide[inside + inside], (side, side))


def _spread_one_side(pi: Any, samples: int, positions: tuple[int, ...], windows: Windows) -> Any:
    """Aᵀ·Π for Π (n′, m)."""
    xp = array_namespace(pi)
    columns = pi.shape[1]
    wide = xp.zeros((*_wide(samples, positions, windows), columns), dtype=pi.dtype, device=pi.device)
    for place in window_places(positions, windows):
        one = wide[place]
        wide[place] = one + xp.reshape(pi, one.shape) / windows.places
    return xp.reshape(wide[_inside(positions, windows)], (-1, columns))


def averaged_back(pi: Any, samples: int, positions: tuple[int, ...], windows: Windows) -> Any:
    """Aᵀ Π A, the adjoint of `positions.averaged`: from (n′, n′) to (n, n)."""
    once = _spread_one_side(pi, samples, positions, windows)
    return _spread_one_side(once.T, samples, positions, windows).T


def same_place_back(pi: Any, samples: int, positions: tuple[int, ...]) -> Any:
    """The adjoint of `positions.same_place`: what is between two samples, shared among their equal positions."""
    if not positions:
        return pi
    return convolved_back(pi, samples, positions, everywhere(positions))
