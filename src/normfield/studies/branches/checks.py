"""What the study of residual branches asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.studies.branches.table import (
    CONVOLUTIONS,
    FAMILIES,
    NORMED,
    PLAIN,
    own_rows,
    ratio,
    spread_theory,
)
from normfield.studies.curves import column, furthest_from_one, within_factor
from normfield.studies.frame import Rows
from normfield.studies.power_laws import power_law
from normfield.studies.verdicts import Check, Verdict

#: "About 1/depth" at every block, and "as large as" over all blocks: to such a factor.
ABOUT = 1.5
#: The same for the power of the depth.
POWER = 0.1
#: "Doubles": the fitted growth of the variance per block is 2 to so much.
DOUBLES = 0.15
#: Near infinite width: to such a factor.
NEAR = 1.1


def verdict(rows: Rows) -> Verdict:
    ends = {
        network: [float(ratio(own_rows(rows, family, network))[-1]) for family in FAMILIES]
        for network in (NORMED, PLAIN)
    }
    blocks = int(column(rows, "block").max())
    sentence = (
        f"In block {blocks} the branch has {_range(ends[NORMED])} times the variance of the skip connection with batch "
        f"norm, where 1/l is {1 / blocks:.3g}, and {_range(ends[PLAIN])} times without."
    )
    checks = (
        *(_about_check(rows, family) for family in FAMILIES),
        *(_power_check(rows, family) for family in FAMILIES),
        _as_large_check(rows),
        _doubling_check(rows),
        _theory_check(rows),
    )
    return Verdict(sentence, checks)


def _range(values: list[float]) -> str:
    return f"{min(values):.2g} to {max(values):.2g}"


def _about_check(rows: Rows, family: str) -> Check:
    own = own_rows(rows, family, NORMED)
    times = ratio(own) * column(own, "block")
    furthest = furthest_from_one(times)
    return Check(
        f"{family[:1].upper()}{family[1:]}: with batch norm, branch over skip is {furthest:.2f} times 1/l where it is "
        f"furthest from it over {len(own)} blocks.",
        furthest,
        "times 1/l, where furthest",
        f"about 1/l: within a factor {ABOUT:g} at every block",
        within_factor(furthest, ABOUT),
    )


def _power_check(rows: Rows, family: str) -> Check:
    own = own_rows(rows, family, NORMED)
    law = power_law(column(own, "block"), ratio(own))
    return Check(
        f"{family[:1].upper()}{family[1:]}: with batch norm, branch over skip falls with the power {law.exponent:.3f} "
        "of l.",
        law.exponent,
        "fitted power of l",
        f"−1 ± {POWER:g}",
        abs(law.exponent + 1) <= POWER,
    )


def _as_large_check(rows: Rows) -> Check:
    with np.errstate(divide="ignore", invalid="ignore"):
        typical = [float(np.exp(np.log(ratio(own_rows(rows, one, PLAIN))).mean())) for one in FAMILIES]
    furthest = furthest_from_one(np.array(typical))
    words = ", ".join(f"{one:.2f}" for one in typical)
    return Check(
        f"Without batch norm a branch has {words} times the variance of its skip connection, typically over the blocks "
        f"({'; '.join(FAMILIES)}).",
        furthest,
        "times as large, where furthest from 1",
        f"as large as the skip connection: within a factor {ABOUT:g}",
        within_factor(furthest, ABOUT),
    )


def _doubling_check(rows: Rows) -> Check:
    grown = np.array([_growth(own_rows(rows, family, PLAIN)) for family in FAMILIES])
    off = float(np.max(np.abs(grown - 2)))
    words = ", ".join(f"{factor:.3f}" for factor in grown)
    return Check(
        f"Without batch norm the skip connection's variance grows by {words} per block ({'; '.join(FAMILIES)}).",
        off,
        "furthest from 2",
        f"doubles with every block: 2 ± {DOUBLES:g} per block",
        off <= DOUBLES,
    )


def _growth(own: Rows) -> float:
    """Typical factor per block, from the first to the last."""
    skip = column(own, "skip")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.diff(np.log(skip)).mean()))


def _theory_check(rows: Rows) -> Check:
    """Beside the paper: what batch norm divides by, against infinite width."""
    dense = [own_rows(rows, family, NORMED) for family in FAMILIES if family != CONVOLUTIONS]
    over = [
        column(own, "spread_ratio") / spread_theory(str(own[0]["family"]), column(own, "block"))
        for own in dense
    ]
    furthest = furthest_from_one(np.concatenate(over))
    return Check(
        f"Of the variance over the batch, branch over skip is {furthest:.3f} times b/(1 + (l − 1)b), the value at "
        "infinite width, where it is furthest from it; b = 1 of linear branches and 1 − 1/π of ReLU.",
        furthest,
        "times theory, where furthest",
        f"fully connected networks follow infinite width within a factor {NEAR:g} at every block",
        within_factor(furthest, NEAR),
        "normfield",
    )
