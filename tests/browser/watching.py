"""What goes on while a page of ours is open, and where it shows."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import re
import threading
import typing as t
from urllib.request import urlopen

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from sqlalchemy.orm import Session

from browser.shops import Served
from flask_session_inspector import RequestRecord
from flask_session_inspector import request_recorded

playwright_api = pytest.importorskip("playwright.sync_api")

if t.TYPE_CHECKING:
    from playwright.sync_api import Locator
    from playwright.sync_api import Page
    from playwright.sync_api import Request

PAGE = "<!doctype html><html lang=en><title>shop</title><body>shop</body></html>"
#: What an open page asks for, again and again.
POLL = re.compile(r"/admin/sessions/.*[?&]since=")


def hit(served: Served, *paths: str) -> None:
    """Send real requests to the shop, each when the one before has its record."""
    for path in paths:
        recorded = threading.Event()

        def note(sender: flask.Flask, record: RequestRecord) -> None:
            recorded.set()  # noqa: B023 # It is disconnected before the next one.

        with request_recorded.connected_to(note, sender=served.shop.app):
            # The answer to an error is one too.
            with contextlib.suppress(OSError), urlopen(served.base + path) as response:
                response.read()
            assert recorded.wait(30), path


def watch(page: Page, url: str) -> None:
    """Open a page and wait until it is live."""
    response = page.goto(url)
    assert response is not None
    assert response.status == 200, url
    playwright_api.expect(state(page)).to_contain_text("Live")


def state(page: Page) -> Locator:
    """Return what says whether the page is live."""
    return page.locator(".fsi-state > p:visible")


def rows(page: Page) -> Locator:
    """Return the rows of the list."""
    return page.locator(".fsi-list tbody > tr")


def row(page: Page, path: str) -> Locator:
    """Return the rows of a path; the shop's paths are no parts of each other."""
    return rows(page).filter(has=page.get_by_role("link", name=path, exact=True))


def tiles(page: Page) -> Locator:
    """Return the requests in the diagram."""
    return page.locator(".fsi-scope a")


def count(page: Page, label: str) -> Locator:
    """Return a number of the strip."""
    return page.locator(".fsi-counts > div").filter(has_text=label).locator("dd")


@contextlib.contextmanager
def without_reload(page: Page) -> cabc.Iterator[None]:
    """Check that the document stays the same one meanwhile."""
    page.evaluate("window.isTheSameDocument = true")
    yield
    assert page.evaluate("window.isTheSameDocument") is True


def add_faults(shop: Shop) -> None:
    """Add two views: one loses a write, one shares a session with all its visitors."""
    with shop.app.app_context():
        engine = shop.db.engine
    shop.inspection.clear()
    kept: list[Session] = []

    def lose() -> str:
        shop.db.session.add(User(name="Eve"))
        shop.db.session.flush()
        return PAGE

    def share() -> str:
        if not kept:
            kept.append(Session(engine))
        kept[0].execute(sa.select(User)).all()
        kept[0].rollback()
        return PAGE

    shop.view(lose, "/lose")
    shop.view(share, "/share")


def polls(page: Page) -> list[str]:
    """Return a list of what the page asks for from now on; it grows."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if POLL.search(request.url):
            asked.append(request.url)

    page.on("request", note)
    return asked


def poll_often(page: Page, times: int) -> None:
    """Let a page ask so many times, each time as soon as it can."""
    page.evaluate(
        """async (times) => {
          const asked = () => performance.getEntriesByType("resource")
            .filter((it) => it.name.includes("since=")).length;
          const until = asked() + times;
          while (asked() < until) {
            dispatchEvent(new Event("pageshow"));
            await new Promise((go) => setTimeout(go, 5));
          }
        }""",
        times,
    )


def tab_to(page: Page, element: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if element.evaluate("it => it === document.activeElement"):
            return
    pytest.fail(f"Tab does not lead to {element}.")
