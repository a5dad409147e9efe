"""The hooks into exceptions: those that an error handler will answer, and the others.

Flask has no signal for the former. They come by ``Flask.handle_user_exception``; what
answers the latter comes out of ``Flask.handle_exception``.
"""

from __future__ import annotations

import typing as t

from ..guard import guard
from . import contexts
from . import failures
from . import requests
from .methods import Function
from .methods import Method
from .methods import error_in

if t.TYPE_CHECKING:
    from flask import Flask

    from ..recording import Recording


def error_methods(recording: Recording) -> tuple[Method, ...]:
    """Return the methods that answer exceptions.

    :param recording: Where the records of the application go.
    """
    answers = requests.request_answers(recording)

    def handle_user_exception(app: Flask, replaced: Function | None) -> Function:
        def handle(*arguments: t.Any, **named: t.Any) -> t.Any:
            _note_raised(recording, error_in(arguments, named))
            if replaced is not None:
                return replaced(*arguments, **named)
            return type(app).handle_user_exception(app, *arguments, **named)

        return handle

    def handle_exception(app: Flask, replaced: Function | None) -> Function:
        def handle(*arguments: t.Any, **named: t.Any) -> t.Any:
            if replaced is not None:
                response = replaced(*arguments, **named)
            else:
                response = type(app).handle_exception(app, *arguments, **named)
            answers(response)
            return response

        return handle

    return (
        Method("handle_user_exception", handle_user_exception),
        Method("handle_exception", handle_exception),
    )


def _note_raised(recording: Recording, error: object) -> None:
    try:
        contexts.announce_late()
        current = contexts.current_scope()
        if current is None or not isinstance(error, BaseException):
            return
        frame, scope = current
        if frame.recording is recording:
            failures.note_raised(recording, scope, error)
    except Exception:
        guard.report("handle_user_exception")
