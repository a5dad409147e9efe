"""Applications that keep the session of each request in a place of their own."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import homemade
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import User
from silence import assert_silent
from silence import inspection_of
from silence import sessions
from silence import written
from sqlalchemy.orm import Session

from flask_session_inspector import SessionInspector


@pytest.fixture
def engine(tmp_path: t.Any) -> cabc.Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/shop.db")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def app() -> cabc.Iterator[flask.Flask]:
    # The audit walks the modules of the application, of which this is one.
    app = flask.Flask("homemade")
    app.config["SESSION_INSPECTOR_ENABLED"] = True
    app.config["SESSION_INSPECTOR_STRICT"] = True
    SessionInspector(app)
    yield app
    SessionInspector().detach(app)


@pytest.mark.parametrize("place", homemade.KEEPERS)
def test_a_place_of_their_own(app: flask.Flask, engine: sa.Engine, place: str) -> None:
    keeper = homemade.KEEPERS[place]

    @app.before_request
    def begin() -> None:
        keeper.keep(Session(engine))

    @app.get("/")
    def view() -> str:
        keeper.get().add(User(name="x"))
        keeper.get().commit()
        inspection_of(app).audit()  # As somebody looks at the page meanwhile.
        return str(len(keeper.get().scalars(sa.select(User)).all()))

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        keeper.get().close()
        keeper.forget()

    answers = [app.test_client().get("/").text for _ in range(3)]
    records = assert_silent(inspection_of(app))
    assert answers == ["1", "2", "3"]
    assert written(*records) == {"users": 3}
    assert len({session.serial for session in sessions(*records)}) == 3
