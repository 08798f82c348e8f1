"""A test image, its pixels' coordinates, and what it holds at which spatial frequency."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.fft import dctn

#: Octaves of spatial frequency, in half periods per image side; the last goes up to the finest.
BANDS = ("1_to_2", "2_to_4", "4_to_8", "8_to_16", "16_up")


def pixel_places(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y of the pixels' centres, each (side, side), from −1 to 1."""
    along = (np.arange(side) + 0.5) / side * 2 - 1
    down, across = np.meshgrid(along, along, indexing="ij")
    return across, down


def test_image(side: int) -> np.ndarray:
    """Brightness (side, side) between 0 and 1: rings that narrow outwards, a disc and a square, on a slope."""
    x, y = pixel_places(side)
    distance = x**2 + y**2
    image = 0.5 + 0.18 * x + 0.2 * np.cos(3.6 * np.pi * distance) * (distance < 0.8)
    image[(x - 0.45) ** 2 + (y + 0.5) ** 2 < 0.06] = 0.95
    image[(np.abs(x + 0.55) < 0.25) & (np.abs(y - 0.55) < 0.25)] = 0.1
    return image


def encoded(side: int, frequencies: int) -> np.ndarray:
    """Inputs (side², features) with a mean of ‖·‖² that is the number of features.

    The two coordinates themselves, or with F ≥ 1 frequencies the sines and cosines of 2^k π times each, k = 0 … F − 1.
    """
    places = np.stack([each.ravel() for each in pixel_places(side)], axis=1)
    if frequencies == 0:
        return places / np.sqrt(np.mean(places**2))
    phases = (places[:, :, None] * (np.pi * 2.0 ** np.arange(frequencies))).reshape(len(places), -1)
    return np.sqrt(2) * np.concatenate([np.sin(phases), np.cos(phases)], axis=1)


def energy_by_band(difference: np.ndarray) -> np.ndarray:
    """The squared cosine amplitudes of an image (side²,) in each band; its mean has none."""
    side = round(difference.size**0.5)
    power = np.square(np.asarray(dctn(difference.reshape(side, side), norm="ortho")))
    radius = np.hypot(*np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    edges = 2.0 ** np.arange(len(BANDS) + 1)
    edges[-1] = np.inf
    return np.array([power[(radius >= low) & (radius < high)].sum() for low, high in pairwise(edges)])


def in_decibels(mean_square: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of an image whose brightness spans 1: −10 log₁₀ of the mean squared difference."""
    return -10 * np.log10(np.asarray(mean_square, dtype=float))
