"""The package works with any subset of its optional parts installed."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

BLOCKER = '''
import sys


class Blocker:
    """Finds nothing where a package is not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, Blocker())
'''

SCRIPT = """
import json
import sys

import flask
import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionInspector

app = flask.Flask(__name__)
app.config["SESSION_INSPECTOR_ENABLED"] = True
app.config["SESSION_INSPECTOR_STRICT"] = True
app.debug = True
engine = sa.create_engine("sqlite:///" + sys.argv[1])
registry = scoped_session(sessionmaker(engine))
inspector = SessionInspector(app)
inspector.watch(registry, name="shop")

try:
    from flask_admin import Admin
except ImportError:
    pass
else:
    Admin(app)
try:
    from flask_debugtoolbar import DebugToolbarExtension
except ImportError:
    pass
else:
    app.config["SECRET_KEY"] = "not a secret"
    DebugToolbarExtension(app)


@app.teardown_appcontext
def remove(exc):
    registry.remove()


@app.get("/")
def index():
    registry.execute(sa.text("SELECT 1"))
    with Session(engine) as session:
        session.execute(sa.text("SELECT 2"))
    return "<html><body>done</body></html>"


client = app.test_client()
page = client.get("/")
assert page.status_code == 200, page.text
inspection = app.extensions["session_inspector"]
(record,) = inspection.requests()
inspection.audit()
print(
    json.dumps(
        {
            "sessions": [
                [session.origin, session.registry, session.ended]
                for session in record.sessions
            ],
            "checked in": [c.checked_in_ms is not None for c in record.connections],
            "api": client.get("/_session_inspector/api/requests").status_code,
            "page": client.get("/admin/sessions/").status_code,
            "panel": "flDebugSessionsPanel" in page.text,
            "internal_errors": inspection.counters.internal_errors,
            "imported": sorted(
                {name.partition(".")[0] for name in sys.modules} & set(OPTIONAL)
            ),
        }
    )
)
engine.dispose()
"""

OPTIONAL = [
    "flask_admin",
    "flask_debugtoolbar",
    "flask_sqlalchemy",
    "flask_sqlalchemy_lite",
    "gevent",
    "greenlet",
    "redis",
]


def run(
    script: str, missing: list[str], path: pathlib.Path
) -> subprocess.CompletedProcess[str]:
    program = f"MISSING = {missing!r}\nOPTIONAL = {OPTIONAL!r}\n{BLOCKER}\n{script}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, path / "shop.db"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def outcome_without(missing: list[str], path: pathlib.Path) -> dict[str, t.Any]:
    result = run(SCRIPT, missing, path)
    assert result.returncode == 0, result.stderr
    outcome: dict[str, t.Any] = json.loads(result.stdout)
    return outcome


@pytest.mark.parametrize(
    "missing",
    [
        OPTIONAL,
        ["flask_admin"],
        ["flask_debugtoolbar"],
        # An older toolbar needs Flask-SQLAlchemy itself.
        ["flask_debugtoolbar", "flask_sqlalchemy", "flask_sqlalchemy_lite"],
    ],
    ids=["all", "flask-admin", "toolbar", "flask-sqlalchemy"],
)
def test_without(missing: list[str], tmp_path: pathlib.Path) -> None:
    outcome = outcome_without(missing, tmp_path)

    assert outcome["sessions"] == [
        ["registry", "shop", "removed"],
        ["direct", None, "closed"],
    ]
    assert outcome["checked in"] == [True, True]
    assert outcome["api"] == 200
    assert outcome["page"] == (404 if "flask_admin" in missing else 200)
    assert outcome["panel"] is ("flask_debugtoolbar" not in missing)
    assert outcome["internal_errors"] == 0
    assert not set(outcome["imported"]) & set(missing)


def test_nothing_optional_is_imported(tmp_path: pathlib.Path) -> None:
    script = """
import flask_session_inspector

imported = {name.partition(".")[0] for name in sys.modules}
print(sorted(imported & {"flask_admin", "flask_debugtoolbar", "redis", "gevent"}))
"""
    result = run(script, [], tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[]\n"


def test_the_view_says_what_is_missing(tmp_path: pathlib.Path) -> None:
    result = run(
        "from flask_session_inspector import SessionsView", ["flask_admin"], tmp_path
    )
    assert result.returncode == 1
    reason = result.stderr.splitlines()[-1]
    assert reason == (
        "ImportError: SessionsView needs Flask-Admin, which is not installed: install"
        " Flask-Session-Inspector[admin]."
    )


def test_everything_exported_is_there(tmp_path: pathlib.Path) -> None:
    result = run("from flask_session_inspector import *", ["flask_admin"], tmp_path)
    assert result.returncode == 0, result.stderr
