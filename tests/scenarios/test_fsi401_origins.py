"""FSI401 detached-access: where an object came from that has no session any more."""

from __future__ import annotations

import builtins
import gc
import sys
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import MakeApp
from faults import codes
from faults import engine_of
from faults import found
from faults import inspection_of
from faults import line
from faults import line_of
from faults import new_engine
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import DynamicMapped
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship
from sqlalchemy.orm import sessionmaker
from work import add_posts
from work import get
from work import serve

from flask_session_inspector import SessionInspector

CODE = "FSI401"


def the_user(session: t.Any) -> User:
    return t.cast(User, session.scalars(sa.select(User)).one())


def titles(user: User) -> list[str]:
    return [post.title for post in user.posts]


def test_a_session_that_was_collected(shop: Shop) -> None:
    """A helper makes a session and returns an object: nobody closed anything."""
    add_posts(shop)
    engine = engine_of(shop)

    def load() -> User:
        return the_user(Session(engine))

    def work() -> None:
        user = load()
        gc.collect()
        titles(user)

    record = serve(shop, work)
    finding = the(record, CODE)
    (used,) = record.sessions
    assert finding.session == used.serial
    assert (
        f"but S{used.serial}, which it came from, was gone:"
        " it was garbage-collected, since nothing referred to it."
    ) in finding.message
    assert line_of(finding.evidence["session first used"]) == (
        "return t.cast(User, session.scalars(sa.select(User)).one())"
    )
    assert "garbage-collected" in finding.evidence["detached by"]
    assert "detached" not in finding.evidence


def test_collected_after_it_was_detached_before(shop: Shop) -> None:
    """The last session counts, not the one that somebody closed."""
    add_posts(shop)
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            user = the_user(session)
        another = Session(engine)
        another.add(user)
        serials.append(another.hash_key)
        del another
        gc.collect()
        titles(user)

    serials: list[int] = []
    finding = the(serve(shop, work), CODE)
    assert finding.session == serials[0]
    assert "garbage-collected" in finding.message


def test_closed_before_any_request(shop: Shop) -> None:
    """What an application loads while it starts."""
    add_posts(shop)
    with Session(engine_of(shop)) as session:
        user = the_user(session)
        serial = session.hash_key

    finding = the(serve(shop, lambda: titles(user)), CODE)
    assert finding.session == serial
    assert f"but close() had detached it from S{serial}." in finding.message
    assert finding.evidence["detached"] == "outside of any app context"


@pytest.mark.parametrize("how", ["sessionmaker", "session"])
def test_closed_by_a_block(shop: Shop, how: str) -> None:
    """Whatever the block is called, it closes."""
    add_posts(shop)
    engine = engine_of(shop)

    def work() -> None:
        if how == "sessionmaker":
            with sessionmaker(engine).begin() as session:
                user = the_user(session)
        else:
            with Session(engine) as session, session.begin():
                user = the_user(session)
        assert user.name

    finding = the(serve(shop, work), CODE)
    assert finding.evidence["detached by"] == "close()"
    assert line_of(finding.evidence["detached"]).startswith("with ")
    assert "User.name was expired, as by a commit, and had" in finding.message


def test_removed_in_a_function_after_the_view(shop: Shop) -> None:
    add_posts(shop)

    @shop.app.after_request
    def log(response: flask.Response) -> flask.Response:
        titles(flask.g.user)
        return response

    def work() -> None:
        flask.g.user = the_user(shop.db.session)
        shop.db.session.remove()

    finding = the(serve(shop, work), CODE)
    assert line(finding.location) == "return [post.title for post in user.posts]"
    assert line_of(finding.evidence["detached"]) == "shop.db.session.remove()"


