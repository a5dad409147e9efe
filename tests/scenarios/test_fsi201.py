"""FSI201 discarded-writes: written, and thrown away without a word."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Post
from conftest import Shop
from conftest import User
from faults import MakeApp
from faults import MakeShop
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import inspection_of
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from work import add_posts
from work import read
from work import serve

from flask_session_inspector import SessionInspector

CODE = "FSI201"
Change = t.Callable[[Session], object]


def flushed(session: Session) -> None:
    session.add_all([User(name="x"), User(name="y")])
    session.flush()


def flushed_by_a_query(session: Session) -> None:
    session.add_all([User(name="x"), User(name="y")])
    session.scalars(sa.select(Post)).all()


def changed_and_flushed(session: Session) -> None:
    for user in session.scalars(sa.select(User)):
        user.name = "changed"
    session.flush()


def deleted_and_flushed(session: Session) -> None:
    for user in session.scalars(sa.select(User)):
        session.delete(user)
    session.flush()


def core_insert(session: Session) -> None:
    session.execute(sa.insert(User), [{"name": "x"}, {"name": "y"}])


def core_update(session: Session) -> None:
    session.execute(sa.update(User).values(name="changed"))


def update_returning(session: Session) -> None:
    session.execute(sa.update(User).values(name="x").returning(User.id)).all()


def textual(session: Session) -> None:
    session.execute(sa.text("DELETE FROM users"))


def of_the_driver(session: Session) -> None:
    session.connection().exec_driver_sql("UPDATE users SET name = 'changed'")


def bulk(session: Session) -> None:
    session.bulk_insert_mappings(
        User,  # type: ignore[arg-type]  # a class is a mapper, too
        [{"name": "x"}, {"name": "y"}],
    )


def released_savepoint(session: Session) -> None:
    with session.begin_nested():
        session.add_all([User(name="x"), User(name="y")])


def rolled_back_in_part(session: Session) -> None:
    flushed(session)
    savepoint = session.begin_nested()
    session.add(User(name="z"))
    session.flush()
    savepoint.rollback()


def after_a_commit(session: Session) -> None:
    session.add(User(name="kept"))
    session.commit()
    flushed(session)


def after_a_rollback(session: Session) -> None:
    session.add(User(name="not wanted"))
    session.flush()
    session.rollback()
    flushed(session)


ROWS = [
    flushed,
    flushed_by_a_query,
    changed_and_flushed,
    deleted_and_flushed,
    core_insert,
    core_update,
    update_returning,
    textual,
    of_the_driver,
    bulk,
    released_savepoint,
    rolled_back_in_part,
    after_a_commit,
    after_a_rollback,
]


def added(session: Session) -> None:
    session.add(User(name="x"))


def changed(session: Session) -> None:
    user = session.get(User, 1)
    assert user is not None
    user.name = "changed"


def deleted(session: Session) -> None:
    session.delete(session.get(User, 1))


def added_by_cascade(session: Session) -> None:
    user = session.get(User, 1)
    assert user is not None
    user.posts.append(Post(title="x"))


OBJECTS: list[tuple[Change, dict[str, dict[str, int]]]] = [
    (added, {"new": {"User": 1}}),
    (changed, {"changed": {"User": 1}}),
    (deleted, {"deleted": {"User": 1}}),
    (added_by_cascade, {"new": {"Post": 1}, "changed": {"User": 1}}),
]


def at_teardown(shop: Shop, change: Change) -> None:
    serve(shop, lambda: change(shop.db.session()))


def by_a_with_block(shop: Shop, change: Change) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            change(session)

    serve(shop, work)


def by_hand(shop: Shop, change: Change) -> None:
    def work() -> None:
        change(shop.db.session())
        shop.db.session.close()

    serve(shop, work)


def by_a_removal(shop: Shop, change: Change) -> None:
    def work() -> None:
        change(shop.db.session())
        shop.db.session.remove()

    serve(shop, work)


CLOSED = [at_teardown, by_a_with_block, by_hand, by_a_removal]
by_closing = pytest.mark.parametrize("close", CLOSED, ids=lambda each: each.__name__)
by_closing_somehow = pytest.mark.parametrize(
    "close", CLOSED[:2], ids=lambda each: each.__name__
)


def two_users(shop: Shop) -> Shop:
    add_posts(shop, users=2, posts=0)
    return shop


@by_closing
@pytest.mark.parametrize("change", ROWS, ids=lambda each: each.__name__)
def test_rows(shop: Shop, change: Change, close: t.Callable[..., None]) -> None:
    close(two_users(shop), change)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    assert (finding.name, finding.severity) == ("discarded-writes", "error")
    assert finding.session == record.sessions[0].serial
    assert finding.evidence["rows per table"] == {"users": 2}
    assert finding.message == (
        f"S{finding.session} was closed without a commit, which discarded 2 rows of"
        " users."
    )
    assert finding.location is not None
    assert finding.location.file == __file__
    assert line_of(finding.evidence["last write"]) == line(finding.location)
    assert codes(record) == {CODE}


@by_closing
@pytest.mark.parametrize(
    ("change", "classes"), OBJECTS, ids=[each.__name__ for each, _ in OBJECTS]
)
def test_objects_that_were_never_flushed(
    shop: Shop,
    change: Change,
    classes: dict[str, dict[str, int]],
    close: t.Callable[..., None],
) -> None:
    close(two_users(shop), change)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    assert finding.session == record.sessions[0].serial
    for kind in ("new", "changed", "deleted"):
        evidence = finding.evidence.get(f"{kind}, never flushed")
        assert evidence == classes.get(kind)
        if evidence:
            (name,) = evidence
            assert f"1 {kind} object ({name})" in finding.message
    assert finding.location == record.sessions[0].first_use
    assert codes(record) == {CODE}


def test_several_tables(shop: Shop) -> None:
    def work() -> None:
        shop.db.session.add(User(name="x", posts=[Post(title="1"), Post(title="2")]))
        shop.db.session.flush()
        shop.db.session.add(Post(title="3"))

    finding = the(serve(shop, work), CODE)
    assert finding.evidence["rows per table"] == {"users": 1, "posts": 2}
    assert finding.evidence["new, never flushed"] == {"Post": 1}
    assert "1 row of users, 2 rows of posts and 1 new object (Post)." in finding.message


def test_a_command(shop: Shop) -> None:
    @shop.app.cli.command("add-user")
    def add_user() -> None:
        shop.db.session.add(User(name="x"))
        shop.db.session.flush()

    shop.app.test_cli_runner().invoke(args=["add-user"])
    (record,) = [r for r in shop.inspection.requests() if r.kind == "cli"]
    assert the(record, CODE).evidence["rows per table"] == {"users": 1}


def test_an_async_session(make_app: MakeApp, tmp_path: t.Any) -> None:
    app = make_app()
    SessionInspector(app)

    @app.get("/")
    async def view() -> str:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            session.add(User(name="x"))
            await session.flush()
        await engine.dispose()
        return "done"

    record = send(app)
    assert the(record, CODE).evidence["rows per table"] == {"users": 1}


@pytest.mark.parametrize("named", [False, True])
def test_flask_sqlalchemy_lite(make_app: MakeApp, tmp_path: t.Any, named: bool) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/lite.db"})
    db = lite.SQLAlchemy(app)
    SessionInspector(app)
    with app.app_context():
        Base.metadata.create_all(db.engine)

    @app.get("/")
    def view() -> str:
        session = db.get_session("second") if named else db.session
        session.add(User(name="x"))
        session.flush()
        return "done"

    record = send(app)
    assert the(record, CODE).evidence["rows per table"] == {"users": 1}


def test_two_binds(make_shop: MakeShop, tmp_path: t.Any) -> None:
    """The one is committed, and the other forgotten."""
    shop = make_shop()
    other = sa.create_engine(f"sqlite:///{tmp_path}/other.db")
    Base.metadata.create_all(other)

    def work() -> None:
        shop.db.session.add(User(name="kept"))
        shop.db.session.commit()
        with Session(other) as session:
            flushed(session)

    record = serve(shop, work)
    other.dispose()
    assert the(record, CODE).session == record.sessions[1].serial


@pytest.mark.parametrize("change", [flushed, added, deleted])
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, change: Change
) -> None:
    assert_found_by_its_rule(
        make_shop, tmp_path, CODE, lambda shop: at_teardown(two_users(shop), change)
    )


# Near misses


def commit(session: Session) -> None:
    session.commit()


def roll_back(session: Session) -> None:
    session.rollback()


@pytest.mark.parametrize("end", [commit, roll_back])
@by_closing_somehow
@pytest.mark.parametrize(
    "change",
    [*ROWS, *(each for each, _ in OBJECTS)],
    ids=lambda each: each.__name__,
)
def test_ended_on_purpose(
    shop: Shop, change: Change, close: t.Callable[..., None], end: Change
) -> None:
    def and_end(session: Session) -> None:
        change(session)
        end(session)

    close(two_users(shop), and_end)
    assert found(shop.inspection, CODE) == []


def raise_it(session: Session) -> t.NoReturn:
    raise LookupError


def abort(session: Session) -> t.NoReturn:
    flask.abort(404)


@pytest.mark.parametrize("fail", [raise_it, abort])
@pytest.mark.parametrize("handled", [True, False])
@by_closing_somehow
def test_the_view_raised(
    shop: Shop, fail: Change, handled: bool, close: t.Callable[..., None]
) -> None:
    if handled:
        shop.app.register_error_handler(LookupError, lambda error: "sorry")
        shop.app.register_error_handler(404, lambda error: "sorry")

    def and_fail(session: Session) -> None:
        flushed(session)
        added(session)
        fail(session)

    close(two_users(shop), and_fail)
    assert codes(shop.inspection) == set()


def test_a_refusal_without_an_exception(shop: Shop) -> None:
    """A status alone says nothing of the session; abort() would."""

    def view() -> tuple[str, int]:
        flushed(shop.db.session())
        return "there is something wrong with the form", 422

    shop.view(view)
    assert shop.get().status == 422
    assert codes(shop.inspection) == {CODE}


def test_an_exception_that_the_view_handles(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with contextlib.suppress(LookupError), Session(engine) as session:
            flushed(session)
            raise LookupError

    serve(shop, work)
    assert codes(shop.inspection) == set()


def only_a_rolled_back_savepoint(session: Session) -> None:
    savepoint = session.begin_nested()
    flushed(session)
    savepoint.rollback()


def released_in_a_rolled_back_savepoint(session: Session) -> None:
    outer = session.begin_nested()
    with session.begin_nested():
        flushed(session)
    outer.rollback()


def failed_savepoint(session: Session) -> None:
    for _ in range(2):
        with contextlib.suppress(sa.exc.IntegrityError), session.begin_nested():
            session.execute(sa.insert(User).values(id=1, name="again"))


def failed_flush(session: Session) -> None:
    """SQLAlchemy has rolled back by itself, and the view knows that."""
    flushed(session)
    session.add(User(id=1, name="again"))
    with contextlib.suppress(sa.exc.IntegrityError):
        session.flush()


def no_row_matches(session: Session) -> None:
    session.execute(sa.update(User).where(User.id == 0).values(name="x"))
    session.execute(sa.delete(User).where(User.id == 0))


def no_net_change(session: Session) -> None:
    user = session.get(User, 1)
    assert user is not None
    before, user.name = user.name, "changed"
    user.name = before


def taken_out_again(session: Session) -> None:
    user = User(name="draft")
    session.add(user)
    session.expunge(user)


def only_made(session: Session) -> None:
    User(name="nobody adds it")
    session.scalar(sa.select(1))


def a_temporary_table(session: Session) -> None:
    session.execute(sa.text("CREATE TEMPORARY TABLE ids (id INTEGER)"))
    session.execute(sa.text("INSERT INTO ids VALUES (1), (2)"))


NOTHING_LOST = [
    only_a_rolled_back_savepoint,
    released_in_a_rolled_back_savepoint,
    failed_savepoint,
    failed_flush,
    no_row_matches,
    no_net_change,
    taken_out_again,
    only_made,
    a_temporary_table,
    read,
]


@by_closing_somehow
@pytest.mark.parametrize("change", NOTHING_LOST, ids=lambda each: each.__name__)
def test_nothing_is_lost(
    shop: Shop, change: Change, close: t.Callable[..., None]
) -> None:
    close(two_users(shop), change)
    assert found(shop.inspection, CODE) == []


def test_a_teardown_function_commits(shop: Shop) -> None:
    @shop.app.teardown_appcontext
    def commit_at_the_end(error: BaseException | None) -> None:
        if error is None:
            shop.db.session.commit()

    def work() -> None:
        flushed(shop.db.session())
        deleted(shop.db.session())
        added(shop.db.session())

    serve(two_users(shop), work)
    assert codes(shop.inspection) == set()
    with engine_of(shop).connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM users")) == 4


def test_autocommit(make_shop: MakeShop) -> None:
    shop = make_shop({"isolation_level": "AUTOCOMMIT"})
    serve(shop, lambda: flushed(shop.db.session()))
    assert codes(shop.inspection) == set()


def test_a_transaction_around_the_session(shop: Shop) -> None:
    """What test suites do: the session's work is part of the connection's."""
    engine = engine_of(shop)

    def work() -> None:
        with engine.begin() as connection, Session(connection) as session:
            flushed(session)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_a_session_that_is_not_closed_yet(shop: Shop) -> None:
    """FSI102 says that."""
    sessions: list[Session] = []
    engine = engine_of(shop)

    def work() -> None:
        sessions.append(Session(engine))
        flushed(sessions[0])

    serve(shop, work)
    assert found(shop.inspection, CODE) == []
    assert "FSI102" in codes(shop.inspection)
    sessions[0].rollback()
    assert found(shop.inspection, CODE) == []


def test_a_client_that_leaves(shop: Shop) -> None:
    def rows() -> cabc.Iterator[str]:
        flushed(shop.db.session())
        yield "first"
        yield "second"
        shop.db.session.commit()

    shop.view(lambda: flask.Response(flask.stream_with_context(rows())))
    response = shop.app.test_client().get("/", buffered=False)
    next(iter(response.response))
    response.close()
    assert found(inspection_of(shop.app), CODE) == []
