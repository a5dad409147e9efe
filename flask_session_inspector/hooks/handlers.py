"""The hook into exceptions that an error handler will answer.

Flask has no signal for them. They come by ``Flask.handle_user_exception``, which
extensions that handle errors in a way of their own replace on the application, too.
"""

from __future__ import annotations

import functools
import typing as t
import weakref

from ..guard import guard
from . import contexts
from . import failures

if t.TYPE_CHECKING:
    from flask import Flask

    from ..recording import Recording

_METHOD = "handle_user_exception"


class ErrorHandling:
    """Notes what one application's ``handle_user_exception`` is given.

    :param recording: Where its records go.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._ours: t.Callable[..., t.Any] | None = None
        self._replaced: t.Callable[..., t.Any] | None = None

    def watch(self, app: Flask) -> None:
        """Be the first to be given exceptions; may be called again."""
        replaced = app.__dict__.get(_METHOD)
        if self._ours is not None and replaced is self._ours:
            return
        reference = weakref.ref(app)

        @functools.wraps(getattr(type(app), _METHOD) if replaced is None else replaced)
        def handle(*arguments: t.Any, **named: t.Any) -> t.Any:
            # Flask 3.2 passes its context before the exception.
            self._note(arguments[-1] if arguments else named.get("e"))
            if replaced is not None:
                return replaced(*arguments, **named)
            # Looked up only now: it may be replaced on the class at any time.
            host = t.cast("Flask", reference())
            return getattr(type(host), _METHOD)(host, *arguments, **named)

        self._ours, self._replaced = handle, replaced
        app.__dict__[_METHOD] = handle

    def remove(self, app: Flask) -> None:
        """Take it away, unless somebody else has wrapped it since."""
        if self._ours is not None and app.__dict__.get(_METHOD) is self._ours:
            del app.__dict__[_METHOD]
            if self._replaced is not None:
                app.__dict__[_METHOD] = self._replaced
        self._ours = None

    def _note(self, error: object) -> None:
        try:
            contexts.announce_late()
            current = contexts.current_scope()
            if current is None or not isinstance(error, BaseException):
                return
            frame, scope = current
            if frame.recording is self._recording:
                failures.note_raised(self._recording, scope, error)
        except Exception:
            guard.report("handle_user_exception")
