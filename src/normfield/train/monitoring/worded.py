"""Counts, intervals and parts of the training time in words."""

from __future__ import annotations

from normfield.report import format_number


def counted(number: int, noun: str) -> str:
    """1 step, 2 steps."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def spaced(every: int) -> str:
    """Every step, every 50 steps."""
    return "every step" if every == 1 else f"every {every:,} steps"


def percent(part: float, digits: int = 2) -> str:
    """Of 1, to so many digits, without an exponent: 8.8 %, 880 %, 88,000 %."""
    rounded = float(f"{100 * part:.{digits}g}")
    return f"{rounded:,.0f} %" if rounded >= 10 ** (digits - 1) else f"{format_number(rounded, digits)} %"


def seconds(time: float) -> str:
    """To three digits: 0.0123 s, 4.5 s, 7,210 s."""
    return f"{float(f'{time:.3g}'):,.0f} s" if time >= 100 else f"{format_number(time)} s"
