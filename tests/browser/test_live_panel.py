"""The panel of the toolbar after its page was loaded."""

from __future__ import annotations

import datetime
import re
import typing as t

import flask
import pytest
from playwright.sync_api import expect

from browser import shops
from browser.conftest import Complaints
from browser.conftest import MakeShop
from browser.conftest import Serve
from browser.conftest import visit
from browser.shops import CONFIG
from browser.shops import Served
from browser.watching import PAGE
from browser.watching import hit

if t.TYPE_CHECKING:
    from playwright.sync_api import Locator
    from playwright.sync_api import Page

FRAGMENT = re.compile("/_session_inspector/panel/")


@pytest.fixture
def toolbar(served: Served) -> Served:
    """The shop with the toolbar, with a form that redirects to the front page."""
    shops.with_toolbar(served.shop)
    served.shop.app.add_url_rule(
        "/order",
        "order",
        lambda: flask.redirect("/"),
        methods=["POST"],
    )
    served.shop.app.add_url_rule(
        "/form",
        "form",
        lambda: PAGE.replace(
            "shop</body>",
            "<form method=post action=/order><button>Order</button></form></body>",
        ),
    )
    return served


def subtitle(page: Page) -> Locator:
    return page.locator("#flDebugSessionsPanel small")


def content(page: Page) -> Locator:
    return page.locator("#flDebugSessionsPanel-content")


def open_panel(page: Page) -> None:
    page.locator("#flDebugSessionsPanel a").click()
    expect(content(page)).to_be_visible()


def close_panel(page: Page) -> None:
    content(page).locator(".flDebugClose").click()
    expect(content(page)).to_be_hidden()


def others(page: Page) -> Locator:
    """Return the rows of the other requests."""
    table = page.get_by_role("table", name="Other requests since this page loaded")
    return table.locator("tbody > tr")


def completed(page: Page) -> None:
    said = content(page).locator("[role=status]")
    expect(said).to_have_text("The record is complete.")


def test_the_subtitle_in_the_menu(toolbar: Served, page: Page) -> None:
    visit(page, f"{toolbar.base}/")
    completed(page)
    label = toolbar.record("/").sessions[0].label
    expect(subtitle(page)).to_have_text(f"{label}, isolated")


def test_the_subtitle_of_a_fault_at_the_end(toolbar: Served, page: Page) -> None:
    """What is lost at the teardown is known after the page was made."""
    visit(page, f"{toolbar.base}/lose")
    expect(subtitle(page)).to_have_text("1 finding")
    open_panel(page)
    expect(content(page)).to_contain_text("FSI201")
    expect(content(page)).not_to_contain_text("teardown pending")


def test_the_subtitle_counts_findings(toolbar: Served, page: Page) -> None:
    visit(page, f"{toolbar.base}/share")
    findings = len(toolbar.record("/share").findings)
    assert findings > 1
    expect(subtitle(page)).to_have_text(f"{findings} findings")


def test_what_a_script_asked_for_is_told_from_a_page(
    toolbar: Served, page: Page
) -> None:
    visit(page, f"{toolbar.base}/")
    open_panel(page)
    expect(content(page)).to_contain_text("None so far")
    page.evaluate("fetch('/write?number=1')")
    expect(others(page)).to_have_count(1)
    expect(others(page).first).to_contain_text("AJAX")
    expect(others(page).first).to_contain_text("/write")
    hit(toolbar, "/plain")  # From another tab.
    expect(others(page)).to_have_count(2)
    expect(others(page).first.locator(".c-kind")).to_have_text("request")
    page.evaluate(
        """() => {
          const request = new XMLHttpRequest();
          request.open("GET", "/undo");
          request.send();
        }"""
    )
    expect(others(page)).to_have_count(3)
    expect(others(page).first.locator(".c-kind")).to_have_text("AJAX")
    label = toolbar.record("/write?number=1").sessions[0].label
    expect(others(page).last).to_contain_text(label)


def test_a_path_that_is_not_plain_ascii(
    toolbar: Served, page: Page, complaints: Complaints
) -> None:
    visit(page, f"{toolbar.base}/")
    open_panel(page)
    page.evaluate("fetch('/caf\\u00e9/%23')")
    expect(others(page)).to_have_count(1)
    expect(others(page).first).to_contain_text("/café/")
    expect(others(page).first.locator(".c-kind")).to_have_text("AJAX")
    page.evaluate("fetch('/%FF')")
    page.evaluate("fetch('/write')")
    expect(others(page)).to_have_count(3)
    expect(others(page).first.locator(".c-kind")).to_have_text("AJAX")


