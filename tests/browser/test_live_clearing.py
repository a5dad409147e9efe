"""Forgetting what was recorded, and taking it along."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t
import urllib.error
from urllib.parse import urlencode
from urllib.request import Request
from urllib.request import urlopen

import pytest
from flask_admin import Admin
from playwright.sync_api import expect

from browser.conftest import MakeShop
from browser.conftest import NewPage
from browser.conftest import Serve
from browser.shops import Served
from browser.watching import count
from browser.watching import hit
from browser.watching import rows
from browser.watching import tiles
from browser.watching import watch
from browser.watching import without_reload

if t.TYPE_CHECKING:
    from playwright.sync_api import Locator
    from playwright.sync_api import Page


def clear(page: Page) -> Locator:
    """Return what opens the question."""
    return page.locator("summary", has_text="Clear")


def forget(page: Page) -> Locator:
    return page.get_by_role("button", name="Forget them")


def test_it_asks_first(served: Served, page: Page) -> None:
    hit(served, "/", "/write")
    watch(page, served.sessions())
    expect(forget(page)).to_be_hidden()
    clear(page).click()
    question = page.locator("details", has=clear(page))
    expect(question).to_contain_text("Forget 2 recorded requests, for everybody?")
    expect(forget(page)).to_be_in_viewport()
    hit(served, "/plain")
    expect(question).to_contain_text("Forget 3 recorded requests")
    expect(forget(page)).to_be_visible()


def test_nothing_older_is_left(served: Served, page: Page) -> None:
    hit(served, *["/plain"] * 3)
    watch(page, served.sessions("?limit=2"))
    older = page.get_by_role("link", name="Older", exact=True)
    expect(older).to_be_visible()
    served.shop.inspection.clear()
    expect(rows(page)).to_have_count(0)
    expect(older).to_be_hidden()
    hit(served, "/plain")
    expect(older).to_be_visible()


def test_escape_says_no(served: Served, page: Page) -> None:
    hit(served, "/")
    watch(page, served.sessions())
    clear(page).focus()
    page.keyboard.press("Enter")
    expect(forget(page)).to_be_visible()
    page.keyboard.press("Tab")
    expect(forget(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(forget(page)).to_be_hidden()
    expect(clear(page)).to_be_focused()
    expect(rows(page)).to_have_count(1)


def test_a_click_elsewhere_says_no(served: Served, page: Page) -> None:
    hit(served, "/")
    watch(page, served.sessions())
    clear(page).click()
    expect(forget(page)).to_be_visible()
    page.get_by_text("recorded request").click()  # It is part of the question.
    expect(forget(page)).to_be_visible()
    page.get_by_role("heading", name="Requests", exact=True).click()
    expect(forget(page)).to_be_hidden()
    expect(rows(page)).to_have_count(1)


def test_everybody_sees_that_it_was_cleared(served: Served, new_page: NewPage) -> None:
    page, other = new_page(), new_page()
    hit(served, "/write", "/lose", "/plain")
    watch(page, served.sessions())
    watch(other, served.sessions())
    expect(rows(other)).to_have_count(3)
    with without_reload(other):
        clear(page).click()
        forget(page).click()
        for each in (page, other):
            expect(rows(each)).to_have_count(0)
            expect(tiles(each)).to_have_count(0)
            expect(each.get_by_text("Nothing recorded yet")).to_be_visible()
            expect(count(each, "Requests")).to_have_text("0")
            expect(count(each, "Findings")).to_have_text("0")
            expect(each.locator(".fsi-list > .fsi-card-h")).to_contain_text("0 of 0")
        assert served.shop.inspection.requests() == []
        hit(served, "/undo")
        for each in (page, other):
            expect(rows(each).locator(".c-req a")).to_have_text(["/undo"])
    assert page.url == served.sessions()


def test_what_waits_is_forgotten_as_well(served: Served, page: Page) -> None:
    hit(served, "/")
    watch(page, served.sessions())
    page.get_by_role("button", name="Pause").click()
    hit(served, "/write", "/write")
    expect(page.get_by_text("2 waiting")).to_be_visible()
    served.shop.inspection.clear()
    expect(page.get_by_text("0 waiting")).to_be_visible()
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Resume").click()
    expect(rows(page)).to_have_count(0)


def refusal(request: Request) -> tuple[int, str]:
    """Send a request that is to fail, and return status and text of the answer."""
    try:
        urlopen(request).close()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    pytest.fail("The request was not refused.")


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_nothing_is_forgotten_without_the_token(
    served: Served, token: str | None
) -> None:
    hit(served, "/")
    form = {} if token is None else {"token": token}
    request = Request(served.sessions("clear"), urlencode(form).encode())
    status, text = refusal(request)
    assert status == 403
    assert "This action needs the current token" in text
    assert len(served.shop.inspection.requests()) == 1


def test_a_form_that_was_tampered_with(served: Served, page: Page) -> None:
    hit(served, "/")
    watch(page, served.sessions())
    clear(page).click()
    token = page.locator("details input[name=token]")
    token.evaluate("it => { it.value = 'wrong'; }")
    with page.expect_navigation() as navigation:
        forget(page).click()
    assert navigation.value.status == 403
    expect(page.get_by_text("This action needs the current token")).to_be_visible()
    assert len(served.shop.inspection.requests()) == 1


def test_an_address_alone_forgets_nothing(make_shop: MakeShop, serve: Serve) -> None:
    shop = make_shop(DEBUG=True)  # It has no view that answers every address.
    Admin(shop.app)
    served = Served(shop, serve(shop.app))
    with shop.app.app_context():
        pass
    (record,) = shop.inspection.requests()
    address = served.sessions(f"clear?token={shop.inspection.token}")
    assert refusal(Request(address))[0] == 405
    assert record in shop.inspection.requests()


def test_another_site_forgets_nothing(served: Served) -> None:
    hit(served, "/")
    request = Request(
        served.sessions("clear"),
        urlencode({"token": served.shop.inspection.token}).encode(),
        {"Origin": "http://elsewhere.example"},
    )
    assert refusal(request)[0] == 403
    assert len(served.shop.inspection.requests()) == 1


def test_everything_can_be_taken_along(served: Served, page: Page) -> None:
    hit(served, "/write", "/lose")
    watch(page, served.sessions())
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export").click()
    download = downloading.value
    assert re.fullmatch(r"session-inspector-[\d-]+\.json", download.suggested_filename)
    document = json.loads(pathlib.Path(download.path()).read_text())
    assert [each["path"] for each in document["requests"]] == ["/lose", "/write"]
    assert [each["code"] for each in document["findings"]] == ["FSI201"]
    expect(rows(page)).to_have_count(2)
