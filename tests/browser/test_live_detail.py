"""The page of one record while it is open, and the keyboard on both pages."""

from __future__ import annotations

import re
import threading
import typing as t

import pytest
from conftest import User
from playwright.sync_api import expect
from sqlalchemy import select
from sqlalchemy import text
from sqlalchemy.orm import Session

from browser.conftest import Complaints
from browser.conftest import MakeShop
from browser.conftest import Serve
from browser.conftest import visit
from browser.shops import CONFIG
from browser.shops import Served
from browser.shops import with_admin
from browser.watching import PAGE
from browser.watching import hit
from browser.watching import row
from browser.watching import rows
from browser.watching import state
from browser.watching import tab_to
from browser.watching import watch
from browser.watching import without_reload

if t.TYPE_CHECKING:
    from playwright.sync_api import Locator
    from playwright.sync_api import Page

GONE = "This record is no longer kept."


def marks(page: Page) -> Locator:
    """Return the statements in the timeline."""
    return page.locator(".fsi-timeline a")


def chosen(page: Page) -> Locator:
    """Return what is said of the chosen statement below the timeline."""
    return page.locator(".fsi-chosen")


def across(page: Page) -> Locator:
    """Return the line across all lanes."""
    return page.locator(".fsi-timeline .g-chosen")


def test_a_row_leads_to_a_lasting_address(served: Served, page: Page) -> None:
    hit(served, "/write")
    watch(page, served.sessions())
    row(page, "/write").get_by_role("link", name="/write").click()
    expect(page).to_have_url(served.detail("/write"))
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("GET.*/write"))
    hit(served, "/plain")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("GET.*/write"))
    page.get_by_role("link", name="All requests").click()
    expect(rows(page)).to_have_count(2)


def test_a_row_that_arrived_leads_there_too(served: Served, page: Page) -> None:
    watch(page, served.sessions())
    hit(served, "/write")
    row(page, "/write").get_by_role("link", name="/write").click()
    expect(page).to_have_url(served.detail("/write"))


def test_a_later_request_changes_what_is_said(served: Served, page: Page) -> None:
    hit(served, "/share")
    watch(page, served.detail("/share"))
    sessions = page.get_by_role("table", name="Sessions")
    expect(sessions).not_to_contain_text("shared")
    with without_reload(page):
        hit(served, "/share")
        expect(sessions).to_contain_text("shared")
        expect(page.get_by_role("link", name="Next")).to_be_visible()


def test_what_is_read_stays_when_something_is_added(served: Served, page: Page) -> None:
    with served.shop.app.app_context():
        kept = Session(served.shop.db.engine)

    def ask_much() -> str:
        kept.execute(text(f"SELECT 1 AS one{', 2 AS more' * 50}")).all()
        kept.rollback()
        return PAGE

    served.shop.view(ask_much, "/ask-much")
    hit(served, "/ask-much")
    watch(page, served.detail("/ask-much"))
    marks(page).first.click()
    expect(chosen(page)).to_contain_text("SELECT")
    sql = page.locator("#fsi-page-statement-1 summary")
    sql.click()
    whole = page.locator("#fsi-page-statement-1 pre")
    expect(whole).to_be_visible()
    sql.focus()
    hit(served, "/ask-much")
    expect(page.get_by_role("table", name="Sessions")).to_contain_text("shared")
    expect(whole).to_be_visible()
    expect(sql).to_be_focused()
    expect(chosen(page)).to_contain_text("SELECT")
    expect(across(page)).to_have_css("visibility", "visible")
    expect(marks(page).first).to_have_attribute("aria-current", "true")


def test_a_finding_that_comes_late(served: Served, page: Page) -> None:
    """A thread goes on with the session when the request is over."""
    go_on = threading.Event()
    threads: list[threading.Thread] = []
    db = served.shop.db

    def hand_over() -> str:
        session = db.session()

        def work() -> None:
            go_on.wait()
            with served.shop.app.app_context():
                session.execute(select(User)).all()
                session.close()

        threads.append(threading.Thread(target=work))
        threads[0].start()
        return PAGE

    served.shop.view(hand_over, "/hand-over")
    hit(served, "/hand-over")
    watch(page, served.detail("/hand-over"))
    findings = page.get_by_role("article")
    before = findings.count()
    with without_reload(page):
        go_on.set()
        threads[0].join()
        expect(findings).not_to_have_count(before)
        expect(findings.first).to_contain_text("FSI3")


