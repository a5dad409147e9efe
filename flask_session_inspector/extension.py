"""The extension: the only place that wires the parts together."""

from __future__ import annotations

import typing as t
import weakref

import flask

from . import hooks
from .config import Config
from .hooks import contexts
from .hooks.flask_signals import FlaskHooks
from .inspection import Inspection
from .recorder import Scope
from .recording import Recording
from .registries import is_proxy
from .web import blueprint
from .web import wiring

EXTENSION = "session_inspector"


class SessionInspector:
    """Shows which database session each request of an application really used.

    .. code-block:: python

        app = Flask(__name__)
        db = SQLAlchemy(app)
        SessionInspector(app)

    It may come before or after the other extensions, and one object may serve
    several applications.

    :param app: Passed to :meth:`init_app` if given.
    """

    def __init__(self, app: flask.Flask | None = None) -> None:
        self._watched: dict[str, t.Any] = {}
        self._recordings: weakref.WeakSet[Recording] = weakref.WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask, *, admin: t.Any = None) -> None:
        """Inspect an application.

        Reads every ``SESSION_INSPECTOR_*`` key. While
        ``SESSION_INSPECTOR_ENABLED`` is off, nothing is installed.

        :param app: The application.
        :param admin: A :class:`flask_admin.Admin` to add the page to, for one
            that is not among the application's own.
        :raises RuntimeError: The application is inspected already.
        :raises TypeError: ``admin`` is no Flask-Admin.
        :raises ValueError: The configuration is malformed; the message names
            the key.
        """
        if EXTENSION in app.extensions:
            raise RuntimeError(
                "A session inspector is already initialized on this app: use"
                f" app.extensions[{EXTENSION!r}], and call init_app only once."
            )
        if admin is not None and not callable(getattr(admin, "add_view", None)):
            raise TypeError(
                "admin must be a flask_admin.Admin to add the page to, not"
                f" {type(admin).__name__}."
            )
        config = Config.from_app(app)
        inspection = Inspection(
            app,
            config,
            current_scope=_scope_of_request,
            settle=contexts.finish_abandoned,
        )
        recording = inspection.recording
        app.extensions[EXTENSION] = inspection
        for name, registry in self._watched.items():
            recording.watch(name, registry)
        if not config.enabled:
            return
        try:
            blueprint.register(app)
        except BaseException:  # Such as Flask's own, after the first request.
            del app.extensions[EXTENSION]
            raise
        self._recordings.add(recording)
        recording.reporter.address_of = wiring.addresses(inspection, app)
        recording.wirings.extend(wiring.wirings(inspection, admin))
        hooks.install(recording, app)
        flask_hooks = FlaskHooks(app, recording)
        recording.attach(flask_hooks.remove)
        contexts.adopt_current()

    def detach(self, app: flask.Flask) -> None:
        """Stop to inspect an application and disconnect every hook from it.

        With the last application, the listeners on SQLAlchemy go too. The pages
        and the API stay, and what was recorded can still be read. Does nothing
        where nothing is installed.

        :param app: An application that was given to :meth:`init_app`.
        """
        inspection = app.extensions.get(EXTENSION)
        if inspection is not None and inspection.recording.attached:
            recording = inspection.recording
            recording.detach(app)
            hooks.uninstall(recording)
            self._recordings.discard(recording)

    def watch(self, registry: t.Any, name: str) -> None:
        """Know a further ``scoped_session`` by name.

        :param registry: A ``scoped_session`` or ``async_scoped_session``.
        :param name: What records call it.
        :raises TypeError: It is neither, or the name is no text.
        """
        if not isinstance(name, str):
            raise TypeError(f"watch() takes a name, not {type(name).__name__}.")
        if not is_proxy(registry):
            raise TypeError(
                "watch() takes a scoped_session or an async_scoped_session, not"
                f" {type(registry).__name__}."
            )
        self._watched[name] = registry
        for recording in self._recordings:
            recording.watch(name, registry)


def _scope_of_request(recording: Recording) -> Scope | None:
    current = contexts.current_scope()
    if current is None or current[0].recording is not recording:
        return None
    return current[1]
