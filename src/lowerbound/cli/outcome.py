"""The exit code of a command, and an error as one sentence.

===== =======================================================================================
code  meaning
===== =======================================================================================
0     done
1     done, and a requested check failed; or training diverged
2     bad input: the message states what is wrong, where, and what to do
130   interrupted by Ctrl-C (SIGINT); the work done so far is saved
129   the same by a closed terminal (SIGHUP)
143   the same by ``kill`` (SIGTERM)
===== =======================================================================================
"""

from __future__ import annotations

import errno

from lowerbound.errors import LowerboundError, TrainingError

DONE, CHECK_FAILED, BAD_INPUT = 0, 1, 2

_WHAT_TO_DO = {
    errno.ENOSPC: "free some space and run the command again",
    errno.EFBIG: "the file is larger than you may write here: choose another place",
    errno.EDQUOT: "your quota is used up: free some space and run the command again",
    errno.EACCES: "choose a place that you may use",
    errno.EPERM: "choose a place that you may use",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file: check the path",
    errno.EISDIR: "that is a folder, and a file is needed",
    errno.EEXIST: "a part of the path is a file: choose another",
}


def code(error: BaseException) -> int:
    """The exit code of an error that has a ``sentence``."""
    return CHECK_FAILED if isinstance(error, TrainingError) else BAD_INPUT


def sentence(error: BaseException) -> str | None:
    """The error as one sentence; None for a defect of the package, which keeps its traceback."""
    if isinstance(error, LowerboundError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        return _about_file(error)
    if isinstance(error, MemoryError) or _torch_is_out_of_memory(error):
        return "the memory is full: give less data, or a smaller --batch-size or --samples"
    return None


def _about_file(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    reason = (error.strerror or "cannot be read or written").lower()
    advice = _WHAT_TO_DO.get(error.errno or 0, "check the disk and the path")
    return f"{where}{reason}; {advice}"


def _torch_is_out_of_memory(error: BaseException) -> bool:
    full = ("can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in full)
