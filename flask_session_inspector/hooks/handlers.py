"""The hooks into exceptions that the application's views raise.

One that an error handler may answer comes by ``Flask.handle_user_exception``; Flask has
no signal for it. The answer to one that no handler took comes out of
``Flask.handle_exception``.
"""

from __future__ import annotations

import typing as t

from ..guard import guard
from . import contexts
from . import failures
from . import requests
from .methods import Function
from .methods import Method
from .methods import Original
from .methods import error_in

if t.TYPE_CHECKING:
    from ..recording import Recording


def error_methods(recording: Recording) -> tuple[Method, ...]:
    """Return the methods that answer exceptions.

    Of each there can be two functions of ours, around that of an extension. The inner
    one only passes on.

    :param recording: Where the records of the application go.
    """

    def handle_user_exception(method: Method, original: Original) -> Function:
        def handle(*arguments: t.Any, **named: t.Any) -> t.Any:
            if method.is_ours(handle):
                _note_raised(recording, error_in(arguments, named))
            return original()(*arguments, **named)

        return handle

    def handle_exception(method: Method, original: Original) -> Function:
        def handle(*arguments: t.Any, **named: t.Any) -> t.Any:
            response = original()(*arguments, **named)
            if method.is_ours(handle):
                requests.note_answer(response)
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
