"""Statements that fail, and views that deal with it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import SQLAlchemyError


def names(shop: Shop) -> list[str]:
    """Return the names of the users, asked for without a session."""
    with shop.app.app_context(), shop.db.engine.connect() as connection:
        return list(connection.scalars(sa.select(User.name).order_by(User.id)))


def test_a_failed_flush_that_is_rolled_back(shop: Shop) -> None:
    def view() -> tuple[str, int]:
        shop.db.session.add(User(id=1, name="first"))
        shop.db.session.commit()
        shop.db.session.add(User(id=1, name="again"))
        try:
            shop.db.session.commit()
        except IntegrityError:
            shop.db.session.rollback()
        shop.db.session.add(User(id=2, name="second"))
        shop.db.session.commit()
        return "created", 201

    shop.view(view)
    shop.app.test_client().get("/").close()

    (record,) = assert_silent(shop.inspection)
    assert outcomes(record) == ["commit", "rollback", "commit"]
    assert names(shop) == ["first", "second"]


@pytest.mark.filterwarnings("ignore:New instance:sqlalchemy.exc.SAWarning")
def test_a_failed_flush_that_is_answered_at_once(shop: Shop) -> None:
    """The failed flush has rolled back by itself; the teardown does the rest."""

    def view() -> tuple[str, int]:
        shop.db.session.add(User(name="lost with it"))
        shop.db.session.flush()
        shop.db.session.add(User(id=1, name="again"))
        try:
            shop.db.session.flush()
        except IntegrityError:
            return "exists already", 409
        return "created", 201

    shop.view(view)
    assert shop.app.test_client().get("/").status_code == 409

    (record,) = assert_silent(shop.inspection)
    assert [session.ended for session in sessions(record)] == ["removed"]
    assert names(shop) == []


def test_a_statement_that_fails(shop: Shop) -> None:
    def view() -> tuple[str, int]:
        try:
            shop.db.session.execute(sa.text("SELECT nothing FROM nowhere"))
        except OperationalError:
            shop.db.session.rollback()
            return "try later", 503
        return "done", 200

    shop.view(view)
    for _ in range(2):
        assert shop.app.test_client().get("/").status_code == 503

    records = assert_silent(shop.inspection)
    assert outcomes(*records) == ["rollback"] * 2


def test_an_error_handler_for_the_database(shop: Shop) -> None:
    @shop.app.errorhandler(SQLAlchemyError)
    def answer(error: SQLAlchemyError) -> tuple[str, int]:
        return type(error).__name__, 503

    def view() -> str:
        shop.db.session.add(User(name="lost"))
        shop.db.session.flush()
        shop.db.session.execute(sa.text("SELECT nothing FROM nowhere"))
        return "never"

    shop.view(view)
    assert shop.app.test_client().get("/").text == "OperationalError"

    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}
