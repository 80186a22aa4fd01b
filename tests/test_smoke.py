"""`make smoke` runs what it says, and a failure anywhere is its failure."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests import smoke

PAGE = """
<!-- smoke -->
```console
$ echo shown > made.txt
some output
$ cat \\
>   made.txt
```

```console
$ false
```
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in ("benchmarks/results", "docs", "examples"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def write(checkout: Path, path: str, text: str) -> None:
    (checkout / path).write_text(text, encoding="utf-8")


def test_only_marked_commands_run(checkout: Path) -> None:
    assert smoke.marked_commands(PAGE) == ["echo shown > made.txt", "cat made.txt"]
    write(checkout, "docs/page.md", PAGE)
    assert smoke.unmarked_commands(checkout) == 1
    assert smoke.smoke(checkout) == 0


def test_a_page_stops_at_its_first_failure(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "<!-- smoke -->\n```console\n$ echo why; exit 3\n$ echo next\n```\n"
    write(checkout, "README.md", page)
    assert smoke.smoke(checkout) == 1
    printed = capsys.readouterr().out
    assert "exit code 3" in printed
    assert "| why" in printed
    assert "not reached" in printed
    assert printed.endswith("smoke: 0 passed, 0 skipped, 2 failed\n")


def test_quick_is_given_to_benchmarks_and_to_examples_that_take_it(checkout: Path) -> None:
    echo = "import sys; sys.exit(__name__ == '__main__' and sys.argv[1:] != {arguments})"
    write(checkout, "benchmarks/claim.py", echo.format(arguments=["--quick"]))
    write(checkout, "benchmarks/_shared.py", "__main__; raise SystemExit(1)")
    write(checkout, "benchmarks/shared.py", "raise SystemExit(1)")
    write(checkout, "examples/plain.py", echo.format(arguments=[]))
    write(checkout, "examples/quick.py", echo.format(arguments=["--quick"]))
    assert smoke.smoke(checkout) == 0
    write(checkout, "examples/plain.py", "raise SystemExit(1)")
    assert smoke.smoke(checkout) == 1


def test_a_quick_benchmark_that_overwrites_a_quoted_result_fails(checkout: Path) -> None:
    write(checkout, "benchmarks/results/claim.json", "{}")
    overwrite = "__name__ == '__main__'; open('benchmarks/results/claim.json', 'w')"
    write(checkout, "benchmarks/claim.py", overwrite)
    assert smoke.smoke(checkout) == 1


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    start = time.monotonic()
    item = smoke.Item("docs", "page", "sleep 60 | sleep 60")
    outcome = smoke.run(item, tmp_path, seconds=0.5)
    assert outcome.failure is not None
    assert "not done after" in outcome.failure
    assert time.monotonic() - start < 30


def test_what_the_time_does_not_reach_has_failed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "TOTAL_SECONDS", 0)
    write(checkout, "examples/fine.py", "")
    assert smoke.smoke(checkout) == 1


def test_two_halves_are_the_whole_and_long_pages_come_first() -> None:
    whole = smoke.chosen(smoke.ROOT)
    halves = [smoke.chosen(smoke.ROOT, half=half) for half in (0, 1)]
    names = [{group.items[0].origin for group in groups} for groups in (whole, *halves)]
    assert names[1] | names[2] == names[0]
    assert not names[1] & names[2]
    assert min(len(names[1]), len(names[2])) > len(names[0]) / 3
    assert [len(group.items) for group in whole] == sorted(
        (len(group.items) for group in whole), reverse=True
    )


def test_nothing_to_run_is_no_success(checkout: Path) -> None:
    assert smoke.smoke(checkout) == 1


def test_scripts_without_their_data_are_skipped_and_nothing_else_is(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacks = (
        "class DataError(Exception): pass\nraise DataError('the data set mnist is missing: x')\n"
    )
    write(checkout, "examples/fine.py", "")
    write(checkout, "benchmarks/claim.py", f"__name__ == '__main__'\n{lacks}")
    assert smoke.smoke(checkout) == 0
    assert "1 passed, 1 skipped, 0 failed" in capsys.readouterr().out
    write(checkout, "benchmarks/claim.py", "__name__ == '__main__'; raise SystemExit(1)")
    assert smoke.smoke(checkout) == 1
    write(checkout, "benchmarks/claim.py", "__name__ == '__main__'")
    write(checkout, "examples/lacks.py", lacks)
    assert smoke.smoke(checkout) == 0
    write(checkout, "README.md", "<!-- smoke -->\n```console\n$ python examples/lacks.py\n```\n")
    assert smoke.smoke(checkout) == 1


def test_an_example_without_its_library_is_skipped_and_says_so(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacks = (
        "class MissingExtraError(Exception): pass\nraise MissingExtraError('x is not installed')"
    )
    write(checkout, "examples/fine.py", "")
    write(checkout, "examples/lacks.py", lacks)
    assert smoke.smoke(checkout) == 0
    printed = capsys.readouterr().out
    assert "1 passed, 1 skipped, 0 failed" in printed
    assert "x is not installed" in printed
    write(checkout, "benchmarks/claim.py", f"__name__ == '__main__'\n{lacks}")
    assert smoke.smoke(checkout) == 1  # a benchmark is not skipped for it
