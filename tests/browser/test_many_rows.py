"""The list with as many rows as it can have."""

from __future__ import annotations

import typing as t

from playwright.sync_api import expect

from browser.conftest import MakeShop
from browser.conftest import Serve
from browser.shops import CONFIG
from browser.shops import Served
from browser.shops import with_admin
from browser.watching import hit
from browser.watching import rows
from browser.watching import watch
from browser.watching import without_reload

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

MOST = 1000


def test_a_thousand_rows(make_shop: MakeShop, serve: Serve, page: Page) -> None:
    shop = with_admin(make_shop(SESSION_INSPECTOR_MAX_REQUESTS=2 * MOST, **CONFIG))
    shop.app.add_url_rule("/number/<number>", "numbered", lambda number: number)
    served = Served(shop, serve(shop.app))
    client = shop.app.test_client()
    for number in range(MOST + 10):
        client.get(f"/number/{number}").close()
    watch(page, served.sessions("?limit=1000"))
    expect(rows(page)).to_have_count(MOST)
    expect(rows(page).first).to_contain_text(f"/number/{MOST + 9}")
    with without_reload(page):
        hit(served, "/write", "/undo", "/plain")
        for place, path in enumerate(["/plain", "/undo", "/write"]):
            expect(rows(page).nth(place)).to_contain_text(path)
        expect(rows(page)).to_have_count(MOST)
        expect(rows(page).last).to_contain_text("/number/13")
        expect(page.locator(".fsi-list > .fsi-card-h")).to_contain_text(
            "1,000 of 1,013"
        )
    # By the keyboard: rows that come into view take their real height only then, and
    # a click that is as fast as this one can miss a link that moves.
    page.get_by_role("link", name="Older", exact=True).press("Enter")
    expect(rows(page)).to_have_count(13)
    expect(rows(page).first).to_contain_text("/number/12")
