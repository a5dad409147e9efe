"""The audit harms nobody: it asks no object, and looks at so many only."""

from __future__ import annotations

import re
import types
import typing as t

import flask
import pytest
import sqlalchemy as sa
from places import Library
from places import library as library  # A fixture.
from places import newest_serial
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker
from werkzeug.local import LocalProxy

from flask_session_inspector import audit
from flask_session_inspector.audit import walk


def asked(*args: t.Any, **kwargs: t.Any) -> t.NoReturn:
    raise AssertionError("An object was asked.")


class Hostile:
    """Raises whatever it is asked."""

    __slots__ = ("_held", "session")
    __getattr__ = __getattribute__ = __eq__ = __hash__ = __repr__ = asked
    __bool__ = __len__ = __iter__ = __str__ = __call__ = __getitem__ = asked
    __class__ = property(asked)  # type: ignore[assignment]


class HostileDict(dict):  # type: ignore[type-arg]
    items = values = keys = __iter__ = __getitem__ = __len__ = get = asked


class HostileMeta(type):
    __getattribute__ = __eq__ = __hash__ = __instancecheck__ = asked


def hostile_things(library: Library) -> dict[str, t.Any]:
    hostile = Hostile()
    object.__setattr__(hostile, "session", library.session)
    kind = HostileMeta("Kind", (), {})
    return {
        "hostile": hostile,
        "of_hostile_kind": object.__new__(kind),
        "kind": kind,
        "mapping": HostileDict(a=hostile),
        "keys": {Unequal(): hostile},
        "proxy": LocalProxy(asked),
        "proxies": [LocalProxy(asked)],
    }


class Unequal:
    __eq__ = __repr__ = asked  # type: ignore[assignment]
    __hash__ = object.__hash__


