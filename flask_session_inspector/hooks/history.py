"""What a session did before, where that matters to the record that has it now.

All of this is for sessions that another record used, or that nobody knows the
maker of: a session of one request alone costs nothing here.
"""

from __future__ import annotations

import types
import typing as t

from flask import has_request_context
from flask import request
from sqlalchemy.orm import scoping

from ..clues import CrossThread
from ..clues import Outlived
from ..clues import earlier
from ..registries import KnownRegistry
from ..registries import is_proxy
from ..registries import key_text
from . import strays
from .details import lazily_loaded
from .workers import name

if t.TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ..clues import Earlier
    from ..locations import RawLocation
    from ..recorder import RawSession
    from ..recorder import Scope
    from ..recorder import SessionFacts
    from ..recorder.sessions import Inherited
    from .frames import Frame

_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy

_SCOPING = scoping.__file__
_MOST_INHERITED = 10_000


def compare(
    frame: Frame,
    before: Scope,
    session: Session,
    used: RawSession,
    key_before: str | None,
) -> None:
    """Hold a session that another record used against that record.

    :param key_before: The scope key that was known of it until now.
    """
    serial = used.facts.serial
    theirs = before.sessions.get(serial)
    context = frame.context()
    same_context = theirs is not None and theirs.app_context == used.app_context
    used.earlier = earlier(
        before,
        serial,
        same_context=same_context,
        same_thread=theirs is None or theirs.worker == used.worker,
    )
    if same_context:
        return
    used.carried_over = len(session.identity_map)
    if not used.earlier.live:
        used.inherited = _inherited(before, theirs, session, used.earlier)
        if theirs is not None:
            theirs.inherited = {}  # A retained record needs it no more.
    found = frame.recording.registry_of(session)
    if found is not None:
        _, key = found
        if not _is_own(key, context):
            used.reached = "coarse"
        elif key_before != key_text(key) and not used.earlier.same_thread:
            used.reached = "lent"  # A thread had it from the one that is here.
        else:
            used.reached = "recycled"


def _inherited(
    before: Scope, theirs: RawSession | None, session: Session, user: Earlier
) -> dict[int, Inherited]:
    """Say which objects of a session earlier requests left in it.

    :param theirs: What the record before this one saw of the session.
    """
    known = {} if theirs is None else theirs.inherited
    left: dict[int, Inherited] = {}
    for state in session.identity_map.all_states()[:_MOST_INHERITED]:
        older = known.get(id(state))
        # Its id() may have been another's before.
        if older is not None and older[0] is state.obj:
            left[id(state)] = older
        elif before.kind == "request":
            left[id(state)] = (state.obj, user)
    return left


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
    if before is None or before.same_context or used.reached == "lent":
        return
    facts = used.facts
    if before.live and not before.same_thread:
        scope.note(
            CrossThread(
                facts.serial,
                before.thread,
                name(),
                before.location,
                used.first_use,
                at_once=False,
                other=before,
            )
        )
    elif not before.live and scope.kind != "request" and not used.reached:
        strays.note_late(facts, used.first_use, earlier(scope, facts.serial))


def note_outlived(
    scope: Scope, used: RawSession, context: t.Any, location: RawLocation | None
) -> None:
    """Take note of a lazy load or refresh of an object of an earlier request."""
    options = context.execution_options.get("_sa_orm_load_options")
    if options is None or scope.kind != "request":
        return
    state = options._lazy_loaded_from or options._refresh_state
    inherited = used.inherited.get(id(state))
    if inherited is None or inherited[0] is not state.obj:
        return
    name = state.class_.__name__
    relationship = lazily_loaded(context)
    clue = Outlived(used.facts.serial, name, relationship, location, inherited[1])
    scope.note(clue)


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
    frame.recording.name_registry(facts, session, frame.context())
    if facts.registry is None:
        registry = KnownRegistry("", proxy)
        facts.unknown_registry = registry.holds(session)
