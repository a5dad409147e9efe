"""Hand sessions to other greenlets, and print what is found.

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
from sqlalchemy.orm import Session  # noqa: E402

from flask_session_inspector import SessionInspector  # noqa: E402

one = sa.select(1)


def main(directory: str) -> dict[str, list[str]]:
    app = flask.Flask(__name__)
    app.config |= {
        "SESSION_INSPECTOR_ENABLED": True,
        "SESSION_INSPECTOR_STRICT": True,
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{directory}/shop.db",
    }
    db = SQLAlchemy(app)
    SessionInspector(app)
    inspection = app.extensions["session_inspector"]
    with app.app_context():
        engine = db.engine
    inside, both = [], Event()

    def meet(*arguments: object) -> None:
        inside.append(1)
        if len(inside) == 2:
            both.set()
        both.wait()

    def in_own_context(session: Session) -> None:
        with app.app_context():
            session.execute(one)

    def no_context() -> None:
        with Session(engine) as session:
            session.execute(one)
            gevent.spawn(session.execute, one).get()

    def own_context() -> None:
        session = db.session()
        session.execute(one)
        gevent.spawn(in_own_context, session).get()

    def at_the_same_moment() -> None:
        with Session(engine) as session:
            session.execute(one)
            # Called in the middle of a statement, as the driver is.
            sa.event.listen(engine, "do_execute", meet)

            def ask() -> None:
                with app.app_context():
                    session.execute(one)

            gevent.joinall([gevent.spawn(ask) for _ in range(2)], raise_error=True)
            sa.event.remove(engine, "do_execute", meet)

    def a_session_each() -> None:
        db.session.execute(one)

        def work() -> None:
            with app.app_context():
                db.session.execute(one)

        gevent.spawn(work).get()

    views = [no_context, own_context, at_the_same_moment, a_session_each]
    names = [view.__name__.replace("_", " ") for view in views]
    for name, view in zip(names, views, strict=True):
        app.add_url_rule(f"/{name}", name, lambda view=view: f"{view()}")
    found: dict[str, list[str]] = {}
    for name in names:
        inspection.clear()
        assert app.test_client().get(f"/{name}").status_code == 200
        assert inspection.flush()
        loud = [f for f in inspection.findings() if f.severity != "info"]
        found[name] = sorted({f.code for f in loud})
    engine.dispose()
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(main(directory)))
