"""Files that are complete or absent, in folders that are created if needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lowerbound import durable, untrusted
from lowerbound.errors import DataError, OptionError
from lowerbound.untrusted import folders


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context that yields a temporary path, and renames it to ``path`` at the end.

    After an error, a full disk or an interruption, ``path`` is unchanged. A link stays, and the
    file that it leads to is replaced.

    Raises:
        OSError: the file cannot be written; the error names ``path``, not the temporary path.
    """
    try:
        target = durable.linked(path)
        folders.make(target.parent)
        with durable.replacing(target) as place:
            yield place
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def fill_folder(
    path: Path, write: Callable[[Path], Sequence[str]], note: bool = True, whole: bool = False
) -> tuple[str, ...]:
    """Write several files into a folder: a new folder is complete or absent.

    The files are written into a new folder beside it, which is renamed at the end. In a folder that
    exists already, files of the same names are then replaced one by one, and others stay.

    Args:
        path: the folder.
        write: writes the files into the folder that it is given, and gives their names.
        note: whether a warning names other files that a folder has already.
        whole: the files belong together, so a folder that exists is replaced as a whole.

    Returns:
        The names of the files in ``path``.

    Raises:
        OSError: the files cannot be written; the error names ``path``, not the temporary path.
        OptionError: one would replace a file that ``durable.guarded_by`` keeps.
        DataError: a folder that is to be replaced as a whole holds other files.
        ModelFolderError: one would replace a link in ``path``, or be written behind one.
    """
    target = durable.linked(path)  # a file is moved within one file system only
    folders.make(target.parent)
    durable.clear_left(target.parent)
    made = durable.unfinished(target)
    try:
        made.mkdir()
        names = [Path(name).relative_to(made) for name in write(made)]
        if path.exists():
            if note:
                _note_others(path, names)
            folders.check_names(path, names)
            for name in names:
                durable.check_replaced(path / name)
            if whole:
                _refuse_others(path, names)
                durable.swap(made, target)
            else:
                _move_into(path, made, names)
        else:
            made.rename(target)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        folders.remove_tree(made)
    return tuple(str(path / name) for name in names)


def _move_into(path: Path, made: Path, names: Sequence[Path]) -> None:
    """Replace files of a folder one by one."""
    with folders.closed(path, look=False):
        for name in names:
            folders.make((path / name).parent)
            folders.replace(made / name, path / name)


def _refuse_others(folder: Path, names: Sequence[Path]) -> None:
    """Refuse to replace a folder with files of other names.

    Raises:
        DataError: it has some.
    """
    there = (path for path in folder.rglob("*") if folders.is_link(path) or not path.is_dir())
    if others := {path.relative_to(folder) for path in there} - set(names):
        raise others_files(folder, str(min(others)))


def others_files(folder: Path, such: str) -> DataError:
    """The error for a folder that is not replaced because of a file in it."""
    return DataError(
        f"{folder} holds other files, such as {such:.60}; choose another name, so that nothing of "
        "yours is replaced"
    )


def check_same(made: Path, there: Path) -> None:
    """Check that a file that is moved to ``there`` replaces no other content.

    A decoded file has the name of its original, which may lie there.

    Raises:
        OptionError: there is another file.
    """
    if there.exists() and untrusted.content(there, OptionError) != made.read_bytes():
        raise OptionError(
            f"{there} exists with other content, so it is not replaced: name another folder with -o"
        )


def check_apart(output: Path, data: str) -> None:
    """Check that results do not replace the file, or files in the folder, that they are made of.

    Raises:
        OptionError: they would be.
    """
    durable.check_not_data(output, data)
    source, place = Path(data).expanduser().resolve(), output.expanduser().resolve()
    if source.is_dir() and not place.suffix and source in (place, *place.parents):
        raise OptionError(
            f"{output} lies in the folder of the data, {data}, whose files could be replaced: "
            "name another folder"
        )


def _note_others(folder: Path, names: Sequence[Path]) -> None:
    """Warn that files of an earlier run, of the same kinds and beside the new ones, stay."""
    kinds = {name.suffix for name in names}
    beside = (
        place for name in {name.parent for name in names} if (place := folder / name).is_dir()
    )
    there = {path.relative_to(folder) for place in beside for path in place.iterdir()}
    others = sorted(name for name in there - set(names) if name.suffix in kinds)
    if others:
        warnings.warn(
            f"{folder} also holds {len(others):,} files from before, such as {others[0]}",
            UserWarning,
            stacklevel=3,
        )


def page_path(output: str | None) -> Path | None:
    """The path of a page, or None.

    Raises:
        OptionError: the suffix is not .html.
    """
    page = None if output is None else Path(output)
    if page is not None and page.suffix.lower() != ".html":
        raise OptionError(f"{page}: the page is written as NAME.html")
    return page


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, completely or not at all."""
    with replacing(path) as place:
        place.write_text(text, encoding="utf-8", errors="backslashreplace")
