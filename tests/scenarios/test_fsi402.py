"""FSI402 object-outlived-request: an object of an earlier request sends SQL."""

from __future__ import annotations

import gc
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import MakeApp
from faults import MakeShop
from faults import Scenario
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import line
from faults import line_of
from faults import new_engine
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import selectinload
from sqlalchemy.orm import sessionmaker
from work import Work
from work import add_posts
from work import get

from flask_session_inspector import SessionInspector

CODE = "FSI402"


def two_requests(shop: Shop, first: Work, second: Work, users: int = 1) -> None:
    add_posts(shop, users, posts=2)
    route(shop, first=first, second=second)
    for path in ("/first", "/second"):
        assert get(shop, path).status == 200


def route(shop: Shop, **views: Work) -> None:
    for name, work in views.items():
        shop.app.add_url_rule(f"/{name}", name, lambda work=work: f"{work()}")


def load(session: t.Any, cache: list[User]) -> None:
    cache.append(session.scalars(sa.select(User)).one())


def a_lazy_load(shop: Shop) -> None:
    """A cache of objects, and a session that lives as long."""
    session = Session(engine_of(shop))
    cache: list[User] = []
    two_requests(
        shop,
        lambda: load(session, cache),
        lambda: [post.title for post in cache[0].posts],
    )


def a_refresh(shop: Shop) -> None:
    """The commit expired what it had loaded."""
    session = Session(engine_of(shop))
    cache: list[User] = []

    def first() -> None:
        load(session, cache)
        session.commit()

    two_requests(shop, first, lambda: cache[0].name)


def of_a_registry_by_thread(shop: Shop) -> None:
    registry = scoped_session(sessionmaker(engine_of(shop)))
    shop.inspector.watch(registry, name="reporting")
    cache: list[User] = []
    two_requests(
        shop,
        lambda: load(registry, cache),
        lambda: [post.title for post in cache[0].posts],
    )


def kept_in_a_session_of_its_own(shop: Shop) -> None:
    """Nobody has the session but the object's own state."""
    engine = engine_of(shop)
    cache: list[t.Any] = []

    def first() -> None:
        session = Session(engine)
        cache.append(session)
        cache.append(session.scalars(sa.select(User)).one())

    two_requests(shop, first, lambda: [post.title for post in cache[1].posts])