def test_a_redirect_that_led_here(toolbar: Served, page: Page) -> None:
    visit(page, f"{toolbar.base}/form")
    page.get_by_role("button", name="Order").click()
    expect(page).to_have_url(f"{toolbar.base}/")
    open_panel(page)
    expect(others(page)).to_have_count(1)
    expect(others(page).first.locator(".c-kind")).to_have_text("redirect")
    expect(others(page).first).to_contain_text("POST")
    expect(others(page).first).to_contain_text("/order")
    expect(others(page).first).to_contain_text("302")


def test_nothing_led_to_a_page_that_was_asked_for(toolbar: Served, page: Page) -> None:
    """A redirect of somebody else's shortly before is not its own."""
    visit(page, f"{toolbar.base}/form")
    page.get_by_role("button", name="Order").click()
    expect(page).to_have_url(f"{toolbar.base}/")
    visit(page, f"{toolbar.base}/write")
    completed(page)
    open_panel(page)
    expect(content(page)).to_contain_text("None so far")
    expect(others(page)).to_have_count(0)


def test_a_panel_that_is_closed_does_not_ask(toolbar: Served, page: Page) -> None:
    page.clock.install(time=datetime.datetime(2030, 1, 1, 12))
    visit(page, f"{toolbar.base}/")
    completed(page)
    asked: list[str] = []
    page.on(
        "request",
        lambda it: asked.append(it.url) if FRAGMENT.search(it.url) else None,
    )
    page.clock.pause_at(datetime.datetime(2030, 1, 1, 13))
    hit(toolbar, "/write")
    for _ in range(5):
        page.clock.run_for(60_000)
    assert asked == []
    open_panel(page)  # Then it asks at once.
    expect(others(page)).to_have_count(1)

    close_panel(page)
    # It ends with the question that may be under way.
    page.clock.run_for(60_000)
    hit(toolbar, "/undo")
    del asked[:]
    for _ in range(5):
        page.clock.run_for(60_000)
    assert asked == []
    open_panel(page)
    expect(others(page)).to_have_count(2)


def test_a_panel_without_its_server(
    toolbar: Served, page: Page, complaints: Complaints
) -> None:
    complaints.expect("ERR_CONNECTION_REFUSED")
    page.route(FRAGMENT, lambda route: route.abort("connectionrefused"))
    visit(page, f"{toolbar.base}/write")
    open_panel(page)
    notice = content(page).locator(".fsi-notice:visible")
    expect(notice).to_contain_text("This is the record as it was when the page")
    expect(notice).to_contain_text("The server could not be reached.")
    expect(content(page)).to_contain_text("INSERT INTO users")
    said = page.locator(".fsi-panel [role=status]").element_handle()
    assert said is not None
    page.evaluate(
        """(said) => {
          window.said = 0;
          new MutationObserver(() => window.said++).observe(said, { childList: true });
        }""",
        said,
    )
    for _ in range(2):
        with page.expect_request(FRAGMENT):
            pass
    assert page.evaluate("window.said") == 0  # It was read out already.
    page.unroute(FRAGMENT)
    content(page).get_by_role("button", name="Try again").click()
    expect(notice).to_have_count(0)
    completed(page)
    expect(content(page)).not_to_contain_text("teardown pending")


def test_a_request_that_is_not_kept(
    make_shop: MakeShop, serve: Serve, page: Page, complaints: Complaints
) -> None:
    complaints.expect("410")
    shop = shops.with_admin(make_shop(SESSION_INSPECTOR_KEEP="findings", **CONFIG))
    served = Served(shops.with_toolbar(shop), serve(shop.app))
    asked: list[str] = []
    page.on(
        "request",
        lambda it: asked.append(it.url) if FRAGMENT.search(it.url) else None,
    )
    visit(page, f"{served.base}/plain")
    open_panel(page)
    notice = content(page).locator(".fsi-notice:visible")
    expect(notice).to_contain_text("keeps only those with findings.")
    expect(notice.get_by_role("button")).to_have_count(0)
    number = len(asked)
    page.evaluate("dispatchEvent(new Event('pageshow')); fetch('/write')")
    assert len(asked) == number


def test_a_statement_in_the_panel(toolbar: Served, page: Page) -> None:
    """What was chosen stays so while other requests are listed."""
    visit(page, f"{toolbar.base}/write")
    completed(page)
    open_panel(page)
    marks = content(page).locator(".fsi-timeline a")
    marks.first.focus()
    page.keyboard.press("ArrowRight")
    chosen = content(page).locator(".fsi-chosen")
    expect(chosen.locator("pre")).to_contain_text("SELECT")
    hit(toolbar, "/plain")
    expect(others(page)).to_have_count(1)
    expect(marks.nth(1)).to_be_focused()
    expect(chosen.locator("pre")).to_contain_text("SELECT")
    page.keyboard.press("Escape")
    expect(chosen).to_be_empty()
    expect(content(page)).to_be_visible()
