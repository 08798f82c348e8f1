"""``python -m normfield``."""

from normfield.cli import main

main()
