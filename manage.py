#!/usr/bin/env python
"""TokenHub's command line: Django's own commands and those of INTERFACE.md §1."""

import os
import sys
from pathlib import Path

# Commands that read the code only: they must not start a database to answer.
WITHOUT_STACK = {"help", "version", "check", "collectstatic", "diffsettings"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub.settings")

    from tokenhub import environment

    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    wants_help = "--help" in sys.argv or "-h" in sys.argv
    environment.prepare(
        Path(__file__).resolve().parent,
        start=command not in WITHOUT_STACK and not wants_help,
    )

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