SCENARIOS = [
    a_lazy_load,
    a_refresh,
    of_a_registry_by_thread,
    kept_in_a_session_of_its_own,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_read(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    (first,) = shop.inspection.requests(path="/first")
    (second,) = shop.inspection.requests(path="/second")
    finding = the(second, CODE)
    assert found(first, CODE) == []
    used = first.sessions[0]
    assert (finding.name, finding.severity) == ("object-outlived-request", "warning")
    assert finding.session == used.serial
    assert finding.related_requests == (first.id,)
    what = "User" if scenario is a_refresh else "User.posts"
    assert finding.message.startswith(f"Reading {what} at test_fsi402.py:")
    assert f"ran SQL on S{used.serial}: the object belongs to GET /first," in (
        finding.message
    )
    read = line(finding.location)
    assert "cache[" in read
    evidence = finding.evidence
    assert evidence["object"] == "User"
    assert line_of(evidence["read"]) == read
    assert evidence["loaded first in"] == "GET /first"
    assert "sa.select(User)" in line_of(evidence["there"])
    if scenario is not a_refresh:
        assert evidence["loaded"] == "User.posts"
    # What made it possible stands beside it.
    assert "FSI101" in codes(second)


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


def test_a_loop_over_many(shop: Shop) -> None:
    """One line of code is one finding."""
    session = Session(engine_of(shop))
    cache: list[User] = []

    def first() -> None:
        cache.extend(session.scalars(sa.select(User)))

    def second() -> None:
        for user in cache:
            assert len(user.posts) == 2

    two_requests(shop, first, second, users=60)
    finding = the(shop.inspection, CODE)
    assert line(finding.location) == "assert len(user.posts) == 2"


def test_each_request_that_loaded_one(shop: Shop) -> None:
    """Neither is the record that used the session last."""
    session = Session(engine_of(shop))
    cache: list[User] = []

    def load_the_next() -> None:
        user = session.get(User, 1 + len(cache))
        assert user is not None
        cache.append(user)

    route(shop, third=lambda: [len(user.posts) for user in cache])
    two_requests(shop, load_the_next, load_the_next, users=2)
    with shop.app.app_context():
        session.scalars(sa.select(User.id)).all()
    findings = found(get(shop, "/third"), CODE)

    loaded_in = [finding.evidence["loaded first in"] for finding in findings]
    assert loaded_in == ["GET /first", "GET /second"]
    for finding, path in zip(findings, ["/first", "/second"], strict=True):
        (request,) = shop.inspection.requests(path=path)
        assert finding.related_requests == (request.id,)


def test_an_async_session(make_app: MakeApp, tmp_path: t.Any) -> None:
    pytest.importorskip("asgiref")
    pytest.importorskip("aiosqlite")
    new_engine(tmp_path)
    app = make_app()
    SessionInspector(app)
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/plain.db")
    cache: list[t.Any] = []

    @app.get("/first")
    async def first() -> str:
        session = AsyncSession(engine, expire_on_commit=False)
        user = User(name="ann")
        session.add(user)
        await session.commit()
        cache.extend([session, user])
        return "done"

    @app.get("/second")
    async def second() -> str:
        session, user = cache
        await session.refresh(user)
        await session.close()
        await engine.dispose()
        return "done"

    send(app, "/first")
    second_record = send(app, "/second")
    assert second_record.status == 200
    finding = the(second_record, CODE)
    assert line(finding.location) == "await session.refresh(user)"


# Near misses


def test_everything_is_loaded(shop: Shop) -> None:
    session = Session(engine_of(shop))
    cache: list[User] = []

    def first() -> None:
        query = sa.select(User).options(selectinload(User.posts))
        cache.append(session.scalars(query).one())

    two_requests(
        shop, first, lambda: [cache[0].name, *(post.title for post in cache[0].posts)]
    )
    assert found(shop.inspection, CODE) == []


def test_loaded_again_by_a_query(shop: Shop) -> None:
    """The session is shared, which FSI101 says; no old object sends SQL."""
    session = Session(engine_of(shop))

    def work() -> None:
        session.scalars(sa.select(User)).one()

    two_requests(shop, work, work)
    assert found(shop.inspection, CODE) == []
    assert "FSI101" in codes(shop.inspection)


def test_new_objects_of_a_shared_session(shop: Shop) -> None:
    """The objects of the first request are gone by then."""
    session = Session(engine_of(shop))

    def work() -> None:
        user = session.scalars(sa.select(User)).one()
        assert len(user.posts) == 2
        del user
        session.expunge_all()

    two_requests(shop, work, work)
    assert found(shop.inspection, CODE) == []


def test_an_object_in_the_place_of_another(shop: Shop) -> None:
    """Python uses the addresses of dead objects again."""
    session = Session(engine_of(shop))
    cache: list[User] = []
    reused: list[User] = []

    def first() -> None:
        cache.extend(session.scalars(sa.select(User).where(User.id <= 50)))

    def second() -> None:
        session.scalar(sa.select(1))
        places = {id(sa.inspect(user)) for user in cache}
        cache.clear()
        gc.collect()
        for _ in range(50):  # Mostly at once, and never for sure.
            for user in session.scalars(sa.select(User).where(User.id > 50)).all():
                if id(sa.inspect(user)) in places:
                    reused.append(user)
                    assert len(user.posts) == 2
            if reused:
                return
            session.expunge_all()

    two_requests(shop, first, second, users=1000)
    assert reused
    assert found(shop.inspection, CODE) == []


def test_merged_into_the_session_of_the_request(shop: Shop) -> None:
    cache: list[User] = []

    def second() -> None:
        user = shop.db.session.merge(cache[0], load=False)
        assert len(user.posts) == 2

    two_requests(shop, lambda: load(shop.db.session, cache), second)
    assert codes(shop.inspection) == set()


def test_a_key_is_kept(shop: Shop) -> None:
    """The fix."""
    keys: list[int] = []

    def first() -> None:
        keys.append(shop.db.session.scalars(sa.select(User)).one().id)

    def second() -> None:
        user = shop.db.session.get(User, keys[0])
        assert user is not None
        assert len(user.posts) == 2

    two_requests(shop, first, second)
    assert codes(shop.inspection) == set()


def test_an_object_of_a_context_around_the_requests(shop: Shop) -> None:
    """A test's own: no request loaded it."""
    cache: list[User] = []
    add_posts(shop)
    shop.view(lambda: f"{len(cache[0].posts)}")
    with shop.app.app_context():
        load(shop.db.session, cache)
        shop.get()
    assert found(shop.inspection, CODE) == []


def test_a_lazy_load_in_its_own_request(shop: Shop) -> None:
    def work() -> None:
        user = shop.db.session.scalars(sa.select(User)).one()
        assert len(user.posts) == 2

    two_requests(shop, work, work)
    assert codes(shop.inspection) == set()
