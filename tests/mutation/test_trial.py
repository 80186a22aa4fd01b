"""A small checkout in which one defect is noticed and another is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.defects import Defect, defects_of
from tests.mutation.nearest import Imports
from tests.mutation.planted import Planted
from tests.mutation.trial import Copy

MODULE = b"def half(x):\n    return x / 2\n\n\ndef third(x):\n    return x / 3\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A package of one module, whose first function has a test, beside a test that always fails."""
    files = {
        "src/lowerbound/__init__.py": b"",
        "src/lowerbound/shares.py": MODULE,
        "tests/__init__.py": b"",
        "tests/helper.py": b"from lowerbound import shares\n",
        "tests/test_far.py": b"from tests import helper\n\n\ndef test_broken():\n    assert 0\n",
        "tests/test_shares.py": b"from lowerbound.shares import half\n\n\n"
        b"def test_half():\n    assert half(4) == 2\n",
        "tests/test_unrelated.py": b"",
    }
    for name, content in files.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "checkout"


def defect(function: str) -> Defect:
    """``*`` for ``/`` in a function."""
    found = defects_of(MODULE, "shares.py")
    return next(d for d in found if d.operator == "arithmetic" and d.function == function)


def test_test_files_are_ordered_by_their_way_to_the_module(checkout: Path) -> None:
    names = [path.name for path in Imports(checkout).nearest("shares.py")]
    assert names == ["test_shares.py", "test_far.py", "test_unrelated.py"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "caught_by"),
    [("half", "tests/test_shares.py::test_half"), ("third", "")],
)
def test_a_defect_is_caught_by_a_test_that_passes_without_it(
    checkout: Path, tmp_path: Path, function: str, caught_by: str
) -> None:
    copy = Copy(checkout, tmp_path / "copy")
    verdict = copy.trial(defect(function), Imports(checkout).nearest("shares.py"), stages=(3,))
    assert (verdict.caught_by, verdict.files, verdict.stopped) == (caught_by, 3, False)
    assert (tmp_path / "copy" / "src" / "lowerbound" / "shares.py").read_bytes() == MODULE
    assert copy.broken <= {"tests/test_far.py::test_broken"}


@pytest.mark.slow
def test_a_defect_with_which_no_test_starts_is_caught(checkout: Path, tmp_path: Path) -> None:
    conftest = "from lowerbound.shares import half\n\nassert half(4) == 2\n"
    (checkout / "tests" / "conftest.py").write_text(conftest, encoding="utf-8")
    copy = Copy(checkout, tmp_path / "copy")
    verdict = copy.trial(defect("half"), Imports(checkout).nearest("shares.py"), stages=(3,))
    assert (verdict.caught_by, verdict.stopped) == ("tests/conftest.py", False)


@pytest.mark.slow
def test_the_tests_that_a_defect_names_run_first(checkout: Path, tmp_path: Path) -> None:
    copy = Copy(checkout, tmp_path / "copy")
    named = "tests/test_shares.py::test_half"
    wrong = Planted("half", "src/lowerbound/shares.py", "x / 2", "x / 3", (named,))
    verdict = copy.trial(wrong, [], stages=())
    assert (verdict.caught_by, verdict.files, verdict.stopped) == (named, 1, False)
