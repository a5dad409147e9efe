"""When the audit runs: not in every request of a view that holds a session."""

from __future__ import annotations

import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from sqlalchemy.orm import Session

from flask_session_inspector import audit
from flask_session_inspector import suspects
from flask_session_inspector.suspects import INTERVAL


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Audits:
    """Counts the full audits; ``again`` counts looks at known places."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = 0
        self.again = 0
        self._holders = audit.holders
        monkeypatch.setattr(audit, "holders", self)

    def __call__(self, app: t.Any, watched: t.Any, only: t.Any = None) -> t.Any:
        if only is None:
            self.full += 1
        else:
            self.again += 1
        return self._holders(app, watched, only)


@pytest.fixture
def audits(monkeypatch: pytest.MonkeyPatch) -> Audits:
    return Audits(monkeypatch)


@pytest.fixture(params=[True, False], ids=["locations", "no locations"])
def shop_of(request: pytest.FixtureRequest, make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop(SESSION_INSPECTOR_LOCATIONS=request.param)


@pytest.fixture
def clock(shop_of: Shop) -> Clock:
    clock = Clock()
    shop_of.inspection.recording.suspects._clock = clock
    return clock


class Reports:
    """An extension of the application's own, which keeps one session at a time."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.aside: list[Session] = []


def keep(shop: Shop, name: str = "reports") -> Reports:
    """Register a view that lets an extension hold a new session each time."""
    reports = shop.app.extensions[name] = Reports()

    def view() -> str:
        reports.session = session = Session(shop.db.engine)
        session.scalar(sa.text("SELECT 1"))
        session.commit()
        return "done"

    shop.view(view)
    return reports


def held_by(shop: Shop, path: str = "/") -> list[str]:
    return [
        where
        for finding in shop.get(path).findings
        if finding.code == "FSI103"
        for where in finding.evidence["held by"]
    ]


PLACES = [
    'app.extensions["reports"].session',
    'view function "view" > closure variable "reports".session',
]


def test_a_view_that_holds_a_new_session_each_time(
    shop_of: Shop, clock: Clock, audits: Audits
) -> None:
    keep(shop_of)
    for _ in range(5):
        assert held_by(shop_of) == PLACES
    assert (audits.full, audits.again) == (1, 4)
    clock.now += 2 * INTERVAL
    assert held_by(shop_of) == PLACES
    assert audits.full == 1


def test_a_place_is_told_only_while_it_holds_the_session(
    shop_of: Shop, clock: Clock, audits: Audits
) -> None:
    """And where else it is held, from time to time."""
    shop_of.app.extensions["one"] = one = Reports()
    shop_of.app.extensions["two"] = two = Reports()
    keepers = {"now": one}
    shop_of.app.config["KEEPERS"] = keepers

    @shop_of.app.get("/")
    def view() -> str:
        keeper = flask.current_app.config["KEEPERS"]["now"]
        session = Session(shop_of.db.engine)
        session.scalar(sa.text("SELECT 1"))
        keeper.session = session
        session.commit()
        return "done"

    assert held_by(shop_of) == ['app.extensions["one"].session']
    keepers["now"] = two
    for _ in range(3):
        assert held_by(shop_of) == []
    assert audits.full == 1
    clock.now += INTERVAL
    assert held_by(shop_of) == ['app.extensions["two"].session']
    assert held_by(shop_of) == ['app.extensions["two"].session']
    assert audits.full == 2
    keepers["now"] = one
    assert held_by(shop_of) == []


def test_a_view_that_lets_go_is_looked_into_once(
    shop_of: Shop, clock: Clock, audits: Audits
) -> None:
    kept = threading.local()

    @shop_of.app.get("/")
    def view() -> str:
        kept.session = session = Session(shop_of.db.engine)
        session.scalar(sa.text("SELECT 1"))
        session.commit()
        return "done"

    for _ in range(4):
        assert held_by(shop_of) == []
        clock.now += INTERVAL
    assert (audits.full, audits.again) == (1, 0)


def test_another_view_is_looked_into_at_once(
    shop_of: Shop, clock: Clock, audits: Audits
) -> None:
    """The first look into a line of code does not wait."""
    keep(shop_of)
    shop_of.app.add_url_rule(
        "/read", "read", lambda: str(shop_of.db.session.scalar(sa.text("SELECT 1")))
    )
    assert held_by(shop_of, "/read") == []
    assert audits.full == 1
    assert held_by(shop_of) == PLACES
    assert audits.full == 2


def test_what_a_page_found_is_told_in_the_next_record(
    shop_of: Shop, clock: Clock, audits: Audits
) -> None:
    with shop_of.app.app_context():
        engine = shop_of.db.engine
    session = Session(engine)
    reports = Reports()

    @shop_of.app.get("/")
    def view() -> str:
        current = flask.current_app.extensions["reports"].session
        current.scalar(sa.text("SELECT 1"))
        current.close()
        return "done"

    with Session(engine) as other:
        reports.session = other
        shop_of.app.extensions["reports"] = reports
        assert held_by(shop_of) == ['app.extensions["reports"].session']
    reports.session = session
    shop_of.inspection.audit()
    assert audits.full == 2
    assert held_by(shop_of) == ['app.extensions["reports"].session']
    assert audits.full == 2


def test_sessions_that_are_gone_are_forgotten(
    shop_of: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "_MOST_SESSIONS", 5)
    keep(shop_of)
    for _ in range(30):
        assert held_by(shop_of) == PLACES
    state = shop_of.inspection.recording.suspects
    assert len(state.pinned) <= 6
    assert len(state._held) <= 6
    assert len(state._first_seen) <= 7
