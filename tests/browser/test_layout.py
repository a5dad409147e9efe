"""What the pages look like in a window, and in an application's own template."""

from __future__ import annotations

import typing as t

import jinja2
import pytest
from flask_admin.theme import Bootstrap4Theme
from playwright.sync_api import expect

from browser import shops
from browser.conftest import MakeShop
from browser.conftest import Serve
from browser.conftest import visit
from browser.shops import Served

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

_MINE = """
{% extends "admin/base.html" %}
{% block head_css %}{{ super() }}
<link rel="stylesheet" href="/static/mine.css">{% endblock %}
{% block brand %}<a class="navbar-brand" href="/">Leaf and Kettle</a>{% endblock %}
{% block page_body %}<header>Opening hours</header>{{ super() }}
<footer>Imprint</footer>{% endblock %}
"""
# What a template of one's own may say of plain elements.
_MINE_CSS = """
body { font-family: serif; font-size: 20px; color: #123456; background: beige; }
h1, h2, h3 { color: darkgreen; text-transform: uppercase; letter-spacing: 3px; }
p, li { line-height: 2; } a { color: crimson; } code { color: deeppink; }
table { font-family: cursive; } th, td { color: navy; background: pink; }
button, input, select { border-radius: 20px; text-transform: uppercase; }
"""


@pytest.fixture(scope="module")
def own_template(make_lasting_shop: MakeShop, serve_lasting: Serve) -> Served:
    """Return a shop whose admin has a base template of the application's."""
    shop = make_lasting_shop()
    shop.app.jinja_loader = jinja2.DictLoader({"mine.html": _MINE})

    def mine() -> tuple[str, dict[str, str]]:
        return _MINE_CSS, {"Content-Type": "text/css"}

    shop.view(mine, "/static/mine.css")
    shops.with_admin(shop, theme=Bootstrap4Theme(base_template="mine.html"))
    return shops.visited(Served(shop, serve_lasting(shop.app)), shops.HEALTHY)


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(
    troubled: Served,
    with_toolbar: Served,
    page: Page,
    width: int,
    scheme: t.Literal["light", "dark"],
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    for address in (
        troubled.sessions(),
        troubled.sessions("findings"),
        troubled.sessions("audit"),
        troubled.detail("/pinned"),
        troubled.detail("/many"),
    ):
        visit(page, address)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, address


class TestOwnTemplate:
    def test_it_is_around_the_page(self, own_template: Served, page: Page) -> None:
        visit(page, own_template.sessions())
        for text in ("Opening hours", "Leaf and Kettle", "Imprint"):
            expect(page.get_by_text(text)).to_be_visible()
        expect(page.get_by_role("link", name="Sessions")).to_be_visible()
        expect(page).to_have_title("Sessions - Back office")
        expect(page.locator("main.fsi")).to_contain_text("each request had its own")
        page.locator("main.fsi").get_by_role("link", name="/undo").last.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("/undo")

    @pytest.mark.parametrize("path", ["", "findings", "audit"])
    def test_the_page_looks_as_it_does_elsewhere(
        self, own_template: Served, healthy: Served, page: Page, path: str
    ) -> None:
        """Styles of the application for plain elements do not reach into ours."""
        visit(page, healthy.sessions(path))
        usual = page.evaluate(_LOOKS)
        visit(page, own_template.sessions(path))
        here = page.evaluate(_LOOKS)
        assert len(usual) > 20
        assert {kind: look for kind, look in here.items() if look != usual[kind]} == {}

    def test_nothing_is_wider_than_the_window(
        self, own_template: Served, page: Page
    ) -> None:
        page.set_viewport_size({"width": 400, "height": 800})
        for path in ("", "findings", "audit"):
            visit(page, own_template.sessions(path))
            assert page.evaluate("document.documentElement.scrollWidth") <= 400


# How each kind of element looks, by its place in the document.
_LOOKS = """() => {
  const properties = ["color", "backgroundColor", "fontFamily", "fontSize",
    "lineHeight", "letterSpacing", "textTransform", "borderTopLeftRadius"];
  const looks = {};
  for (const it of document.querySelectorAll(".fsi, .fsi *")) {
    if (!it.checkVisibility()) continue;
    const style = getComputedStyle(it);
    const kind = `${it.localName}.${it.getAttribute("class") ?? ""}`;
    looks[kind] ??= properties.map((each) => `${each}: ${style[each]}`).join("; ");
  }
  return looks;
}"""
