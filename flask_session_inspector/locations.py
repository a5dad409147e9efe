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


class LocationFinder:
    """Finds the innermost frame of the application's own code.

    Own code is what lies outside the standard library and the installed
    packages; an application that is itself an installed package is recognised
    by its root path. The decision is made once for each file.

    :param root_path: The application's root path.
    """

    def __init__(self, root_path: str) -> None:
        root = os.path.join(os.path.abspath(root_path), "")
        self._installed_root = root if in_library(root) else None
        self._own: dict[str, bool] = {}

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
        own = self._own
        while frame is not None:
            file = frame.f_code.co_filename
            known = own.get(file)
            if known is None:
                known = own[file] = self._is_own(file, frame)
            if known:
                return _describe(file, frame, frame.f_lineno)
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
