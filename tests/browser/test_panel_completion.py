"""The panel is made before the teardown, and completes itself after it."""

from __future__ import annotations

import typing as t

from conftest import Shop
from playwright.sync_api import expect

from browser import shops
from browser.conftest import Serve
from browser.conftest import visit

if t.TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_panel_completes_itself_after_the_teardown(
    shop: Shop, serve: Serve, page: Page
) -> None:
    shops.with_toolbar(shop)
    held: list[t.Any] = []
    page.route("**/_session_inspector/panel/*", lambda route: held.append(route))

    with page.expect_request("**/_session_inspector/panel/*"):
        page.goto(serve(shop.app), wait_until="domcontentloaded")
    page.locator("#flDebugSessionsPanel a").click()
    panel = page.locator("#flDebugSessionsPanel-content")
    expect(panel).to_contain_text("teardown pending")
    expect(panel).not_to_contain_text("confirmed after the response")

    page.unroute("**/_session_inspector/panel/*")  # Lets go what was held.
    expect(panel).to_contain_text("confirmed after the response")
    expect(panel).to_contain_text("removed")
    expect(panel).not_to_contain_text("teardown pending")


def test_the_panel_on_the_page_of_the_admin(
    shop: Shop, serve: Serve, page: Page
) -> None:
    """Both can be on one page; neither takes the styles or the ids of the other."""
    shops.with_toolbar(shop)
    base = serve(shop.app)
    visit(page, base)
    visit(page, f"{base}{shops.SESSIONS}")
    page.locator("#flDebugSessionsPanel a").click()
    panel = page.locator("#flDebugSessionsPanel-content")
    expect(panel).to_contain_text("The inspector's own pages are not recorded.")
    ids = page.eval_on_selector_all(".fsi [id]", "all => all.map(it => it.id)")
    assert len(ids) == len(set(ids)) > 0
