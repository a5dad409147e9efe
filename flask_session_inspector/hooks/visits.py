"""Requests that run in an app context that was pushed before them.

Flask before 3.2 does not push a new app context where there is one of the same
application: in a test that has one pushed, or for a request that a view sends to
its own application. Several such requests can run in one context at the same
time, each inside the one before or each in a thread that copied the context
variables; so which one an event belongs to is kept in a context variable too.
"""

from __future__ import annotations

import typing as t
import weakref
from contextvars import ContextVar

from flask import has_request_context
from flask import request

from ..recorder import Scope
from .frames import Frame

if t.TYPE_CHECKING:
    from flask import Request
    from flask.ctx import AppContext

_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy


class Visit(Frame):
    """A request in a context that it did not push; the context as it sees it.

    :ivar host: The frame of the context itself.
    :ivar outer: The visit that was current before.
    :ivar request: The request. Without a sign of its end it is over when it is
        collected. ``None`` for a stream that is about to go on.
    :ivar responded: Whether the request has its response.
    """

    is_visit = True

    __slots__ = ("host", "outer", "request", "responded")

    def __init__(self, host: Frame, context: AppContext) -> None:
        super().__init__(context, host.recording)
        self.host = host
        self.number = host.number
        self.outer = _current.get(None)
        # One that ended elsewhere, in a garbage collection, could not say so here.
        while self.outer is not None and self.outer.is_over:
            self.outer = self.outer.outer
        self.request: weakref.ref[Request] | None = None
        self.responded = False
        self.parents.append(host)
        self.scope = None
        host.visited = True
        _current.set(self)

    def _collected(self, reference: object) -> None:
        """Leave it to the host, which ends its visits."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or the context that it was in."""
        return not (self.parents and self.host.parents)


_current: ContextVar[Visit | None] = ContextVar("flask_session_inspector.visit")


def seen_from_here(host: Frame) -> Frame:
    """Return the visit that an event in a visited context belongs to.

    :return: The frame itself if there is none. A visit without ``parents`` has
        ended, and only a thread that copied its context variables goes on.
    """
    if not has_request_context():
        return host
    incoming = _get_request()
    visit = _current.get(None)
    while visit is not None:
        if visit.host is host:
            if visit.request is None:
                _go_on(visit, incoming)
            if visit.request is not None and visit.request() is incoming:
                return visit
        visit = visit.outer
    return host


def begin(host: Frame, incoming: Request, scope: Scope | None) -> None:
    """Take note that a request begins in a context that was there."""
    for earlier in host.visits:
        if earlier.request is not None and earlier.request() is None:
            end(earlier)
    context = host.context()
    if context is None:
        return
    visit = Visit(host, context)
    visit.request = weakref.ref(incoming)
    visit.scope = scope
    visit.owns = True
    host.visits += (visit,)
    if scope is not None:
        scope.reused_context = True
        scope.frames.add(visit)


def end(visit: Visit) -> None:
    """Take note that the request of a visit is over."""
    if _current.get(None) is visit:
        _current.set(visit.outer)
    if visit in visit.host.visits:
        visit.host.visits = tuple(v for v in visit.host.visits if v is not visit)
        if isinstance(visit.scope, Scope) and visit.scope.streamed:
            visit.host.streams = True
        visit.close()


def end_all(host: Frame) -> None:
    """Take note that the context itself is popped."""
    for visit in host.visits:
        end(visit)


def expect_stream(host: Frame) -> None:
    """Take note that a context is pushed once more, maybe to go on with a stream.

    Whose stream it is shows only when the request context follows.
    """
    context = host.context()
    if host.streams and context is not None:
        Visit(host, context)


def expect_no_stream(host: Frame) -> None:
    """Take note that this push of the context is popped again."""
    visit = _current.get(None)
    if visit is not None and visit.host is host and visit.request is None:
        _current.set(visit.outer)


def _go_on(visit: Visit, incoming: Request) -> None:
    scope = incoming.environ.get(visit.recording.environ_key)
    if isinstance(scope, Scope) and scope.streamed and scope.stopped is not None:
        visit.request = weakref.ref(incoming)
        visit.responded = True
        visit.go_on(scope)
        visit.host.visits += (visit,)
