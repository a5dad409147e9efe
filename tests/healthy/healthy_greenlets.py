"""Serve requests in greenlets that take turns, and look for false alarms.

A program of its own, since gevent patches the whole process.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import tempfile  # noqa: E402

import flask  # noqa: E402
import gevent  # noqa: E402
import sqlalchemy as sa  # noqa: E402
from flask_sqlalchemy import SQLAlchemy  # noqa: E402
from gevent.event import Event  # noqa: E402
from greenlet import getcurrent  # noqa: E402
from silence import assert_silent  # noqa: E402
from silence import inspection_of  # noqa: E402
from silence import of_path  # noqa: E402
from silence import sessions  # noqa: E402
from sqlalchemy.orm import scoped_session  # noqa: E402
from sqlalchemy.orm import sessionmaker  # noqa: E402

from flask_session_inspector import SessionInspector  # noqa: E402

REQUESTS = 30


def main(directory: str) -> dict[str, int]:
    app = flask.Flask(__name__)
    app.config |= {
        "SESSION_INSPECTOR_ENABLED": True,
        "SESSION_INSPECTOR_STRICT": True,
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{directory}/shop.db",
    }
    db = SQLAlchemy(app, engine_options={"pool_size": 5, "max_overflow": 0})
    inspector = SessionInspector(app)
    with app.app_context():
        engine = db.engine
    registry = scoped_session(sessionmaker(engine), scopefunc=getcurrent)
    inspector.watch(registry, name="by greenlet")
    inside: list[int] = []
    all_inside = Event()

    def in_own_context() -> None:
        with app.app_context():
            db.session.execute(sa.select(1))
            gevent.idle()

    @app.teardown_appcontext
    def remove(error: BaseException | None) -> None:
        registry.remove()

    @app.get("/request")
    def request() -> str:
        inside.append(1)
        if len(inside) == REQUESTS:
            all_inside.set()
        all_inside.wait()
        for _ in range(3):
            db.session.execute(sa.select(1))
            gevent.idle()  # The others go on, with the transaction open.
        db.session.commit()
        return "done"

    @app.get("/registry")
    def by_greenlet() -> str:
        registry.execute(sa.select(1))
        gevent.idle()
        return "done"

    @app.get("/spawn")
    def spawn() -> str:
        db.session.execute(sa.select(1))
        db.session.rollback()
        gevent.spawn(in_own_context).get()
        db.session.execute(sa.select(1))
        return "done"

    def ask(path: str) -> int:
        return app.test_client().get(path).status_code

    for path in ("/request", "/registry", "/spawn"):
        greenlets = [gevent.spawn(ask, path) for _ in range(REQUESTS)]
        gevent.joinall(greenlets, raise_error=True)
        assert {greenlet.value for greenlet in greenlets} == {200}
    records = assert_silent(inspection_of(app))
    engine.dispose()
    return {
        "requests": sum(record.kind == "request" for record in records),
        "sessions": len({session.serial for session in sessions(*records)}),
        "by greenlet": sum(
            session.registry == "by greenlet"
            for session in sessions(*of_path(records, "/registry"))
        ),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(main(directory)))
