"""The hook into what SQLAlchemy refuses to a session that is in no state for it.

There is no event for that, and the exception may never be seen: the application can
catch it. All such refusals are raised by one method, which is wrapped; it is called
for nothing else. Where a release of SQLAlchemy has no such method, nothing is noted.
"""

from __future__ import annotations

import functools
import sys
import threading
import types
import typing as t

from sqlalchemy.orm import SessionTransaction

from ..clues import CommitHookSql
from ..clues import CrossThread
from ..clues import Poisoned
from ..guard import guard
from . import uses
from .contexts import current_scope
from .workers import name

_METHOD = "_raise_for_prerequisite_state"
_wrapped: dict[str, t.Callable[..., t.Any]] = {}


def listen() -> None:
    """Wrap the method, for every session of the process."""
    original = vars(SessionTransaction).get(_METHOD)
    if original is None:
        return

    @functools.wraps(original)
    def refuse(
        transaction: SessionTransaction, operation: str, state: t.Any, *more: t.Any
    ) -> t.Any:
        try:
            _note(transaction, state.name, sys._getframe(1))
        except Exception:
            guard.report("the refusal of a session")
        return original(transaction, operation, state, *more)

    _wrapped.update(original=original, refuse=refuse)
    setattr(SessionTransaction, _METHOD, refuse)


def remove() -> None:
    """Put the method back, unless somebody else has wrapped it since."""
    if _wrapped and vars(SessionTransaction).get(_METHOD) is _wrapped["refuse"]:
        setattr(SessionTransaction, _METHOD, _wrapped["original"])
    _wrapped.clear()


def _note(transaction: SessionTransaction, state: str, caller: types.FrameType) -> None:
    current = current_scope()
    facts = uses.facts.get(transaction.session.hash_key)
    if current is None or facts is None:
        return
    frame, scope = current
    location = frame.recording.locate(caller)
    if state == "DEACTIVE" and getattr(transaction, "_rollback_exception", None):
        scope.note(Poisoned(facts.serial, facts.failure, False, location))
    elif state in ("COMMITTED", "PREPARED"):
        scope.note(CommitHookSql(state.lower(), facts.serial, location))
    elif state == "PROVISIONING_CONNECTION":
        # Another task, or thread, is just about to get a connection.
        used = scope.sessions.get(facts.serial)
        first_use = None if used is None else used.first_use
        thread = threading.current_thread().name
        owner = f"another task of {thread}"
        clue = CrossThread(facts.serial, owner, name(), first_use, location, True, None)
        scope.note(clue)
