"""Scopes other than the app context, and sessions that live longer than one."""

from __future__ import annotations

import concurrent.futures
import contextvars
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Shop
from conftest import User
from flask_sqlalchemy import SQLAlchemy
from silence import assert_silent
from silence import inspection_of
from silence import sessions
from silence import written
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionInspector


def count(shop: Shop) -> str:
    return str(shop.db.session.scalar(sa.select(sa.func.count(User.id))))


def get(shop: Shop, times: int = 3) -> list[str]:
    return [shop.app.test_client().get("/").text for _ in range(times)]


def test_flask_sqlalchemy_with_a_scope_by_thread(
    make_app: t.Callable[..., flask.Flask], tmp_path: t.Any
) -> None:
    app = make_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/shop.db")
    by_thread = {"scopefunc": threading.get_ident}
    db = SQLAlchemy(app, model_class=Base, session_options=by_thread)
    SessionInspector(app)
    with app.app_context():
        db.create_all()
    inspection_of(app).clear()

    @app.get("/")
    def view() -> str:
        db.session.add(User(name="x"))
        db.session.commit()
        return "done"

    def job() -> None:
        with app.app_context():
            db.session.add(User(name="y"))
            db.session.commit()

    for _ in range(3):
        app.test_client().get("/").close()
        thread = threading.Thread(target=job)
        thread.start()
        thread.join()
    records = assert_silent(inspection_of(app))
    assert written(*records) == {"users": 6}
    assert len({session.serial for session in sessions(*records)}) == 6


def test_one_session_over_nested_contexts(shop: Shop) -> None:
    """A registry by thread gives both contexts the same session, as is meant."""
    with shop.app.app_context():
        registry = scoped_session(sessionmaker(shop.db.engine))
    shop.inspector.watch(registry, name="by thread")
    shop.app.teardown_request(lambda error: registry.remove())
    shop.inspection.clear()

    def view() -> str:
        registry.add(User(name="outer"))
        with shop.app.app_context():
            registry.add(User(name="inner"))
        registry.commit()
        return "done"

    shop.view(view)
    get(shop)
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 6}
    assert [len(record.sessions) for record in records] == [1, 1, 1]


@pytest.mark.parametrize("view_reads", [True, False])
def test_threads_with_a_copy_of_the_context_variables(
    shop: Shop, view_reads: bool
) -> None:
    """They see the request, and push an app context of their own."""

    def job() -> str:
        with shop.app.app_context():
            return count(shop)

    def view() -> str:
        if view_reads:
            count(shop)
            shop.db.session.rollback()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            copies = [contextvars.copy_context() for _ in range(4)]
            counted = list(pool.map(lambda copy: copy.run(job), copies))
        return ",".join(counted)

    shop.view(view)
    assert get(shop) == ["0,0,0,0"] * 3
    records = assert_silent(shop.inspection)
    expected = 15 if view_reads else 12
    assert len({session.serial for session in sessions(*records)}) == expected


def test_a_worker_beside_the_requests(shop: Shop) -> None:
    with shop.app.app_context():
        registry = scoped_session(sessionmaker(shop.db.engine))
    shop.inspector.watch(registry, name="worker")
    shop.inspection.clear()
    rounds = threading.Barrier(2, timeout=30)

    def work() -> None:
        for _ in range(3):
            rounds.wait()
            registry.scalars(sa.select(User)).all()
            rounds.wait()
            registry.remove()

    def view() -> str:
        rounds.wait()
        counted = count(shop)
        rounds.wait()
        return counted

    shop.view(view)
    worker = threading.Thread(target=work)
    worker.start()
    assert get(shop) == ["0", "0", "0"]
    worker.join()
    records = assert_silent(shop.inspection)
    assert len(records) == len(sessions(*records)) == 3


def test_a_session_of_a_script(shop: Shop) -> None:
    """It spans several app contexts, and requests that know nothing of it."""
    with shop.app.app_context():
        engine = shop.db.engine
    shop.inspection.clear()
    shop.view(lambda: count(shop))
    with Session(engine) as session:
        for number in range(3):
            with shop.app.app_context():
                session.add(User(name="x"))
                session.commit()
            assert get(shop, times=1) == [str(number + 1)]
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 3}
    assert [r.kind for r in records] == ["context", "request"] * 3
