"""What the studies of landscapes ask of their table."""

from __future__ import annotations

import numpy as np

from normfield.report import format_number
from normfield.studies.curves import furthest_from_one, within_factor
from normfield.studies.frame import Rows
from normfield.studies.landscapes.table import (
    CHANGE,
    LOSS,
    NORMED,
    PLAIN,
    RANGE,
    SMOOTHNESS,
    edge,
    judged,
    middles,
    relative_changes,
)
from normfield.studies.verdicts import Check, Verdict, Whose

#: Batch norm's median over the plain network's, at most: clearly smaller in every pair of runs.
CLEARLY = 0.8
#: "At the edge of stability": effective smoothness so many times 2/η, at most and at least one over it.
NEAR = 2.0


def verdict(rows: Rows) -> Verdict:
    sentence = (
        f"Along the gradient, median over training: the loss spans {_both(rows, RANGE)}, the gradient changes by up "
        f"to {_both(rows, CHANGE)}, and by {_both(rows, SMOOTHNESS)} times its norm per unit of length."
    )
    checks = (
        _ratio_check(rows, RANGE, "the range of the loss along the gradient", "a narrower range of the loss"),
        _ratio_check(
            rows, CHANGE, "the furthest that the gradient gets from what it was", "more predictive gradients"
        ),
        _ratio_check(rows, SMOOTHNESS, "the effective smoothness", "a smoother loss"),
        _relative_check(rows),
        _loss_check(rows),
        _edge_check(rows),
    )
    return Verdict(sentence, checks)


def _both(rows: Rows, name: str) -> str:
    normed, plain = (float(np.median(middles(rows, network, name))) for network in (NORMED, PLAIN))
    return f"{format_number(normed)} with batch norm and {format_number(plain)} without"


def _ratio_check(rows: Rows, name: str, what: str, claim: str) -> Check:
    normed, plain = middles(rows, NORMED, name), middles(rows, PLAIN, name)
    return _ratio(normed, plain, what, claim, "paper")


def _relative_check(rows: Rows) -> Check:
    """Predictiveness in multiples of the gradient's norm: a network whose gradients are small has small changes."""
    normed, plain = (np.median(relative_changes(rows, network), axis=1) for network in (NORMED, PLAIN))
    what = "the furthest that the gradient gets from what it was, in multiples of its norm,"
    return _ratio(normed, plain, what, "more predictive gradients whatever their size", "normfield")


def _ratio(normed: np.ndarray, plain: np.ndarray, what: str, claim: str, whose: Whose) -> Check:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = normed / plain
    return Check(
        f"The median over training of {what} with batch norm is {_from_to(ratios)} times that without, in "
        f"{len(ratios)} pairs of runs.",
        float(np.max(ratios)),
        "with batch norm over without, the largest of the pairs",
        f"{claim}: at most {CLEARLY:g} in every pair",
        bool(np.all(ratios <= CLEARLY)),
        whose,
    )


def _loss_check(rows: Rows) -> Check:
    ends = {network: judged(rows, network, LOSS)[:, -1] for network in (NORMED, PLAIN)}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = ends[NORMED] / ends[PLAIN]
    return Check(
        f"At the last step looked at the loss of the batch is {format_number(float(np.mean(ends[NORMED])))} with "
        f"batch norm and {format_number(float(np.mean(ends[PLAIN])))} without, means over runs.",
        float(np.max(ratios)),
        "with batch norm over without, the largest of the pairs",
        "batch norm learns faster at the same learning rate: below 1 in every pair",
        bool(np.all(ratios < 1)),
        "normfield",
    )


def _edge_check(rows: Rows) -> Check:
    """Training that is as fast as its learning rate allows goes where the curvature is 2/η [Cohen et al. 2021]."""
    ratios = middles(rows, NORMED, SMOOTHNESS) / edge(rows)
    value = furthest_from_one(ratios)
    return Check(
        f"With batch norm the median effective smoothness is {_from_to(ratios)} times 2/η = "
        f"{format_number(edge(rows))}.",
        value,
        "times 2/η, the furthest of the runs",
        f"with batch norm training goes on at the edge of stability: within a factor of {NEAR:g} in every run",
        within_factor(value, NEAR),
        "normfield",
    )


def _from_to(ratios: np.ndarray) -> str:
    low, high = format_number(float(ratios.min())), format_number(float(ratios.max()))
    return low if low == high else f"{low} to {high}"
