"""Every page is complete, and of use, in a browser that runs no scripts."""

from __future__ import annotations

import typing as t
from urllib.parse import urljoin
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser.conftest import NewPage
from browser.conftest import visit
from browser.shops import Served

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

_PAGES = ["", "?path=pinned", "findings", "audit", "detail /many", "detail /pinned"]


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page(java_script_enabled=False, viewport={"width": 1280, "height": 800})


def address(served: Served, path: str) -> str:
    kind, _, of = path.partition(" ")
    return served.detail(of) if kind == "detail" else served.sessions(path)


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    """Return what was answered at the addresses that a link led to."""
    return {}


@pytest.mark.parametrize("path", _PAGES)
def test_links_lead_somewhere(
    troubled: Served, page: Page, known: dict[str, str], path: str
) -> None:
    visit(page, address(troubled, path))
    links = page.eval_on_selector_all(
        ".fsi a", "all => all.map(it => [it.getAttribute('href'), it.textContent])"
    )
    assert len(links) > 5
    for href, text in dict(links).items():
        if href.startswith(("http:", "https:")):
            assert urlsplit(href).path.endswith((".html", "/")), href
            continue
        target, _, anchor = urljoin(page.url, href).partition("#")
        if target not in known:
            response = page.request.get(target)
            assert response.status == 200, (href, text)
            known[target] = response.text()
        if anchor:
            assert f'id="{anchor}"' in known[target], (href, text)


@pytest.mark.parametrize("path", ["", "findings", "audit", "detail /pinned"])
def test_nothing_is_shown_that_needs_a_script(
    troubled: Served, page: Page, path: str
) -> None:
    visit(page, address(troubled, path))
    for it in page.locator(".fsi :is(button, [role=button], [data-fsi-pause])").all():
        if it.is_visible():
            assert it.get_attribute("type") == "submit", it.inner_text()
            form = it.locator("xpath=ancestor::form")
            assert form.get_attribute("action"), it.inner_text()
    assert page.locator(".fsi a:not([href])").count() == 0
    # Words of the script, about what it does.
    for word in ("Live", "Paused", "Pause", "Resume", "Retry now", "Try again"):
        for it in page.locator(".fsi").get_by_text(word, exact=True).all():
            expect(it).to_be_hidden()
    expect(page.locator(".fsi :is(.on-live, .on-paused)").first).to_be_hidden()


class TestTheList:
    def test_it_is_filtered_by_its_form(self, troubled: Served, page: Page) -> None:
        visit(page, troubled.sessions())
        rows = page.locator(".fsi-table tbody tr")
        everything = rows.count()
        page.get_by_label("Path contains").fill("pinned")
        page.get_by_role("button", name="Filter").click()
        expect(rows).to_have_count(2)
        expect(page.get_by_label("Path contains")).to_have_value("pinned")
        page.get_by_label("Finding").select_option("FSI101")
        page.get_by_role("button", name="Filter").click()
        expect(rows).to_have_count(1)
        page.get_by_role("link", name="Clear filters").click()
        expect(rows).to_have_count(everything)

    def test_a_chip_of_a_session_filters_too(
        self, troubled: Served, page: Page
    ) -> None:
        (session,) = troubled.record("/pinned").sessions
        visit(page, troubled.sessions())
        page.locator(".fsi-table").get_by_role("link", name=session.label).first.click()
        expect(page.locator(".fsi-table tbody tr")).to_have_count(2)

    def test_tabs_and_tiles(self, troubled: Served, page: Page) -> None:
        visit(page, troubled.sessions())
        tabs = page.get_by_role("navigation", name="Pages of the inspector")
        tabs.get_by_role("link", name="Findings").click()
        expect(page.get_by_role("heading", name="FSI101")).to_be_visible()
        tabs.get_by_role("link", name="Audit").click()
        expect(page.get_by_role("heading", name="Who holds a session")).to_be_visible()
        tabs.get_by_role("link", name="Requests").click()
        page.locator(".fsi-scope a").filter(has_text="/lost").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("GET /lost")

    def test_the_evidence_unfolds(self, troubled: Served, page: Page) -> None:
        visit(page, troubled.detail("/many"))
        statement = page.locator(".fsi-sql details").first
        expect(statement.locator("pre")).to_be_hidden()
        statement.locator("summary").click()
        expect(statement.locator("pre")).to_be_visible()
        expect(statement.locator("pre")).to_contain_text("FROM posts")


def test_a_mark_of_the_timeline_leads_to_its_statement(
    troubled: Served, page: Page
) -> None:
    visit(page, troubled.detail("/many"))
    row = page.locator("#fsi-page-statement-30")
    expect(row).not_to_be_in_viewport()
    page.locator(".fsi-timeline a[href='#fsi-page-statement-30']").focus()
    page.keyboard.press("Enter")
    expect(row).to_be_in_viewport()
    assert page.locator("tr:target").get_attribute("id") == "fsi-page-statement-30"


def test_what_keeps_a_session_alive_is_asked_by_a_form(
    troubled: Served, page: Page
) -> None:
    (session,) = troubled.record("/pinned").sessions
    visit(page, troubled.sessions("audit"))
    page.get_by_label("What keeps a session alive?").fill(session.label)
    page.get_by_role("button", name="Search").click()
    heading = page.get_by_role("heading", name=f"What keeps {session.label} alive")
    expect(heading).to_be_visible()
    expect(page.locator(".fsi-kept")).to_contain_text('variable "pinned"')


def test_a_missing_record_leads_back(troubled: Served, page: Page) -> None:
    visit(page, troubled.sessions("requests/none"), 404)
    page.get_by_role("link", name="Show the records that are kept").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sessions")
