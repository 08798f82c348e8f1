"""A real table for linear models: leading principal components of the digits' pixels, and a class to tell."""

from __future__ import annotations

import numpy as np

from normfield.data import load


def digit_components(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Components (n, count) of the largest variance, scaled to mean variance 1, and whether the digit is 5 or more."""
    data = load("digits")
    pixels = np.asarray(data.inputs, dtype=float).reshape(len(data.inputs), -1)
    centred = pixels - pixels.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:count]
    components = centred @ directions.T
    return components / np.sqrt(np.mean(components**2)), np.asarray(data.targets) >= 5
