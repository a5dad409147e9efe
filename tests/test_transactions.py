"""How the transactions of a session began, ended, and on which bind."""

from __future__ import annotations

import contextlib
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from sqlalchemy.orm import Session
from sqlalchemy.orm import SessionTransaction

from flask_session_inspector import RequestRecord
from flask_session_inspector import TransactionRecord

Serve = t.Callable[[t.Callable[[Session], object]], RequestRecord]


@pytest.fixture
def serve(shop: Shop) -> Serve:
    """Serve a request whose view works with the session."""
    view: list[t.Callable[[Session], object]] = []

    def index() -> str:
        view[-1](shop.db.session())
        return ""

    shop.view(index)

    @sa.event.listens_for(_engine(shop), "connect")
    def manual_begin(connection: t.Any, record: object) -> None:
        # Otherwise the driver begins on its own, and not before a SAVEPOINT.
        connection.isolation_level = None

    @sa.event.listens_for(_engine(shop), "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    def run(work: t.Callable[[Session], object]) -> RequestRecord:
        view.append(work)
        return shop.get()

    return run


def _engine(shop: Shop) -> sa.Engine:
    with shop.app.app_context():
        shop.db.engine.dispose()  # connections made before the listener was there
        return shop.db.engine


def ends(record: RequestRecord) -> list[tuple[bool, str, dict[str, int]]]:
    """Tell nesting, outcome and writes of every transaction, in order."""
    return [
        (transaction.nested, transaction.outcome, transaction.writes)
        for session in record.sessions
        for transaction in session.transactions
    ]


def add(session: Session, **values: t.Any) -> None:
    session.add(User(name="ada", **values))
    session.flush()


ROW = {"users": 1}


@pytest.mark.parametrize(
    ("finish", "outcome"),
    [
        (lambda s: s.commit(), "commit"),
        (lambda s: s.rollback(), "rollback"),
        (lambda s: s.close(), "close"),
        (lambda s: s.invalidate(), "close"),
        (lambda s: None, "close"),
    ],
)
def test_outcomes(
    serve: Serve, finish: t.Callable[[Session], object], outcome: str
) -> None:
    def work(session: Session) -> None:
        add(session)
        finish(session)

    record = serve(work)
    assert record.error is None
    assert ends(record) == [(False, outcome, ROW)]
    transaction = record.sessions[0].transactions[0]
    assert transaction.bind == "default"
    assert transaction.ended_ms is not None
    assert 0 <= transaction.began_ms <= transaction.ended_ms <= record.duration_ms


def test_an_exception_in_the_view_rolls_nothing_back_by_itself(serve: Serve) -> None:
    def work(session: Session) -> None:
        add(session)
        raise LookupError

    record = serve(work)
    assert record.error == "LookupError"
    assert ends(record) == [(False, "close", ROW)]


def test_several_transactions_one_after_the_other(serve: Serve) -> None:
    def work(session: Session) -> None:
        for end in (session.commit, session.rollback, session.commit):
            add(session)
            end()
        session.scalars(sa.select(User)).all()

    assert ends(serve(work)) == [
        (False, "commit", ROW),
        (False, "rollback", ROW),
        (False, "commit", ROW),
        (False, "close", {}),
    ]


def test_begin_blocks(serve: Serve) -> None:
    def work(session: Session) -> None:
        with session.begin():
            add(session)
        with contextlib.suppress(LookupError), session.begin():
            add(session)
            raise LookupError
        with session.begin(), session.begin_nested():
            add(session)

    assert ends(serve(work)) == [
        (False, "commit", ROW),
        (False, "rollback", ROW),
        (False, "commit", {}),
        (True, "commit", ROW),
    ]


@pytest.mark.parametrize("released", [True, False])
def test_savepoints(serve: Serve, released: bool) -> None:
    def work(session: Session) -> None:
        add(session)
        savepoint = session.begin_nested()
        add(session)
        add(session)
        if released:
            savepoint.commit()
        else:
            savepoint.rollback()
        session.add(Post(title="x"))
        session.commit()

    assert ends(serve(work)) == [
        (False, "commit", {"users": 1, "posts": 1}),
        (True, "commit" if released else "rollback", {"users": 2}),
    ]


def test_a_rolled_back_savepoint_and_a_close(serve: Serve) -> None:
    def work(session: Session) -> None:
        with contextlib.suppress(LookupError), session.begin_nested():
            add(session)
            raise LookupError
        session.close()

    assert ends(serve(work)) == [(False, "close", {}), (True, "rollback", ROW)]


def test_savepoints_in_savepoints(serve: Serve) -> None:
    def work(session: Session) -> None:
        with session.begin_nested():
            add(session)
            with contextlib.suppress(LookupError), session.begin_nested():
                add(session)
                raise LookupError
            with session.begin_nested():
                add(session)
        session.commit()

    assert ends(serve(work)) == [
        (False, "commit", {}),
        (True, "commit", ROW),
        (True, "rollback", ROW),
        (True, "commit", ROW),
    ]


def root(session: Session) -> SessionTransaction:
    transaction = session.get_transaction()
    assert transaction is not None
    return transaction


def test_open_savepoints_end_with_the_outer_transaction(serve: Serve) -> None:
    def committed(session: Session) -> None:
        session.begin_nested()
        add(session)
        root(session).commit()

    def rolled_back(session: Session) -> None:
        session.begin_nested()
        add(session)
        root(session).rollback()

    assert ends(serve(committed)) == [(False, "commit", {}), (True, "commit", ROW)]
    (outer, inner) = ends(serve(rolled_back))
    assert outer == (False, "rollback", {})
    # It was not asked to roll back; it was just closed.
    assert inner == (True, "close", ROW)


def test_a_flush_that_fails(serve: Serve) -> None:
    def work(session: Session) -> None:
        add(session, id=1)
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(sa.insert(User), [{"id": 2, "name": "b"}, {"id": 1}])
        session.rollback()
        session.add_all([User(id=1, name="a"), User(id=1, name="b")])
        with pytest.raises(sa.exc.IntegrityError):
            session.flush()
        session.rollback()
        add(session, id=3)
        session.commit()

    record = serve(work)
    assert record.error is None
    assert ends(record) == [
        (False, "rollback", {"users": 2}),  # one of the two before the error
        (False, "rollback", {}),
        (False, "commit", ROW),
    ]


def test_a_flush_that_fails_in_a_savepoint(serve: Serve) -> None:
    def work(session: Session) -> None:
        add(session, id=1)
        session.expunge_all()
        with contextlib.suppress(sa.exc.IntegrityError), session.begin_nested():
            session.execute(sa.insert(Post).values(title="x"))
            add(session, id=1)
        session.commit()

    assert ends(serve(work)) == [
        (False, "commit", ROW),
        (True, "rollback", {"posts": 1}),
    ]


def test_an_outer_connection_is_joined(shop: Shop) -> None:
    def index() -> str:
        with shop.db.engine.connect() as connection, connection.begin() as outer:
            for mode in ("rollback_only", "create_savepoint", "conditional_savepoint"):
                with Session(
                    connection, join_transaction_mode=t.cast(t.Any, mode)
                ) as session:
                    add(session)
                    session.commit()
            connection.execute(sa.select(1))
            outer.rollback()
        return ""

    shop.view(index)
    record = shop.get()
    assert record.error is None
    assert all(
        [statement.kind for statement in session.statements].count("insert") == 1
        for session in record.sessions[:3]
    )
    assert [
        (transaction.outcome, transaction.writes)
        for session in record.sessions[:3]
        for transaction in session.transactions
        if not transaction.nested
    ] == [("commit", ROW)] * 3
    kinds = [statement.kind for statement in record.connection_statements]
    assert kinds.count("select") == 1
    assert "insert" not in kinds
    (checkout,) = record.connections
    assert checkout.checked_in_ms is not None


def test_two_sessions_on_one_connection(shop: Shop) -> None:
    def index() -> str:
        with shop.db.engine.connect() as connection, Session(connection) as first:
            first.execute(sa.text("SELECT 1 AS one"))
            with Session(connection) as second:
                second.execute(sa.text("SELECT 1 AS two"))
            first.execute(sa.text("SELECT 1 AS one"))
        return ""

    shop.view(index)
    record = shop.get()
    assert record.connection_statements == ()
    assert [[st.sql[-3:] for st in s.statements] for s in record.sessions] == [
        ["one", "one"],
        ["two"],
    ]


def test_a_transaction_goes_on_in_the_next_request(shop: Shop) -> None:
    with shop.app.app_context():
        pinned = Session(shop.db.engine)

    def index() -> str:
        if flask.request.args.get("end"):
            getattr(pinned, flask.request.args["end"])()
        else:
            pinned.execute(sa.insert(User).values(name="x"))
        return ""

    shop.view(index)
    records = [shop.get(), shop.get(), shop.get("/?end=commit")]
    transactions: list[TransactionRecord] = [
        transaction
        for record in records
        for session in record.sessions
        for transaction in session.transactions
    ]
    assert [t.outcome for t in transactions[:2]] == ["open", "open"]
    assert [t.ended_ms for t in transactions[:2]] == [None, None]
    assert [t.writes for t in transactions[:2]] == [ROW, ROW]
    assert transactions[0].began_ms > 0
    assert transactions[1].began_ms == 0
    assert records[1].connections[0].checked_out_ms == 0
    assert records[1].connections[0].connection_id == (
        records[0].connections[0].connection_id
    )
    pinned.close()


def test_transactions_on_several_binds_go_on(make_shop: t.Any) -> None:
    shop = make_shop(SQLALCHEMY_BINDS={"other": "sqlite://"})
    pinned = Session()

    def index() -> str:
        for engine in (shop.db.engine, shop.db.engines["other"]):
            pinned.execute(sa.select(1), bind_arguments={"bind": engine})
        return ""

    shop.view(index)
    records = [shop.get() for _ in range(3)]
    for record in records:
        (session,) = record.sessions
        assert [x.bind for x in session.transactions] == ["default", "other"]
        assert [x.outcome for x in session.transactions] == ["open", "open"]
        assert [x.session for x in record.connections] == [session.serial] * 2
    pinned.close()


def test_a_transaction_that_another_request_began_meanwhile(
    make_shop: t.Callable[..., Shop],
) -> None:
    shop = make_shop({"connect_args": {"check_same_thread": False}})
    with shop.app.app_context():
        pinned = Session(shop.db.engine)
    records: dict[str, str] = {}

    def note(name: str) -> None:
        record = shop.inspection.current()
        assert record is not None
        records[name] = record.id

    def outer() -> str:
        pinned.execute(sa.select(1))
        pinned.commit()
        note("outer")
        inner = threading.Thread(target=lambda: shop.app.test_client().get("/inner"))
        inner.start()
        inner.join()
        add(pinned)
        pinned.commit()
        return ""

    def inner() -> str:
        note("inner")
        add(pinned)
        return ""

    shop.view(outer, "/outer")
    shop.view(inner, "/inner")
    assert shop.get("/outer").error is None
    pinned.close()
    found = {name: shop.inspection.request(id) for name, id in records.items()}
    assert found["inner"] is not None
    assert found["outer"] is not None
    assert ends(found["inner"]) == [(False, "open", ROW)]
    assert ends(found["outer"]) == [(False, "commit", {}), (False, "commit", ROW)]
    assert found["outer"].sessions[0].transactions[1].began_ms > 0


def test_a_bind_for_each_engine(make_shop: t.Any, tmp_path: t.Any) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    shop = make_shop(SQLALCHEMY_BINDS={"other": other})
    plain = sa.create_engine(f"sqlite:///file:{tmp_path}/plain.db?uri=true&key=hunter2")

    def index() -> str:
        session = shop.db.session
        for engine in (shop.db.engine, shop.db.engines["other"], plain):
            bind = {"bind_arguments": {"bind": engine}}
            session.execute(sa.text("CREATE TABLE IF NOT EXISTS t (x)"), **bind)
        for engine in (shop.db.engine, shop.db.engines["other"], plain):
            bind = {"bind_arguments": {"bind": engine}}
            session.execute(sa.text("INSERT INTO t VALUES (1), (2)"), **bind)
        session.commit()
        return ""

    shop.view(index)
    record = shop.get()
    assert record.error is None
    (session,) = record.sessions
    url = session.transactions[2].bind
    assert url.startswith("sqlite:///file")
    assert url.endswith("/plain.db?key=%2A%2A%2A&uri=%2A%2A%2A")
    assert [x.bind for x in session.transactions] == ["default", "other", url]
    assert [x.writes for x in session.transactions] == [{"t": 2}] * 3
    assert [x.outcome for x in session.transactions] == ["commit"] * 3
    assert [x.bind for x in record.connections] == ["default", "other", url]
    assert [x.bind for x in session.statements[3:]] == ["default", "other", url]
    plain.dispose()
