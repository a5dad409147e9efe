"""Modules of applications that look after the session of each request themselves."""

from __future__ import annotations

import contextvars
import threading
import typing as t

import flask
from sqlalchemy.orm import Session
from werkzeug.local import Local
from werkzeug.local import LocalProxy
from werkzeug.local import LocalStack

by_thread: dict[int, Session] = {}
thread_local = threading.local()
context_variable: contextvars.ContextVar[Session] = contextvars.ContextVar("session")
stack: LocalStack[Session] = LocalStack()
local = Local()
from_variable = LocalProxy(context_variable)


class Keeper(t.NamedTuple):
    """How an application keeps, gets and forgets the session of a request."""

    keep: t.Callable[[Session], object]
    get: t.Callable[[], Session]
    forget: t.Callable[[], object]


KEEPERS = {
    "a dict": Keeper(
        lambda session: by_thread.update({threading.get_ident(): session}),
        lambda: by_thread[threading.get_ident()],
        lambda: by_thread.pop(threading.get_ident()),
    ),
    "a thread local": Keeper(
        lambda session: setattr(thread_local, "session", session),
        lambda: thread_local.session,
        lambda: delattr(thread_local, "session"),
    ),
    "a context variable": Keeper(
        lambda session: setattr(flask.g, "token", context_variable.set(session)),
        lambda: t.cast(Session, from_variable),
        lambda: context_variable.reset(flask.g.token),
    ),
    "a stack": Keeper(stack.push, lambda: t.cast(Session, stack.top), stack.pop),
    "a local": Keeper(
        lambda session: setattr(local, "session", session),
        lambda: local.session,
        lambda: delattr(local, "session"),
    ),
}
