"""The command line: parse, call, show."""

from lowerbound.cli.main import main

__all__ = ["main"]
