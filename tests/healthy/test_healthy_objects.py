"""Objects and queries of a request that knows what it does."""

from __future__ import annotations

import copy
import pickle
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import kinds
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import joinedload
from sqlalchemy.orm import make_transient
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm import selectinload
from sqlalchemy.orm import undefer
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.sql.base import ExecutableOption

USERS = 20


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    """A shop with users that have posts."""
    shop = make_shop()
    with shop.app.app_context():
        for number in range(USERS):
            posts = [Post(title=f"{number} {n}") for n in range(3)]
            shop.db.session.add(User(name=str(number), posts=posts))
        shop.db.session.commit()
    shop.inspection.clear()
    return shop


def serve(shop: Shop, work: t.Callable[[], object], times: int = 1) -> t.Any:
    """Serve a view; not even an info may be found."""

    def view() -> str:
        work()
        return "done"

    shop.view(view)
    for _ in range(times):
        assert shop.app.test_client().get("/").status_code == 200
    records = assert_silent(shop.inspection, allow_info=False)
    assert len(records) == times
    return records if times > 1 else records[0]


def test_nine_lazy_loads(shop: Shop) -> None:
    def work() -> None:
        users = shop.db.session.scalars(sa.select(User).limit(9)).all()
        assert sum(len(user.posts) for user in users) == 27

    record = serve(shop, work)
    (session,) = sessions(record)
    assert [s.relationship for s in session.statements] == [None, *["User.posts"] * 9]


def test_nine_lazy_loads_each_of_two_relationships(shop: Shop) -> None:
    def work() -> None:
        for user in shop.db.session.scalars(sa.select(User).limit(9)).all():
            assert user.posts
        shop.db.session.expunge_all()
        for post in shop.db.session.scalars(sa.select(Post).limit(27)).all():
            assert post.user

    assert len(kinds(serve(shop, work))) == 20


def test_nine_lazy_loads_in_each_of_several_requests(shop: Shop) -> None:
    def work() -> None:
        for user in shop.db.session.scalars(sa.select(User).limit(9)).all():
            assert user.posts

    assert len(kinds(*serve(shop, work, times=3))) == 30


@pytest.mark.parametrize(
    "option", [joinedload(User.posts), selectinload(User.posts), undefer(User.name)]
)
def test_eager_loads(shop: Shop, option: ExecutableOption) -> None:
    def work() -> None:
        query = sa.select(User).options(option).limit(USERS)
        users = shop.db.session.scalars(query).unique().all()
        assert len(users) == USERS

    assert 1 <= len(kinds(serve(shop, work))) <= 2


def test_one_statement_with_many_parameters(shop: Shop) -> None:
    def work() -> None:
        for number in range(1, USERS + 1):
            assert shop.db.session.get(User, number)
            shop.db.session.scalars(sa.select(Post).where(Post.user_id == number)).all()

    assert len(kinds(serve(shop, work))) == 2 * USERS


def test_four_times_the_same(shop: Shop) -> None:
    def work() -> None:
        for _ in range(4):
            shop.db.session.scalar(sa.select(sa.func.count(User.id)))

    assert len(kinds(*serve(shop, work, times=3))) == 12


def test_many_inserts(shop: Shop) -> None:
    def work() -> None:
        for number in range(30):
            shop.db.session.add(User(name=str(number)))
            shop.db.session.flush()
        shop.db.session.commit()

    assert written(serve(shop, work)) == {"users": 30}


def test_attributes_that_are_refreshed_after_a_commit(shop: Shop) -> None:
    def work() -> None:
        user = shop.db.session.get(User, 1)
        assert user is not None
        for number in range(3):
            user.name = f"{user.name}{number}"
            shop.db.session.commit()
        shop.db.session.refresh(user)
        assert user.name == "0012"

    assert outcomes(serve(shop, work)) == ["commit"] * 3 + ["close"]


@pytest.mark.parametrize("how", ["transient", "detached", "copy", "merge"])
def test_objects_made_of_others(shop: Shop, how: str) -> None:
    def work() -> None:
        user = shop.db.session.get(User, 1)
        assert user is not None
        if how == "transient":
            shop.db.session.expunge(user)
            make_transient(user)
            user.id, user.name = None, "copied"  # type: ignore[assignment]
            shop.db.session.add(user)
        elif how == "detached":
            shop.db.session.expunge(user)
            other = User(id=2)
            make_transient_to_detached(other)
            shop.db.session.add(other)
            other.name = "renamed"
        elif how == "copy":
            values = copy.copy(vars(user))
            shop.db.session.add(User(name=f"copy of {values['name']}"))
        else:
            shop.db.session.merge(User(id=3, name="merged"))
        shop.db.session.commit()

    assert written(serve(shop, work)) == {"users": 1}


def test_objects_that_go_from_request_to_request_in_a_pickle(shop: Shop) -> None:
    parcels: list[bytes] = []

    def work() -> None:
        if parcels:
            user = pickle.loads(parcels.pop())
            shop.db.session.add(user)
            user.name += "!"
            assert len(user.posts) == 3
            shop.db.session.commit()
        user = shop.db.session.get(User, 1)
        assert user is not None
        assert user.name
        parcels.append(pickle.dumps(user))

    records = serve(shop, work, times=3)
    assert written(*records) == {"users": 2}


def test_objects_that_are_detached_by_the_end_of_their_request(shop: Shop) -> None:
    """Kept, read where they are loaded, and never written."""
    kept: list[User] = []

    def work() -> None:
        kept.extend(shop.db.session.scalars(sa.select(User)).all())
        assert {user.name for user in kept} == set(map(str, range(USERS)))

    records = serve(shop, work, times=3)
    assert len(kept) == 3 * USERS
    assert [session.ended for session in sessions(*records)] == ["removed"] * 3


def test_an_object_handed_to_another_session(shop: Shop) -> None:
    def work() -> None:
        user = shop.db.session.get(User, 1)
        assert user is not None
        shop.db.session.expunge(user)
        shop.db.session.remove()
        shop.db.session.add(user)
        user.name = "moved"
        shop.db.session.commit()

    record = serve(shop, work)
    assert len(record.sessions) == 2
    assert written(record) == {"users": 1}


@pytest.mark.parametrize("how", ["expunge", "set_committed_value", "rollback"])
def test_changes_for_display_alone(shop: Shop, how: str) -> None:
    def work() -> None:
        user = shop.db.session.get(User, 1)
        assert user is not None
        if how == "set_committed_value":
            set_committed_value(user, "name", "shown")
            set_committed_value(user, "posts", [])
            return
        if how == "expunge":
            shop.db.session.expunge(user)
        user.name = "shown"
        if how == "rollback":
            shop.db.session.rollback()

    records = serve(shop, work, times=3)
    assert written(*records) == {}
    assert kinds(*records) == ["select"] * 3


def test_a_query_on_the_edge_of_memory(shop: Shop) -> None:
    """Partitions, with what was read taken out of the session."""

    def work() -> None:
        query = sa.select(Post).execution_options(yield_per=7)
        for partition in shop.db.session.scalars(query).partitions():
            for post in partition:
                shop.db.session.expunge(post)

    assert kinds(serve(shop, work)) == ["select"]
