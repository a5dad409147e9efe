"""Fork in one of several ways, and print what the child found.

A program of its own, as a server with several workers is.
"""

from __future__ import annotations

import collections.abc as cabc
import json
import os
import sys
import threading
import typing as t

import flask
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import Inspection
from flask_session_inspector import SessionInspector

one = sa.select(1)


class Program:
    def __init__(self, path: str, ignored: str) -> None:
        self.app = app = flask.Flask(__name__)
        app.config |= {
            "SESSION_INSPECTOR_ENABLED": True,
            "SESSION_INSPECTOR_STRICT": True,
            "SESSION_INSPECTOR_IGNORE_FINDINGS": (ignored,) if ignored else (),
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{path}",
        }
        self.db = SQLAlchemy(app)
        self.inspector = SessionInspector(app)
        self.inspection: Inspection = app.extensions["session_inspector"]
        self.work: t.Callable[[], object] = self.read
        app.add_url_rule("/", "view", lambda: f"{self.work()}")
        with app.app_context():
            self.engine = self.db.engine

    def read(self) -> None:
        self.db.session.execute(one)

    def ask(self) -> None:
        assert self.app.test_client().get("/").status_code == 200

    def fork(self, work: t.Callable[[], object]) -> None:
        """Do some work in a child, and print what was found there."""
        sys.stdout.flush()
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            return
        work()
        assert self.inspection.flush()
        findings = [
            {
                "code": finding.code,
                "message": finding.message,
                "evidence": finding.evidence,
                "session": finding.session,
                "line": finding.location and finding.location.line,
                "pid": os.getpid(),
                "parent": os.getppid(),
            }
            for finding in self.inspection.findings()
            if finding.severity != "info"
        ]
        print(json.dumps(findings), flush=True)
        os._exit(0)

    # Faults

    def a_pooled_connection(self) -> None:
        self.ask()
        self.fork(self.ask)

    def a_connection_without_a_session(self) -> None:
        def work() -> None:
            with self.engine.connect() as connection:
                connection.execute(one)

        self.work = work
        self.ask()
        self.fork(self.ask)

    def a_session_of_the_module(self) -> None:
        session = Session(self.engine)
        session.execute(one)
        self.work = lambda: session.execute(one)
        self.fork(self.ask)

    def a_session_of_a_context(self) -> None:
        with self.app.app_context():
            self.read()
            self.fork(self.read)

    def in_the_middle_of_a_request(self) -> None:
        def work() -> None:
            self.read()
            self.fork(self.read)

        self.work = work
        self.ask()

    def without_a_context(self) -> None:
        def work() -> None:
            with Session(self.engine) as session:
                session.execute(one)
                self.fork(_outside(lambda: session.execute(one)))

        self.work = work
        self.ask()

    # Near misses

    def disposed_in_the_parent(self) -> None:
        self.ask()
        self.engine.dispose()
        self.fork(self.ask)

    def disposed_in_the_child(self) -> None:
        self.ask()
        self.fork(lambda: (self.engine.dispose(close=False), self.ask()))

    def nothing_before(self) -> None:
        self.fork(self.ask)

    def the_parent_goes_on(self) -> None:
        """What the child does is none of the parent's."""
        self.ask()
        self.engine.dispose()
        self.fork(lambda: None)
        self.ask()

    def a_context_of_its_own(self) -> None:
        def child() -> None:
            self.engine.dispose(close=False)
            with self.app.app_context():
                self.read()

        def work() -> None:
            self.read()
            self.fork(child)

        self.work = work
        self.ask()

    def refused_by_a_listener(self) -> None:
        """The recipe of SQLAlchemy's documentation."""

        @sa.event.listens_for(self.engine, "connect")
        def connect(connection: t.Any, record: t.Any) -> None:
            record.info["pid"] = os.getpid()

        @sa.event.listens_for(self.engine, "checkout")
        def checkout(connection: t.Any, record: t.Any, proxy: t.Any) -> None:
            if record.info["pid"] != os.getpid():
                record.dbapi_connection = proxy.dbapi_connection = None
                raise sa.exc.DisconnectionError("It is another process's.")

        self.engine.dispose()
        self.ask()
        self.fork(lambda: (self.ask(), self.ask()))

    def opened_again(self) -> None:
        """Its place in the pool is the parent's, the connection is not."""
        self.ask()
        with self.engine.connect() as connection:
            connection.invalidate()
        self.fork(lambda: (self.ask(), self.ask()))

    def a_session_that_was_closed(self) -> None:
        """It goes on with a connection of the child's."""
        registry = scoped_session(sessionmaker(self.engine))
        self.inspector.watch(registry, name="reporting")
        self.app.teardown_appcontext(lambda error: registry.close())
        registry.execute(one)
        registry.close()
        self.engine.dispose()
        self.work = lambda: registry.execute(one)
        self.fork(self.ask)


def _outside(work: t.Callable[[], object]) -> t.Callable[[], None]:
    """Run something where no app context is pushed, as a new thread does."""

    def run() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    return run


def main(path: str, scenario: str, ignored: str = "") -> None:
    program = Program(path, ignored)
    steps: cabc.Callable[[], None] = getattr(program, scenario)
    steps()


if __name__ == "__main__":
    main(*sys.argv[1:])
