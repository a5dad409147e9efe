"""Which sessions a record shows, where they come from and how they end."""

from __future__ import annotations

import contextlib
import gc
import re
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionRecord


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop(SQLALCHEMY_DATABASE_URI="sqlite://")


def only(shop: Shop, view: t.Callable[[], object], path: str = "/") -> SessionRecord:
    """Serve one request; return the only session in its record."""
    (session,) = every(shop, view, path)
    return session


def every(
    shop: Shop, view: t.Callable[[], object], path: str = "/"
) -> tuple[SessionRecord, ...]:
    def index() -> str:
        view()
        return ""

    with contextlib.suppress(AssertionError):  # Flask takes no rules any more.
        shop.app.add_url_rule("/", "index")
        shop.app.add_url_rule("/<path:path>", "index")
    shop.app.view_functions["index"] = lambda **_: index()
    record = shop.get(path)
    assert record.error is None
    return record.sessions


def test_what_is_said_of_a_session(shop: Shop) -> None:
    seen: dict[str, t.Any] = {}

    def view() -> None:
        session = shop.db.session()
        seen.update(
            serial=session.hash_key,
            python_id=id(session),
            key=hex(id(flask.globals.app_ctx._get_current_object())),  # type: ignore[attr-defined]
        )
        session.add(User(name="ada"))
        session.commit()
        seen["user"] = session.scalars(sa.select(User)).one()

    session = only(shop, view)
    assert session.serial == seen["serial"]
    assert session.label == f"S{seen['serial']}"
    assert session.python_id == seen["python_id"]
    assert session.class_name == "Session"
    assert session.origin == "registry"
    assert session.registry == "db.session"
    assert session.proxy_id == id(shop.db.session)
    assert session.scope_key == seen["key"]
    assert session.context == 0
    assert session.first_request_id == shop.newest().id
    assert session.first_use is not None
    assert session.first_use.file == __file__
    assert session.first_use.function == "view"
    assert session.identity_map_size == 1
    assert session.ended == "removed"


@pytest.mark.parametrize("made_by", ["call", "begin", "contains", "add"])
def test_a_session_that_sends_no_sql(shop: Shop, made_by: str) -> None:
    def view() -> None:
        if made_by == "call":
            shop.db.session()
        elif made_by == "begin":
            shop.db.session.begin()
        elif made_by == "contains":
            assert User() not in shop.db.session
        else:
            shop.db.session.add(User(name="ada"))

    session = only(shop, view)
    assert session.origin == "registry"
    assert session.statements == ()
    assert session.transactions == ()
    assert session.ended == "removed"
    assert session.pending_new == (made_by == "add")
    # Only the creation itself cannot be seen.
    assert (session.first_use is not None) == (made_by in ("begin", "add"))


def test_no_session_is_made_by_looking(shop: Shop) -> None:
    assert every(shop, lambda: None) == ()


def test_removed_in_the_view_and_made_again(shop: Shop) -> None:
    def view() -> None:
        for _ in range(2):
            shop.db.session.execute(sa.select(1))
            shop.db.session.remove()
        shop.db.session()

    sessions = every(shop, view)
    assert len({session.serial for session in sessions}) == 3
    assert [session.ended for session in sessions] == ["removed"] * 3
    assert [len(session.statements) for session in sessions] == [1, 1, 0]
    assert {session.registry for session in sessions} == {"db.session"}


def test_made_again_by_a_teardown_function_that_runs_late(
    make_app: t.Callable[..., flask.Flask],
) -> None:
    app = make_app()
    late = []

    @app.teardown_appcontext
    def touch(exc: BaseException | None) -> None:
        late.append(shop.db.session().hash_key)

    # Registered before Flask-SQLAlchemy's own, so it runs after it.
    shop = Shop(app)
    (removed, kept) = every(shop, lambda: shop.db.session.execute(sa.select(1)))
    assert removed.ended == "removed"
    assert kept.serial == late[-1]
    assert kept.ended == "open"
    assert kept.first_use is None
    assert kept.registry == "db.session"
    assert kept.scope_key == removed.scope_key


def test_pending_objects_are_net_changes(shop: Shop) -> None:
    with shop.app.app_context():
        shop.db.session.add_all([User(id=n, name="x") for n in (1, 2, 3, 4)])
        shop.db.session.commit()

    def view() -> None:
        session = shop.db.session
        users = session.scalars(sa.select(User).order_by(User.id)).all()
        session.add_all([User(name="new"), Post(title="new")])
        users[0].name = "y"
        users[1].name = "y"
        users[1].name = "x"  # touched, and the same as before
        with session.no_autoflush:
            users[2].posts.append(Post(title="new"))
        session.delete(users[3])
        flask.g.users = users

    session = only(shop, view)
    assert session.pending_new == 3
    assert session.pending_dirty == 2
    assert session.pending_deleted == 1
    assert session.identity_map_size == 4


