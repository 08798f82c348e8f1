"""One line for an exception that the user's own code raised."""

from __future__ import annotations

import traceback


def described(error: BaseException, file: str | None = None) -> str:
    """Return the exception's name, its message on one line, and the line of `file` it came from, if known."""
    line = error.lineno if isinstance(error, SyntaxError) else _line_in(error, file)
    text = f"{type(error).__name__}: {_message(error)}".removesuffix(": ")
    return f"{text} (line {line})" if line else text


def _message(error: BaseException) -> str:
    """Return the message on one line; of a worker's error, which carries a whole traceback, its end."""
    if isinstance(error, SyntaxError):
        return error.msg
    text = str(error)
    if "\nOriginal Traceback" in text:
        text = text.rpartition(f"\n{type(error).__name__}: ")[2]
    return " ".join(text.split())


def _line_in(error: BaseException, file: str | None) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)
