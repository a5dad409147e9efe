"""A ModelView keeps one proxy; each request gets a session of its own.

The expectations of ``demo_app/reproduction_script.py``, and more, as tests.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import sqlite3
import threading
import typing as t

import pytest

pytest.importorskip("flask_admin")
pytest.importorskip("flask_sqlalchemy")

from sqlalchemy.orm import Session

from demo_app.reproduction_script import describe
from demo_app.reproduction_script import main
from demo_app.reproduction_script import observe
from demo_app.scoping import LIST_PAGE
from demo_app.scoping import SETUPS
from demo_app.scoping import Application
from demo_app.scoping import Setup
from flask_session_inspector import Inspection
from flask_session_inspector import RequestRecord

REQUESTS = 5


class Trial(t.NamedTuple):
    """A set-up that was built, and the SQLite file behind it."""

    setup: Setup
    application: Application
    path: pathlib.Path

    @property
    def inspection(self) -> Inspection:
        """What the application's inspector has recorded."""
        inspection = self.application.app.extensions["session_inspector"]
        assert isinstance(inspection, Inspection)
        return inspection

    def records(self) -> list[RequestRecord]:
        """The records of requests, oldest first."""
        assert self.inspection.flush()
        records = self.inspection.requests(limit=10_000)
        return [record for record in records if record.kind == "request"][::-1]


def build(setup: Setup, path: pathlib.Path) -> cabc.Iterator[Trial]:
    if obstacle := setup.obstacle():
        pytest.skip(obstacle)
    application = setup.build(path)
    yield Trial(setup, application, path)
    application.engine.dispose()


@pytest.fixture(params=SETUPS, ids=lambda setup: setup.title)
def trial(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> cabc.Iterator[Trial]:
    """Each of the set-ups in turn."""
    yield from build(request.param, tmp_path / "users.sqlite")


@pytest.fixture
def proxied(tmp_path: pathlib.Path) -> cabc.Iterator[Trial]:
    """A view that was given the proxy itself; works with every Flask-Admin."""
    yield from build(SETUPS[1], tmp_path / "users.sqlite")


def has_proxy(trial: Trial) -> bool:
    return "Lite" not in trial.setup.title


def visit(trial: Trial, times: int = REQUESTS) -> list[RequestRecord]:
    client = trial.application.app.test_client()
    for _ in range(times):
        assert client.get(LIST_PAGE).status_code == 200
    return trial.records()


def test_same_proxy_across_requests(trial: Trial) -> None:
    held = trial.application.view.session
    records = visit(trial)
    assert trial.application.view.session is held
    proxies = {s.proxy_id for record in records for s in record.sessions}
    if not has_proxy(trial):
        assert proxies == {None}
        assert trial.inspection.verdicts()[0].passed is None
        return
    with trial.application.app.app_context():
        # "db" and "db.session" both lead to the one scoped_session.
        proxy = getattr(held, "session", held)
    assert proxies == {id(proxy)}
    assert trial.inspection.verdicts()[0].passed is True


def test_a_different_session_per_request(trial: Trial) -> None:
    records = visit(trial)
    assert len(records) == REQUESTS
    serials = [s.serial for record in records for s in record.sessions]
    assert len(serials) == REQUESTS
    assert len(set(serials)) == REQUESTS
    for record in records:
        (session,) = record.sessions
        assert session.first_request_id == record.id
        assert session.label == f"S{session.serial}"
    assert trial.inspection.verdicts()[1].passed is True


def test_no_data_leakage_between_requests(trial: Trial) -> None:
    records = visit(trial)
    for record in records:
        (session,) = record.sessions
        assert session.ended == ("removed" if has_proxy(trial) else "closed")
        assert session.identity_map_size > 0, "the page did load the users"
        assert session.pending_new == 0
        assert session.pending_dirty == 0
        assert session.pending_deleted == 0
        assert all(
            checkout.checked_in_ms is not None for checkout in record.connections
        )
    assert trial.inspection.verdicts()[2].passed is True


def test_a_change_from_outside_is_seen_by_the_next_request(trial: Trial) -> None:
    client = trial.application.app.test_client()
    assert "Ada" in client.get(LIST_PAGE).text
    with contextlib.closing(sqlite3.connect(trial.path)) as outside, outside:
        outside.execute("UPDATE user SET name = 'Grace' WHERE name = 'Ada'")
    page = client.get(LIST_PAGE).text
    assert "Grace" in page
    assert "Ada" not in page


def test_requests_at_the_same_time_have_sessions_of_their_own(trial: Trial) -> None:
    workers, each = 4, 5
    app = trial.application.app
    # The first request is served alone: Flask-Admin's own set-up is not its topic.
    visit(trial, 1)
    together = threading.Barrier(workers)
    statuses: list[int] = []

    def work() -> None:
        client = app.test_client()
        together.wait()
        for _ in range(each):
            statuses.append(client.get(LIST_PAGE).status_code)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * workers * each
    records = trial.records()
    serials = [s.serial for record in records for s in record.sessions]
    assert len(records) == len(serials) == len(set(serials)) == workers * each + 1
    assert all(verdict.passed is not False for verdict in trial.inspection.verdicts())


def test_the_script_agrees(trial: Trial) -> None:
    outcome = observe(trial.application, trial.path)
    assert [check.passed for check in outcome.checks] == [True, True, True]
    text = "\n".join(describe(outcome))
    for record in outcome.records:
        assert record.sessions[0].label in text
        assert hex(record.sessions[0].python_id) in text


def test_a_session_that_is_kept_is_found_out(proxied: Trial) -> None:
    with Session(proxied.application.engine) as kept:
        proxied.application.view.session = kept
        outcome = observe(proxied.application, proxied.path)
    assert [check.passed for check in outcome.checks] == [False, False, False]
    serials = {s.serial for record in outcome.records for s in record.sessions}
    assert serials == {kept.hash_key}
    _, per_request, leakage = proxied.inspection.verdicts()
    assert per_request.passed is False
    assert leakage.passed is False
    assert set(leakage.requests) == {record.id for record in outcome.records}


def test_requests_inside_one_app_context_share_its_session(proxied: Trial) -> None:
    client = proxied.application.app.test_client()
    with proxied.application.app.app_context():
        for _ in range(2):
            client.get(LIST_PAGE)
    records = proxied.records()
    serials = {s.serial for record in records for s in record.sessions}
    if records[0].reused_context:
        assert len(serials) == 1
        assert proxied.inspection.verdicts()[1].passed is False
    else:
        # Newer Flask gives each request an app context of its own again.
        assert len(serials) == 2


def test_the_script_fails_where_an_expectation_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with contextlib.ExitStack() as kept:

        def build_pinned(path: pathlib.Path) -> Application:
            application = SETUPS[1].build(path)
            session = application.view.session = Session(application.engine)
            # Its connection outlives the engine's pool: close that too.
            kept.callback(session.invalidate)
            return application

        pinned = Setup("a pinned session", "", build_pinned, lambda: None)
        assert main([pinned]) == 1
    assert "An expectation failed" in capsys.readouterr().out
