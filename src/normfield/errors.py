"""What Normfield raises. Every message is one line: what was expected, what came, what to do instead."""

from __future__ import annotations


class NormfieldError(Exception):
    """Base of every error that Normfield raises on purpose."""


class InvalidInput(NormfieldError, ValueError):
    """The caller gave something that cannot be used; nothing was changed.

    Examples
    --------
    >>> raise InvalidInput(expected="a batch of at least 2 samples", got="1", instead="give more samples")
    Traceback (most recent call last):
        ...
    normfield.errors.InvalidInput: expected a batch of at least 2 samples, got 1; give more samples
    """

    def __init__(self, *, expected: str, got: str, instead: str = "") -> None:
        self.expected, self.got, self.instead = expected, got, instead
        line = f"expected {expected}, got {got}" + (f"; {instead}" if instead else "")
        super().__init__(" ".join(line.split()))


class NotCovered(NormfieldError):
    """The theory does not cover this network; the message says why and which answer does."""


class NumericalFailure(NormfieldError, ArithmeticError):
    """An iteration did not reach its tolerance; ``result`` holds what it had, with its status."""

    def __init__(self, message: str, result: object = None) -> None:
        self.result = result
        super().__init__(message)


class DataUnavailable(NormfieldError):
    """A data set's files are missing, truncated or corrupt; the message names the file."""


class StoreError(NormfieldError):
    """A sweep's store could not be read or written: a full disk, a truncated or damaged file; says what is kept."""
