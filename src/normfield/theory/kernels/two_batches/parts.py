"""Whose statistics each point of a joint batch is normalised by.

Two batches that each have their own, or a batch and further points that borrow the batch's: z goes to
y = z − (mean over the source), R = ‖y over the source‖² + Bε, u = √B·y/√R, B the size of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace


@dataclass(frozen=True)
class Part:
    """Points that share statistics, and the points that these are taken over."""

    points: slice
    source: slice

    @property
    def size(self) -> int:
        """B of the source."""
        return self.source.stop - self.source.start


def apart(first: int, points: int) -> tuple[Part, Part]:
    """Two batches, each normalised by its own statistics."""
    own, other = slice(0, first), slice(first, points)
    return Part(own, own), Part(other, other)


def borrowing(first: int, points: int) -> tuple[Part]:
    """A batch, and further points normalised by its statistics."""
    return (Part(slice(0, points), slice(0, first)),)


def centred_by(matrix: Any, parts: Sequence[Part]) -> Any:
    """H X Hᵀ, H taking the source's mean off each part; twice, so that a large common part leaves no rounding."""
    for _ in range(2):
        matrix = _rows_centred(_rows_centred(matrix, parts).T, parts).T
    return matrix


def _rows_centred(matrix: Any, parts: Sequence[Part]) -> Any:
    space = array_namespace(matrix)
    rows = [
        matrix[part.points, :] - space.mean(matrix[part.source, :], axis=0, keepdims=True) for part in parts
    ]
    return space.concat(rows, axis=0)