def test_nothing_is_pending_after_a_flush_or_a_rollback(shop: Shop) -> None:
    def flushed() -> None:
        shop.db.session.add(User(name="x"))
        shop.db.session.flush()

    def rolled_back() -> None:
        shop.db.session.add(User(name="x"))
        shop.db.session.rollback()

    for number, view in enumerate((flushed, rolled_back)):
        assert only(shop, view, f"/{number}").pending_new == 0


def test_an_instance_that_outlives_its_request(shop: Shop) -> None:
    with shop.app.app_context():
        pinned = Session(shop.db.engine)

    def view() -> None:
        pinned.execute(sa.select(1))

    first = only(shop, view)
    second = only(shop, view, "/again")
    pinned.close()
    third = only(shop, pinned.connection, "/third")
    pinned.close()
    assert first.serial == second.serial == third.serial
    assert first.origin == "direct"
    assert first.registry is None
    assert first.ended == second.ended == "open"
    assert {s.first_request_id for s in (first, second, third)} == {
        shop.inspection.requests()[2].id
    }


@pytest.mark.parametrize("how", ["close", "with", "commit", "collected"])
def test_a_session_outside_of_any_registry_that_ends(shop: Shop, how: str) -> None:
    def view() -> None:
        if how == "with":
            with Session(shop.db.engine) as session:
                session.execute(sa.select(1))
            return
        session = Session(shop.db.engine)
        session.execute(sa.select(1))
        if how == "close":
            session.close()
        elif how == "commit":
            session.commit()
        del session
        gc.collect()

    session = only(shop, view)
    assert session.ended == "closed"
    assert session.origin == "direct"
    assert session.transactions[0].outcome == ("commit" if how == "commit" else "close")
    (checkout,) = shop.newest().connections
    assert checkout.checked_in_ms is not None


def test_a_session_of_a_factory(shop: Shop) -> None:
    class Reporting(Session):
        pass

    with shop.app.app_context():
        factory = sessionmaker(shop.db.engine, class_=Reporting)
        own = Reporting(shop.db.engine)

    def view() -> None:
        with factory() as session, own:
            session.execute(sa.select(1))
            own.execute(sa.select(1))

    made, direct = every(shop, view)
    assert (made.origin, made.class_name) == ("factory", "Reporting")
    assert (direct.origin, direct.class_name) == ("direct", "Reporting")


def test_a_session_in_g_that_nobody_used(shop: Shop) -> None:
    def view() -> None:
        flask.g.session = Session(shop.db.engine)
        flask.g.text = {"session": "not one"}

    session = only(shop, view)
    assert session.origin == "direct"
    assert session.ended == "closed"
    assert session.first_use is None


def test_a_session_of_the_outer_context_used_first_in_a_nested_one(shop: Shop) -> None:
    def view() -> None:
        session = shop.db.session()
        with shop.app.app_context():
            session.execute(sa.select(1))
            shop.db.session.execute(sa.select(2))

    outer, inner = every(shop, view)
    assert (outer.context, inner.context) == (0, 1)
    assert outer.registry == inner.registry == "db.session"
    assert outer.scope_key != inner.scope_key
    assert outer.ended == inner.ended == "removed"


def test_a_scopefunc_of_the_applications_own(make_app: t.Any) -> None:
    app = make_app()
    db_engine = sa.create_engine("sqlite://")
    registry = scoped_session(
        sessionmaker(db_engine), scopefunc=lambda: flask.request.path
    )
    app.extensions.pop("sqlalchemy", None)
    shop = Shop(app)
    shop.inspector.watch(registry, name="mine")

    def view() -> None:
        registry.execute(sa.select(1))

    session = only(shop, view, "/here")
    assert session.registry == "mine"
    # A text can be a secret; what counts is whether two keys are the same.
    key = session.scope_key
    assert key is not None
    assert re.fullmatch("<str [0-9a-f]{8}>", key)
    assert shop.get("/here").sessions[0].scope_key == key
    assert session.proxy_id == id(registry)
    assert session.ended == "open", "nobody removed it"
    with app.app_context():  # the scopefunc raises outside of a request
        assert shop.db.session.scalar(sa.select(1)) == 1
    record = shop.newest()
    assert record.kind == "context"
    assert [s.registry for s in record.sessions] == ["db.session"]
    with app.test_request_context("/here"):
        registry.remove()
    db_engine.dispose()


def test_the_proxy_is_replaced_while_the_application_runs(shop: Shop) -> None:
    only(shop, lambda: shop.db.session())
    before = shop.db.session
    with shop.app.app_context():
        shop.db.session = scoped_session(sessionmaker(shop.db.engine))
    after = only(shop, lambda: shop.db.session.execute(sa.select(1)), "/after")
    replacement = id(shop.db.session)
    shop.db.session = before
    assert after.registry == "db.session"
    assert after.proxy_id == replacement != id(before)
    assert after.ended == "removed"
    same_proxy, _, _ = shop.inspection.verdicts()
    assert same_proxy.passed is False
