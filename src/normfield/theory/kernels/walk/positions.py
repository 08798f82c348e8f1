"""How layers that move between positions of an image act on kernels between all positions of all samples.

Each is linear in the image, z′ = Σ_f S_f z with S_f the shift (and stride) to place f of a window and zeros outside the
image. A convolution's independent weights leave Σ_f S_f K S_fᵀ; an average mixes all pairs of places, A K Aᵀ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from array_api_compat import array_namespace


@dataclass(frozen=True)
class Windows:
    """Windows that slide over an image: (window, stride, padding) along height and along width."""

    down: tuple[int, int, int]
    across: tuple[int, int, int]

    @property
    def places(self) -> int:
        """|F|, positions in one window."""
        return self.down[0] * self.across[0]

    def offsets(self) -> Iterator[tuple[int, int]]:
        """Every place of a window."""
        return product(range(self.down[0]), range(self.across[0]))


def _padded(kernel: Any, windows: Windows) -> Any:
    """Zeros around both images of (B, H, W, B, H, W)."""
    xp = array_namespace(kernel)
    (_, _, top), (_, _, left) = windows.down, windows.across
    if top == 0 and left == 0:
        return kernel
    b, h, w = kernel.shape[:3]
    wide = xp.zeros((b, h + 2 * top, w + 2 * left) * 2, dtype=kernel.dtype, device=kernel.device)
    inside = (slice(None), slice(top, top + h), slice(left, left + w))
    wide[inside + inside] = kernel
    return wide


def _shifted(axis_length: int, offset: int, along: tuple[int, int, int]) -> slice:
    """The entries of one padded axis that stand at one place of their windows."""
    window, stride, padding = along
    count = (axis_length + 2 * padding - window) // stride + 1
    return slice(offset, offset + (count - 1) * stride + 1, stride)


def window_places(positions: tuple[int, ...], windows: Windows) -> Iterator[tuple[slice, slice, slice]]:
    """Of padded images (B, H, W), the entries at one place of every window, place by place."""
    for down, across in windows.offsets():
        yield (
            slice(None),
            _shifted(positions[0], down, windows.down),
            _shifted(positions[1], across, windows.across),
        )


def _as_images(kernel: Any, samples: int, positions: tuple[int, ...]) -> Any:
    return array_namespace(kernel).reshape(kernel, (samples, *positions) * 2)


def _as_matrix(kernel: Any) -> Any:
    side = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    return array_namespace(kernel).reshape(kernel, (side, side))


def convolved(kernel: Any, samples: int, positions: tuple[int, ...], windows: Windows) -> Any:
    """(1/|F|) Σ_f S_f K S_fᵀ: the mean over a window's places of the kernel between the same places of two windows.

    Parameters
    ----------
    kernel : array
        (n, n), n = samples × height × width.
    samples : int
    positions : tuple of int
        (height, width).
    windows : Windows

    Returns
    -------
    array
        (n′, n′), n′ = samples × positions of the output.
    """
    wide = _padded(_as_images(kernel, samples, positions), windows)
    total = None
    for place in window_places(positions, windows):
        term = wide[place + place]
        total = term / windows.places if total is None else total + term / windows.places
    return _as_matrix(total)


def _pool_one_side(kernel: Any, samples: int, positions: tuple[int, ...], windows: Windows) -> Any:
    """A·K for K (n, m), A the average over each window, zeros of the padding counted."""
    xp = array_namespace(kernel)
    (_, _, top), (_, _, left) = windows.down, windows.across
    h, w = positions
    image = xp.reshape(kernel, (samples, h, w, kernel.shape[1]))
    if top or left:
        wide = xp.zeros(
            (samples, h + 2 * top, w + 2 * left, kernel.shape[1]), dtype=kernel.dtype, device=kernel.device
        )
        wide[:, top : top + h, left : left + w] = image
        image = wide
    total = None
    for place in window_places(positions, windows):
        term = image[place]
        total = term / windows.places if total is None else total + term / windows.places
    assert total is not None
    return xp.reshape(total, (-1, kernel.shape[1]))


def averaged(kernel: Any, samples: int, positions: tuple[int, ...], windows: Windows) -> Any:
    """A K Aᵀ with A the average over each window (padding counts as zeros), (n′, n′)."""
    once = _pool_one_side(kernel, samples, positions, windows)
    return _pool_one_side(once.T, samples, positions, windows).T


def averaged_vector(vector: Any, samples: int, positions: tuple[int, ...], windows: Windows) -> Any:
    """A·v for v (n,)."""
    return _pool_one_side(vector[:, None], samples, positions, windows)[:, 0]


def everywhere(positions: tuple[int, ...]) -> Windows:
    """One window over the whole image: the global average."""
    return Windows((positions[0], 1, 0), (positions[1], 1, 0))


def same_place(kernel: Any, samples: int, positions: tuple[int, ...]) -> Any:
    """The mean over positions of the kernel between equal positions of two samples (B, B): what flattening leaves."""
    if not positions:
        return kernel
    return convolved(kernel, samples, positions, everywhere(positions))