def test_a_dynamic_relationship(make_app: MakeApp, tmp_path: t.Any) -> None:
    """SQLAlchemy has only the object at hand when it refuses."""

    class Model(DeclarativeBase):
        pass

    class Parent(Model):
        __tablename__ = "parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: DynamicMapped[Child] = relationship()

    class Child(Model):
        __tablename__ = "children"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(sa.ForeignKey(Parent.id))

    globals()["Child"] = Child
    try:
        engine = new_engine(tmp_path)
        Model.metadata.create_all(engine)
        app = make_app()
        SessionInspector(app)

        @app.get("/")
        def view() -> str:
            with Session(engine) as session:
                parent = Parent(id=1)
                session.add(parent)
                session.commit()
            return str(parent.children.filter_by(id=2).count())

        finding = the(send(app), CODE)
    finally:
        del globals()["Child"]
    assert finding.message.startswith("Parent.children had to be loaded at ")
    assert finding.evidence["detached by"] == "close()"


def test_an_async_session(make_app: MakeApp, tmp_path: t.Any) -> None:
    pytest.importorskip("asgiref")
    pytest.importorskip("aiosqlite")
    new_engine(tmp_path)
    app = make_app()
    SessionInspector(app)
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/plain.db")

    @app.get("/")
    async def view() -> str:
        async with AsyncSession(engine) as session:
            session.add(User(name="ann"))
            await session.flush()
            user = (await session.scalars(sa.select(User))).one()
            session.expire(user)
        await engine.dispose()
        return user.name

    record = send(app)
    finding = the(record, CODE)
    assert finding.session == record.sessions[0].serial
    assert line(finding.location) == "return user.name"
    assert "but close()" in finding.message


@pytest.mark.skipif(sys.version_info < (3, 11), reason="There are no groups.")
def test_a_group_of_exceptions(shop: Shop) -> None:
    """As a task group raises."""
    add_posts(shop)

    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.close()
        try:
            titles(user)
        except Exception as error:
            group = vars(builtins)["ExceptionGroup"]
            raise group("", [ValueError(), error]) from None

    record = serve(shop, work)
    assert record.error == "ExceptionGroup"
    assert line(the(record, CODE).location).startswith("return [post.title")


def test_a_command(shop: Shop) -> None:
    add_posts(shop)

    @shop.app.cli.command("report")
    def report() -> None:
        user = the_user(shop.db.session)
        shop.db.session.close()
        titles(user)

    shop.app.test_cli_runner().invoke(args=["report"])
    (record,) = [r for r in shop.inspection.requests() if r.kind == "cli"]
    assert found(record, CODE)[0].session == record.sessions[0].serial


# Near misses


def test_a_cached_object_that_is_merged_without_a_query(shop: Shop) -> None:
    """What a second-level cache does."""
    add_posts(shop)
    cache: list[User] = []

    def work() -> None:
        if not cache:
            cache.append(the_user(shop.db.session))
            return
        user = shop.db.session.merge(cache[0], load=False)
        assert len(titles(user)) == 1
        shop.db.session.refresh(user)

    serve(shop, work, times=3)
    assert codes(shop.inspection) == set()


def test_what_was_loaded_is_read_after_the_end_of_its_session(shop: Shop) -> None:
    add_posts(shop)
    engine = engine_of(shop)
    users: list[User] = []

    def work() -> None:
        if not users:
            users.append(the_user(Session(engine)))
            gc.collect()
        assert users[0].name == "user 1"

    serve(shop, work, times=2)
    assert found(shop.inspection, CODE) == []


def test_a_deleted_object(shop: Shop) -> None:
    """Its row is gone; it does not ask for more."""
    add_posts(shop, posts=0)

    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.delete(user)
        shop.db.session.commit()
        assert user.id == 1
        assert user.posts == []

    record = serve(shop, work)
    assert record.status == 200
    assert codes(record) == set()


def test_another_error_of_a_detached_object(shop: Shop) -> None:
    """``refresh()`` says itself what is wrong."""
    add_posts(shop)

    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.expunge(user)
        shop.db.session.refresh(user)

    record = serve(shop, work)
    assert record.error == "InvalidRequestError"
    assert found(record, CODE) == []


def test_an_application_that_answers_every_exception(shop: Shop) -> None:
    add_posts(shop)
    shop.app.register_error_handler(Exception, lambda error: ("sorry", 500))

    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.close()
        titles(user)

    serve(shop, work)
    assert get(shop).status == 500
    assert found(inspection_of(shop.app), CODE) == []
