"""Everything that can go wrong, and the exit code each reason has.

::

    Exception                       70   an error of ours, said with the line that a bug report needs
    └── NgbenchError                 1   a run failed, diverged or was interrupted
        ├── UsageError               2   bad input; the message names the value and what is allowed
        │   ├── UnknownNameError         a task, optimizer, layer, ... that does not exist
        │   ├── ParameterError           a hyper-parameter or option that is unknown, of the wrong type or out of range
        │   ├── DataError                a data set that is missing, truncated, corrupt or of the wrong shape
        │   │   └── DownloadError            no mirror delivered it (in ``ngbench.data.download``)
        │   ├── PluginError              a plugin that cannot be imported or does not keep its contract
        │   │   └── NoPluginError            one whose module or file does not exist
        │   ├── DeviceError              a device or dtype that this machine does not have
        │   ├── StudyError               a study file that is not well formed; names the file, the line and the key
        │   ├── PathError                a path that cannot be looked at, listed or read
        │   ├── OutputError              an output that cannot be written, or is already used
        │   └── RecordError              a record or checkpoint that is corrupt or of another version
        ├── RegressionError          3   a comparison that got worse than its threshold
        └── NotComparableError       4   records that cannot be compared

Exit code 0 means that everything ran. Messages are one sentence and are printed without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

__all__ = [
    "OUR_ERROR",
    "TRACEBACK_VARIABLE",
    "DataError",
    "DeviceError",
    "NgbenchError",
    "NoPluginError",
    "NotComparableError",
    "OutputError",
    "ParameterError",
    "PathError",
    "PluginError",
    "RecordError",
    "RegressionError",
    "StudyError",
    "UnknownNameError",
    "UsageError",
    "describe",
    "explain",
    "one_line",
]

OUR_ERROR = 70
"""The exit code of an error that no user can have caused; ``EX_SOFTWARE`` of ``sysexits.h``."""

TRACEBACK_VARIABLE = "NGBENCH_TRACEBACK"
"""Where it is set in the environment, errors are shown with their traceback."""

_PACKAGE = Path(__file__).parent
_LONGEST = 1000
"""Characters of a message, which goes into records, tables and terminals."""


_MOST_NAMES = 8
"""That are told of what a name might have been."""
_LISTED = {"task": "tasks", "optimizer": "optimizers", "approximation": "approximations", "study": "studies"}


class NgbenchError(Exception):
    """Base of all errors that are shown to the user as one sentence."""

    exit_code = 1

    def __str__(self) -> str:
        # The values that messages name have any text.
        return " ".join(super().__str__().split())


class UsageError(NgbenchError):
    """Bad input: the message names the value and what is allowed."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not among the allowed ones.

    Args:
        kind: what is named, for example ``"task"``.
        name: the name that was given.
        allowed: the names that exist.
    """

    def __init__(self, kind: str, name: str, allowed: Iterable[str]) -> None:
        names = sorted(allowed)
        alike = [n for n in names if name and name.casefold() in n.casefold()]
        close = get_close_matches(name, names, n=1) or sorted(alike, key=len)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        known = ", ".join(names[:_MOST_NAMES]) if names else "none"
        if len(names) > _MOST_NAMES:
            known += f" and {len(names) - _MOST_NAMES} more"
            if kind in _LISTED:
                known += f", which ngbench list {_LISTED[kind]} shows"
        super().__init__(f"unknown {kind} {name!r}{hint} (known: {known})")


class ParameterError(UsageError):
    """A hyper-parameter or option that is unknown, of the wrong type or out of range."""


class DataError(UsageError):
    """A data set that is missing, truncated, corrupt or of the wrong shape."""


class PluginError(UsageError):
    """A plugin that cannot be imported or does not keep its contract."""


class NoPluginError(PluginError):
    """A plugin whose module or file does not exist."""


class DeviceError(UsageError):
    """A device or dtype that this machine does not have."""


class StudyError(UsageError):
    """A study file that is not well formed; the message names the file, the line and the key."""


class PathError(UsageError):
    """A path that cannot be looked at, listed or read."""


class OutputError(UsageError):
    """An output that cannot be written, or is already used."""


class RecordError(UsageError):
    """A record or checkpoint that is corrupt or of another version."""


class RegressionError(NgbenchError):
    """A comparison that got worse than its threshold."""

    exit_code = 3


class NotComparableError(NgbenchError):
    """Records that cannot be compared."""

    exit_code = 4


def one_line(error: BaseException) -> str:
    """The message of ``error`` without line breaks and not too long, or its class where it has none that can be had."""
    try:
        text = " ".join(str(error).split())
    except BaseException as unspeakable:
        # The exceptions of plugins are code of others too.
        if isinstance(unspeakable, KeyboardInterrupt):
            raise
        text = ""
    return _shortened(text or type(error).__name__)


def describe(error: BaseException) -> str:
    """The class of ``error`` and its message, in one line."""
    name, text = _shortened(type(error).__name__), one_line(error)
    return name if text == name else f"{name}: {text}"


def explain(error: BaseException) -> tuple[str, int]:
    """The sentence for the user and the exit code."""
    if isinstance(error, NgbenchError):
        return one_line(error), error.exit_code
    return (
        f"unexpected {type(error).__name__}{_place(error)}: {one_line(error)} (an error of ngbench: please report this "
        f"line with the output of ngbench env; {TRACEBACK_VARIABLE}=1 shows the traceback)"
    ), OUR_ERROR


def _place(error: BaseException) -> str:
    """Where it was raised, as far as it is known: the innermost line of this package."""
    # Nobody needs it before something went wrong.
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not ours:
        return ""
    return f" at {Path(ours[-1].filename).relative_to(_PACKAGE.parent).as_posix()}:{ours[-1].lineno}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
