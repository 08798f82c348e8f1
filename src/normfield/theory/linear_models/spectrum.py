"""The second moment of the inputs by its eigenvalues, and the coordinates in which it is diagonal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.errors import InvalidInput
from normfield.theory.linear_models.reading import numbers

_SYMMETRIC = 1e-10  # relative to the largest entry


@dataclass(frozen=True, eq=False)
class Spectrum:
    """S = VΛVᵀ: eigenvalues (d,), rising, and eigenvectors as columns (d, d)."""

    eigenvalues: np.ndarray
    vectors: np.ndarray

    @property
    def condition_number(self) -> float:
        """κ = λ_max/λ_min."""
        return float(self.eigenvalues[-1] / self.eigenvalues[0])

    def inwards(self, points: np.ndarray) -> np.ndarray:
        """Rows (…, d) as rows of coordinates."""
        return points @ self.vectors

    def outwards(self, coordinates: np.ndarray) -> np.ndarray:
        """The way back."""
        return coordinates @ self.vectors.T

    def solved(self, vector: np.ndarray) -> np.ndarray:
        """S⁻¹ times a vector (d,)."""
        return self.outwards(self.inwards(vector) / self.eigenvalues)

    def projected(self, vector: np.ndarray) -> np.ndarray:
        r"""Eigenvalues (d − 1,), rising, of S − S u uᵀ S/(uᵀSu) without the 0 in the direction of u [Cai].

        They interlace those of S: λ_i ≤ λ_i* ≤ λ_{i+1}.
        """
        along = self.inwards(vector) * self.eigenvalues
        along = along / np.sqrt(np.sum(along**2 / self.eigenvalues))
        found = np.linalg.eigvalsh(np.diag(self.eigenvalues) - np.outer(along, along))[1:]
        return np.clip(found, self.eigenvalues[:-1], self.eigenvalues[1:])


def spectrum(name: str, matrix: object) -> Spectrum:
    """Eigenvalues and eigenvectors of a matrix given by the caller.

    Raises
    ------
    InvalidInput
        It is not square, not symmetric, or not positive definite to round-off.
    """
    given = numbers(name, matrix, "(d, d)")
    if given.shape[0] != given.shape[1]:
        raise InvalidInput(expected=f"{name} as a square matrix", got=f"shape {given.shape}")
    if np.max(np.abs(given - given.T)) > _SYMMETRIC * np.max(np.abs(given)):
        raise InvalidInput(
            expected=f"a symmetric {name}",
            got=f"entries that differ by {np.max(np.abs(given - given.T)):.2g} from their mirror image",
            instead="give the second moment of the inputs",
        )
    values, vectors = np.linalg.eigh((given + given.T) / 2)
    _check_definite(name, values)
    return Spectrum(values, vectors)


def _check_definite(name: str, values: np.ndarray) -> None:
    floor = len(values) * np.finfo(float).eps * max(values[-1], 0.0)
    if values[0] > floor:
        return
    raise InvalidInput(
        expected=f"a positive definite {name}",
        got=f"eigenvalues from {values[0]:.3g} to {values[-1]:.3g}, {np.count_nonzero(values <= floor)} of them 0 to "
        "round-off or below",
        instead="leave out inputs that are constant or a combination of others, or add a small multiple of 1",
    )
