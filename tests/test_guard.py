"""A fault of ours does no harm to the application."""

from __future__ import annotations

import collections.abc as cabc
import logging
import sqlite3
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from marks import MARKING
from marks import assert_complete
from marks import mark
from marks import marks
from sqlalchemy import event

from flask_session_inspector.guard import guard

PACKAGE = "flask_session_inspector"

# What each hook calls first or last, so that breaking it breaks the hook.
PARTS = [
    "hooks.entrance.frame_of_context",
    "hooks.contexts.push",
    "hooks.contexts.pop",
    "hooks.resolving.begin_request",
    "hooks.contexts.current_frame",
    "hooks.resolving.resolve",
    "hooks.contexts.finish",
    "hooks.visits.begin",
    "hooks.visits.end",
    "hooks.visits.seen_from_here",
    "hooks.endings.observe_sessions",
    "hooks.endings.observe_end",
    "hooks.uses._learn_of",
    "hooks.uses.use",
    "hooks.sessions.current_scope",
    "hooks.sessions._set_outcome",
    "hooks.statements.current_scope",
    "hooks.statements.written_by",
    "hooks.statements.fingerprint",
    "hooks.dml.learn_read",
    "hooks.connections.current_scope",
    "hooks.loans.Loan.end",
    "hooks.binds.bind_of",
    "hooks.loans.lend_to",
    "hooks.loans.Pooled",
    "recorder.RawTransaction.end",
    "recording.Recording.begin",
    "recording.Recording.hand_over",
    "recording.Recording.is_recorded",
    "locations.LocationFinder._is_own_frame",
    "recording.Recording.look_around",
    "recording.Recording.registries",
    "stores.memory.MemoryStore.put",
]

if "RequestContext" not in vars(flask.ctx):
    # Newer Flask gives each request a context of its own.
    PARTS = [part for part in PARTS if "visits" not in part]

# With these broken, nobody learns that a record is over.
NEVER_ENDING = [
    "hooks.contexts.finish",
    "hooks.visits.begin",
    "hooks.visits.end",
    "recording.Recording.hand_over",
]


class Broken(Exception):
    """The fault."""


def broken(*args: object, **values: object) -> t.NoReturn:
    raise Broken("a fault of the inspector")


@pytest.fixture
def forgiving() -> cabc.Iterator[None]:
    """Let errors be swallowed, and forget them afterwards."""
    errors, seen = guard.errors, set(guard._seen)
    guard._seen.clear()
    yield
    guard.errors = errors
    guard._seen.clear()
    guard._seen.update(seen)


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop], forgiving: None) -> Shop:
    """Serve ``/write``, which uses the database in every way, and ``/error``."""
    shop = make_shop(SESSION_INSPECTOR_STRICT=False)
    # Errors of requests come out of the client.
    shop.app.testing = True

    def write() -> str:
        session = shop.db.session
        user = User(name="Ada")
        session.add(user)
        session.commit()
        with session.begin_nested():
            user.name = "Grace"
        session.commit()
        session.execute(sa.insert(User), [{"name": "Alan"}, {"name": "Edsger"}])
        session.commit()
        session.execute(sa.update(User).values(name="nobody"))
        session.rollback()
        with shop.app.app_context():
            shop.db.session.scalars(sa.select(User)).all()
        shop.app.test_client().get("/read").close()
        with shop.db.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        names = session.scalars(sa.select(User.name).order_by(User.id))
        return ",".join(names)

    def read() -> str:
        # The second time by the short way; its values are of no simple kind.
        query = sa.select(User).where(sa.literal(1.5) > 1)
        for _ in range(2):
            users = shop.db.session.scalars(query).all()
        return str(len(users))

    def error() -> t.NoReturn:
        shop.db.session.add(User(name="lost"))
        shop.db.session.flush()
        raise LookupError("of the application")

    shop.view(write, "/write")
    shop.view(read, "/read")
    shop.view(error, "/error")
    shop.app.errorhandler(LookupError)(lambda exception: ("handled", 409))
    return shop


def names_in(shop: Shop) -> list[str]:
    """Read what was committed, from outside."""
    path = shop.app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///")
    outside = sqlite3.connect(path)
    rows = outside.execute("SELECT name FROM users ORDER BY id").fetchall()
    outside.close()
    return [name for (name,) in rows]


