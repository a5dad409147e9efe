"""An application as a package: module-level proxies, blueprints, repositories.

The audit walks the modules of such a package, so this one is really imported.
"""

from __future__ import annotations

import collections.abc as cabc
import http.client
import importlib
import sys
import textwrap
import threading
import typing as t
import uuid

import flask
import pytest
from silence import assert_silent
from silence import inspection_of
from silence import sessions
from silence import written
from werkzeug.serving import make_server

MODULES = {
    "__init__": """
        import flask
        from flask_session_inspector import SessionInspector
        from .database import Base, Session, db, engine_of
        from .views import notes


        def create_app(url):
            app = flask.Flask(__name__)
            app.config |= {
                "SESSION_INSPECTOR_ENABLED": True,
                "SESSION_INSPECTOR_STRICT": True,
                "SQLALCHEMY_DATABASE_URI": url,
                "SQLALCHEMY_RECORD_QUERIES": True,
                "SECRET_KEY": "not a secret",
            }
            db.init_app(app)
            SessionInspector(app).watch(Session, name="Session")
            app.teardown_appcontext(lambda error: Session.remove())
            app.register_blueprint(notes)
            with app.app_context():
                Session.configure(bind=db.engine)
                db.create_all()
            app.extensions["notes"] = engine_of(app)
            return app
        """,
    "database": """
        from flask_sqlalchemy import SQLAlchemy
        from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker


        class Base(DeclarativeBase):
            pass


        db = SQLAlchemy(model_class=Base)
        factory = sessionmaker()
        Session = scoped_session(factory)
        current = db.session


        def engine_of(app):
            with app.app_context():
                return {"engine": db.engine, "session": db.session, "factory": factory}
        """,
    "models": """
        from sqlalchemy.orm import Mapped, mapped_column
        from .database import db


        class Note(db.Model):
            id: Mapped[int] = mapped_column(primary_key=True)
            text: Mapped[str]
        """,
    "repository": """
        import functools
        import sqlalchemy as sa
        from .models import Note


        class Notes:
            \"\"\"Holds what leads to a session, never a session.\"\"\"

            def __init__(self, session):
                self.session = session

            def add(self, text):
                self.session.add(Note(text=text))
                self.session.commit()

            def texts(self):
                query = sa.select(Note.text).order_by(Note.id)
                return list(self.session.scalars(query))


        @functools.cache
        def notes_of(session):
            return Notes(session)
        """,
    "views": """
        import flask
        from flask.views import MethodView
        from .database import Session, db
        from .models import Note
        from .repository import Notes, notes_of

        notes = flask.Blueprint("notes", __name__)
        repository = Notes(db.session)


        class NotesView(MethodView):
            init_every_request = False

            def __init__(self, repository):
                self.repository = repository

            def get(self):
                return flask.jsonify(self.repository.texts())

            def post(self):
                self.repository.add(flask.request.form["text"])
                return "", 201


        def through(session):
            def view():
                return flask.jsonify(notes_of(session).texts())

            return view


        view = NotesView.as_view("notes", repository)
        notes.add_url_rule("/notes", view_func=view)
        notes.add_url_rule("/closure", "closure", through(db.session))
        notes.add_url_rule("/plain", "plain", through(Session))


        @notes.get("/notes/<int:number>")
        def note(number):
            return db.get_or_404(Note, number).text


        @notes.get("/pages")
        def pages():
            page = db.paginate(db.select(Note).order_by(Note.id), per_page=2)
            return flask.jsonify([note.text for note in page.items])
        """,
}


@pytest.fixture
def app(tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch) -> cabc.Iterator[flask.Flask]:
    name = f"notes_{uuid.uuid4().hex[:8]}"
    (tmp_path / name).mkdir()
    for module, source in MODULES.items():
        (tmp_path / name / f"{module}.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module(name)
    app = package.create_app(f"sqlite:///{tmp_path}/notes.db")
    inspection_of(app).clear()
    yield app
    with app.app_context():
        package.db.engine.dispose()
    package.SessionInspector().detach(app)
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[module]


def test_every_way_to_a_session(app: flask.Flask) -> None:
    client = app.test_client()
    for text in "abc":
        assert client.post("/notes", data={"text": text}).status_code == 201
    assert client.post("/notes").status_code == 400
    for path in ("/notes", "/closure", "/plain"):
        assert client.get(path).get_json() == ["a", "b", "c"]
    assert client.get("/pages").get_json() == ["a", "b"]
    assert client.get("/pages?page=9").status_code == 404
    assert client.get("/notes/1").text == "a"
    assert client.get("/notes/9").status_code == 404

    records = assert_silent(inspection_of(app))
    assert [len(r.sessions) for r in records] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]
    assert written(*records) == {"note": 3}


def test_the_audit_of_the_package(app: flask.Flask) -> None:
    held = inspection_of(app).audit()
    assert held
    assert {holder.verdict for holder in held} <= {"ok", "deprecated"}
    assert_silent(inspection_of(app))


def test_a_server_with_threads(app: flask.Flask) -> None:
    """Real threads and sockets; connections are kept and used again."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    failures: list[object] = []

    def ask(worker: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for number in range(5):
            connection.request("POST", "/notes", f"text={worker}-{number}", form)
            posted = connection.getresponse()
            posted.read()
            connection.request("GET", "/plain" if number % 2 else "/notes")
            read = connection.getresponse()
            if f'"{worker}-{number}"'.encode() not in read.read():
                failures.append((worker, number, posted.status, read.status))
        connection.close()

    workers = [threading.Thread(target=ask, args=[n]) for n in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    server.shutdown()
    serving.join()
    server.server_close()

    assert failures == []
    records = assert_silent(inspection_of(app))
    assert len(records) == len({s.serial for s in sessions(*records)}) == 40
    assert written(*records) == {"note": 20}
