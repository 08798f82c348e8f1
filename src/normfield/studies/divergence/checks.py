"""What the study of diverging updates asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.report import format_number
from normfield.studies.divergence.table import (
    AGREEMENT,
    DIVERGED,
    LOSS,
    NORMED,
    PLAIN,
    agreement,
    growth,
    of_runs,
    places,
)
from normfield.studies.frame import Rows
from normfield.studies.verdicts import Check, Verdict

#: A step of this length is "above 1e-3" at the latest.
LENGTH = 1e-2
#: Orders of magnitude: moments that explode, and growth with depth without batch norm over that with it.
MANY = 10.0
#: Cosines of output gradients: how much more alike they are without batch norm.
MORE_ALIKE = 0.1
#: Agreement of a kernel's gradients without batch norm over that with it.
MORE_AGREED = 1.5


def verdict(rows: Rows) -> Verdict:
    first = diverging_lengths(rows, PLAIN)
    sentence = (
        f"Without batch norm the loss is {DIVERGED:g} times larger at steps from {_range(first)} on, with batch norm "
        f"at most {format_number(float(of_runs(rows, LOSS, NORMED).max()))} times at any of up to "
        f"{format_number(places(rows, LOSS, 'at')[-1])}; before training channel variance grows over the blocks by a "
        f"factor of {_range(growth(rows, PLAIN))} without and {_range(growth(rows, NORMED))} with batch norm."
    )
    checks = (
        _explosion_check(rows),
        _survival_check(rows),
        _growth_check(rows),
        _update_check(rows),
        _outputs_check(rows),
        _kernels_check(rows),
        _normed_update_check(rows),
    )
    return Verdict(sentence, checks)


def diverging_lengths(rows: Rows, network: str) -> np.ndarray:
    """The shortest step of each run and batch at which the loss is 1000 times larger; infinite where there is none."""
    lengths, found = np.array(places(rows, LOSS, "at")), of_runs(rows, LOSS, network)
    return np.where(found >= DIVERGED, lengths, np.inf).min(axis=-1).ravel()


def _explosion_check(rows: Rows) -> Check:
    """By the longest of the lengths tried where none diverges, so that there is a number."""
    found, last = diverging_lengths(rows, PLAIN), places(rows, LOSS, "at")[-1]
    value = float(np.where(np.isfinite(found), found, 10 * last).max())
    return Check(
        f"Without batch norm steps diverge along the gradients of {int(np.isfinite(found).sum())} of {len(found)} "
        f"batches{_from(found[np.isfinite(found)])}.",
        value,
        "length of the step, the longest over batches and runs (ten times the longest tried: none)",
        f"the loss explodes at steps above 1e-3 without batch norm: {DIVERGED:g} times larger at {LENGTH:g} at the "
        "latest",
        value <= LENGTH * (1 + 1e-9),
    )


def _from(lengths: np.ndarray) -> str:
    return f", from a length of {_range(lengths)} on" if len(lengths) else ""


def _survival_check(rows: Rows) -> Check:
    value = float(of_runs(rows, LOSS, NORMED).max())
    return Check(
        f"With batch norm the loss is at most {format_number(value)} times larger at any step of up to "
        f"{format_number(places(rows, LOSS, 'at')[-1])}.",
        value,
        "loss over the one before the step, the largest",
        f"with batch norm it does not explode: below {DIVERGED:g} at every step",
        value < DIVERGED,
    )


def _growth_check(rows: Rows) -> Check:
    plain, normed = growth(rows, PLAIN), growth(rows, NORMED)
    value = _least(plain, normed)
    return Check(
        f"Before training channel variance grows from the first block to the last by a factor of {_range(plain)} "
        f"without batch norm and {_range(normed)} with it.",
        value,
        "growth without batch norm over growth with it, the least of the pairs",
        f"channel moments grow exponentially with depth without batch norm and not with it: at least {MANY:g}",
        value >= MANY,
    )


def _update_check(rows: Rows) -> Check:
    """The last block's growth over the first's own: that all blocks grow alike would not be an explosion upwards."""
    before, after = growth(rows, PLAIN), growth(rows, PLAIN, -1)
    value = _least(after, before)
    return Check(
        "At the end of the diverging update channel variance without batch norm grows over the blocks by a factor "
        f"of {_range(after)}, {_range(before)} before.",
        value,
        "growth after the update over growth before, the least of the runs",
        f"moments explode in the higher layers in a diverging update: at least {MANY:g}",
        value >= MANY,
    )


def _outputs_check(rows: Rows) -> Check:
    plain, normed = agreement(rows, PLAIN), agreement(rows, NORMED)
    value = float(np.min(plain - normed))
    return Check(
        f"Between two images the cosine of the output gradients is {_range(plain)} without batch norm and "
        f"{_range(normed)} with it, means over pairs of images.",
        value,
        "cosine without batch norm minus cosine with it, the least of the pairs of runs",
        f"output gradients agree more between images without batch norm: at least {MORE_ALIKE:g} more",
        value >= MORE_ALIKE,
    )


def _kernels_check(rows: Rows) -> Check:
    plain, normed = (np.median(of_runs(rows, AGREEMENT, each)[:, :, 0], axis=1) for each in (PLAIN, NORMED))
    value = _least(plain, normed)
    return Check(
        f"Of the gradients that images and positions give a convolution's kernel {_share(plain)} are left in the "
        f"sum without batch norm and {_share(normed)} with it, medians over blocks.",
        value,
        "share without batch norm over share with it, the least of the pairs of runs",
        f"gradients of a kernel cancel less without batch norm: at least {MORE_AGREED:g} times as much is left",
        value >= MORE_AGREED,
    )


def _normed_update_check(rows: Rows) -> Check:
    before, after = growth(rows, NORMED), growth(rows, NORMED, -1)
    value = float(np.max(_ratios(after, before)))
    return Check(
        f"An update of the same kind with batch norm, the longest tried, takes that growth from {_range(before)} to "
        f"{_range(after)}.",
        value,
        "growth after the update over growth before, the largest of the runs",
        f"moments stay in bounds with batch norm: below {MANY:g}",
        value < MANY,
        "normfield",
    )


def _least(numerator: np.ndarray, denominator: np.ndarray) -> float:
    return float(np.min(_ratios(numerator, denominator)))


def _ratios(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return numerator / denominator


def _range(values: np.ndarray) -> str:
    low, high = (format_number(float(end), 2) for end in (np.min(values), np.max(values)))
    return low if low == high else f"{low}–{high}"


def _share(values: np.ndarray) -> str:
    return f"{_range(100 * values)} %"
