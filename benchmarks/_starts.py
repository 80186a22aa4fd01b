"""The modules of the package that each command imports, and the processor time of its start.

Of each command ``--help``, with an empty cache (modules of the package are counted) and with a full
one (user seconds, the least of five), and of ``detect`` on the 150 rows of iris. To compare two
commits, run it in both on a quiet machine:

    PYTHONPATH=src python benchmarks/_starts.py OUT.json [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

COUNTED = """
import sys
from lowerbound.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(sum(name.partition(".")[0] == "lowerbound" for name in sys.modules), file=sys.stderr)
"""
FIT = ("fit", "iris", "-o", "m.lb", "--updates", "4", "--no-report", "--test", "0")
DETECT = ("detect", "m.lb", "iris", "--calibrate", "iris", "-o", "out.csv")


def child(words: Sequence[str], place: Path, cache: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; the last line of its errors says how many modules."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(place / cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COUNTED, *words]
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=True
    )


def modules(words: Sequence[str], place: Path, cache: str) -> int:
    return int(child(words, place, cache).stderr.split()[-1])


def seconds(words: Sequence[str], place: Path, rounds: int) -> float:
    """The least user time of a child."""
    found = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        child(words, place, "full")
        found.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commands", nargs="*", help="default: all")
    given = parser.parse_args()
    from lowerbound.applications import APPLICATIONS

    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for name in given.commands or APPLICATIONS:
            words = (*name.split(), "--help")
            found[name] = {
                "modules": modules(words, place, "full"),  # the first call fills the cache
                "modules, kept": modules(words, place, "full"),
                "user seconds": round(seconds(words, place, given.rounds), 3),
            }
            print(name, found[name], flush=True)
        child(FIT, place, "full")
        found["detect on 150 rows"] = {
            "modules": modules(DETECT, place, "full"),
            "user seconds": round(seconds(DETECT, place, given.rounds), 3),
        }
        print(found["detect on 150 rows"])
    given.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
