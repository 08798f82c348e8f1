"""How a batch's kernel is shown: its eigenvalues by rank, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from normfield.report import Figure, Series, lines


def spectrum_figure(eigenvalues: Sequence[float]) -> Figure:
    """Eigenvalues of Θ/B against their rank, both logarithmic; those at round-off are left out."""
    values = np.asarray(eigenvalues)
    seen = values > 1e-14 * values[0]
    return lines(
        [Series("eigenvalues of Θ/B", np.arange(1, len(values) + 1)[seen], values[seen])],
        "rank",
        "eigenvalue",
        log_x=True,
        log_y=True,
        title="Spectrum of the tangent kernel",
    )
