"""Findings are told as they are made: by signals, in the log, and never twice."""

from __future__ import annotations

import collections.abc as cabc
import importlib.metadata
import logging
import queue
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from flask_admin import Admin
from sqlalchemy.orm import Session

from flask_session_inspector import Finding
from flask_session_inspector import RequestRecord
from flask_session_inspector import finding_reported
from flask_session_inspector import request_recorded
from flask_session_inspector.guard import guard

LOGGER = "flask_session_inspector"


def forget_to_commit(shop: Shop) -> cabc.Callable[[], str]:
    def forgetful() -> str:
        shop.db.session.add(User(name="Ada"))
        shop.db.session.flush()
        return "done"

    return forgetful


@pytest.fixture
def forgetful(shop: Shop) -> Shop:
    shop.view(forget_to_commit(shop), "/forgetful")
    return shop


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(forgetful: Shop) -> Clock:
    clock = Clock()
    forgetful.inspection.recording.reporter._clock = clock
    return clock


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == LOGGER]


def test_a_signal_for_each_record(shop: Shop) -> None:
    shop.view(lambda: "done", "/quiet")
    seen: list[tuple[flask.Flask, RequestRecord]] = []

    def receive(app: flask.Flask, record: RequestRecord) -> None:
        assert not flask.has_app_context()
        seen.append((app, record))

    with request_recorded.connected_to(receive, sender=shop.app):
        record = shop.get("/quiet")
        shop.get("/quiet")

    assert [app for app, _ in seen] == [shop.app, shop.app]
    assert seen[0][1] == record


def test_a_signal_once_for_a_record_that_goes_on(shop: Shop) -> None:
    def stream() -> flask.Response:
        names = shop.db.session.scalars(sa.select(User.name))

        def lines() -> cabc.Iterator[str]:
            yield from shop.db.session.scalars(sa.select(User.name)).all()
            yield "end"

        return flask.Response(flask.stream_with_context(lines()), headers=[*names])

    shop.view(stream)
    seen: list[RequestRecord] = []
    found: list[Finding] = []

    def receive(app: flask.Flask, record: RequestRecord) -> None:
        seen.append(record)

    def receive_finding(app: flask.Flask, finding: Finding) -> None:
        found.append(finding)

    with (
        request_recorded.connected_to(receive, sender=shop.app),
        finding_reported.connected_to(receive_finding, sender=shop.app),
    ):
        record = shop.get()

    assert [each.id for each in seen] == [record.id]
    assert tuple(found) == record.findings
    # Before, the stream keeps the context of the view, and so its session.
    changed = importlib.metadata.version("flask") >= "3.1.2"
    assert [each.code for each in found] == (["FSI303"] if changed else [])


def test_a_signal_for_each_finding(forgetful: Shop) -> None:
    seen: list[tuple[flask.Flask, Finding]] = []

    def receive(app: flask.Flask, finding: Finding) -> None:
        seen.append((app, finding))

    with finding_reported.connected_to(receive, sender=forgetful.app):
        record = forgetful.get("/forgetful")
        again = forgetful.get("/forgetful")

    assert seen == [(forgetful.app, *record.findings), (forgetful.app, *again.findings)]


