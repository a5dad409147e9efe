"""The writing side of one inspected application: what the hooks talk to."""

from __future__ import annotations

import random
import secrets
import threading
import types
import typing as t
import uuid
import weakref
from collections import deque

import click
import flask

from .config import Config
from .guard import guard
from .locations import LocationFinder
from .locations import RawLocation
from .masking import Masker
from .process import process
from .recorder import Scope
from .recorder import SessionFacts
from .registries import KnownRegistry
from .registries import admin_views
from .registries import is_proxy
from .registries import proxy_of_extension
from .stores import Store

if t.TYPE_CHECKING:
    from sqlalchemy.orm import Session

_PLAIN = (str, int, float, uuid.UUID)

# Joins, or leaves, a part of the application.
Wiring = t.Callable[[flask.Flask], None]


class Recording:
    """Begins the records of one application and hands them over when they end.

    :param store: Where ended records go.
    :param masker: Masks the names of captured parameters.
    :ivar paused: Whether new records are begun.
    :ivar live: The scopes that have begun and not ended.
    :ivar lost: How many ended records could not be handed over.
    :ivar abandoned: Frames whose app context was collected without a pop.
    :ivar own_blueprints: The blueprints whose requests are not recorded.
    :ivar watched: Further proxies by name.
    """

    def __init__(
        self, app: flask.Flask, config: Config, store: Store, masker: Masker
    ) -> None:
        self.config = config
        self.paused = False
        self.masker = masker
        self.own_blueprints = {"session_inspector", "debugtoolbar", "_debug_toolbar"}
        self.watched: dict[str, t.Any] = {}
        self.wirings: list[Wiring] = []
        self.abandoned: deque[t.Any] = deque()
        # Ours alone, so that one request can be in the records of two applications.
        self.environ_key = f"flask_session_inspector.{secrets.token_hex(4)}"
        self.entrance_key = f"{self.environ_key}.entrance"
        self._app = weakref.ref(app)
        self._app_name = app.import_name
        self._store = store
        self._locations = LocationFinder(app.root_path)
        self._proxy: object = None
        self._registries: tuple[KnownRegistry, ...] = ()
        self._remove_hooks: Wiring | None = None
        self._looking_around = True
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Leave to the parent process what it has begun, and its lock."""
        self._wiring_lock = threading.RLock()
        self.live: dict[int, Scope] = {}
        self.lost = 0
        self.abandoned.clear()

    @property
    def sqlalchemy_extension(self) -> object:
        """The application's SQLAlchemy extension, ``None`` without one."""
        app = self._app()
        return None if app is None else app.extensions.get("sqlalchemy")

    @property
    def attached(self) -> bool:
        """Whether the hooks into the application are installed."""
        return self._remove_hooks is not None

    def attach(self, remove_hooks: Wiring) -> None:
        """Take note that the hooks are installed, and of how to remove them."""
        self._remove_hooks = remove_hooks

    def detach(self, app: flask.Flask) -> None:
        """Remove the hooks into the application."""
        remove_hooks, self._remove_hooks = self._remove_hooks, None
        if remove_hooks is not None:
            remove_hooks(app)

    def look_around(self, app: flask.Flask) -> None:
        """Join what was initialised after the inspector.

        Runs with each app context until the first request is dispatched; Flask
        takes no blueprints after that.
        """
        if not self._looking_around:
            return
        # Two first requests at once: the second must not be dispatched before
        # the first has found everything.
        with self._wiring_lock:
            for wire in self.wirings:
                wire(app)
            self._find_registries()

    def look_no_further(self) -> None:
        """End the looking around: the first request is dispatched."""
        self._looking_around = False

    def begin(self, kind: str) -> Scope | None:
        """Begin a record.

        :param kind: ``"request"`` or ``"context"``; a context of a command
            becomes ``"cli"``.
        :return: ``None`` while paused.
        """
        if self.paused:
            return None
        scope = Scope(self._app_name, kind, self.config.max_statements)
        if kind == "context":
            command = click.get_current_context(silent=True)
            if command is not None:
                scope.kind = "cli"
                scope.path = command.command_path
        self.live[scope.id.number] = scope
        return scope

    def discard(self, scope: Scope) -> None:
        """Forget a record as if it had never begun."""
        self.live.pop(scope.id.number, None)

    def hand_over(self, scope: Scope) -> None:
        """Give an ended record to the store: the only way there.

        Comes again for a record that went on after its end, as a streamed
        response does.
        """
        try:
            for transaction in scope.transactions:
                if transaction.unsettled:
                    transaction.settle()
            scope.environ = None
            # Rules come with findings; until a record has one, this keeps none.
            self._store.put(scope, keep=self.config.keep == "all")
        except BaseException:
            self.lost += not scope.handed_over
            raise
        finally:
            self.live.pop(scope.id.number, None)

    def is_recorded(self, incoming: flask.Request) -> bool:
        """Say whether a request is to be recorded."""
        if self.paused:
            return False
        endpoint = incoming.endpoint
        if endpoint is not None:
            blueprint, _, name = endpoint.rpartition(".")
            if name == "static" or blueprint in self.own_blueprints:
                return False
        config = self.config
        if config.exclude and incoming.path.startswith(config.exclude):
            return False
        return config.sample_rate >= 1 or random.random() < config.sample_rate

    def secrets_in(self, values: t.Mapping[str, t.Any]) -> tuple[str | None, ...]:
        """Return the URL variables that are sensitive by name.

        :return: Their text; ``None`` for one that a converter made something of
            which only the application could put into words.
        """
        return tuple(
            str(value) if type(value) in _PLAIN else None
            for name, value in values.items()
            if value is not None and self.masker.is_sensitive(name)
        )

    def watch(self, name: str, registry: t.Any) -> None:
        """Know a further proxy by name."""
        self.watched[name] = registry
        self._find_registries()

    def registries(self) -> tuple[KnownRegistry, ...]:
        """Return the proxies that the application is known to use."""
        # Test suites replace db.session while the application runs.
        if proxy_of_extension(self.sqlalchemy_extension) is not self._proxy:
            self._find_registries()
        return self._registries

    def _find_registries(self) -> None:
        self._proxy = proxy_of_extension(self.sqlalchemy_extension)
        found: dict[int, KnownRegistry] = {}
        if self._proxy is not None:
            found[id(self._proxy)] = KnownRegistry("db.session", self._proxy)
        for name, proxy in self.watched.items():
            found.setdefault(id(proxy), KnownRegistry(name, proxy))
        app = self._app()
        for view in admin_views(app) if app is not None else ():
            proxy = getattr(view, "__dict__", {}).get("session")
            if is_proxy(proxy):
                name = f'admin view "{view.endpoint}"'
                found.setdefault(id(proxy), KnownRegistry(name, proxy))
        self._registries = tuple(found.values())

    def name_registry(self, facts: SessionFacts, session: Session) -> None:
        """Find the proxy that holds a session in the current scope."""
        for registry in self.registries():
            try:
                key = registry.key()
            except Exception:
                continue
            if registry.session(key) is session:
                registry.name_session(facts, key)

    def locate(self, frame: types.FrameType | None) -> RawLocation | None:
        """Find the application's line, if that is configured."""
        return self._locations.find(frame) if self.config.locations else None

    def render_parameters(
        self, context: t.Any, parameters: t.Any, sql: str
    ) -> tuple[dict[str, str], ...] | None:
        """Render the bound values of a statement, if that is configured.

        :param context: SQLAlchemy's execution context, which has their names.
        :param parameters: The values as sent to the driver.
        """
        if not self.config.capture_parameters:
            return None
        compiled = context.compiled
        raw = compiled is None or getattr(compiled, "isplaintext", False)
        batch = context.execute_style.name == "INSERTMANYVALUES"
        if compiled is not None and not batch:
            sets = context.compiled_parameters
        else:
            sets = parameters if isinstance(parameters, list) else [parameters]
        return tuple(
            self.masker.without_indirect(self._render_set(values, sql), sql, raw=raw)
            for values in sets[:100]
        )

    def _render_set(self, values: t.Any, sql: str) -> dict[str, str]:
        if isinstance(values, dict):
            return self.masker.parameters(values)
        named = {str(index): value for index, value in enumerate(values or (), 1)}
        if self.masker.mentions_sensitive(sql):
            return self.masker.hide(named)
        return self.masker.parameters(named)


def internal_errors() -> int:
    """Return how many of the inspector's own errors this process swallowed."""
    return guard.errors
