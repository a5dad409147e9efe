"""What the tests of transactions, threads, objects and queries have in common."""

from __future__ import annotations

import collections.abc as cabc
import importlib.metadata
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from faults import MakeShop
from faults import engine_of
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord

Work = t.Callable[[], object]

_FLASK = tuple(map(int, importlib.metadata.version("flask").split(".")[:3]))

# Flask before 3.1.2 does not tear the view's context down before the stream goes on.
streams_in_another_session = pytest.mark.skipif(
    _FLASK < (3, 1, 2), reason="Before Flask 3.1.2 a stream goes on in one session."
)


def read(session: t.Any) -> None:
    session.scalars(sa.select(User)).all()


def serve(shop: Shop, work: Work, times: int = 1) -> RequestRecord:
    """Serve requests that do some work, and return the record of the last."""

    def view() -> str:
        work()
        return "done"

    shop.view(view)
    for _ in range(times):
        record = get(shop)
    return record


def get(shop: Shop, path: str = "/") -> RequestRecord:
    """Send a request, read all of its response, and return its record."""
    with shop.app.test_client().get(path) as response:
        response.get_data()
    return shop.inspection.requests(path=path, limit=1)[0]


def add_posts(shop: Shop, users: int = 1, posts: int = 1) -> None:
    """Put users with posts into the database, unseen by the inspector."""
    with engine_of(shop).begin() as connection:
        for number in range(1, users + 1):
            user = {"id": number, "name": f"user {number}"}
            connection.execute(sa.insert(User), user)
            rows = [{"title": f"post {n}", "user_id": number} for n in range(posts)]
            if rows:
                connection.execute(sa.insert(Post), rows)


@pytest.fixture(params=["own session", "of the app"])
def session_of(
    request: pytest.FixtureRequest,
) -> cabc.Iterator[t.Callable[[Shop], Session]]:
    """Make the session that a view works with: its own one, or ``db.session``."""
    made: list[Session] = []

    def make(shop: Shop) -> Session:
        if request.param == "of the app":
            return t.cast(Session, shop.db.session())
        made.append(Session(engine_of(shop)))
        return made[-1]

    yield make
    for session in made:
        session.close()


__all__ = ["MakeShop", "Work", "add_posts", "get", "read", "serve", "session_of"]
