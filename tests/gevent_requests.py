"""Serve 1,000 requests in 1,000 greenlets and check their records.

A program of its own, since gevent patches the whole process.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402

import flask  # noqa: E402
import gevent  # noqa: E402
from flask_sqlalchemy import SQLAlchemy  # noqa: E402
from gevent.event import Event  # noqa: E402
from marks import MARKING  # noqa: E402
from marks import mark  # noqa: E402
from test_concurrency import assert_told_apart  # noqa: E402

from flask_session_inspector import Inspection  # noqa: E402
from flask_session_inspector import SessionInspector  # noqa: E402

NUMBER = 1000


def main(directory: str) -> dict[str, int]:
    app = flask.Flask(__name__)
    app.config |= {
        "SESSION_INSPECTOR_ENABLED": True,
        "SESSION_INSPECTOR_STRICT": True,
        "SESSION_INSPECTOR_MAX_REQUESTS": NUMBER,
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{directory}/shop.db",
        **MARKING,
    }
    # Few connections, so that greenlets wait for each other's.
    db = SQLAlchemy(app, engine_options={"pool_size": 20, "max_overflow": 0})
    SessionInspector(app)
    inspection: Inspection = app.extensions["session_inspector"]
    all_inside = Event()
    inside: list[int] = []
    in_flight: list[int] = []
    threads: set[int] = set()

    @app.get("/<int:number>")
    def view(number: int) -> str:
        inside.append(number)
        db.session()
        if len(inside) == NUMBER:
            in_flight.append(inspection.counters.in_flight)
            all_inside.set()
        all_inside.wait()
        threads.add(monkey.get_original("threading", "get_ident")())
        for part in ("one", "two", "three"):
            mark(db.session, f"{number} {part}")
            gevent.idle()  # The others go on, with the transaction open.
        db.session.commit()
        return "done"

    def ask(number: int) -> int:
        return app.test_client().get(f"/{number}").status_code

    greenlets = [gevent.spawn(ask, number) for number in range(NUMBER)]
    gevent.joinall(greenlets, raise_error=True)
    assert {greenlet.value for greenlet in greenlets} == {200}
    assert_told_apart(
        inspection,
        NUMBER,
        lambda number: [f"{number} {part}" for part in ("one", "two", "three")],
    )
    with app.app_context():
        db.engine.dispose()
    return {
        "requests": len(inspection.requests(limit=NUMBER)),
        "in flight at once": in_flight[0],
        "threads": len(threads),
    }


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(main(directory)))
