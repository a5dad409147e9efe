"""An open page, when the server is away, another one, or has nothing to say."""

from __future__ import annotations

import collections.abc as cabc
import datetime
import os
import pathlib
import subprocess
import sys
import typing as t
from urllib.request import urlopen

import pytest
from conftest import Shop
from playwright.sync_api import expect

from browser.conftest import Complaints
from browser.conftest import Serve
from browser.shops import SESSIONS
from browser.shops import Served
from browser.watching import POLL
from browser.watching import add_faults
from browser.watching import hit
from browser.watching import poll_often
from browser.watching import polls
from browser.watching import rows
from browser.watching import state
from browser.watching import watch
from browser.watching import without_reload
from browser.worker import say_several

if t.TYPE_CHECKING:
    from playwright.sync_api import Locator
    from playwright.sync_api import Page
    from playwright.sync_api import Route

_TESTS = pathlib.Path(__file__).parents[1]
_NOON = datetime.datetime(2030, 1, 1, 12)
_LATER = datetime.datetime(2030, 1, 1, 13)

# A tab that says it is hidden while "isHidden" is true.
_HIDEABLE = """
window.isHidden = false;
Object.defineProperty(document, "hidden", { get: () => window.isHidden });
"""


class Worker:
    """A shop in a process of its own.

    :param folder: For its database.
    :param several: Whether it says to be one of several.
    """

    def __init__(self, folder: pathlib.Path, *, several: bool = False) -> None:
        self._folder = folder
        self._arguments = ["several"] if several else []
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, always on the same port."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "browser.worker"),
                *(str(self._port), str(self._folder), *self._arguments),
            ],
            env={**os.environ, "PYTHONPATH": f"{_TESTS}{os.pathsep}{_TESTS.parent}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._process = process
        assert process.stdout is not None
        self._port = int(process.stdout.readline())

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def hit(self, *paths: str) -> None:
        for path in paths:
            with urlopen(self.base + path) as response:
                response.read()


@pytest.fixture
def worker(tmp_path: pathlib.Path) -> cabc.Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.stop()


@pytest.fixture
def other_worker(tmp_path: pathlib.Path) -> cabc.Iterator[Worker]:
    """One of several workers; it runs. To be named before the page that asks it."""
    (tmp_path / "other").mkdir()
    other = Worker(tmp_path / "other", several=True)
    other.start()
    yield other
    other.stop()


def banner(page: Page) -> Locator:
    return page.locator(".fsi-notice:visible")


def hold_time(page: Page) -> None:
    """Let time pass only where the test says so, from now on."""
    page.clock.pause_at(_LATER)


def test_a_server_that_is_away(
    served: Served, page: Page, complaints: Complaints
) -> None:
    complaints.expect("ERR_CONNECTION_REFUSED")
    hit(served, "/", "/write")
    page.clock.install(time=_NOON)
    watch(page, served.sessions())
    page.route(POLL, lambda route: route.abort("connectionrefused"))
    hold_time(page)
    expect(state(page)).to_contain_text("Live updates stopped")
    expect(state(page)).to_contain_text("retrying in 1 s")
    expect(banner(page)).to_contain_text("The server could not be reached.")
    expect(page.locator("[role=status]")).to_have_text("Live updates stopped.")
    expect(rows(page)).to_have_count(2)

    with page.expect_request(POLL):
        page.clock.run_for(1000)
    expect(state(page)).to_contain_text("retrying in 2 s")
    page.clock.run_for(1000)
    expect(state(page)).to_contain_text("retrying in 1 s")
    with page.expect_request(POLL):
        page.clock.run_for(1000)
    expect(state(page)).to_contain_text("retrying in 4 s")
    with page.expect_request(POLL):
        page.get_by_role("button", name="Retry now").click()
    expect(state(page)).to_contain_text("retrying in 8 s")

    page.unroute(POLL)
    hit(served, "/plain")
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Retry now").click()
    expect(rows(page)).to_have_count(3)
    expect(state(page)).to_contain_text("Live")
    expect(state(page)).not_to_contain_text("stopped")
    expect(banner(page)).to_have_count(0)


def test_the_server_comes_back_by_itself(
    served: Served, page: Page, complaints: Complaints
) -> None:
    complaints.expect("ERR_CONNECTION_REFUSED")
    hit(served, "/")
    watch(page, served.sessions())
    with without_reload(page):
        page.route(POLL, lambda route: route.abort("connectionrefused"))
        expect(state(page)).to_contain_text("Live updates stopped")
        page.unroute(POLL)
        hit(served, "/write")
        expect(rows(page)).to_have_count(2)
        expect(banner(page)).to_have_count(0)


def test_a_server_that_refuses(
    served: Served, page: Page, complaints: Complaints
) -> None:
    complaints.expect("503")
    hit(served, "/")
    watch(page, served.sessions())
    page.route(POLL, lambda route: route.fulfill(status=503, body="<p>Busy</p>"))
    expect(banner(page)).to_contain_text("The server answered 503.")
    expect(rows(page)).to_have_count(1)


def test_a_server_that_answers_with_something_else(served: Served, page: Page) -> None:
    """Such as the form of a login."""
    hit(served, "/")
    watch(page, served.sessions())
    page.route(POLL, lambda route: route.fulfill(body="<h1>Log in</h1>"))
    expect(banner(page)).to_contain_text("The server answered with something else.")
    expect(rows(page)).to_have_count(1)


def test_it_is_quiet_about_the_server_while_it_is_paused(
    served: Served, page: Page, complaints: Complaints
) -> None:
    complaints.expect("ERR_CONNECTION_REFUSED")
    hit(served, "/")
    watch(page, served.sessions())
    page.get_by_role("button", name="Pause").click()
    page.route(POLL, lambda route: route.abort("connectionrefused"))
    for _ in range(2):
        with page.expect_event("requestfailed"):
            pass
    expect(state(page)).to_contain_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(state(page)).to_contain_text("Live updates stopped")


def test_a_restarted_server(worker: Worker, page: Page, complaints: Complaints) -> None:
    """Its records are new ones; those of the process that is gone leave the page."""
    complaints.expect("net::ERR_")
    worker.start()
    worker.hit("/write", "/undo", "/plain")
    watch(page, worker.base + SESSIONS)
    expect(rows(page)).to_have_count(3)
    with without_reload(page):
        worker.stop()
        expect(state(page)).to_contain_text("Live updates stopped")
        expect(rows(page)).to_have_count(3)
        worker.start()
        worker.hit("/", "/write")
        page.get_by_role("button", name="Retry now").click()
        expect(rows(page).locator(".c-req a")).to_have_text(["/write", "/"])
        expect(state(page)).to_contain_text("Live")
        worker.hit("/undo")
        paths = ["/undo", "/write", "/"]
        expect(rows(page).locator(".c-req a")).to_have_text(paths)
        expect(page.locator(".fsi-counts")).to_contain_text("Requests 3")


def test_a_restart_while_the_page_is_paused(
    worker: Worker, page: Page, complaints: Complaints
) -> None:
    complaints.expect("net::ERR_")
    worker.start()
    worker.hit("/write", "/undo")
    watch(page, worker.base + SESSIONS)
    page.get_by_role("button", name="Pause").click()
    with page.expect_event("requestfailed"):
        worker.stop()
    worker.start()
    worker.hit("/")
    expect(state(page)).to_contain_text("1 waiting", timeout=30_000)
    expect(rows(page).locator(".c-req a")).to_have_text(["/undo", "/write"])
    page.get_by_role("button", name="Resume").click()
    expect(rows(page).locator(".c-req a")).to_have_text(["/"])


def test_one_of_several_workers_says_so(shop: Shop, serve: Serve, page: Page) -> None:
    say_several(shop)
    served = Served(shop, serve(shop.app))
    hit(served, "/")
    watch(page, served.sessions())
    expect(banner(page)).to_contain_text("This is one of several workers.")
    hit(served, "/write")
    expect(rows(page)).to_have_count(2)
    expect(banner(page)).to_contain_text("This is one of several workers.")


def test_the_answers_of_another_worker(
    shop: Shop, serve: Serve, other_worker: Worker, page: Page
) -> None:
    """They replace nothing, as long as the own worker answers now and then."""
    say_several(shop)
    add_faults(shop)
    served = Served(shop, serve(shop.app))
    hit(served, "/write", "/undo")
    other_worker.hit("/plain")
    asked = 0

    def take_turns(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked % 2:
            other = route.request.url.replace(served.base, other_worker.base)
            route.continue_(url=other)
        else:
            route.continue_()

    page.route(POLL, take_turns)
    watch(page, served.sessions())
    poll_often(page, 100)
    paths = ["/undo", "/write"]
    expect(rows(page).locator(".c-req a")).to_have_text(paths)
    hit(served, "/lose")
    expect(rows(page).locator(".c-req a")).to_have_text(["/lose", *paths])


def test_a_worker_that_does_not_come_back(
    shop: Shop, serve: Serve, other_worker: Worker, page: Page
) -> None:
    say_several(shop)
    served = Served(shop, serve(shop.app))
    hit(served, "/write", "/undo")
    other_worker.hit("/plain")

    def ask_the_other(route: Route) -> None:
        url = route.request.url.replace(served.base, other_worker.base)
        route.continue_(url=url)

    page.route(POLL, ask_the_other)
    watch(page, served.sessions())
    expect(rows(page)).to_have_count(2)
    poll_often(page, 60)
    expect(rows(page).locator(".c-req a")).to_have_text(["/plain"])


def test_nothing_new_is_not_sent_again(served: Served, page: Page) -> None:
    hit(served, "/", "/write")
    statuses: list[int] = []
    watch(page, served.sessions())
    page.on(
        "response",
        lambda it: statuses.append(it.status) if POLL.search(it.url) else None,
    )
    poll_often(page, 5)
    assert set(statuses) == {304}
    hit(served, "/plain")
    expect(rows(page)).to_have_count(3)
    assert statuses.count(200) == 1
    poll_often(page, 5)
    assert statuses.count(200) == 1


def test_a_hidden_page_does_not_ask(served: Served, page: Page) -> None:
    page.add_init_script(_HIDEABLE)
    page.clock.install(time=_NOON)
    hit(served, "/")
    watch(page, served.sessions())
    hold_time(page)
    shown = polls(page)
    for _ in range(100):
        if shown:
            break
        # Its next turn may wait for an answer that is still under way.
        page.clock.run_for(1_000)
    assert shown
    turn = """(isHidden) => {
      window.isHidden = isHidden;
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(turn, True)
    page.clock.run_for(10_000)  # One may have been under way.
    asked = polls(page)
    hit(served, "/write")
    for _ in range(5):
        page.clock.run_for(60_000)
    expect(rows(page)).to_have_count(1)
    assert asked == []

    page.evaluate(turn, False)  # No time passes before it asks.
    expect(rows(page)).to_have_count(2)
    assert len(asked) == 1


def test_a_quiet_page_asks_less_often(served: Served, page: Page) -> None:
    hit(served, "/")
    page.clock.install(time=_NOON)
    watch(page, served.sessions())
    hold_time(page)
    asked = polls(page)

    def pause() -> int:
        """Return the shortest of some pauses, in milliseconds of the page.

        An answer takes some of the time that passes; so none is too short.
        """
        pauses = []
        for _ in range(5):
            before, waited = len(asked), 0
            while len(asked) == before:
                page.clock.run_for(100)
                waited += 100
                assert waited < 60_000
            pauses.append(waited)
        return min(pauses[1:])

    page.keyboard.press("Shift")  # Somebody is there.
    assert pause() < 1900
    page.clock.fast_forward(65_000)
    assert 1900 <= pause() < 5900
    page.clock.fast_forward(300_000)
    assert pause() >= 5900
    page.keyboard.press("Shift")
    assert pause() < 1900
    page.clock.fast_forward(400_000)
    hit(served, "/write")
    page.clock.run_for(10_000)
    expect(rows(page)).to_have_count(2)
    assert pause() < 1900
