"""Measures the designs that were chosen between; ``python -m tests.bench.choices``.

Each is timed alone and in a tight loop, where everything is in the processor's caches:
what matters is how they compare. ``docs/architecture.md`` says what was chosen.
"""

from __future__ import annotations

import collections.abc as cabc
import gc
import os
import sys
import tempfile
import timeit
import typing as t
import weakref

import flask
import sqlalchemy as sa
from sqlalchemy import event
from werkzeug.test import EnvironBuilder

from flask_session_inspector import rules
from flask_session_inspector.locations import LocationFinder
from flask_session_inspector.recorder import Scope
from flask_session_inspector.recorder import pack
from flask_session_inspector.rules.signs import signs_of
from flask_session_inspector.weak import Attached
from flask_session_inspector.weak import WeakIdentityDict

from .report import table
from .variants import fill
from .variants import make_app
from .worker import serve

Way = tuple[str, cabc.Callable[[], object]]


def least(do: cabc.Callable[[], object], number: int = 1000) -> float:
    """Return the microseconds that something takes, the fastest of many runs."""
    return min(timeit.repeat(do, number=number, repeat=30)) / number * 1e6


class Thing:
    """Like an object of Flask's or SQLAlchemy's."""


def known_objects() -> list[Way]:
    """Keep a value for an object that soon dies, and look it up four times."""
    weak: WeakIdentityDict[Thing, int] = WeakIdentityDict()
    attached: Attached[Thing, int] = Attached("bench")
    standard: weakref.WeakKeyDictionary[Thing, int] = weakref.WeakKeyDictionary()

    def in_standard() -> None:
        thing = Thing()
        standard[thing] = 1
        for _ in range(4):
            standard.get(thing)

    def in_mapping() -> None:
        thing = Thing()
        weak.set(thing, 1)
        for _ in range(4):
            weak.get(thing)

    def on_object() -> None:
        thing = Thing()
        attached.set(thing, 1)
        for _ in range(4):
            attached.get(thing)

    return [
        ("in a WeakKeyDictionary", in_standard),
        ("in a mapping by identity", in_mapping),
        ("on the object itself", on_object),
    ]


def locations() -> list[Way]:
    """Find the application's line twenty library frames away."""
    finder = LocationFinder(os.getcwd())
    nearest = finder.nearest()
    # As if it were SQLAlchemy's.
    namespace: dict[str, t.Any] = {"__name__": "sqlalchemy.bench", "sys": sys}
    source = """
def deeper(find, n):
    return deeper(find, n - 1) if n else find()

def walk():
    return find(sys._getframe())

def remember():
    return nearest("SELECT 1")

def nothing():
    return None
"""
    namespace |= {"find": finder.find, "nearest": nearest}
    exec(compile(source, "<x>", "exec"), namespace)
    deeper: cabc.Callable[..., object] = namespace["deeper"]

    def way(name: str) -> cabc.Callable[[], object]:
        find = namespace[name]
        return lambda: deeper(find, 20)

    assert way("walk")() == way("remember")()
    return [
        ("the frames alone", way("nothing")),
        ("by walking", way("walk")),
        ("where it was the last time", way("remember")),
    ]


def ends_of_requests() -> list[Way]:
    """Serve an empty request, with one way more to hear of it."""

    def app(prepare: cabc.Callable[[flask.Flask], object]) -> flask.Flask:
        made = flask.Flask("bench")
        made.add_url_rule("/", "view", lambda: "done")
        prepare(made)
        return made

    def listen(made: flask.Flask) -> None:
        def receiver(sender: flask.Flask, **values: t.Any) -> None: ...

        made.extensions["receiver"] = receiver
        flask.appcontext_popped.connect(receiver, sender=made)

    def wrap(made: flask.Flask) -> None:
        inner = made.wsgi_app

        def entrance(environ: t.Any, start_response: t.Any) -> t.Iterable[bytes]:
            try:
                return inner(environ, start_response)
            finally:
                pass

        made.wsgi_app = entrance  # type: ignore[method-assign] # as Flask says

    def instead(made: flask.Flask) -> None:
        inner = made.process_response

        def process(*arguments: t.Any, **named: t.Any) -> flask.Response:
            return inner(*arguments, **named)

        made.process_response = process  # type: ignore[method-assign] # as the hooks do

    ways: list[Way] = []
    for title, prepare in (
        ("nothing", lambda made: None),
        ("a signal", listen),
        ("a teardown function", lambda made: made.teardown_appcontext(print_nothing)),
        ("an after_request function", lambda made: made.after_request(same)),
        ("a URL value preprocessor", lambda made: made.url_value_preprocessor(ignore)),
        ("a WSGI middleware", wrap),
        ("a method, wrapped", instead),
    ):
        ways.append((title, _serving(app(prepare))))
    return ways


def print_nothing(error: BaseException | None) -> None:
    """Be a teardown function."""


def same(response: flask.Response) -> flask.Response:
    """Be an ``after_request`` function."""
    return response


def ignore(endpoint: str | None, values: object) -> None:
    """Be a URL value preprocessor."""


def _serving(app: flask.Flask) -> cabc.Callable[[], object]:
    environ: t.Any = EnvironBuilder("/").get_environ()

    def start_response(*arguments: t.Any) -> t.Any:
        """Answer nobody."""

    return lambda: t.cast(t.Any, app.wsgi_app(environ.copy(), start_response)).close()


def statements() -> list[Way]:
    """Execute a statement, with one way more to hear of it."""

    def engine(*names: str) -> cabc.Callable[[], object]:
        made = sa.create_engine("sqlite://")
        for name in names:
            event.listen(made, name, lambda *values: None)
        connection = made.connect()
        statement = sa.select(sa.literal(1))
        return lambda: connection.execute(statement).scalar()

    return [
        ("nothing", engine()),
        ("the dialect's execute step", engine("do_execute")),
        ("two engine events", engine("before_cursor_execute", "after_cursor_execute")),
    ]


def records() -> list[Way]:
    """Judge, and pack, the record of a request with one query."""
    kept: list[Scope] = []
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/bench.db"
        fill(database)
        app = make_app("ours", database)
        recording = app.extensions["session_inspector"].recording
        put = recording._store.put

        def keep(scope: Scope, **how: bool) -> None:
            kept.append(scope)
            put(scope, **how)

        recording._store.put = keep
        serve(app, "/one", 5)
    scope = kept[-1]
    everything = tuple(rules.RULES.values())

    def ask_all() -> None:
        case = rules.Case(scope, recording._builder, idle_ms=500, pinned={})
        rules.examine(case, everything)

    return [
        ("ask every rule", ask_all),
        ("look for signs", lambda: signs_of(scope, 500, {})),
        ("pack it", lambda: pack(scope, 1)),
    ]


def main() -> None:
    """Print a table."""
    rows: list[tuple[str, str, str]] = []
    for what, ways in (
        ("know an object", known_objects()),
        ("find a line", locations()),
        ("hear of a request", ends_of_requests()),
        ("hear of a statement", statements()),
        ("a record's end", records()),
    ):
        gc.collect()
        for way, do in ways:
            number = 1000 if what in ("know an object", "a record's end") else 200
            rows.append((what, way, f"{least(do, number):.2f} µs"))
    print(table(("To", "Way", "Takes"), rows))


if __name__ == "__main__":
    main()
