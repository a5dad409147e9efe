"""What an exception that reaches Flask tells about the sessions.

SQLAlchemy sends no event when it refuses something; all that can be seen is its
exception. What is of interest is taken out at once: the exception itself would
keep every frame alive that it passed.
"""

from __future__ import annotations

import builtins
import re
import types
import typing as t

import click
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm import QueryableAttribute
from sqlalchemy.orm import Session
from sqlalchemy.orm import SessionTransaction
from sqlalchemy.orm.exc import DetachedInstanceError

from ..clues import AlreadyAttached
from ..clues import DetachedAccess
from ..clues import Detachment
from ..clues import Poisoned
from . import objects
from . import uses

if t.TYPE_CHECKING:
    from ..locations import RawLocation
    from ..recorder import Scope
    from ..recording import Recording

_LONGEST_CHAIN = 20
_GROUP = getattr(builtins, "BaseExceptionGroup", ())  # Python 3.11 brings it.
# What SQLAlchemy calls a PendingRollbackError that no flush is to blame for.
_CONNECTION_LOST = "8s2b"
_ATTACHED = re.compile(
    r"Object '<(?P<name>[\w.]+) at [^']*>' is already attached to session"
    r" '(?P<owner>\d+)' \(this is '(?P<other>\d+)'\)"
)
_ATTRIBUTE = re.compile(r"load operation of attribute '(?P<name>\w+)'")


def note_raised(recording: Recording, scope: Scope, error: BaseException) -> None:
    """Take note of an exception of the view, also of one that is handled."""
    scope.raised = scope.raised or type(error).__name__
    for each in _chain(error, handled=True):
        lost = getattr(each, "code", None) == _CONNECTION_LOST
        if lost and isinstance(each, PendingRollbackError):
            location = recording.locate_raise(each.__traceback__)
            scope.note(_poisoned(each, location))


def note_unhandled(recording: Recording, scope: Scope, error: BaseException) -> None:
    """Take note of an exception that nobody handled."""
    note_raised(recording, scope, error)
    for each in _chain(error):
        location = recording.locate_raise(each.__traceback__)
        if isinstance(each, DetachedInstanceError):
            scope.note(_detached(each, location))
        elif isinstance(each, InvalidRequestError):
            match = _ATTACHED.search(_text(each))
            if match is not None:
                name = match["name"].rpartition(".")[2]
                owner, other = int(match["owner"]), int(match["other"])
                facts = uses.facts.get(owner)
                scope.note(AlreadyAttached(name, owner, other, location, facts))


def _text(error: BaseException) -> str:
    # Its str() may be the application's own, and do anything.
    return next((each for each in error.args if type(each) is str), "")


def _chain(
    error: BaseException | None, *, handled: bool = False
) -> t.Iterator[BaseException]:
    """Iterate over an exception, those that it was raised from or is a group of.

    :param handled: Also over those that were being handled when it was raised.
    """
    ahead = [error]
    for _ in range(_LONGEST_CHAIN):
        if not ahead:
            return
        error = ahead.pop(0)
        if error is None:
            continue
        yield error
        context = None if error.__suppress_context__ else error.__context__
        ahead.append(error.__cause__ or (context if handled else None))
        # As a task group of an async view raises.
        if issubclass(type(error), _GROUP):
            ahead += t.cast(t.Any, error).exceptions


def _poisoned(error: BaseException, location: RawLocation | None) -> Poisoned:
    session = _session_in(error.__traceback__)
    facts = None if session is None else uses.facts.get(session.hash_key)
    if facts is None:
        return Poisoned(None, None, True, location)
    return Poisoned(facts.serial, facts.failure, True, location)


def _detached(error: BaseException, location: RawLocation | None) -> DetachedAccess:
    state = _detached_state(error.__traceback__)
    match = _ATTRIBUTE.search(_text(error))
    attribute = match["name"] if match else ""
    if not attribute:
        # A refresh loads all that is expired, and says nothing of what was read.
        read = _local_in(error.__traceback__, "self", QueryableAttribute)
        attribute = "" if read is None else read.key
    expired = match is None
    if state is None:
        return DetachedAccess("an object", attribute, expired, None, location)
    origin = objects.detachments.get(state)
    if state.session_id is not None:
        # Nobody detached it, so the session itself is gone.
        origin = Detachment(state.session_id, "", False, False, None, None, None)
    name = state.class_.__name__
    return DetachedAccess(name, attribute, expired, origin, location)


def _detached_state(
    traceback: types.TracebackType | None,
) -> InstanceState[t.Any] | None:
    state = _local_in(traceback, "state", InstanceState)
    if state is None:
        # A dynamic relationship has only the object at hand.
        instance = _local_in(traceback, "instance", object)
        state = None if instance is None else vars(instance).get("_sa_instance_state")
    return t.cast("InstanceState[t.Any] | None", state)


def _session_in(traceback: types.TracebackType | None) -> Session | None:
    transaction = _local_in(traceback, "self", SessionTransaction)
    if transaction is not None:
        return t.cast(Session, transaction.session)
    return t.cast("Session | None", _local_in(traceback, "self", Session))


def _local_in(
    traceback: types.TracebackType | None, name: str, kind: type[t.Any]
) -> t.Any:
    """Find a local variable of SQLAlchemy's own frames, the innermost first."""
    found = None
    while traceback is not None:
        frame = traceback.tb_frame
        if str(frame.f_globals.get("__name__")).startswith("sqlalchemy.orm."):
            value = frame.f_locals.get(name)
            if issubclass(type(value), kind):
                found = value
        traceback = traceback.tb_next
    return found


def failure_of(exc: BaseException | None, scope: Scope) -> str | None:
    """Name the exception that ended a scope, unless it was no failure."""
    if isinstance(exc, GeneratorExit) and scope.streamed:
        return None  # The client has left.
    if scope.kind == "cli" and isinstance(exc, SystemExit) and not exc.code:
        return None
    # Whether Click tells of its own kind of exit depends on its release.
    if exc is None or isinstance(exc, click.exceptions.Exit):
        return None
    return type(exc).__name__
