"""The program: its commands, and one line with exit code 2 for whatever the user can mend."""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module

import click

from normfield import __version__
from normfield.errors import NormfieldError

_COMMANDS = ("critical", "data", "diagnose", "kernel", "measure", "study", "suggest", "sweep", "theory")


class LazyCommands(click.Group):
    """A command's module is loaded when it is asked for, so that theory never waits for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return getattr(import_module(f"normfield.cli.{cmd_name}_command"), cmd_name)


@click.group(
    cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
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
