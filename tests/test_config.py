"""Every key of the configuration, its default and what it refuses."""

from __future__ import annotations

import dataclasses
import typing as t

import flask
import pytest

from flask_session_inspector import SessionInspector
from flask_session_inspector.config import DEFAULT_SENSITIVE_KEYS
from flask_session_inspector.config import Config

DEFAULTS = {
    "STORE": "memory://",
    "MAX_REQUESTS": 1000,
    "MAX_STATEMENTS": 1000,
    "ACCESS": None,
    "CAPTURE_PARAMETERS": False,
    "SENSITIVE_KEYS": DEFAULT_SENSITIVE_KEYS,
    "LOCATIONS": True,
    "EXCLUDE": (),
    "SAMPLE_RATE": 1.0,
    "IGNORE_FINDINGS": (),
    "IDLE_TRANSACTION_MS": 500,
    "SERVER_TIMING": False,
    "KEEP": "all",
    "STRICT": False,
}


def configured(**values: object) -> Config:
    app = flask.Flask(__name__)
    app.config |= {f"SESSION_INSPECTOR_{key}": value for key, value in values.items()}
    return Config.from_app(app)


@pytest.mark.parametrize("debug", [True, False])
def test_defaults(debug: bool) -> None:
    app = flask.Flask(__name__)
    app.debug = debug
    config = Config.from_app(app)
    expected = {"ENABLED": debug, **DEFAULTS}
    assert {
        key.removeprefix("SESSION_INSPECTOR_"): value
        for key, value in app.config.items()
        if key.startswith("SESSION_INSPECTOR_")
    } == expected
    assert {
        key.upper(): value for key, value in dataclasses.asdict(config).items()
    } == expected


def allow() -> bool:
    return True


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [
        ("ENABLED", True, True),
        ("STORE", "memory://", "memory://"),
        ("MAX_REQUESTS", 1, 1),
        ("MAX_STATEMENTS", 10**6, 10**6),
        ("ACCESS", allow, allow),
        ("SENSITIVE_KEYS", {"x"}, ("x",)),
        ("SENSITIVE_KEYS", [], ()),
        ("EXCLUDE", ["/health", "/"], ("/health", "/")),
        ("SAMPLE_RATE", 0, 0.0),
        ("SAMPLE_RATE", 0.5, 0.5),
        ("SAMPLE_RATE", 1, 1.0),
        ("IGNORE_FINDINGS", ("FSI101", "FSI999"), ("FSI101", "FSI999")),
        ("IDLE_TRANSACTION_MS", 0, 0),
        ("IDLE_TRANSACTION_MS", 0.5, 0.5),
        ("KEEP", "findings", "findings"),
    ],
)
def test_values_that_are_taken(key: str, value: object, taken: object) -> None:
    assert getattr(configured(**{key: value}), key.lower()) == taken


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[
            (key, value)
            for key in (
                "ENABLED",
                "CAPTURE_PARAMETERS",
                "LOCATIONS",
                "SERVER_TIMING",
                "STRICT",
            )
            for value in ("False", 0, 1, None)
        ],
        *[
            (key, value)
            for key in ("MAX_REQUESTS", "MAX_STATEMENTS")
            for value in (0, -1, 1.5, "10", True, None)
        ],
        *[
            (key, value)
            for key in ("SENSITIVE_KEYS", "EXCLUDE", "IGNORE_FINDINGS")
            for value in ("text", [1], [""], None, 5)
        ],
        ("EXCLUDE", ["health"]),
        ("IGNORE_FINDINGS", ["FSI1"]),
        ("IGNORE_FINDINGS", ["fsi101"]),
        ("IGNORE_FINDINGS", ["FSI\u0661\u0662\u0663"]),
        ("SAMPLE_RATE", -0.1),
        ("SAMPLE_RATE", 1.1),
        ("SAMPLE_RATE", float("nan")),
        ("SAMPLE_RATE", True),
        ("SAMPLE_RATE", "1"),
        ("IDLE_TRANSACTION_MS", -1),
        ("IDLE_TRANSACTION_MS", float("nan")),
        ("IDLE_TRANSACTION_MS", True),
        ("IDLE_TRANSACTION_MS", "500"),
        ("ACCESS", "allow"),
        ("ACCESS", True),
        ("KEEP", "none"),
        ("KEEP", None),
        ("STORE", "memory"),
        ("STORE", None),
        ("STORE", ""),
        ("STORE", "memory://x"),
        ("STORE", "carrier-pigeon://x"),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_values_that_are_refused(key: str, value: t.Any, enabled: bool) -> None:
    app = flask.Flask(__name__)
    app.config["SESSION_INSPECTOR_ENABLED"] = enabled
    app.config[f"SESSION_INSPECTOR_{key}"] = value
    with pytest.raises(ValueError, match=f"^SESSION_INSPECTOR_{key} ") as caught:
        SessionInspector(app)
    assert str(caught.value).endswith(".")
    assert "session_inspector" not in app.extensions
    assert app.teardown_appcontext_funcs == []


def test_a_later_change_changes_nothing(make_app: t.Callable[..., flask.Flask]) -> None:
    app = make_app(SESSION_INSPECTOR_EXCLUDE=["/out"])
    SessionInspector(app)
    app.config["SESSION_INSPECTOR_EXCLUDE"].append("/in")
    app.config["SESSION_INSPECTOR_ENABLED"] = False
    app.add_url_rule("/<path:path>", "index", lambda path: "")
    client = app.test_client()
    for path in ("/out/x", "/in/x"):
        client.get(path)
    records = app.extensions["session_inspector"].requests()
    assert [record.path for record in records] == ["/in/x"]
