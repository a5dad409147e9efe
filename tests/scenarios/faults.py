"""What the tests of all findings ask: what was found, and did the rule find it?"""

from __future__ import annotations

import collections.abc as cabc
import linecache
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Shop
from conftest import User
from sqlalchemy.orm import close_all_sessions

from flask_session_inspector import Finding
from flask_session_inspector import Inspection
from flask_session_inspector import Location
from flask_session_inspector import RequestRecord

MakeApp = t.Callable[..., flask.Flask]
MakeShop = t.Callable[..., Shop]
Scenario = t.Callable[[Shop], object]
Source = Inspection | RequestRecord


@pytest.fixture(autouse=True)
def sessions_closed(make_app: MakeApp) -> cabc.Iterator[None]:
    """Close what a scenario left open, before its engines are disposed."""
    yield
    close_all_sessions()
    while _engines:
        _engines.pop().dispose()


def new_engine(tmp_path: t.Any) -> sa.Engine:
    """Make a database for an application without Flask-SQLAlchemy."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/plain.db")
    Base.metadata.create_all(engine)
    _engines.append(engine)
    return engine


_engines: list[sa.Engine] = []


def inspection_of(app: flask.Flask) -> Inspection:
    return t.cast(Inspection, app.extensions["session_inspector"])


def send(app: flask.Flask, path: str = "/") -> RequestRecord:
    """Send a request to an application and return its record."""
    app.test_client().get(path).close()
    return inspection_of(app).requests(limit=1)[0]


def found(source: Source, code: str) -> list[Finding]:
    """Return the findings with a code, oldest first."""
    if isinstance(source, RequestRecord):
        findings: cabc.Sequence[Finding] = source.findings
    else:
        assert source.flush()
        findings = source.findings()[::-1]
    return [finding for finding in findings if finding.code == code]


def the(source: Source, code: str) -> Finding:
    """Return the one finding with a code."""
    (finding,) = found(source, code)
    return finding


def codes(source: Source, *severities: str) -> set[str]:
    """Return the codes found.

    :param severities: Those that count; error and warning if none is given.
    """
    if isinstance(source, Inspection):
        assert source.flush()
        findings: cabc.Sequence[Finding] = source.findings()
    else:
        findings = source.findings
    wanted = severities or ("error", "warning")
    return {finding.code for finding in findings if finding.severity in wanted}


def line(location: Location | None) -> str:
    """Return the line of source code that a location names."""
    assert location is not None, "a finding without a location"
    return linecache.getline(location.file, location.line).strip()


def line_of(place: str) -> str:
    """Return the line of source code that a place in the evidence names."""
    file, _, rest = place.rpartition(":")
    return linecache.getline(file, int(rest.split()[0])).strip()


def engine_of(shop: Shop) -> sa.Engine:
    with shop.app.app_context():
        return shop.db.engine


def add_users(shop: Shop, *names: str) -> None:
    """Put users into the database, unseen by the inspector."""
    with engine_of(shop).begin() as connection:
        connection.execute(sa.insert(User), [{"name": name} for name in names])


def in_thread(work: t.Callable[[], object], name: str | None = None) -> None:
    """Run something in a thread of its own and wait for it."""
    join(start(work, name))


def start(work: t.Callable[[], object], name: str | None = None) -> threading.Thread:
    """Start something in a thread of its own; :func:`join` shows its exception."""
    thread = _Worker(work, name)
    thread.start()
    return thread


def join(thread: threading.Thread) -> None:
    thread.join(30)
    assert not thread.is_alive(), f"{thread.name} does not end"
    failure = t.cast(_Worker, thread).failure
    if failure is not None:
        raise failure


class _Worker(threading.Thread):
    def __init__(self, work: t.Callable[[], object], name: str | None) -> None:
        super().__init__(name=name)
        self._work = work
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as failure:
            self.failure = failure


def wait(event: threading.Event) -> None:
    assert event.wait(30), "nobody came"


def assert_found_by_its_rule(
    make_shop: MakeShop, tmp_path: t.Any, code: str, scenario: Scenario
) -> None:
    """Run a scenario with all rules, and without one; nothing else may differ."""
    results = []
    for ignored in ((), (code,)):
        name = "without" if ignored else "with"
        shop = make_shop(
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/{name}.db",
            SESSION_INSPECTOR_IGNORE_FINDINGS=ignored,
        )
        scenario(shop)
        every = codes(shop.inspection, "error", "warning", "info")
        records = shop.inspection.requests(limit=10_000)
        paths = {(r.kind, r.path, r.status, len(r.sessions) > 0) for r in records}
        results.append((every, paths))
    (with_it, paths_with), (without_it, paths_without) = results
    assert code in with_it
    assert without_it == with_it - {code}
    assert paths_without == paths_with
