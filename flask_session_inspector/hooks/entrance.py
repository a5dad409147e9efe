"""Takes note of the app context that a request comes into."""

from __future__ import annotations

import typing as t

from ..guard import guard
from .contexts import frame_of_context
from .frames import current_context

if t.TYPE_CHECKING:
    from ..recording import Recording


class Entrance:
    """Takes note of the app context that a request comes into.

    Flask before 3.2 does not push another one of the same application for it, and
    sends no signal that tells the two cases apart.

    :param wsgi_app: What serves the request.
    """

    def __init__(self, wsgi_app: t.Callable[..., t.Iterable[bytes]], key: str) -> None:
        self.wsgi_app = wsgi_app
        self._key = key

    def __call__(
        self, environ: dict[str, t.Any], start_response: t.Any
    ) -> t.Iterable[bytes]:
        try:
            environ[self._key] = (
                None if current_context(None) is None else frame_of_context()
            )
        except Exception:
            guard.report("wsgi_app")
        return self.wsgi_app(environ, start_response)

    def belongs_to(self, recording: Recording) -> bool:
        """Say whether it notes on behalf of this recording."""
        return self._key == recording.entrance_key
