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

from . import rules
from .builder import RecordBuilder
from .config import Config
from .guard import guard
from .locations import LocationFinder
from .locations import Nearest
from .locations import RawLocation
from .masking import Masker
from .process import process
from .recorder import Origin
from .recorder import Scope
from .recorder import SessionFacts
from .registries import KnownRegistry
from .registries import admin_views
from .registries import is_proxy
from .registries import proxy_of_extension
from .reporting import Reporter
from .rules.signs import PINNED
from .rules.signs import signs_of
from .signals import request_recorded
from .stores import Store
from .suspects import OF_SUSPECTS
from .suspects import PINNED as SESSION_PINNED
from .suspects import Suspects

if t.TYPE_CHECKING:
    from sqlalchemy.orm import Session

_NOTHING: t.Mapping[str, t.Any] = {}
_PLAIN = (str, int, float, uuid.UUID)


def _nowhere(hint: object) -> RawLocation | None:
    return None


# Joins, or leaves, a part of the application.
Wiring = t.Callable[[flask.Flask], None]


class Recording:
    """Begins the records of one application and hands them over when they end.

    :param store: Where ended records go.
    :param builder: Makes a record of a scope.
    :param masker: Masks the names of captured parameters.
    :ivar reporter: Tells of findings as they are made.
    :ivar paused: Whether new records are begun.
    :ivar live: The scopes that have begun and not ended.
    :ivar lost: How many ended records could not be handed over.
    :ivar abandoned: Frames whose app context was collected without a pop.
    :ivar own_blueprints: The blueprints whose requests are not recorded.
    :ivar renders_parameters: Whether bound values are kept.
    :ivar is_looking_around: Whether the first request is still to be dispatched.
    :ivar watched: Further proxies by name.
    :ivar known_registries: What :meth:`registries` said the last time.
    :ivar line_of_use: Finds the application's line that uses a session, likewise
        ``line_of_checkout`` and ``line_of_statement``; see
        :meth:`.LocationFinder.nearest`.
    """

    def __init__(
        self,
        app: flask.Flask,
        config: Config,
        store: Store,
        builder: RecordBuilder,
        masker: Masker,
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
        self._builder = builder
        self._reference = weakref.ref(self)
        self.reporter = Reporter()
        self.suspects = Suspects(
            app,
            self.watched,
            lambda: self.live.values(),
            lambda found: self.reporter.tell_of_finding(self._app(), found, None),
            ignored=SESSION_PINNED in config.ignore_findings,
        )
        # Those that are neither our own nor files.
        self._endpoints: set[str] = set()
        self._selects = bool(config.exclude) or config.sample_rate < 1
        self._keeps_all = config.keep == "all"
        self._ignored = frozenset(config.ignore_findings)
        self.renders_parameters = config.capture_parameters
        self._locations = LocationFinder(app.root_path)
        self.line_of_use = self._nearest()
        self.line_of_checkout = self._nearest()
        self.line_of_statement = self._nearest()
        self._extensions = app.extensions
        self._found: object = None
        self.known_registries: tuple[KnownRegistry, ...] = ()
        self._remove_hooks: Wiring | None = None
        self.is_looking_around = True
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Leave to the parent process what it has begun, and its lock."""
        self._wiring_lock = threading.RLock()
        self._origin = Origin(
            self._app_name, self.config.max_statements, self._reference
        )
        self.live: dict[int, Scope] = {}
        self.lost = 0
        self.abandoned.clear()

    @property
    def sqlalchemy_extension(self) -> object:
        """The application's SQLAlchemy extension, ``None`` without one."""
        return self._extensions.get("sqlalchemy")

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

    def look_around(self, app: flask.Flask) -> bool:
        """Join what was initialised after the inspector.

        :return: Whether it is still time for that.

        Runs with each app context until the first request is dispatched; Flask
        takes no blueprints after that.
        """
        if not self.is_looking_around:
            return False
        # Two first requests at once: the second must not be dispatched before
        # the first has found everything.
        with self._wiring_lock:
            for wire in self.wirings:
                wire(app)
            self._find_registries()
        return True

    def look_no_further(self) -> None:
        """End the looking around: the first request is dispatched."""
        if self.is_looking_around:
            self.is_looking_around = False
            self.look_into_modules()

    def begin(self, kind: str) -> Scope | None:
        """Begin a record.

        :param kind: ``"request"`` or ``"context"``; a context of a command
            becomes ``"cli"``.
        :return: ``None`` while paused.
        """
        if self.paused or self._remove_hooks is None:
            return None
        scope = Scope(self._origin, kind)
        if kind == "context":
            command = click.get_current_context(silent=True)
            if command is not None:
                scope.kind = "cli"
                scope.path = command.command_path
        self.live[scope.number] = scope
        return scope

    def discard(self, scope: Scope) -> None:
        """Forget a record as if it had never begun."""
        self.live.pop(scope.number, None)

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
            if (
                scope.sessions or scope.checkouts or scope.statements or scope.clues
            ) and scope.closed:
                self._examine(scope)
            if scope.findings or request_recorded.receivers or not self._keeps_all:
                self._put(scope)
            else:
                self._store.put(scope)
            if scope.sessions:
                for used in list(scope.sessions.values()):
                    used.facts.let_go_of(scope)
        except BaseException:
            self.lost += not scope.handed_over
            raise
        finally:
            self.live.pop(scope.number, None)

    def go_on(self, scope: Scope) -> None:
        """Take note that a record goes on after its end."""
        self._store.go_on(scope)

    def reexamine(self, scope: Scope) -> None:
        """Ask the rules again: a clue came after the end of a record.

        Also for a record whose end nobody waits for any more.
        """
        self._examine(scope)
        self._put(scope)

    def _put(self, scope: Scope) -> None:
        findings = scope.findings
        news = findings and [
            finding
            for finding in findings
            if (finding.code, finding.session, finding.message) not in scope.reported
        ]
        self._store.put(
            scope,
            keep=self._keeps_all or bool(findings),
            revive=bool(news),
        )
        if request_recorded.receivers and not scope.told and scope.closed:
            scope.told = True
            self._tell_of_record(scope)
        for finding in news:
            told = (finding.code, finding.session, finding.message)
            scope.reported = {*scope.reported, told}
            self.reporter.tell_of_finding(self._app(), finding, scope.endpoint)

    def _tell_of_record(self, scope: Scope) -> None:
        app = self._app()
        if app is not None:
            self.reporter.tell_of_record(app, lambda: self._builder.build(scope))

    def _examine(self, scope: Scope) -> None:
        try:
            suspects, idle_ms = self.suspects, self.config.idle_transaction_ms
            seen = signs_of(scope, idle_ms, suspects.pinned)
            if not seen:
                return
            if seen & OF_SUSPECTS or not suspects.has_audited:
                pinned = suspects.pinned_among(scope)
                if any(serial in pinned for serial in scope.sessions):
                    seen |= PINNED
            asked = rules.asked_for(seen, self._ignored)
            if asked or scope.findings:
                case = rules.Case(
                    scope, self._builder, idle_ms=idle_ms, pinned=suspects.pinned
                )
                scope.findings = rules.examine(case, asked)
        except Exception:
            guard.report("the rules")

    def is_recorded(self, incoming: flask.Request, endpoint: str | None) -> bool:
        """Say whether a request is to be recorded."""
        if self.paused:
            return False
        if endpoint is not None and endpoint not in self._endpoints:
            blueprint, _, name = endpoint.rpartition(".")
            if name == "static" or blueprint in self.own_blueprints:
                return False
            self._endpoints.add(endpoint)
        return not self._selects or self._is_selected(incoming)

    def _is_selected(self, incoming: flask.Request) -> bool:
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
        extension = self._extensions.get("sqlalchemy")
        if extension is not None:
            found = getattr(extension, "__dict__", _NOTHING).get("session")
            if found is not self._found:
                self._find_registries()
                self._found = found
        return self.known_registries

    def registry_of(self, session: Session) -> tuple[KnownRegistry, object] | None:
        """Find the known registry that holds a session in the current scope.

        :return: It, and the key under which it does.
        """
        for registry in self.registries():
            if not registry.holds(session):
                continue  # Its scopefunc has no part in this.
            try:
                key = registry.key()
            except Exception:
                continue
            if registry.session(key) is session:
                return registry, key
        return None

    def look_into_modules(self, proxy: object = None) -> None:
        """Learn of the proxies that the application's own modules hold.

        :param proxy: One that was met, and is looked for only once.
        """
        if self.suspects.look_for_proxies(proxy):
            self._find_registries()

    def look_for_unknown_registry(self, facts: SessionFacts, session: Session) -> None:
        """Find out whether a session that was left open is some registry's."""
        facts.unknown_registry = facts.unknown_registry or any(
            KnownRegistry("", proxy).holds(session)
            for proxy in self.suspects.other_proxies()
        )

    def _find_registries(self) -> None:
        own = proxy_of_extension(self.sqlalchemy_extension)
        found: dict[int, KnownRegistry] = {}
        if own is not None:
            found[id(own)] = KnownRegistry("db.session", own)
        for name, proxy in self.watched.items():
            found.setdefault(id(proxy), KnownRegistry(name, proxy))
        app = self._app()
        for view in admin_views(app) if app is not None else ():
            proxy = getattr(view, "__dict__", {}).get("session")
            if is_proxy(proxy):
                name = f'admin view "{view.endpoint}"'
                found.setdefault(id(proxy), KnownRegistry(name, proxy))
        for name, proxy in self.suspects.proxies.items():
            found.setdefault(id(proxy), KnownRegistry(name, proxy, found=True))
        self.known_registries = tuple(found.values())

    def name_registry(
        self, facts: SessionFacts, session: Session, context: object
    ) -> None:
        """Find the proxy that holds a session in the current scope.

        :param context: The current app context: its ``id()`` is the key of
            Flask-SQLAlchemy's registry, which so need not be asked.
        """
        key = id(context)
        for registry in self.registries():
            if registry.by_context and registry.session(key) is session:
                registry.name_session(facts, key)
                return
        found = self.registry_of(session)
        if found is not None:
            found[0].name_session(facts, found[1])

    def locate_raise(self, traceback: types.TracebackType | None) -> RawLocation | None:
        """Find the application's innermost line that an exception passed."""
        if not self.config.locations:
            return None
        return self._locations.find_in_traceback(traceback)

    def _nearest(self) -> Nearest:
        """Return what finds the line that led to a hook, if that is configured."""
        return self._locations.nearest() if self.config.locations else _nowhere

    def locate(self, frame: types.FrameType | None) -> RawLocation | None:
        """Find the application's line, if that is configured."""
        return self._locations.find(frame) if self.config.locations else None

    def locate_elsewhere(self, frame: types.FrameType | None) -> RawLocation | None:
        """Find the application's line on the stack of another thread."""
        return self._locations.find_in(frame) if self.config.locations else None

    def render_parameters(
        self, context: t.Any, parameters: t.Any, sql: str
    ) -> tuple[dict[str, str], ...]:
        """Render the bound values of a statement.

        :param context: SQLAlchemy's execution context, which has their names.
        :param parameters: The values as sent to the driver.
        """
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
