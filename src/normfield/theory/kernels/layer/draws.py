"""How many draws a Monte Carlo mean takes, in blocks whose scatter gives its standard error."""

from __future__ import annotations

import math

from normfield.errors import InvalidInput

LEAST_DRAWS = 32
"""As many blocks there are, so that a standard error rests on as many means."""
_NUMBERS = 500_000  # draws × points at once: some ten arrays of 4 MB


def blocks_of_draws(draws: int, points: int) -> tuple[int, int]:
    """How many blocks, and of how many draws each, make so many draws at so many points, rounded up to full blocks.

    Raises
    ------
    InvalidInput
        If there are fewer than 32 draws.
    """
    if not draws >= LEAST_DRAWS:
        raise InvalidInput(
            expected=f"at least {LEAST_DRAWS} draws", got=str(draws), instead="the error falls as 1/√draws"
        )
    blocks = max(LEAST_DRAWS, math.ceil(draws * points / _NUMBERS))
    return blocks, math.ceil(draws / blocks)
