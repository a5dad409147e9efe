"""Each bad input gets one clear sentence, and nothing is lost."""

from __future__ import annotations

import pathlib
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionInspector

MakeApp = t.Callable[..., flask.Flask]


def test_an_admin_that_is_none(make_app: MakeApp) -> None:
    app = make_app()
    with pytest.raises(
        TypeError, match=r"admin must be a flask_admin\.Admin .*not str"
    ):
        SessionInspector().init_app(app, admin=t.cast(t.Any, "backoffice"))
    assert "session_inspector" not in app.extensions


def test_a_registry_without_a_name(shop: Shop) -> None:
    registry = scoped_session(sessionmaker())
    with pytest.raises(TypeError, match="takes a name, not int"):
        shop.inspector.watch(registry, name=t.cast(t.Any, 5))


def test_names_that_utf8_cannot_hold(shop: Shop, tmp_path: pathlib.Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/\udcff.db")
    registry = scoped_session(sessionmaker(engine))
    shop.inspector.watch(registry, name="re\udcff")
    shop.app.debug = True

    def view() -> str:
        registry.execute(sa.select(1))
        registry.remove()
        with Session(engine) as session:
            session.execute(sa.select(1))
        return "done"

    shop.view(view)
    record = shop.get()
    engine.dispose()
    assert [session.registry for session in record.sessions] == [r"re\udcff", None]
    assert record.connections[0].bind.endswith("udcff.db")
    client = shop.app.test_client()
    for path in ("requests", "audit", "export"):
        assert client.get(f"/_session_inspector/api/{path}").status_code == 200


def test_detaching_an_app_that_was_never_inspected() -> None:
    SessionInspector().detach(flask.Flask(__name__))
