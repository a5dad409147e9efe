"""The panel and the page are there whatever is initialised first."""

from __future__ import annotations

import importlib.metadata
import itertools
import pathlib
import re
import typing as t

import flask
import pytest
from conftest import Base
from conftest import User
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_debugtoolbar import DebugToolbarExtension
from flask_sqlalchemy import SQLAlchemy

from flask_session_inspector import Inspection
from flask_session_inspector import SessionInspector
from flask_session_inspector import SessionsView
from flask_session_inspector.guard import guard

PARTS = ("db", "admin", "toolbar", "inspector")
PERMUTATIONS = list(itertools.permutations(PARTS))


@pytest.fixture
def app(make_app: t.Callable[..., flask.Flask], tmp_path: pathlib.Path) -> flask.Flask:
    """Make an app without any extension, with a page for the toolbar."""
    app = make_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/shop.db")
    app.debug = True
    app.config["DEBUG_TB_INTERCEPT_REDIRECTS"] = False

    @app.get("/")
    def index() -> str:
        db = app.extensions["sqlalchemy"]
        number = db.session.query(User).count()
        return f"<html><body>{number} users</body></html>"

    return app


def user_view(db: SQLAlchemy, **options: str) -> ModelView:
    # Before 2.1, Flask-Admin takes only a session.
    takes_db = importlib.metadata.version("flask-admin") >= "2.1"
    return ModelView(User, db if takes_db else db.session, endpoint="user", **options)


def assert_all_there(
    app: flask.Flask, menu: str = "Sessions", url: str = "/admin/sessions/"
) -> None:
    """Look at the application as a person does."""
    with app.app_context():
        app.extensions["sqlalchemy"].create_all()
    client = app.test_client()
    page = client.get("/")
    assert page.status_code == 200
    assert "0 users" in page.text
    assert page.text.count('class="flDebugSessionsPanel"') == 1
    admin = client.get("/admin/user/")
    assert admin.status_code == 200
    assert menu_entries(admin.text, menu) == 1
    sessions = client.get(url)
    assert sessions.status_code == 200
    assert menu_entries(sessions.text, menu) == 1
    inspection: Inspection = app.extensions["session_inspector"]
    requests = [r for r in inspection.requests() if r.kind == "request"]
    assert [record.path for record in requests] == ["/admin/user/", "/"]
    for record in requests:
        assert record.id in sessions.text
        (session,) = record.sessions
        assert (session.registry, session.ended) == ("db.session", "removed")
    assert inspection.counters.internal_errors == 0
    # Each further page has the panel once, too.
    assert client.get("/").text.count('class="flDebugSessionsPanel"') == 1


def menu_entries(html: str, name: str) -> int:
    links = re.findall(r"<a[^>]*nav-link[^>]*>(.*?)</a>", html, re.DOTALL)
    return sum(re.sub(r"<[^>]*>", "", link).strip() == name for link in links)


@pytest.mark.parametrize("order", PERMUTATIONS, ids="-".join)
def test_every_order(app: flask.Flask, order: tuple[str, ...]) -> None:
    db = SQLAlchemy(model_class=Base)

    def add_admin() -> None:
        admin = Admin(app)
        admin.add_view(user_view(db))

    steps: dict[str, t.Callable[[], object]] = {
        "db": lambda: db.init_app(app),
        "admin": add_admin,
        "toolbar": lambda: DebugToolbarExtension(app),
        "inspector": lambda: SessionInspector(app),
    }
    for part in order:
        steps[part]()

    assert_all_there(app)


@pytest.mark.parametrize("order", PERMUTATIONS[::5], ids="-".join)
def test_init_app_in_several_orders(app: flask.Flask, order: tuple[str, ...]) -> None:
    db = SQLAlchemy(model_class=Base)
    admin = Admin()
    extensions = {
        "db": db,
        "admin": admin,
        "toolbar": DebugToolbarExtension(),
        "inspector": SessionInspector(),
    }
    admin.add_view(user_view(db))
    for part in order:
        extensions[part].init_app(app)

    assert_all_there(app)


def test_what_comes_after_an_app_context(app: flask.Flask) -> None:
    SessionInspector(app)
    db = SQLAlchemy(app, model_class=Base)
    with app.app_context():
        db.create_all()
    admin = Admin(app)
    admin.add_view(user_view(db))
    with app.app_context():
        pass
    DebugToolbarExtension(app)

    assert_all_there(app)