def test_a_receiver_that_raises_harms_nobody(
    make_shop: t.Callable[..., Shop], caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(SESSION_INSPECTOR_STRICT=False)
    shop.view(forget_to_commit(shop))
    before = guard.errors

    def receive(app: flask.Flask, **_: object) -> None:
        raise LookupError("a receiver's own")

    with (
        request_recorded.connected_to(receive, sender=shop.app),
        finding_reported.connected_to(receive, sender=shop.app),
    ):
        assert shop.app.test_client().get("/").status_code == 200
    record = shop.newest()
    assert [finding.code for finding in record.findings] == ["FSI201"]
    assert shop.inspection.counters.internal_errors == 2
    guard.errors = before


def test_one_line_for_a_code_and_an_endpoint(
    forgetful: Shop, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    forgetful.app.add_url_rule("/other", "other", forget_to_commit(forgetful))
    record = forgetful.get("/forgetful")
    clock.now = 59.9
    forgetful.get("/forgetful")

    (line,) = lines(caplog)
    (finding,) = record.findings
    assert line.levelno == logging.WARNING
    message = line.getMessage()
    assert message.startswith("FSI201 discarded-writes in forgetful: ")
    assert finding.message in message
    assert finding.location is not None
    assert f"{finding.location.file}:{finding.location.line} in forgetful" in message
    assert message.endswith(f"/_session_inspector/api/requests/{record.id}")

    clock.now = 60.1
    forgetful.get("/forgetful")
    assert len(lines(caplog)) == 2
    clock.now = 60.2
    forgetful.get("/other")
    assert len(lines(caplog)) == 3


def test_the_line_names_the_page(
    forgetful: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    Admin(forgetful.app, url="/back-office")
    record = forgetful.get("/forgetful")
    (line,) = lines(caplog)
    assert line.getMessage().endswith(f"/back-office/sessions/requests/{record.id}")
    client = forgetful.app.test_client()
    forgetful.app.debug = True
    page = line.getMessage().rpartition(" ")[2]
    assert client.get(page).status_code == 200


def test_a_note_is_no_warning(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    def direct() -> str:
        with Session(shop.db.engine) as session:
            session.scalars(sa.select(User)).all()
        return "done"

    shop.view(direct)
    with caplog.at_level(logging.INFO, LOGGER):
        record = shop.get()
    assert [finding.severity for finding in record.findings] == ["info"]
    assert [line.levelno for line in lines(caplog)] == [logging.INFO]


def test_a_path_cannot_write_a_line_of_its_own(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    with shop.app.app_context():
        held = Session(shop.db.engine)

    def view(name: str) -> str:
        held.scalars(sa.select(User)).all()
        return "done"

    shop.view(view, "/<name>")
    try:
        shop.get("/one%0aFSI999%20forged%1b[31m")
        shop.get("/two")
    finally:
        held.close()
    for line in lines(caplog):
        assert "\n" not in line.getMessage()
        assert "\x1b" not in line.getMessage()


def test_ignored_codes_are_not_told(
    make_shop: t.Callable[..., Shop], caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(SESSION_INSPECTOR_IGNORE_FINDINGS=["FSI201"])
    shop.view(forget_to_commit(shop))
    assert shop.get().findings == ()
    assert shop.inspection.findings() == []
    assert lines(caplog) == []


def test_only_records_with_findings_are_kept(
    make_shop: t.Callable[..., Shop],
) -> None:
    shop = make_shop(SESSION_INSPECTOR_KEEP="findings")
    shop.view(forget_to_commit(shop))
    shop.view(lambda: "done", "/quiet")
    client = shop.app.test_client()
    before = shop.inspection.counters
    client.get("/quiet")
    client.get("/")
    client.get("/quiet")

    (record,) = shop.inspection.requests()
    assert record.path == "/"
    counters = shop.inspection.counters
    assert counters.started - before.started == 3
    assert counters.stored - before.stored == 3
    assert counters.retained == 1 == counters.stored - counters.evicted


def test_a_late_finding_brings_its_record_back(
    make_shop: t.Callable[..., Shop],
) -> None:
    shop = make_shop(SESSION_INSPECTOR_KEEP="findings")
    # A place that the audit cannot look into: it would tell of FSI103 at once.
    kept: queue.SimpleQueue[t.Any] = queue.SimpleQueue()

    def view() -> str:
        session = shop.db.session()
        session.scalars(sa.select(Post)).all()
        kept.put(session)
        return "done"

    shop.view(view)
    shop.app.test_client().get("/")
    assert shop.inspection.requests() == []

    session = kept.get()
    with shop.app.app_context():
        session.scalars(sa.select(Post)).all()
    (record,) = shop.inspection.requests(path="/")
    assert "FSI302" in [finding.code for finding in record.findings]
    counters = shop.inspection.counters
    assert counters.retained == counters.stored - counters.evicted
    session.close()


def test_findings_are_listed_newest_first(forgetful: Shop) -> None:
    first = forgetful.get("/forgetful")
    second = forgetful.get("/forgetful")
    assert forgetful.inspection.findings() == [*second.findings, *first.findings]
    assert forgetful.inspection.requests(finding="FSI201") == [second, first]


def pin(shop: Shop) -> Session:
    """Let an extension of the application's own hold a session."""
    with shop.app.app_context():
        session = Session(shop.db.engine)
    shop.app.extensions["reports"] = [session]
    return session


def read_reports(shop: Shop) -> cabc.Callable[[], str]:
    def reports() -> str:
        session = shop.app.extensions["reports"][0]
        session.scalars(sa.select(User)).all()
        session.close()
        return "done"

    return reports


def told_by_the_audit(shop: Shop, work: t.Callable[[], object]) -> list[Finding]:
    """Return what was signalled, while some work was done, that is in no record."""
    seen: list[Finding] = []

    def receive(app: flask.Flask, finding: Finding) -> None:
        if finding.request_id is None:
            seen.append(finding)

    with finding_reported.connected_to(receive, sender=shop.app):
        work()
    return seen


def test_what_the_audit_finds_is_told_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.view(lambda: str(shop.db.session.scalars(sa.select(User)).all()))
    first = pin(shop)
    (finding,) = told_by_the_audit(shop, shop.get)
    assert (finding.code, finding.session) == ("FSI103", first.hash_key)
    assert 'app.extensions["reports"][0] holds' in finding.message
    (line,) = lines(caplog)
    assert line.getMessage() == (
        f"FSI103 session-pinned in no endpoint: {finding.message}"
    )
    assert told_by_the_audit(shop, shop.inspection.audit) == []
    assert told_by_the_audit(shop, shop.get) == []
    assert shop.inspection.findings() == [finding]

    second = pin(shop)
    (again,) = told_by_the_audit(shop, shop.inspection.audit)
    assert again.session == second.hash_key
    assert len(lines(caplog)) == 1


def test_what_a_record_tells_is_logged_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    session = pin(shop)
    shop.view(read_reports(shop))
    (finding,) = told_by_the_audit(shop, shop.get)
    assert finding.session == session.hash_key
    assert finding.message.startswith('app.extensions["reports"][0] holds the session')
    told = [
        line.getMessage() for line in lines(caplog) if "FSI103" in line.getMessage()
    ]
    (line,) = told
    assert line.startswith("FSI103 session-pinned in reports: ")


def test_what_is_ignored_is_not_told_of_the_audit_either(
    make_shop: t.Callable[..., Shop], caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(SESSION_INSPECTOR_IGNORE_FINDINGS=["FSI103"])
    shop.view(lambda: str(shop.db.session.scalars(sa.select(User)).all()))
    pin(shop)
    assert told_by_the_audit(shop, shop.get) == []
    assert told_by_the_audit(shop, shop.inspection.audit) == []
    assert lines(caplog) == []


def test_a_receiver_of_the_audits_findings_that_raises_harms_nobody(
    make_shop: t.Callable[..., Shop],
) -> None:
    shop = make_shop(SESSION_INSPECTOR_STRICT=False)
    pin(shop)
    shop.view(read_reports(shop))
    before = guard.errors

    def receive(app: flask.Flask, finding: Finding) -> None:
        raise LookupError("a receiver's own")

    with finding_reported.connected_to(receive, sender=shop.app):
        record = shop.get()
    assert "FSI103" in [finding.code for finding in record.findings]
    assert guard.errors == before + 1 + len(record.findings)
    guard.errors = before
