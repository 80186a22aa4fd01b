"""The command line: parse, call, print."""

from lowerbound.cli.main import main

__all__ = ["main"]
