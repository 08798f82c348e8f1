"""The program: its commands, and one line with exit code 2 for whatever the user can mend."""

from __future__ import annotations

import os
import sys
import time

import click

from normfield import __version__
from normfield.cli.lazy_commands import LazyCommands
from normfield.errors import NormfieldError

_COMMANDS = (
    "critical",
    "data",
    "diagnose",
    "inspect",
    "kernel",
    "measure",
    "study",
    "suggest",
    "sweep",
    "theory",
)


@click.group(
    cls=LazyCommands,
    homes={name: f"normfield.cli.{name}_command" for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="normfield")
def program() -> None:
    """How large a learning rate can this network take, and why? By theory, kernel, measurement and training."""


def main() -> None:
    """Run the program; a mistake of the caller's is one line on standard error and exit code 2."""
    # Waiting threads spin for 30 times shorter than OpenMP's default: as fast on a free machine, several times faster
    # on a shared one, where spinning takes the core that the other thread needs. Set before torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        code = program(standalone_mode=False, obj=time.monotonic())  # budgets count from here
    except click.exceptions.NoArgsIsHelpError as asked:
        print(asked.format_message())
        code = 0
    except click.ClickException as mistake:
        code = _complain(mistake.format_message())
    except NormfieldError as mistake:
        code = _complain(str(mistake))
    except (KeyboardInterrupt, click.Abort):
        print("normfield: stopped", file=sys.stderr)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> int:
    print("normfield: " + " ".join(message.split()), file=sys.stderr)
    return 2
