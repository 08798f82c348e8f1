"""The program: its commands, and one line with exit code 2 for whatever the user can mend."""

from __future__ import annotations

import sys

import click

from normfield import __version__
from normfield.cli.theory_command import theory
from normfield.errors import NormfieldError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="normfield")
def program() -> None:
    """How large a learning rate can this network take, and why? By theory, measurement and training."""


for command in (theory,):
    program.add_command(command)


def main() -> None:
    """Run the program; a mistake of the caller's is one line on standard error and exit code 2."""
    try:
        code = program(standalone_mode=False)
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
