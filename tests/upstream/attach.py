"""A pytest plugin that inspects every application of somebody else's test suite.

Loaded by ``run.py`` with ``-p attach``, and told by the environment what to do.
It writes one line of JSON for each test: how it ended, and what was found.
"""

from __future__ import annotations

import collections.abc as cabc
import functools
import json
import os
import sys
import typing as t
from pathlib import Path

import flask
import pytest

WHEN = os.environ.get("UPSTREAM_ATTACH", "")
STRICT = os.environ.get("UPSTREAM_STRICT") == "1"
RESULTS = Path(os.environ["UPSTREAM_RESULTS"])

_apps: list[flask.Flask] = []
_outcomes: dict[str, str] = {}


def pytest_configure() -> None:
    RESULTS.write_text("")
    if WHEN == "early":
        _attach_when_made()
    elif WHEN == "late":
        _attach_when_used()


def _attach(app: flask.Flask) -> None:
    from flask_session_inspector import SessionInspector

    app.config["SESSION_INSPECTOR_ENABLED"] = True
    app.config["SESSION_INSPECTOR_STRICT"] = STRICT
    _apps.append(app)
    SessionInspector(app)


def _attach_when_made() -> None:
    """Come before every other extension."""
    make = flask.Flask.__init__

    @functools.wraps(make)
    def __init__(self: flask.Flask, *args: t.Any, **options: t.Any) -> None:
        make(self, *args, **options)
        _attach(self)

    flask.Flask.__init__ = __init__  # type: ignore[method-assign] # all of them


def _attach_when_used() -> None:
    """Come after every other extension: with the first context or test client."""
    # None of them is on the stack of what they make: no location would show it.
    for name in ("app_context", "request_context", "test_client"):
        _attach_before(name)


def _attach_before(name: str) -> None:
    use = getattr(flask.Flask, name)

    @functools.wraps(use)
    def attach_and_use(self: flask.Flask, *args: t.Any, **options: t.Any) -> t.Any:
        if "session_inspector" not in self.extensions:
            _attach(self)
        return use(self, *args, **options)

    setattr(flask.Flask, name, attach_and_use)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> cabc.Generator[None, t.Any, t.Any]:
    errors = _internal_errors()
    done = yield
    result = {
        "test": item.nodeid,
        "outcome": _outcomes.pop(item.nodeid, "not run"),
        "internal_errors": _internal_errors() - errors,
        "findings": [_told(each) for app in _apps for each in _findings(app)],
        "records": sum(
            app.extensions["session_inspector"].counters.started for app in _apps
        ),
    }
    _apps.clear()
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")
    return done


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    before = _outcomes.get(report.nodeid, "")
    outcome: str = report.outcome if report.when == "call" else ""
    if report.when != "call" and not report.passed:
        outcome = f"{report.outcome} in {report.when}"
    if hasattr(report, "wasxfail"):
        outcome = f"{outcome} (expected to fail)"
    if report.failed:
        outcome += f": {_last_line(report)}"
    _outcomes[report.nodeid] = ", ".join(part for part in (before, outcome) if part)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        result = {"test": report.nodeid, "outcome": "not collected"}
        with RESULTS.open("a") as file:
            file.write(json.dumps(result) + "\n")


def _last_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(getattr(crash, "message", "")).partition("\n")[0]


def _internal_errors() -> int:
    # A suite that replaces modules may not import the package at all.
    module = sys.modules.get("flask_session_inspector.guard")
    return 0 if module is None else module.guard.errors


def _findings(app: flask.Flask) -> list[t.Any]:
    found: list[t.Any] = app.extensions["session_inspector"].findings()
    return found


def _told(finding: t.Any) -> dict[str, t.Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "evidence": finding.evidence,
    }
