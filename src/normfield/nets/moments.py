"""Sums over a weight matrix, taken a few rows at a time in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

_AT_ONCE = 200_000  # entries in float64 at a time: what fits a processor's cache is fastest


@dataclass(frozen=True)
class Moments:
    """Averages over the n entries of a weight, units by fan-in.

    Attributes
    ----------
    units, fan_in
        Rows and columns: output units (channels), and inputs of one unit.
    mean, power
        E w, and E w², E w⁴, E w⁶, E w⁸.
    largest
        max |w|.
    rows, columns
        Sum of squares in each row and in each column.
    """

    units: int
    fan_in: int
    mean: float
    power: tuple[float, float, float, float]
    largest: float
    rows: np.ndarray
    columns: np.ndarray

    @property
    def count(self) -> int:
        """n."""
        return self.units * self.fan_in

    @property
    def kurtosis(self) -> float:
        """E w⁴ / (E w²)²: 3 for normal, 1.8 for uniform weights."""
        return self.power[1] / self.power[0] ** 2

    @property
    def variance(self) -> float:
        """σ_w² = fan_in · E w², the variance of a preactivation per unit of input."""
        return self.fan_in * self.power[0]

    @property
    def error(self) -> float:
        """One standard error of σ_w² for independent entries."""
        return self.fan_in * float(np.sqrt(max(self.power[1] - self.power[0] ** 2, 0.0) / self.count))


def _or_not_a_number(value: float) -> float:
    """Not a number counts as larger than all."""
    return math.inf if math.isnan(value) else value


def moments_of(weight: torch.Tensor) -> Moments:
    """The sums over a weight of shape (units, …)."""
    matrix = weight.detach().reshape(weight.shape[0], -1)
    units, fan_in = matrix.shape
    total, largest = 0.0, 0.0
    powers = np.zeros(4)
    rows, columns = [], np.zeros(fan_in)
    for part in matrix.split(max(1, _AT_ONCE // fan_in)):
        block = part.to("cpu", torch.float64)
        total += float(block.sum())
        largest = max(largest, *(float(end.abs()) for end in block.aminmax()), key=_or_not_a_number)
        square = block.square()
        rows.append(square.sum(1).numpy())
        columns += square.sum(0).numpy()
        fourth = square.square()
        powers += [
            float(s) for s in (square.sum(), fourth.sum(), (fourth * square).sum(), fourth.square().sum())
        ]
    count = units * fan_in
    second, fourth_power, sixth, eighth = (float(power / count) for power in powers)
    return Moments(
        units,
        fan_in,
        total / count,
        (second, fourth_power, sixth, eighth),
        largest,
        np.concatenate(rows),
        columns,
    )
