"""What keeps a session alive."""

from __future__ import annotations

import collections.abc as cabc
import functools
import gc
import sys
import threading
import typing as t
import weakref

import flask
import pytest
import sqlalchemy as sa
from places import Library
from places import library as library  # A fixture.
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import audit
from flask_session_inspector.audit import referrers

Reference = weakref.ReferenceType[Session]


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of all tests leaves many more objects than an application has."""
    monkeypatch.setattr(referrers, "_SECONDS", 60)


class ReportsView:
    session: Session
    kept: t.Any = None


class Slotted:
    __slots__ = ("session",)
    session: Session


def lines_of(reference: Reference) -> list[str]:
    """Ask about a session that this module holds nowhere."""
    ours = 'local variable "session" of test_kept_alive.ask_about, line '
    found = ask_about(reference)
    others = [line for line in found if not line.startswith(ours)]
    assert len(others) == len(found) - 1
    return others


def ask_about(reference: Reference) -> list[str]:
    """Ask in a function that has no assertions: for these, pytest uses locals()."""
    session = reference()
    return audit.kept_alive_by(session)


def made() -> tuple[Session, Reference]:
    session = Session()
    return session, weakref.ref(session)


def in_module(library: Library) -> tuple[Reference, str]:
    session, reference = made()
    library.module("library.reports", session=session)
    return reference, 'module library.reports > attribute "session"'


def in_dict(library: Library) -> tuple[Reference, str]:
    session, reference = made()
    library.module("library.reports", cache={"report": {3: [None, session]}})
    line = 'module library.reports > dict "cache" > key "report" > key 0x3 > item 1'
    return reference, line


def in_instance(library: Library) -> tuple[Reference, str]:
    session, reference = made()
    view = ReportsView()
    view.session = session
    library.module("library.reports", view=view)
    line = 'module library.reports > ReportsView "view" > attribute "session"'
    return reference, line


def in_slot(library: Library) -> tuple[Reference, str]:
    session, reference = made()
    view, slotted = ReportsView(), Slotted()
    view.kept, slotted.session = slotted, session
    library.module("library.reports", view=view)
    line = 'module library.reports > ReportsView "view" > attribute "kept"'
    return reference, f'{line} > attribute "session"'


def in_closure(library: Library) -> tuple[Reference, str]:
    session, reference = made()

    def report() -> Session:
        return session

    report.__module__, report.__qualname__ = "library.views", "report"
    library.app.add_url_rule("/", "report", report)
    return reference, 'closure of function library.views.report (variable "session")'


def in_default(library: Library) -> tuple[Reference, str]:
    session, reference = made()

    def report(session: Session = session) -> None: ...

    report.__module__, report.__qualname__ = "library.views", "report"
    library.app.add_url_rule("/", "report", report)
    return reference, "default of function library.views.report"


def in_class(library: Library) -> tuple[Reference, str]:
    session, reference = made()
    kind = type("Cache", (), {"session": session, "__module__": "library.reports"})
    library.module("library.reports", Cache=kind)
    return reference, 'class library.reports.Cache > attribute "session"'


def in_cache(library: Library) -> tuple[Reference, str]:
    @functools.lru_cache
    def get_session() -> Session:
        return Session()

    get_session.__module__, get_session.__qualname__ = "library.reports", "get"
    library.module("library.reports", get_session=get_session)
    return weakref.ref(get_session()), "cached result of library.reports.get"


def in_registry(library: Library) -> tuple[Reference, str]:
    registry = scoped_session(sessionmaker(), scopefunc=lambda: 1)
    library.module("library.database", Session=registry)
    line = "registry of scoped_session library.database.Session"
    return weakref.ref(registry()), line


def in_registry_by_thread(library: Library) -> tuple[Reference, str]:
    registry = scoped_session(sessionmaker())
    view = ReportsView()
    view.kept = registry
    library.module("library.database", view=view)
    line = "registry of scoped_session library.database.view.kept"
    return weakref.ref(registry()), line


def in_async_session(library: Library) -> tuple[Reference, str]:
    session = AsyncSession()
    library.module("library.reports", session=session)
    line = 'module library.reports > attribute "session"'
    return weakref.ref(session.sync_session), line


def in_query(library: Library) -> tuple[Reference, str]:
    session, reference = made()
    library.module("library.reports", query=session.query(sa.literal(1)))
    return reference, 'module library.reports > Query "query" > attribute "session"'


def in_generator(library: Library) -> tuple[Reference, str]:
    def rows(mine: Session) -> cabc.Iterator[int]:
        yield 1
        mine.close()

    session, reference = made()
    generator = rows(session)
    next(generator)
    library.app.extensions["generator"] = generator
    return reference, 'local variable "mine" of test_kept_alive.'


@pytest.mark.parametrize(
    "place",
    [
        *(in_module, in_dict, in_instance, in_slot, in_closure, in_default, in_class),
        *(
            in_cache,
            in_registry,
            in_registry_by_thread,
            in_async_session,
            in_query,
            in_generator,
        ),
    ],
)
def test_places(
    library: Library, place: t.Callable[[Library], tuple[Reference, str]]
) -> None:
    reference, expected = place(library)
    gc.collect()
    found = lines_of(reference)
    if place is in_generator:
        assert found[0].startswith(expected)
        found = found[1:]
        expected = ""
    assert found == ([expected] if expected else [])


def test_a_running_thread(library: Library) -> None:
    running, done = threading.Event(), threading.Event()

    def worker() -> None:
        session = Session()
        references.append(weakref.ref(session))
        running.set()
        done.wait(10)
        session.close()

    references: list[Reference] = []
    thread = threading.Thread(target=worker)
    thread.start()
    assert running.wait(10)
    try:
        found = lines_of(references[0])
    finally:
        done.set()
        thread.join()
    (line,) = found
    assert 'local variable "session" of test_kept_alive.' in line
    assert "worker, line " in line
    assert line.endswith("(running)")
    gc.collect()
    assert references[0]() is None


@pytest.mark.skipif(
    sys.gettrace() is not None and sys.version_info < (3, 13),
    reason="A debugger's copy of the variables is left alone",
)
def test_a_running_function_can_let_go_afterwards() -> None:
    running, go, gone = threading.Event(), threading.Event(), threading.Event()
    done = threading.Event()
    references: list[Reference] = []

    def worker() -> None:
        session = Session()
        references.append(weakref.ref(session))
        running.set()
        go.wait(10)
        del session
        gone.set()
        done.wait(10)

    thread = threading.Thread(target=worker)
    thread.start()
    assert running.wait(10)
    try:
        assert len(lines_of(references[0])) == 1
        go.set()
        assert gone.wait(10)
        gc.collect()
        # Before Python 3.13 a frame keeps a copy of what it was asked for.
        assert references[0]() is None
    finally:
        go.set()
        done.set()
        thread.join()


def test_an_object_that_nothing_known_holds() -> None:
    session, reference = made()
    view, other = ReportsView(), ReportsView()
    view.session, view.kept, other.kept = session, other, view
    gc.disable()
    try:
        del session, view, other
        assert lines_of(reference) == ['attribute "session" of ReportsView']
    finally:
        gc.enable()
    gc.collect()
    assert reference() is None


def test_several_places_and_how_many_are_told(library: Library) -> None:
    session, reference = made()
    for number in range(20):
        library.module(f"library.m{number}", session=session)
    del session
    assert len(lines_of(reference)) == 11
    kept = reference()
    assert kept is not None
    assert len(audit.kept_alive_by(kept, most=3)) == 3


def test_many_holders_are_looked_at_in_part(library: Library) -> None:
    session, reference = made()
    many = [[[session]] for _ in range(5000)]
    library.module("library.reports", many=many, all={i: i for i in range(100_000)})
    del session, many
    found = lines_of(reference)
    assert 1 <= len(found) <= 12
    path = 'module library.reports > list "many" > item '
    assert [line for line in found if not line.startswith(path)] == []


def test_there_is_no_time(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referrers, "_SECONDS", 0)
    session, reference = made()
    library.module("library.reports", session=session)
    del session
    assert lines_of(reference) == []  # What runs costs no search.


def test_flask_g(library: Library) -> None:
    with library.app.app_context():
        flask.g.session, reference = made()
        assert lines_of(reference) == [
            'flask.g of an app context > attribute "session"'
        ]


def test_sqlalchemy_and_the_inspector_hold_nothing(library: Library) -> None:
    session = Session(library.engine)
    session.execute(sa.select(1))
    found = ask_about(weakref.ref(session))
    assert found
    for line in found:
        assert line.startswith('local variable "session" of test_kept_alive.')
    session.close()


@pytest.mark.parametrize("place", [in_module, in_instance, in_registry, in_closure])
def test_the_session_can_be_collected_afterwards(
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    place: t.Callable[[Library], tuple[Reference, str]],
) -> None:
    reference, _ = place(library)
    assert lines_of(reference)
    library.app.view_functions.clear()
    monkeypatch.undo()  # The modules of the application.
    gc.collect()
    assert reference() is None


def test_hostile_holders_are_not_asked(library: Library) -> None:
    def asked(*args: t.Any) -> t.NoReturn:
        raise AssertionError("asked")

    class Hostile(dict):  # type: ignore[type-arg]
        __getattribute__ = __eq__ = __hash__ = __repr__ = __iter__ = asked
        items = keys = __getitem__ = __len__ = __class__ = asked  # type: ignore[assignment]

    session, reference = made()
    hostile: t.Any = Hostile()
    key = object()
    dict.__setitem__(hostile, key, session)
    library.module("library.reports", hostile=hostile)
    del session, hostile
    assert lines_of(reference) == [
        f'module library.reports > Hostile "hostile" > key <object at {id(key):#x}>'
    ]


def test_text_that_utf8_cannot_hold(library: Library) -> None:
    session, reference = made()
    library.module("library.reports", **{"\udc80": session})
    del session
    (line,) = lines_of(reference)
    assert line.encode() == rb'module library.reports > attribute "\udc80"'


@pytest.mark.parametrize("key", ["postgresql://app:hunter2@db/shop", "api_token"])
def test_keys_are_no_place_for_secrets(library: Library, key: str) -> None:
    session, reference = made()
    library.module("library.reports", by_url={key: session})
    del session
    (line,) = lines_of(reference)
    path = 'module library.reports > dict "by_url" > key <str '
    assert line.startswith(path)
    assert len(line) == len(path) + len("01234567>")


def test_names_are_told_though_they_look_like_secrets(library: Library) -> None:
    session, reference = made()
    view = ReportsView()
    vars(view)["api_token"] = session
    library.module("library.reports", token_view=view)
    del session, view
    assert lines_of(reference) == [
        'module library.reports > ReportsView "token_view" > attribute "api_token"'
    ]


@pytest.mark.parametrize("way", ["locals", "vars"])
def test_what_a_running_function_got_from_locals(way: str) -> None:
    """Before Python 3.13 to read its variables is to write into that."""
    session = Session()
    got: list[dict[str, t.Any]] = []
    going, done = threading.Event(), threading.Event()

    def by_locals(name: str) -> None:
        values = locals()
        values["name"] = name.upper()
        going.set()
        done.wait()
        got.append(dict(values))

    def by_vars(name: str) -> None:
        values = vars()
        values["name"] = name.upper()
        going.set()
        done.wait()
        got.append(dict(values))

    target = by_locals if way == "locals" else by_vars
    thread = threading.Thread(target=target, args=("ann",))
    thread.start()
    try:
        assert going.wait(30)
        audit.kept_alive_by(session)
    finally:
        done.set()
        thread.join()
    assert got[0]["name"] == "ANN"
