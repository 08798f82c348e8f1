"""The initialisations that people use, and which of them a weight or a bias looks drawn by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import gammainc, gammaincc, ndtr
from torch import nn

from normfield.nets.moments import Moments

#: Standard errors within which an estimate agrees with an initialisation.
AGREES = 4.0
#: Chance that a draw is taken not to be what it is, in the exact tests.
_CHANCE = 1e-6
# Kurtosis of a normal distribution cut off at two standard deviations, as nn.init.trunc_normal_(std=1) draws.
_EDGE = 2 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(2 / math.sqrt(2))  # 2·density(2) / mass
_CUT = (3 - 14 * _EDGE) / (1 - 2 * _EDGE) ** 2


@dataclass(frozen=True)
class Initialisation:
    """W with σ_w² = fan_in · Var W, drawn uniformly or normally."""

    name: str
    variance: float
    uniform: bool

    def agrees(self, seen: Moments) -> bool:
        """Whether weights with these moments may be a draw of it."""
        if self.uniform:
            return fills(seen.largest, seen.count, math.sqrt(3 * self.variance / seen.fan_in))
        error = self.variance * math.sqrt(2 / seen.count)
        spread = AGREES * math.sqrt(24 / seen.count)
        near = abs(seen.variance - self.variance) <= AGREES * error
        return near and min(abs(seen.kurtosis - 3), abs(seen.kurtosis - _CUT)) <= spread


def known(fan_in: int, fan_out: int) -> list[Initialisation]:
    """The initialisations of torch.nn.init for such a weight, the commonest first."""
    variances = (
        ("Kaiming", 2.0),
        ("Xavier", 2 * fan_in / (fan_in + fan_out)),
        ("LeCun", 1.0),
        ("Kaiming with mode='fan_out'", 2 * fan_in / fan_out),
    )
    return [Initialisation("torch's default", 1 / 3, True)] + [
        Initialisation(f"{name}, {'uniform' if uniform else 'normal'}", variance, uniform)
        for name, variance in variances
        for uniform in (False, True)
    ]


def recognised(module: nn.Module, seen: Moments) -> Initialisation | None:
    """The initialisation that fits the weights best; None where none does."""
    weight = module.get_parameter("weight")
    fan_out = seen.units * weight[0, 0].numel() if weight.dim() > 2 else seen.units
    fitting = [candidate for candidate in known(seen.fan_in, fan_out) if candidate.agrees(seen)]
    return min(
        fitting,
        key=lambda one: (not one.uniform, abs(seen.variance - one.variance)),
        default=None,
    )


def fills(largest: float, count: int, bound: float) -> bool:
    """Whether the largest of so many |w| is what Uniform(−bound, bound) gives: below it, and close to it."""
    return largest <= bound * (1 + 1e-3) and count * max(0.0, 1 - largest / bound) <= -math.log(_CHANCE)


def may_be_normal(mean: float, second: float, count: int, variance: float) -> bool:
    """Whether so many entries with this mean and mean square may be drawn from N(0, variance): exact tests."""
    if variance == 0:
        return second == 0
    square = count * second / variance
    tail = min(gammainc(count / 2, square / 2), gammaincc(count / 2, square / 2))
    return bool(2 * tail > _CHANCE and 2 * ndtr(-abs(mean) * math.sqrt(count / variance)) > _CHANCE)
