"""The local variables of the functions that are running now."""

from __future__ import annotations

import inspect
import itertools
import sys
import types
import typing as t

from ..locations import in_library
from .peek import MOST_ENTRIES

_MOST_FRAMES = 200
# Before Python 3.13 a frame has one dict of its local variables: to read them writes
# into the one that the function itself got by one of these.
_SHARED = frozenset({"locals", "vars", "exec", "eval", "f_locals"})


class Local(t.NamedTuple):
    """A local variable of a running function.

    :param text: What it is, and where.
    :param by_library: The function is not the application's own.
    """

    text: str
    by_library: bool


class RunningFrames:
    """The frames of all threads, as they were when this was made.

    :ivar ids: The ``id()`` of every frame, and of copies of its variables.
    """

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self._locals: dict[int, list[Local]] = {}
        for frame in list(sys._current_frames().values()):
            current: types.FrameType | None = frame
            for _ in range(_MOST_FRAMES):
                if current is None:
                    break
                self.ids.add(id(current))
                self._note(current)
                current = current.f_back

    def locals_with(self, number: int) -> list[Local]:
        """Return the variables that held the object with this ``id()``."""
        return self._locals.get(number, [])

    def _note(self, frame: types.FrameType) -> None:
        # What a module or a class body defines is in a namespace of its own.
        if not frame.f_code.co_flags & inspect.CO_OPTIMIZED or is_ours(frame):
            return
        by_library = in_library(frame.f_code.co_filename)
        for name, value in locals_of(frame, self.ids):
            local = Local(f"{local_text(name, frame)} (running)", by_library)
            self._locals.setdefault(id(value), []).append(local)


def locals_of(
    frame: types.FrameType, copies: set[int] | None = None
) -> list[tuple[str, t.Any]]:
    """Return the first local variables of a frame.

    :param copies: Is given the ``id()`` of the copy of them that the frame keeps.
    :return: Nothing where to look would change what the function sees.
    """
    if sys.version_info < (3, 13) and not _SHARED.isdisjoint(frame.f_code.co_names):
        return []
    variables = frame.f_locals
    found = list(itertools.islice(variables.items(), MOST_ENTRIES))
    # Before Python 3.13 this is a copy, which the frame keeps until its end with
    # all that is in it. If nobody else has it, and no debugger, it can be emptied.
    if (
        type(variables) is dict
        and frame.f_code.co_flags & inspect.CO_OPTIMIZED
        and sys.gettrace() is None
        and sys.getrefcount(variables) <= 3
    ):
        variables.clear()
    elif type(variables) is dict and copies is not None:
        copies.add(id(variables))
    return found


def is_ours(frame: types.FrameType) -> bool:
    """Say whether a frame runs the inspector's own code."""
    module = str(frame.f_globals.get("__name__"))
    return module.partition(".")[0] == __name__.partition(".")[0]


def local_text(name: str, frame: types.FrameType) -> str:
    """Name a local variable."""
    code = frame.f_code
    function = getattr(code, "co_qualname", code.co_name)  # From Python 3.11 on.
    module = frame.f_globals.get("__name__")
    return f'local variable "{name}" of {module}.{function}, line {frame.f_lineno}'
