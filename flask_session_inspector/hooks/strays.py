"""Sessions that are used where they do not belong.

That is in another thread, after their request, or in a child process.
"""

from __future__ import annotations

import collections.abc as cabc
import threading
import types
import typing as t

from ..clues import CrossThread
from ..clues import Earlier
from ..clues import ForkedUse
from ..clues import LateUse
from ..process import process
from ..recorder import Busy
from ..registries import sessions_kept_in
from .workers import frame_of_other
from .workers import name
from .workers import name_of_other
from .workers import worker

if t.TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ..locations import RawLocation
    from ..recorder import RawSession
    from ..recorder import Scope
    from ..recorder import SessionFacts
    from .frames import Frame


def is_of_context(frame: Frame, session: Session) -> bool:
    """Say whether an app context has a session for its own."""
    if frame.recording.registry_of(session) is not None:
        return True
    context = frame.context()
    return context is not None and any(
        kept is session for kept, _ in sessions_kept_in(vars(context.g))
    )


def note_late(
    facts: SessionFacts, location: RawLocation | None, user: Earlier | None = None
) -> None:
    """Take note of SQL of a session whose request was torn down.

    :param user: The record that it ran in.
    """
    scope = facts.first
    if scope is None or scope.kind != "request" or not scope.closed:
        return
    # Of one that was there before, the request was only a guest.
    if facts.began_outside or facts.unknown_registry:
        return
    recording = scope.recording()
    if recording is None or _is_noted(scope, LateUse, facts.serial):
        return
    thread = threading.current_thread().name
    scope.note(LateUse(facts.serial, thread, location, user, streaming=False))
    recording.reexamine(scope)


def note_stray(facts: SessionFacts, caller: types.FrameType) -> None:
    """Take note of SQL of a session outside of any app context."""
    last = facts.last
    recording = None if last is None else last.recording()
    if last is None or recording is None:
        return
    location = recording.locate(caller)
    if facts.pid != process.pid:
        _note_fork(last, facts, location)
    elif last.closed:
        note_late(facts, location)
    else:
        used = last.sessions.get(facts.serial)
        if used is not None and used.worker != worker():
            _note_crossing(last, used, location)


def look_closer(
    frame: Frame, scope: Scope, facts: SessionFacts, caller: types.FrameType
) -> None:
    """Look at a session that another process or app context began to use."""
    if facts.pid != process.pid:
        _note_fork(scope, facts, frame.recording.locate(caller))
    used = scope.sessions.get(facts.serial)
    if used is None or {used.context, frame.index} & (scope.nested or set()):
        return
    session = facts.reference()
    if session is None or is_of_context(frame, session):
        return
    continued = scope.continued or ()
    if frame.index in continued and used.context not in continued:
        # One that was made for the purpose may well go on with the stream.
        if facts.registry_key is None or _is_noted(scope, LateUse, facts.serial):
            return
        location = frame.recording.locate(caller)
        thread = threading.current_thread().name
        scope.note(LateUse(facts.serial, thread, location, None, streaming=True))
    elif used.worker != worker():
        _note_crossing(scope, used, frame.recording.locate(caller))


def note_overlap(
    frame: Frame,
    scope: Scope,
    facts: SessionFacts,
    busy: Busy,
    caller: types.FrameType,
    inside: cabc.Set[types.CodeType],
) -> None:
    """Take note of a statement that begins while another one is being executed.

    :param inside: The code of the hooks, one of which runs the other one.
    """
    used = scope.sessions.get(facts.serial)
    if used is None and facts.last is not None:
        used = facts.last.sessions.get(facts.serial)
    if used is not None:
        location = frame.recording.locate(caller)
        _note_crossing(scope, used, location, busy, inside)


def _note_crossing(
    scope: Scope,
    used: RawSession,
    location: RawLocation | None,
    busy: Busy | None = None,
    inside: cabc.Set[types.CodeType] = frozenset(),
) -> None:
    serial = used.facts.serial
    if _is_noted(scope, CrossThread, serial):
        return
    # A thread of the request may have had it first.
    owner, owner_location = used.thread or scope.thread, used.first_use
    recording = scope.recording()
    if busy is not None and recording is not None:
        running, thread = busy
        owner = name_of_other(thread)
        frame = frame_of_other(running, thread, inside)
        owner_location = recording.locate_elsewhere(frame) or owner_location
    at_once = busy is not None
    scope.note(
        CrossThread(serial, owner, name(), owner_location, location, at_once, None)
    )


def _note_fork(scope: Scope, facts: SessionFacts, location: RawLocation | None) -> None:
    serial = facts.serial
    if any(
        isinstance(clue, ForkedUse) and clue.what == "session" and clue.number == serial
        for clue in scope.clues or ()
    ):
        return
    scope.note(ForkedUse("session", serial, facts.pid, process.pid, location))
    recording = scope.recording()
    if scope.origin.pid != process.pid and recording is not None:
        # It will hardly end here: its end is the parent's.
        recording.reexamine(scope)


def _is_noted(
    scope: Scope, kind: type[LateUse] | type[CrossThread], serial: int
) -> bool:
    return any(
        isinstance(clue, kind) and clue.serial == serial for clue in scope.clues or ()
    )
