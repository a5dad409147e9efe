"""The list of requests, while it is open and requests are made."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import parse_qsl
from urllib.parse import urlencode
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser.conftest import MakeShop
from browser.conftest import Serve
from browser.shops import CONFIG
from browser.shops import Served
from browser.shops import with_admin
from browser.watching import POLL
from browser.watching import add_faults
from browser.watching import count
from browser.watching import hit
from browser.watching import row
from browser.watching import rows
from browser.watching import state
from browser.watching import tiles
from browser.watching import watch
from browser.watching import without_reload

if t.TYPE_CHECKING:
    from playwright.sync_api import Locator
    from playwright.sync_api import Page
    from playwright.sync_api import Route


def top_of(element: Locator) -> float:
    return t.cast(float, element.evaluate("it => it.getBoundingClientRect().top"))


def is_marked(row: Locator) -> bool:
    """Say whether a row has the bar of one with a fault."""
    bar = """it => [it, it.cells[0]].some((each) =>
      getComputedStyle(each).boxShadow !== "none")"""
    return t.cast(bool, row.evaluate(bar))


def scroll_into_rows(page: Page) -> None:
    """Scroll so far that the newest rows are above the window."""
    rows(page).nth(3).evaluate("it => it.scrollIntoView({ block: 'start' })")
    assert top_of(rows(page).first) < 0


def test_the_first_request_appears_by_itself(served: Served, page: Page) -> None:
    watch(page, served.sessions())
    expect(page.get_by_text("Nothing recorded yet")).to_be_visible()
    expect(tiles(page)).to_have_count(0)
    with without_reload(page):
        hit(served, "/write")
        expect(rows(page)).to_have_count(1)
        label = served.record("/write").sessions[0].label
        chip = rows(page).get_by_role("link", name=label, exact=True)
        expect(chip).to_be_visible()
        expect(page.get_by_text("Nothing recorded yet")).to_be_hidden()
        expect(tiles(page)).to_have_count(1)
        expect(count(page, "Requests")).to_have_text("1")


def test_everything_on_the_page_follows(served: Served, page: Page) -> None:
    hit(served, "/write", "/undo")
    watch(page, served.sessions())
    verdict = page.get_by_role("region", name="Verdict").get_by_role("heading").first
    healthy = verdict.inner_text()
    with without_reload(page):
        hit(served, "/lose")
        expect(rows(page)).to_have_count(3)
        newest = rows(page).first
        expect(newest).to_contain_text("/lose")
        expect(newest).to_contain_text("FSI201")
        expect(verdict).not_to_have_text(healthy)
        expect(count(page, "Requests")).to_have_text("3")
        expect(count(page, "Findings")).to_have_text("1")
        tabs = page.get_by_role("navigation", name="Pages of the inspector")
        expect(tabs.get_by_role("link", name="Findings")).to_contain_text("1")
        expect(tiles(page)).to_have_count(3)
        expect(page.locator(".fsi-scope")).to_contain_text("/lose")
        expect(page.locator(".fsi-list > .fsi-card-h")).to_contain_text("3 of 3")


def test_requests_come_in_the_order_they_were_made(served: Served, page: Page) -> None:
    watch(page, served.sessions())
    made = [f"/number/{number}" for number in range(12)]
    hit(served, *made)
    expect(rows(page).locator(".c-req a")).to_have_text(made[::-1])


def test_a_request_that_is_told_twice_has_one_row(served: Served, page: Page) -> None:
    hit(served, "/", "/write")

    def ask_for_everything_again(route: Route) -> None:
        parts = urlsplit(route.request.url)
        query = dict(parse_qsl(parts.query))
        query["since"] = query["since"].partition(".")[0] + ".0"
        headers = {**route.request.headers, "if-none-match": '"another"'}
        url = parts._replace(query=urlencode(query)).geturl()
        route.continue_(url=url, headers=headers)

    page.route(POLL, ask_for_everything_again)
    watch(page, served.sessions())
    hit(served, "/plain")
    expect(rows(page)).to_have_count(3)
    for _ in range(3):
        with page.expect_response(POLL) as told:
            pass
        body = told.value.text()
        assert "/plain" in body
        assert "/write" in body
    expect(rows(page).locator(".c-req a")).to_have_text(["/plain", "/write", "/"])


def test_more_requests_come_at_once_than_a_page_has_rows(
    served: Served, page: Page
) -> None:
    """Between what was there and what is new, no request is left out."""
    hit(served, "/plain")
    made: list[str] = []

    def answer_late(route: Route) -> None:
        if not made:
            made.extend(["/write"] * 60)
            hit(served, *made)
        route.continue_()

    page.route(POLL, answer_late)
    watch(page, served.sessions())
    expect(row(page, "/write")).to_have_count(60)
    expect(rows(page).last).to_contain_text("/plain")


def test_the_page_stays_where_it_was_scrolled_to(served: Served, page: Page) -> None:
    hit(served, *["/"] * 30)
    watch(page, served.sessions())
    scroll_into_rows(page)
    being_read = rows(page).nth(6)
    link = being_read.locator(".c-req a").get_attribute("href")
    before = top_of(being_read)
    with without_reload(page):
        hit(served, *["/plain"] * 14)
        button = page.get_by_role("button", name="14 new")
        expect(button).to_be_in_viewport()
        expect(count(page, "Requests")).to_have_text("44")  # The rest has followed.
        expect(rows(page)).to_have_count(30)
        expect(being_read.locator(".c-req a")).to_have_attribute("href", link or "")
        assert top_of(being_read) == pytest.approx(before, abs=2)

        button.click()
        expect(rows(page)).to_have_count(44)
        expect(button).to_be_hidden()
        expect(rows(page).first).to_contain_text("/plain")
        expect(rows(page).first).to_be_in_viewport()


def test_held_requests_come_when_one_scrolls_back(served: Served, page: Page) -> None:
    hit(served, *["/"] * 30)
    watch(page, served.sessions())
    scroll_into_rows(page)
    hit(served, "/plain")
    button = page.get_by_role("button", name="1 new")
    expect(button).to_be_visible()
    page.mouse.wheel(0, -10_000)
    expect(row(page, "/plain")).to_have_count(1)
    expect(button).to_be_hidden()


def test_the_focus_stays_on_a_link_in_the_table(served: Served, page: Page) -> None:
    hit(served, "/", "/write", "/undo")
    watch(page, served.sessions())
    link = row(page, "/write").locator(".c-req a")
    link.focus()
    before = top_of(link)
    hit(served, *["/plain"] * 3)
    expect(rows(page)).to_have_count(6)
    expect(link).to_be_focused()
    assert top_of(link) == pytest.approx(before, abs=2)


def test_the_focus_stays_when_a_notice_goes(served: Served, page: Page) -> None:
    """What is gone from above takes nothing along that is below."""
    hit(served, "/", "/write", "/undo")
    served.shop.inspection.pause()
    watch(page, served.sessions())
    expect(page.get_by_text("Recording is paused.")).to_be_visible()
    field = page.get_by_label("Path contains")
    field.press_sequentially("/wr")
    with without_reload(page):
        served.shop.inspection.resume()
        expect(page.get_by_text("Recording is paused.")).to_be_hidden()
        expect(rows(page)).to_have_count(3)
        expect(field).to_be_focused()
        expect(field).to_have_value("/wr")
        served.shop.inspection.pause()
        expect(page.get_by_text("Recording is paused.")).to_be_visible()
        expect(rows(page)).to_have_count(3)
        expect(field).to_be_focused()


def test_what_is_selected_stays_selected(served: Served, page: Page) -> None:
    hit(served, "/", "/write")
    watch(page, served.sessions())
    link = row(page, "/write").locator(".c-req a")
    link.evaluate("it => getSelection().selectAllChildren(it)")
    hit(served, "/share", "/share")
    expect(rows(page)).to_have_count(4)
    assert page.evaluate("getSelection().toString()") == "/write"


def test_what_is_typed_into_a_filter_stays(served: Served, page: Page) -> None:
    hit(served, "/")
    watch(page, served.sessions())
    page.get_by_label("Status").select_option("5xx")
    field = page.get_by_label("Path contains")
    field.press_sequentially("/or")
    hit(served, "/write")
    expect(rows(page)).to_have_count(2)
    expect(field).to_be_focused()
    field.press_sequentially("ders")
    expect(field).to_have_value("/orders")
    expect(page.get_by_label("Status")).to_have_value("5xx")


def test_what_is_unfolded_stays_unfolded(served: Served, page: Page) -> None:
    hit(served, *["/share"] * 5)
    watch(page, served.sessions())
    more = page.get_by_role("region", name="Verdict").get_by_text(
        re.compile(r"^\d more$")
    )
    more.click()
    folded = page.locator(".fsi-verdicts details li").last
    expect(folded).to_be_visible()
    hit(served, "/share")
    expect(rows(page)).to_have_count(6)
    expect(folded).to_be_visible()


def test_the_diagram_holds_still_under_the_pointer(served: Served, page: Page) -> None:
    hit(served, "/", "/write")
    watch(page, served.sessions())
    tiles(page).first.hover()
    hit(served, "/write")
    expect(count(page, "Requests")).to_have_text("3")
    expect(rows(page)).to_have_count(3)
    expect(tiles(page)).to_have_count(2)
    hit(served, "/undo")
    expect(rows(page)).to_have_count(4)
    expect(tiles(page)).to_have_count(2)
    page.mouse.move(0, 0)
    expect(tiles(page)).to_have_count(4)
    expect(tiles(page).first).to_be_visible()


def test_the_diagram_holds_still_around_the_focus(served: Served, page: Page) -> None:
    hit(served, "/", "/write")
    watch(page, served.sessions())
    tile = tiles(page).first
    tile.focus()
    hit(served, "/write")
    expect(rows(page)).to_have_count(3)
    expect(tiles(page)).to_have_count(2)
    expect(tile).to_be_focused()
    tile.blur()
    expect(tiles(page)).to_have_count(3)


def test_an_earlier_row_turns_red(served: Served, page: Page) -> None:
    """A later request shares its session."""
    hit(served, "/plain", "/share", "/write")
    watch(page, served.sessions())
    earlier = row(page, "/share").last
    expect(earlier.locator(".c-sess")).not_to_contain_text("shared")
    with without_reload(page):
        hit(served, "/share")
        expect(rows(page)).to_have_count(4)
        expect(earlier.locator(".c-sess")).to_contain_text("shared by 2 requests")
        assert is_marked(earlier)
        assert not is_marked(row(page, "/plain"))
        hit(served, "/share")
        expect(earlier.locator(".c-sess")).to_contain_text("shared by 3 requests")
    assert rows(page).locator(".c-req a").all_inner_texts() == [
        "/share",
        "/share",
        "/write",
        "/share",
        "/plain",
    ]


def test_nothing_changes_while_it_is_paused(served: Served, page: Page) -> None:
    hit(served, "/", "/write")
    watch(page, served.sessions())
    page.get_by_role("button", name="Pause").click()
    answer = page.get_by_role("region", name="Verdict")
    before = answer.inner_text()
    hit(served, "/lose", "/plain", "/undo")
    expect(state(page)).to_contain_text("Paused")
    expect(state(page)).to_contain_text("3 waiting")
    expect(rows(page)).to_have_count(2)
    expect(tiles(page)).to_have_count(2)
    assert answer.inner_text() == before
    expect(page.get_by_role("button", name="new")).to_be_hidden()

    page.get_by_role("button", name="Resume").click()
    expect(rows(page)).to_have_count(5)
    expect(rows(page).first).to_contain_text("/undo")
    expect(state(page)).to_contain_text("Live")
    expect(count(page, "Requests")).to_have_text("5")
    hit(served, "/write")
    expect(rows(page)).to_have_count(6)


def test_filters_are_in_the_address(served: Served, page: Page) -> None:
    hit(served, "/write", "/plain", "/write/none", "/lose")
    watch(page, served.sessions())
    page.get_by_label("Path contains").fill("/write")
    page.get_by_label("Status").select_option("2xx")
    page.get_by_role("button", name="Filter").click()
    expect(rows(page)).to_have_count(2)
    query = dict(parse_qsl(urlsplit(page.url).query))
    assert query == {"path": "/write", "status": "2xx"}

    page.get_by_role("textbox", name="Session").fill(
        served.record("/write").sessions[0].label
    )
    page.get_by_role("button", name="Filter").click()
    expect(rows(page)).to_have_count(1)
    page.go_back()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_role("textbox", name="Session")).to_have_value("")
    expect(page.get_by_label("Path contains")).to_have_value("/write")
    page.go_back()
    expect(rows(page)).to_have_count(4)
    page.go_forward()
    expect(rows(page)).to_have_count(2)
    page.get_by_role("link", name="Clear filters").click()
    expect(rows(page)).to_have_count(4)
    assert urlsplit(page.url).query == ""


def test_only_what_matches_the_filters_arrives(served: Served, page: Page) -> None:
    watch(page, served.sessions("?path=/write&status=2xx"))
    expect(page.get_by_text("No request matches these filters")).to_be_visible()
    hit(served, "/write/1", "/plain", "/write/2", "/")
    expect(rows(page).locator(".c-req a")).to_have_text(["/write/2", "/write/1"])
    expect(page.get_by_text("No request matches these filters")).to_be_hidden()
    # What the requests prove together does not depend on the filters.
    expect(count(page, "Requests")).to_have_text("4")


def test_only_findings_arrive(served: Served, page: Page) -> None:
    hit(served, "/", "/lose")
    watch(page, served.sessions())
    page.get_by_label("Finding").select_option(label="With a finding")
    page.get_by_role("button", name="Filter").click()
    expect(rows(page)).to_have_count(1)
    hit(served, "/write", "/lose")
    expect(rows(page).locator(".c-req a")).to_have_text(["/lose", "/lose"])
    page.get_by_label("Finding").select_option("FSI101")
    page.get_by_role("button", name="Filter").click()
    expect(rows(page)).to_have_count(0)
    hit(served, "/lose", "/share", "/share")
    expect(rows(page).locator(".c-req a")).to_have_text(["/share"])


def test_a_session_is_followed(served: Served, page: Page) -> None:
    hit(served, "/share", "/write")
    watch(page, served.sessions())
    label = served.record("/share").sessions[0].label
    row(page, "/share").get_by_role("link", name=label).click()
    expect(rows(page).locator(".c-req a")).to_have_text(["/share"])
    hit(served, "/write", "/share")
    expect(rows(page).locator(".c-req a")).to_have_text(["/share", "/share"])


def test_more_rows_on_a_page(served: Served, page: Page) -> None:
    hit(served, *["/plain"] * 55)
    watch(page, served.sessions())
    expect(rows(page)).to_have_count(50)
    page.get_by_label("Rows").select_option("1,000")
    page.get_by_role("button", name="Filter").click()
    expect(rows(page)).to_have_count(55)
    expect(page).to_have_url(re.compile("limit=1000"))
    hit(served, "/write")
    expect(rows(page)).to_have_count(56)


def test_older_pages_get_no_new_rows(served: Served, page: Page) -> None:
    hit(served, *[f"/number/{number}" for number in range(60)])
    watch(page, served.sessions())
    page.get_by_role("link", name="Older", exact=True).click()
    expect(rows(page)).to_have_count(10)
    expect(state(page)).to_contain_text("Live")
    oldest = [f"/number/{number}" for number in range(9, -1, -1)]
    hit(served, "/write")
    expect(count(page, "Requests")).to_have_text("61")
    expect(rows(page).locator(".c-req a")).to_have_text(oldest)
    page.get_by_role("link", name="Newest").click()
    expect(rows(page).first).to_contain_text("/write")


def test_older_goes_on_after_the_last_row(served: Served, page: Page) -> None:
    """Also where rows have arrived since the page was loaded."""
    hit(served, *[f"/number/{number}" for number in range(60)])
    watch(page, served.sessions())
    hit(served, *["/write"] * 5)
    expect(rows(page)).to_have_count(55)
    page.get_by_role("link", name="Older", exact=True).click()
    oldest = [f"/number/{number}" for number in range(9, -1, -1)]
    expect(rows(page).locator(".c-req a")).to_have_text(oldest)


def test_what_is_no_longer_kept_leaves_the_page(
    make_shop: MakeShop, serve: Serve, page: Page
) -> None:
    shop = with_admin(
        make_shop(
            SESSION_INSPECTOR_MAX_REQUESTS=5,
            SESSION_INSPECTOR_EXCLUDE=("/favicon.ico",),
        )
    )
    served = Served(shop, serve(shop.app))
    hit(served, *[f"/number/{number}" for number in range(5)])
    watch(page, served.sessions())
    expect(rows(page)).to_have_count(5)
    hit(served, "/write", "/undo")
    newest = ["/undo", "/write", "/number/4", "/number/3", "/number/2"]
    expect(rows(page).locator(".c-req a")).to_have_text(newest)
    expect(page.get_by_text("Only the last 5 records are kept.")).to_be_visible()
    hit(served, *[f"/again/{number}" for number in range(8)])
    newest = [f"/again/{number}" for number in range(7, 2, -1)]
    expect(rows(page).locator(".c-req a")).to_have_text(newest)
    expect(page.locator(".fsi-list > .fsi-card-h")).to_contain_text("5 of 5")


def test_a_finding_is_announced_where_an_old_one_goes(
    make_shop: MakeShop, serve: Serve, page: Page
) -> None:
    shop = with_admin(make_shop(SESSION_INSPECTOR_MAX_REQUESTS=2, **CONFIG))
    add_faults(shop)
    served = Served(shop, serve(shop.app))
    hit(served, "/lose", "/lose")
    watch(page, served.sessions())
    said = page.locator(".fsi-page [role=status]")
    expect(said).to_have_text("")
    hit(served, "/lose")
    expect(said).to_contain_text("2 findings, the newest FSI201")


def test_findings_are_announced_and_requests_are_not(
    served: Served, page: Page
) -> None:
    hit(served, "/lose")
    watch(page, served.sessions())
    said = page.locator("[role=status]")
    page.evaluate(
        """() => {
          window.announced = [];
          const said = document.querySelector(".fsi-page [role=status]");
          new MutationObserver(() => window.announced.push(said.textContent))
            .observe(said, { childList: true, characterData: true, subtree: true });
        }"""
    )
    hit(served, "/", "/write")
    expect(rows(page)).to_have_count(3)
    expect(said).to_have_text("")
    hit(served, "/lose")
    expect(said).to_contain_text("2 findings, the newest FSI201")
    hit(served, "/plain")
    expect(rows(page)).to_have_count(5)
    announced = page.evaluate("window.announced")
    assert len(announced) == 1, announced
    assert page.evaluate("document.activeElement === document.body")
    # What is only to be heard takes no room.
    assert said.bounding_box()["width"] <= 1  # type: ignore[index]
