"""What the study of residual depth asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import number
from normfield.studies.frame import Rows
from normfield.studies.network_kinds import BOTH, KINDS, NORMED, PLAIN, SKIPS
from normfield.studies.rate_rows import trainable_depth
from normfield.studies.residual_depth.table import best, deep, depths
from normfield.studies.trainability.reach import least, most
from normfield.studies.verdicts import Check, Verdict

#: "Trains": so many per cent of the test images right, and so many points below the shallowest network at most.
TRAINED, LOSES = 80.0, 5.0
#: "Together": on its own neither comes within so many points of both.
APART = 20.0
#: A network without skip connections trains that gets half of the images right.
HALF = 50.0


def verdict(rows: Rows) -> Verdict:
    deepest = depths(rows)[-1]
    ends = {kind.name: best(rows, kind.name, deepest) for kind in KINDS}
    sentence = (
        f"With {deepest} layers the network gets {ends[BOTH.name]:.0f} % of the test images right with batch norm and "
        f"skip connections, {ends[NORMED.name]:.0f} % with batch norm alone, {ends[SKIPS.name]:.0f} % with skip "
        f"connections alone and {ends[PLAIN.name]:.0f} % with neither."
    )
    checks = (
        _trains_check(rows),
        _loses_check(rows),
        _alone_check(rows, NORMED.name),
        _alone_check(rows, SKIPS.name),
        _theory_check(rows),
    )
    return Verdict(sentence, checks)


def _worst(rows: Rows) -> float:
    """Of the depths beyond 100 layers, with both."""
    return float(np.min([best(rows, BOTH.name, depth) for depth in deep(rows)]))


def _trains_check(rows: Rows) -> Check:
    worst = _worst(rows)
    return Check(
        f"With batch norm and skip connections networks of {_listed(deep(rows))} layers get {worst:.0f} % of the test "
        "images right, or more.",
        worst,
        "% right, the least",
        f"train beyond 100 layers: at least {TRAINED:g} %",
        worst >= TRAINED,
    )


def _loses_check(rows: Rows) -> Check:
    shallow = best(rows, BOTH.name, depths(rows)[0])
    lost = shallow - _worst(rows)
    return Check(
        f"That is {lost:.1f} points less than with {depths(rows)[0]} layers.",
        lost,
        "points of test accuracy lost",
        f"stable: at most {LOSES:g} points",
        lost <= LOSES,
    )


def _alone_check(rows: Rows, kind: str) -> Check:
    behind = float(np.min([best(rows, BOTH.name, depth) - best(rows, kind, depth) for depth in deep(rows)]))
    return Check(
        f"With {kind} alone networks of {_listed(deep(rows))} layers are {behind:.0f} points behind, or more.",
        behind,
        "points behind both together, the least",
        f"it takes both together: at least {APART:g} points behind",
        behind >= APART,
    )


def _theory_check(rows: Rows) -> Check:
    limit = float(trainable_depth(np.array([number(rows[0], "theory_rate")]))[0])
    beyond = [depth for depth in depths(rows) if depth > limit]
    within = [depth for depth in depths(rows) if depth <= limit / 2]
    above, below = _least(rows, within), _most(rows, beyond)
    return Check(
        f"With batch norm alone networks of {_listed(within)} layers get at least {above:.0f} % right, networks of "
        f"{_listed(beyond)} layers at most {below:.0f} %; theory's depth limit is {limit:.0f} layers.",
        above - below,
        "points of test accuracy between them",
        f"without skip connections networks train up to half of theory's 16ξ, and none beyond it: {HALF:g} % right "
        "stands between them",
        above >= HALF > below,
        "normfield",
    )


def _least(rows: Rows, among: list[int]) -> float:
    return least(np.array([best(rows, NORMED.name, depth) for depth in among]))


def _most(rows: Rows, among: list[int]) -> float:
    return most(np.array([best(rows, NORMED.name, depth) for depth in among]))


def _listed(numbers: list[int]) -> str:
    """ "10, 30 and 60"."""
    *front, last = [str(one) for one in numbers] or ["no"]
    return f"{', '.join(front)} and {last}" if front else last
