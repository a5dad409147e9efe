"""A small application that forks: ``python -m demo_app.scenarios.forked WAY``.

It is a program of its own because a server with threads must not fork: the child
has a copy of every lock, and no thread that would release it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import typing as t

import msgspec
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase

from flask_session_inspector import Inspection
from flask_session_inspector import SessionInspector


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


def work_with_what_the_parent_made(app: Flask) -> None:
    with app.app_context():
        db.session.scalar(select(1))
    # The pool now has a connection, in both processes.
    in_a_child(app, ask)


def work_with_an_empty_pool(app: Flask) -> None:
    with app.app_context():
        db.session.scalar(select(1))
    in_a_child(app, ask_on_a_connection_of_its_own)


def ask(app: Flask) -> None:
    with app.app_context():
        db.session.scalar(select(1))


def ask_on_a_connection_of_its_own(app: Flask) -> None:
    with app.app_context():
        # Forget the parent's connections, but let them be.
        db.engine.dispose(close=False)
        db.session.scalar(select(1))


WAYS: dict[str, t.Callable[[Flask], None]] = {
    "fault": work_with_what_the_parent_made,
    "fixed": work_with_an_empty_pool,
}


def in_a_child(app: Flask, job: t.Callable[[Flask], None]) -> None:
    """Fork, do a job in the child, print what its inspector finds, and wait."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(f"The child ended with the status {status}.")
        return
    status = 1
    try:
        job(app)
        inspection: Inspection = app.extensions["session_inspector"]
        sys.stdout.buffer.write(msgspec.json.encode(inspection.findings()))
        sys.stdout.flush()
        status = 0
    finally:
        # Without the parent's handlers of an orderly exit.
        os._exit(status)


def main(way: str) -> None:
    """Go one of the two ways, with a database that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        app = Flask("forked")
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder}/forked.sqlite"
        app.config["SESSION_INSPECTOR_ENABLED"] = True
        db.init_app(app)
        SessionInspector(app)
        WAYS[way](app)
        with app.app_context():
            db.engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1])
