"""Takes note of the app context that a request comes into."""

from __future__ import annotations

import typing as t

from flask import has_app_context

from ..guard import guard
from .contexts import frame_of_context
from .contexts import leave
from .contexts import leave_elsewhere
from .frames import innermost

if t.TYPE_CHECKING:
    from ..recording import Recording
    from .frames import Frame


class Entrance:
    """Stands around a request: notes the app context that it comes into, and its end.

    Flask before 3.2 does not push another context of the same application for a
    request, and sends no signal that tells the two cases apart. When the request was
    served its context is popped, whatever the teardown functions did.

    :param wsgi_app: What serves the request.
    """

    def __init__(
        self, wsgi_app: t.Callable[..., t.Iterable[bytes]], recording: Recording
    ) -> None:
        self.wsgi_app = wsgi_app
        self._key = recording.entrance_key
        self._arrived_key = recording.arrived_key

    def __call__(
        self, environ: dict[str, t.Any], start_response: t.Any
    ) -> t.Iterable[bytes]:
        before = innermost.get()
        # What stands between here and Flask may run it with other context variables.
        arrived: list[Frame] = []
        environ[self._arrived_key] = arrived
        try:
            environ[self._key] = frame_of_context() if has_app_context() else None
        except Exception:
            guard.report("wsgi_app")
        try:
            return self.wsgi_app(environ, start_response)
        finally:
            try:
                if innermost.get() is not before:
                    leave(before)
                for frame in arrived:
                    if frame.parents:
                        leave_elsewhere(frame)
            except Exception:
                guard.report("wsgi_app")

    def belongs_to(self, recording: Recording) -> bool:
        """Say whether it notes on behalf of this recording."""
        return self._key == recording.entrance_key
