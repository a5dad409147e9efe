"""Which line of the application's own code is running."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import types
import typing as t

RawLocation = tuple[str, int, str]

# Top-level packages that are never the application's own code, even where they
# are installed from a checkout and so lie outside site-packages.
LIBRARIES = frozenset(
    {
        "asgiref",
        "click",
        "flask",
        "flask_admin",
        "flask_debugtoolbar",
        "flask_session_inspector",
        "flask_sqlalchemy",
        "flask_sqlalchemy_lite",
        "gevent",
        "greenlet",
        "gunicorn",
        "jinja2",
        "sqlalchemy",
        "werkzeug",
        "wtforms",
    }
)


def _library_directories() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    paths |= {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    paths |= set(site.getsitepackages())
    paths.add(site.getusersitepackages())
    # An interpreter in a virtual environment runs the standard library of its
    # base installation.
    paths.add(os.path.dirname(os.__file__))
    return tuple(os.path.join(path, "") for path in paths if path)


_LIBRARY_DIRECTORIES = _library_directories()


# Finds the nearest line of the application for one hook; see LocationFinder.nearest().
Nearest = t.Callable[[object], RawLocation | None]

# How many lines of the application are known by their way to a hook.
_MOST_WAYS = 10_000
# Of how many different hints the distance is known.
_MOST_HINTS = 1_000


# A line, and the code on the way from it to the hook: how many calls away from that the
# line's own two calls are; the line's code and instruction; the code of the two calls;
# the line. The code objects are kept, so that what has their addresses is really they.
# A plain tuple, which Python takes apart faster than a named one.
_Way = tuple[int, types.CodeType, int, types.CodeType, types.CodeType, RawLocation]


class LocationFinder:
    """Finds the innermost frame of the application's own code.

    Own code is what lies outside the standard library and the installed
    packages; an application that is itself an installed package is recognised
    by its root path. The decision is made once for each file.

    To walk over twenty frames of SQLAlchemy's for each statement, each of which
    becomes an object by that, would cost more than all the rest. So what
    :meth:`nearest` returns looks first where it found the line the last time, so many
    frames away: if the same instruction of the same code is there, and the same code
    again in the two calls behind it, then the way is known, and so is the line.

    :param root_path: The application's root path.
    """

    def __init__(self, root_path: str) -> None:
        root = os.path.join(os.path.abspath(root_path), "")
        self._installed_root = root if in_library(root) else None
        self._own: dict[str, bool] = {}

    def nearest(self) -> Nearest:
        """Return a function that walks outwards from its caller, one hook.

        It gives file, line and function; ``None`` if no frame is the application's
        own. What it is called with is a hint: for the same one, such as the text of a
        statement, the line is mostly as far away as the last time.
        """
        getframe = sys._getframe
        # By the hash of the hint: that can be a long text, with literals in it.
        last: dict[int, _Way] = {}
        ways: dict[tuple[int, int, int], _Way] = {}

        def nearest(hint: object) -> RawLocation | None:
            try:
                depth, code, instruction, called, inner, location = last[hash(hint)]
                # One look from afar, and two steps: each look is audited.
                nearer: t.Any = getframe(depth - 1)
                behind = nearer.f_back
                frame = behind.f_back
                if (
                    frame.f_code is code
                    and frame.f_lasti == instruction
                    and behind.f_code is called
                    and nearer.f_code is inner
                ):
                    return location
                # Another line that sends the same, maybe.
                way = ways[id(frame.f_code), frame.f_lasti, depth]
                _, code, _, called, inner, location = way
                if (
                    frame.f_code is code
                    and behind.f_code is called
                    and nearer.f_code is inner
                ):
                    last[hash(hint)] = way
                    return location
            # Never seen, or the stack is not even that deep.
            except (KeyError, ValueError, AttributeError):
                pass
            return walk(hint)

        def walk(hint: object) -> RawLocation | None:
            frame: types.FrameType | None = getframe(2)
            depth = 0
            while frame is not None and not self._is_own_frame(frame):
                frame = frame.f_back
                depth += 1
            if frame is None:
                return self._find_in_parent_greenlets()
            code, instruction = frame.f_code, frame.f_lasti
            location = _describe(code.co_filename, frame, frame.f_lineno)
            if depth:
                if len(last) >= _MOST_HINTS:
                    last.clear()
                if len(ways) >= _MOST_WAYS:
                    ways.clear()
                # As nearest() counts from itself; this function is one deeper.
                called, inner = getframe(depth + 1).f_code, getframe(depth).f_code
                way = (depth, code, instruction, called, inner, location)
                last[hash(hint)] = ways[id(code), instruction, depth] = way
            return location

        return nearest

    def find(self, frame: types.FrameType | None) -> RawLocation | None:
        """Walk outwards from a frame.

        :param frame: Where to start.
        :return: File, line and function; ``None`` if no frame is the
            application's own.
        """
        return self.find_in(frame) or self._find_in_parent_greenlets()

    def find_in_traceback(
        self, traceback: types.TracebackType | None
    ) -> RawLocation | None:
        """Find the innermost line of the application's own that an exception passed."""
        location = None
        while traceback is not None:
            frame = traceback.tb_frame
            if self._is_own_frame(frame):
                location = _describe(
                    frame.f_code.co_filename, frame, traceback.tb_lineno
                )
            traceback = traceback.tb_next
        return location

    def _is_own_frame(self, frame: types.FrameType) -> bool:
        file = frame.f_code.co_filename
        known = self._own.get(file)
        if known is None:
            known = self._own[file] = self._is_own(file, frame)
        return known

    def find_in(self, frame: types.FrameType | None) -> RawLocation | None:
        """Walk outwards from a frame, on its own stack alone."""
        while frame is not None:
            if self._is_own_frame(frame):
                return _describe(frame.f_code.co_filename, frame, frame.f_lineno)
            frame = frame.f_back
        return None

    def _find_in_parent_greenlets(self) -> RawLocation | None:
        """Go on where SQLAlchemy's asyncio bridge left the caller's stack.

        It runs the synchronous code in a greenlet of its own, so the frames of
        the coroutine that awaits it hang on the parent greenlet.
        """
        greenlet = sys.modules.get("greenlet")
        if greenlet is None:
            return None
        current = t.cast(t.Any, greenlet).getcurrent().parent
        while current is not None:
            location = self.find_in(current.gr_frame)
            if location is not None:
                return location
            current = current.parent
        return None

    def _is_own(self, file: str, frame: types.FrameType) -> bool:
        if file.startswith("<"):
            return False
        # Code that was given to exec() may have any name, or none.
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] in LIBRARIES:
            return False
        path = os.path.abspath(file)
        if self._installed_root is not None and path.startswith(self._installed_root):
            return True
        return not in_library(path)


def in_library(path: str) -> bool:
    """Say whether a file is part of Python or of an installed package."""
    return (
        path.startswith(_LIBRARY_DIRECTORIES)
        or f"{os.sep}site-packages{os.sep}" in path
        or f"{os.sep}dist-packages{os.sep}" in path
    )


def _describe(file: str, frame: types.FrameType, line: int) -> RawLocation:
    # Jinja compiles a template to Python whose lines are not the template's.
    template = frame.f_globals.get("__jinja_template__")
    if template is not None:
        return (file, template.get_corresponding_lineno(line), "<template>")
    return (file, line, frame.f_code.co_name)
