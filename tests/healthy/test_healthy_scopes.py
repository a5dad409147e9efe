"""One registry, used in unusual and correct ways within a request."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import kinds
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord


def serve(
    shop: Shop, work: t.Callable[[], object], times: int = 3
) -> list[RequestRecord]:
    def view() -> str:
        work()
        return "done"

    shop.view(view)
    for _ in range(times):
        assert shop.app.test_client().get("/").status_code == 200
    records = assert_silent(shop.inspection)
    assert len(records) == times
    return records


def test_a_session_that_is_made_and_not_used(shop: Shop) -> None:
    records = serve(shop, lambda: shop.db.session())
    assert [len(record.sessions) for record in records] == [1, 1, 1]
    assert kinds(*records) == []


def test_a_session_that_is_removed_halfway(shop: Shop) -> None:
    def work() -> None:
        for name in "ab":
            shop.db.session.add(User(name=name))
            shop.db.session.commit()
            shop.db.session.remove()
        shop.db.session.scalars(sa.select(User)).all()

    records = serve(shop, work)
    assert [len(record.sessions) for record in records] == [3, 3, 3]
    assert written(*records) == {"users": 6}


def test_a_session_that_is_closed_and_goes_on(shop: Shop) -> None:
    def work() -> None:
        for name in "ab":
            shop.db.session.add(User(name=name))
            shop.db.session.commit()
            shop.db.session.close()
        shop.db.session.scalars(sa.select(User)).all()

    records = serve(shop, work)
    assert [len(record.sessions) for record in records] == [1, 1, 1]
    assert outcomes(*records) == ["commit", "commit", "close"] * 3


def test_blocks_that_commit(shop: Shop) -> None:
    def work() -> None:
        with shop.db.session.begin():
            shop.db.session.add(User(name="one"))
        with shop.db.session.begin(), shop.db.session.begin_nested():
            shop.db.session.add(User(name="two"))

    records = serve(shop, work)
    assert written(*records, outcome="commit") == {"users": 6}


@pytest.mark.parametrize("how", ["no_autoflush", "transient", "cascade"])
def test_objects_that_are_only_drafts(shop: Shop, how: str) -> None:
    def work() -> None:
        if how == "no_autoflush":
            with shop.db.session.no_autoflush:
                draft = User(name="draft")
                shop.db.session.add(draft)
                shop.db.session.scalars(sa.select(User)).all()
            shop.db.session.expunge(draft)
        elif how == "transient":
            User(name="draft").name = "other"
            shop.db.session.scalars(sa.select(User)).all()
        else:
            shop.db.session.add(User(name="draft"))
            shop.db.session.rollback()

    records = serve(shop, work)
    assert len(sessions(*records)) == 3
    assert written(*records) == {}


def test_a_view_that_reads_and_another_session_that_writes(shop: Shop) -> None:
    """The first transaction is ended before the second begins."""

    def work() -> None:
        bind = shop.db.engine
        assert shop.db.session.scalars(sa.select(User)).all() is not None
        shop.db.session.rollback()
        with Session(bind) as session, session.begin():
            session.add(User(name="x"))
        shop.db.session.scalars(sa.select(User)).all()

    records = serve(shop, work)
    assert written(*records) == {"users": 3}


def test_a_connection_that_the_process_keeps(shop: Shop) -> None:
    """A leader's lock, say: taken at start, held beside all requests."""
    with shop.app.app_context():
        engine = shop.db.engine
    held = engine.connect()
    shop.inspection.clear()

    def work() -> None:
        shop.db.session.scalars(sa.select(User)).all()

    records = serve(shop, work)
    held.close()
    assert [len(record.connections) for record in records] == [1, 1, 1]


def test_shared_work_in_blueprints(shop: Shop) -> None:
    """Nested transactions over several functions of one request."""
    api = flask.Blueprint("api", __name__, url_prefix="/api")
    v1 = flask.Blueprint("v1", __name__, url_prefix="/v1")

    @api.before_request
    def begin() -> None:
        flask.g.savepoint = shop.db.session.begin_nested()

    @v1.before_request
    def log() -> None:
        with shop.db.session.begin_nested():
            shop.db.session.add(User(name="log"))

    @v1.get("/")
    def view() -> str:
        nested = shop.db.session.begin_nested()
        shop.db.session.add(User(name="tried"))
        shop.db.session.flush()
        nested.rollback()
        shop.db.session.add(User(name="kept"))
        return "done"

    @api.after_request
    def end(response: flask.Response) -> flask.Response:
        flask.g.savepoint.commit()
        shop.db.session.commit()
        return response

    api.register_blueprint(v1)
    shop.app.register_blueprint(api)
    for _ in range(3):
        assert shop.app.test_client().get("/api/v1/").status_code == 200
    records = assert_silent(shop.inspection)
    assert [written(record)["users"] for record in records] == [2, 2, 2]


def test_templates_that_load(shop: Shop) -> None:
    def view() -> t.Any:
        users = shop.db.session.scalars(sa.select(User))
        text = "{% for user in users %}{{ user.posts|length }}{% endfor %}"
        return flask.render_template_string(text, users=users)

    with shop.app.app_context():
        shop.db.session.add_all([User(name="a"), User(name="b")])
        shop.db.session.commit()
    shop.view(view)
    assert shop.app.test_client().get("/").text == "00"
    assert len(assert_silent(shop.inspection)) == 2
