"""Losses of a halfspace: soft versions of how far a sample is on the wrong side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from normfield.errors import InvalidInput
from normfield.theory.linear_models.reading import one_number, positive


@dataclass(frozen=True)
class MarginLoss:
    r"""φ(t) = ln(1 + exp(β(t + m)))/β of t = −y wᵀx: about t + m where a sample is misclassified, 0 where it is not.

    Parameters
    ----------
    sharpness
        β above 0; β = 1 and m = 0 is the logistic loss, a large β the perceptron's.
    margin
        m; 1 makes it a soft hinge.

    Raises
    ------
    InvalidInput
        β is not above 0, or a number is not finite.

    Examples
    --------
    >>> float(MarginLoss().value(0.0).round(4))
    0.6931
    """

    sharpness: float = 1.0
    margin: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sharpness", positive("sharpness", self.sharpness))
        object.__setattr__(self, "margin", one_number("margin", self.margin))

    def value(self, t: Any) -> Any:
        """φ(t)."""
        return np.logaddexp(0.0, self.sharpness * (np.asarray(t) + self.margin)) / self.sharpness

    def slope(self, t: Any) -> Any:
        """φ′(t), between 0 and 1."""
        return expit(self.sharpness * (np.asarray(t) + self.margin))

    def bend(self, t: Any) -> Any:
        """φ″(t), at most β/4."""
        slope = self.slope(t)
        return self.sharpness * slope * (1 - slope)


_NAMED: Mapping[str, MarginLoss] = {
    "logistic": MarginLoss(),
    "softplus": MarginLoss(sharpness=5.0),
    "soft_hinge": MarginLoss(sharpness=5.0, margin=1.0),
}


def margin_loss(given: object) -> MarginLoss:
    """A loss by name, or as it is."""
    if isinstance(given, MarginLoss):
        return given
    if isinstance(given, str) and given in _NAMED:
        return _NAMED[given]
    raise InvalidInput(
        expected=f"loss as one of {', '.join(_NAMED)}",
        got=repr(given),
        instead="or give nf.MarginLoss(sharpness=…, margin=…)",
    )
