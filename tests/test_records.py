"""The records themselves: immutable, documented, and faithful as JSON."""

from __future__ import annotations

import ast
import inspect
import re
import sqlite3
import time
import typing as t

import msgspec
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User

from flask_session_inspector import RequestRecord
from flask_session_inspector import records

STRUCTS = [
    cls
    for _, cls in inspect.getmembers(records, inspect.isclass)
    if issubclass(cls, msgspec.Struct) and cls.__module__ == records.__name__
]


@pytest.fixture
def record(make_shop: t.Callable[..., Shop]) -> RequestRecord:
    """A record of a request that does a bit of everything."""
    shop = make_shop(SESSION_INSPECTOR_CAPTURE_PARAMETERS=True)

    def index(rest: str) -> str:
        session = shop.db.session
        session.add(User(name="ada", posts=[Post(title="x")]))
        session.commit()
        with session.begin_nested():
            assert session.scalars(sa.select(User)).one().posts
        with pytest.raises(UnicodeEncodeError):
            session.execute(sa.text("SELECT 'a', :p"), {"p": "\udcff"})
        with shop.db.engine.connect() as connection:
            connection.execute(sa.select(1))
        raise LookupError

    shop.view(index, "/\N{SNOWMAN}/<path:rest>")
    return shop.get("/\N{SNOWMAN}/a%ff?q=%ff&token=x")


@pytest.mark.parametrize("cls", STRUCTS)
def test_every_field_is_documented_in_order(cls: type[msgspec.Struct]) -> None:
    documented = re.findall(r":param (\w+):", cls.__doc__ or "")
    if cls is not records.Location:
        assert documented == list(cls.__struct_fields__)
    assert cls.__struct_config__.frozen


def test_all_structs_are_public() -> None:
    import flask_session_inspector

    assert {cls.__name__ for cls in STRUCTS} <= set(flask_session_inspector.__all__)


def test_they_know_neither_flask_nor_sqlalchemy() -> None:
    tree = ast.parse(inspect.getsource(records))
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported == {"__future__", "typing", "msgspec"}


def test_there_and_back_as_json(record: RequestRecord) -> None:
    data = msgspec.json.encode(record)
    assert msgspec.json.decode(data, type=RequestRecord, strict=True) == record
    plain = msgspec.json.decode(data)
    assert list(plain) == list(RequestRecord.__struct_fields__)


def test_immutable_all_the_way(record: RequestRecord) -> None:
    with pytest.raises(AttributeError):
        record.path = "/"  # type: ignore[misc]
    (session,) = record.sessions
    with pytest.raises(AttributeError):
        session.statements[0].sql = ""  # type: ignore[misc]
    for struct in (record, session, *session.transactions, *session.statements):
        for name in struct.__struct_fields__:
            assert not isinstance(getattr(struct, name), list)


def test_a_whole_record(record: RequestRecord) -> None:
    (session,) = record.sessions
    assert record.kind == "request"
    assert (record.method, record.status, record.error) == ("GET", 500, "LookupError")
    assert record.endpoint == "index"
    assert record.path == "/\N{SNOWMAN}/a\N{REPLACEMENT CHARACTER}?q=%ff&token=***"
    assert record.contexts == 1
    assert not record.reused_context
    assert record.statement_count == len(session.statements) + 1
    assert session.statements[-1].parameters == ({"p": "\\udcff"},)
    assert [x.nested for x in session.transactions] == [False, False, True]
    assert len(record.connections) == 3


def test_times(record: RequestRecord) -> None:
    now = time.time()
    assert now - 60 < record.started_at <= now
    assert record.started_at + record.duration_ms / 1000 <= now + 1
    (session,) = record.sessions
    starts = [x.at_ms for x in session.statements]
    assert starts == sorted(starts)
    for statement in session.statements:
        assert 0 <= statement.at_ms + statement.duration_ms <= record.duration_ms + 0.01
    for transaction in session.transactions:
        assert 0 <= transaction.began_ms <= t.cast(float, transaction.ended_ms)
    for checkout in record.connections:
        assert 0 <= checkout.checked_out_ms <= t.cast(float, checkout.checked_in_ms)
    outer, inner = session.transactions[1:]
    assert outer.began_ms <= inner.began_ms
    assert t.cast(float, inner.ended_ms) <= t.cast(float, outer.ended_ms)


def test_text_that_utf8_cannot_hold(shop: Shop) -> None:
    def index() -> str:
        session = shop.db.session
        with pytest.raises((UnicodeEncodeError, sqlite3.Warning)):
            session.execute(sa.text("SELECT 1 AS x\udc80"))
        return ""

    shop.view(index)
    record = shop.get()
    assert record.error is None
    assert record.sessions[0].statements[0].sql == "SELECT ? AS x\\udc80"
    assert (
        msgspec.json.decode(msgspec.json.encode(record), type=RequestRecord) == record
    )
