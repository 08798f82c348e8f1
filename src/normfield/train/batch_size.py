"""The one rule for a batch size that may be left open."""

from __future__ import annotations

from normfield.errors import InvalidInput

DEFAULT_BATCH = 128


def batch_size_for(samples: int, asked: int | None) -> int:
    """The batch size asked for; else 128, or all samples where there are fewer.

    Raises
    ------
    InvalidInput
        It is no whole number, below 1 or above the number of samples: a batch size is never changed in silence.
    """
    if asked is None:
        return min(DEFAULT_BATCH, samples)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise InvalidInput(expected="batch_size as a whole number of at least 1", got=repr(asked))
    if asked > samples:
        raise InvalidInput(
            expected=f"a batch size of at most the {samples} samples",
            got=str(asked),
            instead="make it smaller, or leave it out",
        )
    return asked
