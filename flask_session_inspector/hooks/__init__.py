"""The hooks into Flask and SQLAlchemy.

Those into SQLAlchemy are installed once for the process, however many
applications are inspected, and removed with the last of them.
"""

from __future__ import annotations

import threading
import typing as t
import weakref

from ..guard import guard
from . import binds
from . import connections
from . import sessions
from . import statements

if t.TYPE_CHECKING:
    from ..recording import Recording

# Reentrant: the collection of an application can run in the middle of this.
_lock = threading.RLock()
_users: set[int] = set()


def install(recording: Recording) -> None:
    """Listen to SQLAlchemy on behalf of one application.

    What was installed is removed with :func:`uninstall`, or when the
    application is collected.
    """
    with _lock:
        first = not _users
        _users.add(id(recording))
        guard.strict = guard.strict or recording.config.strict
        if first:
            sessions.listen()
            connections.listen()
            statements.listen()
    weakref.finalize(recording, _release, id(recording)).atexit = False


def uninstall(recording: Recording) -> None:
    """Stop to listen on behalf of one application."""
    _release(id(recording))


def _release(user: int) -> None:
    with _lock:
        if user not in _users:
            return
        _users.remove(user)
        if not _users:
            guard.strict = False
            statements.remove()
            connections.remove()
            sessions.remove()
            binds.forget()
