"""The command line: it parses and prints; every answer comes from the rooms below."""

from normfield.cli.program import main

__all__ = ["main"]