@pytest.mark.parametrize("inside", [True, False])
def test_nothing_is_asked_made_or_sent(library: Library, inside: bool) -> None:
    db = library.add_db()
    registry = scoped_session(sessionmaker(library.engine))
    library.module("library.database", db=db, registry=registry)
    library.module("library.things", **hostile_things(library))
    library.app.extensions["things"] = hostile_things(library)
    statements: list[str] = []

    def note(conn: t.Any, cursor: t.Any, statement: str, *rest: t.Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    before = newest_serial()
    try:
        if inside:
            with library.app.app_context():
                pinned = library.pinned()
                assert not db.session.registry.has()
        else:
            pinned = library.pinned()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert newest_serial() == before + 1
    assert not registry.registry.has()
    assert statements == []
    # What Python itself keeps in slots can be read.
    assert 'app.extensions["things"]["hostile"].session' in pinned
    assert "library.things.hostile.session" in pinned


def test_flask_sqlalchemy_lite_makes_no_session(library: Library) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    library.app.config["SQLALCHEMY_ENGINES"] = {"default": "sqlite://"}
    db = lite.SQLAlchemy(library.app)
    library.module("library.database", db=db)
    library.app.extensions["other"] = {"db": db}
    with library.app.app_context():
        before = newest_serial()
        library.holders()
        assert newest_serial() == before + 1
        assert "_sqlalchemy_sessions" not in vars(flask.g._get_current_object())


def test_a_proxy_is_not_resolved_even_where_it_could_be(library: Library) -> None:
    library.module("library.a", session=LocalProxy(lambda: library.session))
    assert library.holders() == {}


def test_large_modules_are_looked_at_in_part(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[walk.Walk] = []
    monkeypatch.setattr(
        audit, "Walk", lambda only: walks.append(walk.Walk(only)) or walks[-1]
    )
    big = {number: {"number": [number]} for number in range(100_000)}
    nested: dict[str, t.Any] = {}
    for _ in range(1000):
        nested = {"nested": nested}
    library.module("library.big", big=big, nested=nested, last=library.session)
    assert library.pinned() == ["library.big.last"]
    assert walks[-1].visited < 2_000
    chunk = [[[[i, j] for i in range(50)] for j in range(50)] for _ in range(9)]
    before = walks[-1].visited
    library.module("library.one", chunk=chunk)
    library.pinned()
    assert walks[-1].visited == before + 2_000
    for number in range(30):
        chunk = [[[[i, j] for i in range(50)] for j in range(50)] for _ in range(9)]
        library.module(f"library.chunk{number}", chunk=chunk)
    library.pinned()
    assert 2_000 < walks[-1].visited <= 20_000


def test_cycles(library: Library) -> None:
    a: dict[str, t.Any] = {}
    a["a"] = [a, {"session": library.session}]
    library.module("library.cycle", a=a)
    assert library.pinned() == ['library.cycle.a["a"][1]["session"]']


def test_names_that_utf8_cannot_hold(library: Library) -> None:
    library.app.extensions["\udc80"] = [library.session]
    assert library.pinned() == [r'app.extensions["\udc80"][0]']


SECRETS = [
    "postgresql://app:hunter2@db/shop",
    "sk_live_4eC39HqLyjWDarjtT1",
    "password",
    "api_token",
    "ann@example.com",
    "1f6a",
    "\udc80",
    "x" * 41,
    "",
]


@pytest.mark.parametrize("key", SECRETS)
def test_a_key_that_can_be_a_secret_is_not_shown(library: Library, key: str) -> None:
    library.module("library.a", cache={key: library.session})
    (where,) = library.pinned()
    assert re.fullmatch(r"library\.a\.cache\[<str [0-9a-f]{8}>\]", where)
    again = audit.holders(library.app, {})[-1].where
    assert again == where
    library.module("library.a", cache={f"{key}.": library.session})
    assert library.pinned() != [where]


@pytest.mark.parametrize("key", ["eu", "EU-west.1", "session", "read_only", "_x"])
def test_a_key_that_is_a_name_is_shown(library: Library, key: str) -> None:
    library.module("library.a", cache={key: library.session})
    assert library.pinned() == [f'library.a.cache["{key}"]']


def test_keys_of_other_types(library: Library) -> None:
    class Key(str):
        __str__ = __repr__ = __format__ = asked  # type: ignore[assignment]

    keys = [4711, None, b"secret", Key("secret")]
    library.module("library.a", cache=dict.fromkeys(keys, library.session))
    first, second, third, fourth = library.pinned()
    assert (first, second) == ("library.a.cache[0x1267]", "library.a.cache[None]")
    assert third == f"library.a.cache[<bytes at {id(keys[2]):#x}>]"
    assert fourth == f"library.a.cache[<Key at {id(keys[3]):#x}>]"


def test_names_of_attributes_and_extensions_are_shown(library: Library) -> None:
    class Service:
        def __init__(self, session: t.Any) -> None:
            self.api_token = session

    library.app.extensions["token-store"] = Service(library.session)
    library.module("library.a", token_session=library.session)
    assert library.pinned() == [
        'app.extensions["token-store"].api_token',
        "library.a.token_session",
    ]


def test_a_module_without_a_name(library: Library) -> None:
    nameless = types.ModuleType("nameless")
    del nameless.__name__
    strange = types.ModuleType("strange")
    strange.__name__ = Hostile()  # type: ignore[assignment]
    library.module("library.a", n=nameless, s=strange, session=library.session)
    assert library.pinned() == ["library.a.session"]


@pytest.mark.parametrize("many", [False, True])
def test_an_extension_that_has_the_name_of_another(
    library: Library, many: bool
) -> None:
    class Mine:
        def __init__(self, session: t.Any) -> None:
            self.session = session

    mine = Mine(library.session)
    library.app.extensions["admin"] = [mine] if many else mine
    where = 'app.extensions["admin"]' + "[0]" * many + ".session"
    assert library.pinned() == [where]


def test_only_the_places_that_are_asked_for(library: Library) -> None:
    session = library.session
    library.app.extensions["x"] = [session]
    library.app.extensions["xy"] = [session]
    library.app.add_url_rule("/", "view", lambda: str(session))
    library.module("library.a", s=session, s2=session, cache={"x": session})
    library.module("library", a=[session])
    every = library.pinned()
    assert len(every) == 7
    for where in every:
        found = [each.where for each in audit.holders(library.app, {}, {where})]
        # A module "library" can have an attribute "a", which is asked for too.
        assert [each for each in found if each != "library.a[0]"] in ([where], [])
        assert where in found
        assert len(found) <= 2
    library.module("library.a", cache={"y": session})
    found = [
        each.where for each in audit.holders(library.app, {}, {'library.a.cache["x"]'})
    ]
    assert 'library.a.cache["y"]' in found