@pytest.mark.parametrize("part", PARTS)
def test_the_application_does_not_notice(
    shop: Shop,
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with shop.app.app_context():
        shop.db.engine.dispose()  # So that connecting is a part of it, too.
    monkeypatch.setattr(f"{PACKAGE}.{part}", broken)
    before = guard.errors
    client = shop.app.test_client()

    for number in (1, 2):
        response = client.get("/write")
        assert response.status_code == 200
        assert response.text == ",".join(["Grace", "Alan", "Edsger"] * number)
        assert client.get("/error").status_code == 409
    with shop.app.app_context():
        pool = t.cast(sa.QueuePool, shop.db.engine.pool)
        assert client.get("/read").status_code == 200
        shop.db.session.remove()
        assert pool.checkedout() == 0
    monkeypatch.undo()

    assert names_in(shop) == ["Grace", "Alan", "Edsger"] * 2
    assert shop.db.session.registry.registry == {}, "every session was removed"
    assert guard.errors > before, "nothing was broken"
    reports = [
        record
        for record in caplog.records
        if record.name == PACKAGE and not record.getMessage().startswith("FSI")
    ]
    places = [record.getMessage() for record in reports]
    assert len(places) == len(set(places)) >= 1, "each place is logged once"
    for record in reports:
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert record.exc_info[0] is Broken

    # It is all right again by itself; what was broken may be missing, but what
    # comes now is whole.
    assert client.get("/read").status_code == 200
    record = max(shop.inspection.requests(), key=lambda record: record.started_at)
    assert (record.path, record.status) == ("/read", 200)
    assert len(record.sessions) == 1
    assert_complete(record)
    if part not in NEVER_ENDING:
        counters = shop.inspection.counters
        assert counters.in_flight == 0
        assert counters.started == counters.stored + counters.lost


def test_errors_are_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shop.inspection.counters.internal_errors == 0
    monkeypatch.setattr(f"{PACKAGE}.hooks.statements.written_by", broken)
    shop.app.test_client().get("/read")

    assert shop.inspection.counters.internal_errors == 2


@pytest.mark.parametrize(
    "part",
    [
        "hooks.resolving.begin_request",
        "hooks.statements.written_by",
        "hooks.statements.fingerprint",
        "hooks.dml.learn_read",
        "hooks.sessions.current_scope",
        "hooks.connections.current_scope",
        "hooks.contexts.pop",
    ],
)
def test_strict_mode_raises_again(
    shop: Shop, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard.strict = True
    monkeypatch.setattr(f"{PACKAGE}.{part}", broken)
    with pytest.raises(Broken):
        shop.app.test_client().get("/read")
    monkeypatch.undo()

    assert guard.errors > 0


class Timeout(BaseException):
    """Like gevent's, which may come at any moment and must not be kept."""


def test_a_base_exception_goes_through_a_statement(
    make_shop: t.Callable[..., Shop],
) -> None:
    shop = make_shop(**MARKING)
    raised: list[BaseException] = []

    def interrupt(
        cursor: t.Any, statement: str, parameters: t.Any, context: t.Any
    ) -> None:
        if "late" in str(parameters):
            raise raised[0]

    def view() -> str:
        mark(shop.db.session, "early")
        raised.append(Timeout("after a second"))
        try:
            mark(shop.db.session, "late")
        except Timeout as timeout:
            return str(timeout is raised[0] and timeout.__context__ is None)
        return "no exception"

    with shop.app.app_context():
        event.listen(shop.db.engine, "do_execute", interrupt)
    shop.view(view)
    with shop.app.test_client().get("/") as response:
        assert response.text == "True"

    record = shop.newest()
    assert marks(record) == ["early", "late"]
    assert_complete(record)
    with shop.app.app_context():
        pool = t.cast(sa.QueuePool, shop.db.engine.pool)
        assert pool.checkedout() == 0


def test_a_base_exception_of_a_hook_is_not_swallowed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> t.NoReturn:
        raise Timeout

    monkeypatch.setattr(f"{PACKAGE}.hooks.statements.written_by", interrupt)
    with pytest.raises(Timeout):
        shop.app.test_client().get("/read")


Failing = t.Callable[[t.Any], object]


def bad_sql(session: t.Any) -> None:
    session.execute(sa.text("SELECT nothing FROM nowhere WHERE x = :x"), {"x": 1})


def bad_sql_without_parameters(session: t.Any) -> None:
    session.connection(execution_options={"no_parameters": True}).exec_driver_sql(
        "SELECT nothing FROM nowhere"
    )


def duplicate(session: t.Any) -> None:
    session.execute(sa.insert(User), {"id": 1, "name": "Ada"})
    session.execute(sa.insert(User), {"id": 1, "name": "Grace"})


def duplicates(session: t.Any) -> None:
    session.connection().exec_driver_sql(
        "INSERT INTO users (id, name) VALUES (?, ?)", [(1, "Ada"), (1, "Grace")]
    )


@pytest.mark.parametrize(
    "failing", [bad_sql, bad_sql_without_parameters, duplicate, duplicates]
)
def test_the_driver_s_errors_are_as_without_us(shop: Shop, failing: Failing) -> None:
    caught: list[sa.exc.DBAPIError] = []

    def fail() -> str:
        with pytest.raises(sa.exc.DBAPIError) as caught_here:
            failing(shop.db.session)
        caught.append(caught_here.value)
        return "done"

    shop.view(fail, "/fail")
    shop.app.test_client().get("/fail")
    shop.inspector.detach(shop.app)
    shop.app.test_client().get("/fail")

    with_us, without = caught
    assert type(with_us) is type(without)
    assert type(with_us.orig) is type(without.orig)
    assert with_us.orig is not None
    assert without.orig is not None
    assert with_us.orig.args == without.orig.args
    assert with_us.args == without.args
    assert with_us.statement == without.statement
    assert with_us.params == without.params
    assert with_us.__cause__ is with_us.orig
    assert with_us.orig.__context__ is None
    assert shop.inspection.counters.internal_errors == 0
