"""An open page does not audit each time that it asks, and shows what was found."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t

import handmade
import pytest
import sqlalchemy as sa
from flask_admin import Admin
from sqlalchemy.orm import Session

from flask_session_inspector import Holder
from flask_session_inspector.lately import LONGEST
from flask_session_inspector.lately import SHARE
from flask_session_inspector.lately import LastAudit
from flask_session_inspector.process import process

if t.TYPE_CHECKING:
    from conftest import Shop

LIST = "/admin/sessions/"
PINNED = "closure variable"


class Application:
    """Is audited, and told what happens."""

    def __init__(self) -> None:
        self.holders: list[Holder] = []
        self.place = self.found = self.asked = 0
        self.now = 100.0
        self.takes = 0.0
        self.last = LastAudit(
            self.ask, lambda: self.place, lambda: self.found, lambda: self.now
        )

    def ask(self) -> list[Holder]:
        self.asked += 1
        self.now += self.takes
        return list(self.holders)

    def recent(self) -> int:
        """Ask as an open page does, and say how often the audit was asked for it."""
        before = self.asked
        assert self.last.recent().holders is not None
        return self.asked - before


@pytest.fixture
def application() -> Application:
    return Application()


def test_nothing_was_asked_yet(application: Application) -> None:
    assert application.recent() == 1


def test_no_record_is_newer(application: Application) -> None:
    application.last.fresh()
    application.now += 3600
    assert application.recent() == 0


def test_a_newer_record_waits(application: Application) -> None:
    application.last.fresh()
    application.place += 1
    application.now += LONGEST - 0.1
    assert application.recent() == 0
    application.now += 0.1
    assert application.recent() == 1
    application.now += 3600
    assert application.recent() == 0


def test_a_slow_audit_is_asked_less(application: Application) -> None:
    application.takes = 1.0
    application.last.fresh()
    application.place += 1
    application.now += SHARE - 0.1
    assert application.recent() == 0
    application.now += 0.1
    assert application.recent() == 1


def test_a_record_that_comes_while_it_is_asked(application: Application) -> None:
    def ask() -> list[Holder]:
        application.place += 1
        return []

    last = LastAudit(ask, lambda: application.place, lambda: 0, lambda: application.now)
    last.fresh()
    application.now += LONGEST
    place = application.place
    last.recent()
    assert application.place == place + 1


def test_a_pinned_session_was_found(application: Application) -> None:
    application.last.fresh()
    application.place += 1
    application.found += 1
    assert application.recent() == 1
    assert application.recent() == 0


def test_generations(application: Application) -> None:
    first = application.last.fresh()
    assert application.last.fresh() == first
    application.holders.append(handmade.holder())
    second = application.last.fresh()
    assert second.generation != first.generation
    assert application.last.recent() == second
    assert application.last.fresh() == second


def test_after_a_fork(application: Application) -> None:
    application.last.fresh()
    for thing in list(process._forget):
        if thing is application.last:
            thing.after_fork()
    assert application.recent() == 1


class Page:
    """An open page of the admin, and how often the audit ran."""

    def __init__(self, shop: Shop, patch: pytest.MonkeyPatch) -> None:
        self._client = shop.app.test_client()
        self.audits = 0
        suspects = shop.inspection.recording.suspects
        audit = suspects.audit

        def counted() -> list[Holder]:
            self.audits += 1
            return audit()

        patch.setattr(shop.inspection._last_audit, "_ask", counted)
        self._state = self._answer(LIST, "")

    def _answer(self, path: str, etag: str) -> str:
        response = self._client.get(path, headers={"If-None-Match": etag})
        self.status, self.text = response.status_code, response.text
        return self._state if self.status == 304 else self.text

    def ask(self) -> None:
        since, etag = (
            re.search(f'data-fsi-{name}="(.*?)"', self._state)
            for name in ("since", "etag")
        )
        assert since is not None
        assert etag is not None
        self._state = self._answer(f"{LIST}?since={since[1]}", f'"{etag[1]}"')


@pytest.fixture
def kept() -> cabc.Iterator[list[Session]]:
    """What a view keeps; empty at first."""
    kept: list[Session] = []
    yield kept
    for session in kept:
        session.close()
        t.cast("sa.Engine", session.bind).dispose()


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop], kept: list[Session]) -> Shop:
    shop = make_shop()
    shop.app.debug = True
    Admin(shop.app)

    def pinned() -> str:
        for session in kept:
            session.execute(sa.select(1))
        return ""

    shop.view(pinned, "/pinned")

    def own() -> str:
        shop.db.session.execute(sa.select(1))
        return ""

    shop.view(own, "/own")
    shop.get("/own")
    return shop


@pytest.fixture
def page(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(shop, monkeypatch)


def keep(shop: Shop, kept: list[Session]) -> None:
    """Let the view keep a session; no record tells of that."""
    kept.append(Session(sa.create_engine("sqlite://")))


def wait_an_hour(shop: Shop, patch: pytest.MonkeyPatch) -> None:
    clock = shop.inspection._last_audit._clock
    patch.setattr(shop.inspection._last_audit, "_clock", lambda: clock() + 3600)


def test_polls_do_not_audit(shop: Shop, page: Page) -> None:
    assert page.audits == 1
    for _ in range(5):
        shop.get("/own")
        page.ask()
        assert page.status == 200
        page.ask()
        assert page.status == 304
    assert page.audits == 1


def test_in_the_end_they_do(
    shop: Shop, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.get("/own")
    page.ask()
    wait_an_hour(shop, monkeypatch)
    page.ask()
    assert (page.status, page.audits) == (304, 2)
    page.ask()
    assert (page.status, page.audits) == (304, 2)


def test_what_is_found_then_is_shown(
    shop: Shop, page: Page, kept: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is no record that tells of it."""
    shop.get("/own")
    page.ask()
    keep(shop, kept)
    assert PINNED not in page.text
    wait_an_hour(shop, monkeypatch)
    page.ask()
    assert page.status == 200
    assert PINNED in page.text
    page.ask()
    assert page.status == 304


def test_a_record_that_tells_of_it_is_enough(
    shop: Shop, page: Page, kept: list[Session]
) -> None:
    keep(shop, kept)
    shop.get("/pinned")
    page.ask()
    assert PINNED in page.text
    assert page.audits == 2


def test_another_page_tells_of_it(shop: Shop, page: Page, kept: list[Session]) -> None:
    """When it is loaded, the audit is asked, and open pages learn of the answer."""
    keep(shop, kept)
    page.ask()
    assert page.status == 304
    shop.app.test_client().get(f"{LIST}audit")
    page.ask()
    assert page.status == 200
    assert PINNED in page.text