def test_a_record_that_is_replaced_while_it_is_open(
    make_shop: MakeShop, serve: Serve, page: Page, complaints: Complaints
) -> None:
    complaints.expect("410")
    shop = with_admin(make_shop(SESSION_INSPECTOR_MAX_REQUESTS=2, **CONFIG))
    served = Served(shop, serve(shop.app))
    hit(served, "/write")
    watch(page, served.detail("/write"))
    expect(page.get_by_text(GONE)).to_be_hidden()
    hit(served, "/", "/")
    expect(page.get_by_text(GONE)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("/write")
    expect(marks(page)).to_have_count(2)
    expect(page.get_by_text("Live", exact=True)).to_be_hidden()


def test_a_record_that_is_cleared_while_it_is_open(
    served: Served, page: Page, complaints: Complaints
) -> None:
    complaints.expect("410")
    hit(served, "/write")
    watch(page, served.detail("/write"))
    served.shop.inspection.clear()
    expect(page.get_by_text(GONE)).to_be_visible()


def test_a_record_that_is_not_there(served: Served, page: Page) -> None:
    hit(served, "/write")
    address = served.detail("/write")
    served.shop.inspection.clear()
    visit(page, address, status=404)
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("There is no record")
    expect(page.locator(".fsi-state")).to_have_count(0)
    page.get_by_role("link", name="Show the records that are kept").click()
    expect(page).to_have_url(served.sessions())


def test_the_list_with_the_keyboard_alone(served: Served, page: Page) -> None:
    hit(served, "/", "/write", "/undo")
    watch(page, served.sessions())
    tab_to(page, page.locator("[data-fsi-pause]"))
    page.keyboard.press("Enter")
    expect(state(page)).to_contain_text("Paused")
    page.keyboard.press("Space")
    expect(state(page)).to_contain_text("Live")
    tab_to(page, page.get_by_role("link", name="Export"))
    tab_to(page, page.locator("summary", has_text="Clear"))
    tab_to(page, page.get_by_role("link", name="Findings"))
    tab_to(page, page.locator(".fsi-scope a").first)
    tab_to(page, page.get_by_label("Path contains"))
    tab_to(page, row(page, "/write").get_by_role("link", name="/write"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(served.detail("/write"))


def test_the_timeline_with_the_keyboard_alone(served: Served, page: Page) -> None:
    hit(served, "/write")
    watch(page, served.detail("/write"))
    expect(marks(page)).to_have_count(2)
    expect(across(page)).to_have_css("visibility", "hidden")
    tab_to(page, marks(page).nth(0))
    page.keyboard.press("ArrowRight")
    expect(marks(page).nth(1)).to_be_focused()
    expect(chosen(page).locator("pre")).to_contain_text("SELECT")
    expect(across(page)).to_have_css("visibility", "visible")
    drawing = page.locator(".fsi-timeline").bounding_box()
    assert drawing is not None
    height = across(page).evaluate("it => it.getBoundingClientRect().height")
    assert height > drawing["height"] / 2
    below = chosen(page).bounding_box()
    assert below is not None
    assert below["y"] >= drawing["y"] + drawing["height"] - 1

    page.keyboard.press("ArrowLeft")
    expect(marks(page).nth(0)).to_be_focused()
    expect(chosen(page).locator("pre")).to_contain_text("INSERT")
    page.keyboard.press("ArrowLeft")  # There is none before the first.
    expect(marks(page).nth(0)).to_be_focused()
    page.keyboard.press("End")
    expect(marks(page).nth(1)).to_be_focused()
    page.keyboard.press("Home")
    expect(marks(page).nth(0)).to_be_focused()
    expect(chosen(page)).to_contain_text("Rows")

    page.keyboard.press("Escape")
    expect(chosen(page)).to_be_empty()
    expect(across(page)).to_have_css("visibility", "hidden")
    expect(page.locator(".fsi-timeline [aria-current]")).to_have_count(0)


def test_a_statement_that_is_pointed_at(served: Served, page: Page) -> None:
    hit(served, "/write")
    watch(page, served.detail("/write"))
    address = page.url
    marks(page).nth(1).click()
    expect(chosen(page).locator("pre")).to_contain_text("SELECT")
    expect(chosen(page)).to_be_in_viewport()
    marks(page).nth(0).click()
    expect(chosen(page).locator("pre")).to_have_count(1)
    expect(chosen(page).locator("pre")).to_contain_text("INSERT")
    assert page.url == address


@pytest.mark.parametrize("path", ["findings", "audit"])
def test_the_other_pages_follow(served: Served, page: Page, path: str) -> None:
    hit(served, "/lose")
    watch(page, served.sessions(path))
    tabs = page.get_by_role("navigation", name="Pages of the inspector")
    findings = tabs.get_by_role("link", name="Findings")
    expect(findings).to_contain_text("1")
    with without_reload(page):
        hit(served, "/share", "/share")
        expect(findings).not_to_have_text(re.compile(r"Findings\s*1$"))
        if path == "findings":
            expect(page.locator("#FSI101")).to_be_visible()
            expect(page.locator("#FSI201")).to_be_visible()
        else:
            expect(page.locator("tbody tr.is-bad")).to_contain_text("share")
