"""The hooks into Flask and SQLAlchemy.

Those into SQLAlchemy are installed once for the process, however many
applications are inspected, and removed with the last of them.
"""

from __future__ import annotations

import threading
import typing as t
import weakref

from ..guard import guard
from ..process import process
from . import binds
from . import connections
from . import objects
from . import refusals
from . import sessions
from . import statements

if t.TYPE_CHECKING:
    from flask import Flask

    from ..recording import Recording


PARTS = (sessions, objects, refusals, connections, statements)


class _Lock:
    """Reentrant: an application can be collected in the middle of this."""

    def __init__(self) -> None:
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        self.held = threading.RLock()


_lock = _Lock()
_users: dict[str, bool] = {}


def install(recording: Recording, app: Flask) -> None:
    """Listen to SQLAlchemy on behalf of one application.

    What was installed is removed with :func:`uninstall`, or when the
    application is collected.
    """
    with _lock.held:
        first = not _users
        _users[recording.environ_key] = recording.config.strict
        guard.strict = any(_users.values())
        if first:
            for part in PARTS:
                part.listen()
    weakref.finalize(app, _release, recording.environ_key).atexit = False


def uninstall(recording: Recording) -> None:
    """Stop to listen on behalf of one application."""
    _release(recording.environ_key)


def _release(user: str) -> None:
    with _lock.held:
        if _users.pop(user, None) is None:
            return
        guard.strict = any(_users.values())
        if not _users:
            for part in reversed(PARTS):
                part.remove()
            binds.forget()
