"""What a session did before, where that matters to the record that has it now.

All of this is for sessions that another record used, or that nobody knows the
maker of: a session of one request alone costs nothing here.
"""

from __future__ import annotations

import threading
import types
import typing as t

from flask import has_request_context
from flask import request
from sqlalchemy.orm import scoping

from ..clues import CrossThread
from ..clues import LateUse
from ..clues import Outlived
from ..clues import earlier
from ..registries import KnownRegistry
from ..registries import is_proxy
from .workers import worker

if t.TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ..locations import RawLocation
    from ..recorder import RawSession
    from ..recorder import Scope
    from ..recorder import SessionFacts
    from .frames import Frame

_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy

_SCOPING = scoping.__file__
_MOST_INHERITED = 10_000


def compare(frame: Frame, before: Scope, session: Session, used: RawSession) -> None:
    """Hold a session that another record used against that record."""
    serial = used.facts.serial
    theirs = before.sessions.get(serial)
    context = frame.context()
    same_context = theirs is not None and context is theirs.app_context()
    used.earlier = earlier(
        before,
        serial,
        same_context=same_context,
        same_thread=theirs is None or theirs.worker == used.worker,
    )
    if same_context:
        return
    used.carried_over = len(session.identity_map)
    if before.kind == "request":
        states = session.identity_map.all_states()
        used.inherited = {id(state) for state in states[:_MOST_INHERITED]}
    registry = frame.recording.registry_of(session)
    if registry is not None:
        used.reached = "recycled" if _is_own(registry.key(), context) else "coarse"


def _is_own(key: object, context: object) -> bool:
    """Say whether a scope key is the address of something of the scope itself."""
    if type(key) is not int:
        return False
    own = [context, getattr(context, "g", None)]
    if has_request_context():
        own.append(_get_request())
    return any(key == id(each) for each in own if each is not None)


def tell(scope: Scope, used: RawSession) -> None:
    """Leave the clues of a session that another record used."""
    before = used.earlier
    if before is None or before.same_context:
        return
    facts = used.facts
    if before.live and not before.same_thread:
        scope.note(
            CrossThread(
                facts.serial,
                before.thread,
                threading.current_thread().name,
                before.location,
                used.first_use,
                at_once=False,
                other=before,
            )
        )
    elif not before.live and scope.kind != "request" and not used.reached:
        note_late(facts, used.first_use)


def note_late(facts: SessionFacts, location: RawLocation | None) -> None:
    """Take note of SQL of a session whose request was torn down."""
    scope = facts.first
    if scope is None or scope.kind != "request" or not scope.closed:
        return
    # Of one that was there before, the request was only a guest.
    if facts.began_outside or facts.unknown_registry:
        return
    recording = scope.recording()
    if recording is None or _has_late_use(scope, facts.serial):
        return
    scope.note(LateUse(facts.serial, threading.current_thread().name, location))
    recording.reexamine(scope)


def _has_late_use(scope: Scope, serial: int) -> bool:
    return any(
        isinstance(clue, LateUse) and clue.serial == serial
        for clue in scope.clues or ()
    )


def note_stray(facts: SessionFacts, frame: types.FrameType) -> None:
    """Take note of SQL of a session outside of any app context."""
    last = facts.last
    recording = None if last is None else last.recording()
    if last is None or recording is None:
        return
    if last.closed:
        note_late(facts, recording.locate(frame))
        return
    used = last.sessions.get(facts.serial)
    if used is not None and used.worker != worker():
        note_crossing(last, used, recording.locate(frame), at_once=False)


def note_crossing(
    scope: Scope, used: RawSession, location: RawLocation | None, *, at_once: bool
) -> None:
    """Take note that another thread or greenlet uses a session."""
    name = threading.current_thread().name
    serial = used.facts.serial
    clues = scope.clues or ()
    if any(isinstance(c, CrossThread) and c.serial == serial for c in clues):
        return
    scope.note(
        CrossThread(serial, scope.thread, name, used.first_use, location, at_once, None)
    )


def note_outlived(
    scope: Scope, used: RawSession, context: t.Any, location: RawLocation | None
) -> None:
    """Take note of a lazy load or refresh of an object of an earlier request."""
    options = context.execution_options.get("_sa_orm_load_options")
    before = used.earlier
    if options is None or before is None:
        return
    state = options._lazy_loaded_from or options._refresh_state
    if state is None or id(state) not in used.inherited:
        return
    path = context.invoked_statement._compile_options._current_path
    prop = getattr(path, "prop", None) if options._lazy_loaded_from else None
    name = state.class_.__name__
    relationship = None if prop is None else f"{prop.parent.class_.__name__}.{prop.key}"
    scope.note(Outlived(used.facts.serial, name, relationship, location, before))


def look_for_proxy(
    frame: Frame, facts: SessionFacts, session: Session, caller: types.FrameType
) -> None:
    """Find the proxy through which a session of no known registry was used.

    Its methods are on the stack, if it was not asked for the session itself.
    """
    current: types.FrameType | None = caller
    while current is not None:
        if current.f_code.co_filename == _SCOPING:
            proxy = current.f_locals.get("self")
            if is_proxy(proxy):
                break
        current = current.f_back
    else:
        return
    # It may be that of a module that was imported since.
    frame.recording.look_into_modules(proxy)
    frame.recording.name_registry(facts, session)
    if facts.registry is None:
        registry = KnownRegistry("", proxy)
        try:
            facts.unknown_registry = registry.session(registry.key()) is session
        except Exception:
            facts.unknown_registry = True  # Its scopefunc may need anything.
