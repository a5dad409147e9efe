"""Fork workers that dispose of the engine first, and look for false alarms.

A program of its own, as a server with several workers is.
"""

from __future__ import annotations

import json
import os
import sys

import flask
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from silence import assert_silent
from silence import inspection_of
from silence import sessions

from flask_session_inspector import SessionInspector


def main(path: str, dispose: str) -> None:
    app = flask.Flask(__name__)
    app.config |= {
        "SESSION_INSPECTOR_ENABLED": True,
        "SESSION_INSPECTOR_STRICT": True,
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{path}",
    }
    db = SQLAlchemy(app)
    SessionInspector(app)
    app.add_url_rule("/", "view", lambda: str(db.session.scalar(sa.select(1))))
    with app.app_context():
        engine = db.engine

    def serve(role: str) -> str:
        for _ in range(3):
            assert app.test_client().get("/").status_code == 200
        records = assert_silent(inspection_of(app))
        engine.dispose()
        return json.dumps({"role": role, "sessions": len(sessions(*records))})

    # The application starts, and looks at its database, before the workers do.
    assert app.test_client().get("/").status_code == 200
    if dispose == "before":
        engine.dispose()
    read, write = os.pipe()
    for number in range(2):
        if os.fork() == 0:
            if dispose == "after":
                engine.dispose(close=False)
            os.write(write, (serve(f"worker {number}") + "\n").encode())
            os._exit(0)
        assert os.wait()[1] == 0
        print(os.read(read, 100_000).decode().strip())
    print(serve("parent"))


if __name__ == "__main__":
    main(*sys.argv[1:])