@pytest.mark.parametrize("initialised_first", [True, False])
def test_the_admin_argument(app: flask.Flask, initialised_first: bool) -> None:
    db = SQLAlchemy(app, model_class=Base)
    DebugToolbarExtension(app)
    admin = Admin(app) if initialised_first else Admin()
    admin.add_view(user_view(db))
    SessionInspector().init_app(app, admin=admin)
    if not initialised_first:
        admin.init_app(app)

    assert_all_there(app)


class MySessions(SessionsView):
    """A page of the application's own."""

    def is_accessible(self) -> bool:
        return flask.request.args.get("user") != "stranger"


@pytest.mark.parametrize("inspector_first", [True, False])
@pytest.mark.parametrize("context_between", [True, False])
def test_a_page_of_the_application_s_own(
    app: flask.Flask, inspector_first: bool, context_between: bool
) -> None:
    db = SQLAlchemy(app, model_class=Base)
    DebugToolbarExtension(app)
    admin = Admin(app)
    admin.add_view(user_view(db))
    if inspector_first:
        SessionInspector(app)
    if context_between:
        with app.app_context():
            db.create_all()
    admin.add_view(MySessions(name="My sessions", endpoint="mine", url="mine"))
    if not inspector_first:
        SessionInspector(app)

    assert_all_there(app, "My sessions", "/admin/mine/")
    client = app.test_client()
    assert menu_entries(client.get("/admin/user/").text, "Sessions") == 0
    assert client.get("/admin/mine/?user=stranger").status_code == 403


def test_two_admins(app: flask.Flask) -> None:
    db = SQLAlchemy(app, model_class=Base)
    DebugToolbarExtension(app)
    SessionInspector(app)
    admin = Admin(app)
    admin.add_view(user_view(db))
    Admin(app, endpoint="staff", url="/staff")

    assert_all_there(app)
    page = app.test_client().get("/staff/sessions/")
    assert page.status_code == 200
    assert menu_entries(page.text, "Sessions") == 1


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_panels_keep_their_type(app: flask.Flask, kind: type[t.Any]) -> None:
    listed = kind(["flask_debugtoolbar.panels.timer.TimerDebugPanel"])
    app.config["DEBUG_TB_PANELS"] = listed
    DebugToolbarExtension(app)
    SessionInspector(app)
    for _ in range(2):
        with app.app_context():
            pass

    panels = app.config["DEBUG_TB_PANELS"]
    assert type(panels) is kind
    assert panels == kind(
        [*listed, "flask_session_inspector.toolbar.SessionsPanel"],
    )
    assert len(listed) == 1


class BrokenAdmin(Admin):  # type: ignore[misc]
    def add_view(self, view: t.Any) -> None:
        if isinstance(view, SessionsView):
            raise LookupError("no more views")
        super().add_view(view)


def test_one_broken_part_does_not_keep_the_others_away(
    app: flask.Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["SESSION_INSPECTOR_STRICT"] = False
    before = guard.errors
    db = SQLAlchemy(app, model_class=Base)
    BrokenAdmin(app, endpoint="broken", url="/broken")
    Admin(app)
    DebugToolbarExtension(app)
    SessionInspector(app)
    with app.app_context():
        db.create_all()

    client = app.test_client()
    assert client.get("/").text.count('class="flDebugSessionsPanel"') == 1
    assert client.get("/admin/sessions/").status_code == 200
    assert client.get("/broken/").status_code == 200
    assert guard.errors > before
    guard.errors = before
    assert "no more views" in caplog.text


def test_a_view_of_the_application_keeps_its_address(app: flask.Flask) -> None:
    SessionInspector(app)
    db = SQLAlchemy(app, model_class=Base)
    DebugToolbarExtension(app)
    admin = Admin(app)
    with app.app_context():
        db.create_all()
    admin.add_view(user_view(db, url="sessions"))

    client = app.test_client()
    users = client.get("/admin/sessions/")
    assert "model-list" in users.text
    assert users.text.count('href="/admin/sessions/"') == 1
    assert client.get("/admin/session-inspector/").status_code == 200
