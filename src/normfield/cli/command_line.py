"""What was typed, to be typed again."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_ENTRIES = ("normfield", "normfield.exe", "__main__.py")


def command_line() -> str:
    """The command of this process, quoted for a shell; empty where the program was called from other code."""
    program, *arguments = sys.argv
    return shlex.join(["normfield", *arguments]) if Path(program).name in _ENTRIES else ""
