"""axe on every page and on the panel, in every look; focus and motion."""

from __future__ import annotations

import base64
import collections.abc as cabc
import typing as t
from pathlib import Path

import flask_admin
import pytest
from conftest import Shop
from flask_admin.theme import Bootstrap4Theme
from playwright.sync_api import expect

from browser import shops
from browser.conftest import Complaints
from browser.conftest import MakeShop
from browser.conftest import NewPage
from browser.conftest import Serve
from browser.conftest import visit
from browser.shops import Served

axe_api = pytest.importorskip("axe_playwright_python.sync_playwright")

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

SCHEMES: tuple[t.Literal["light", "dark"], ...] = ("light", "dark")
_SWATCHES = Path(flask_admin.__file__).parent / "static/bootstrap/bootstrap4/swatch"
# Some are dark, and some have colours of their own for headings, tables or text.
SWATCHES = ["cerulean", "cyborg", "darkly", "default", "lux", "superhero"]

Address = t.Callable[[Served], str]

_TAGS = [
    "wcag2a",
    "wcag2aa",
    "wcag21a",
    "wcag21aa",
    "wcag22aa",
    "best-practice",
]
# Of Flask-Admin: the links of its menu have a contrast of 4.2 to 1, and its <html>
# has no lang, which an exclusion of that element would hide with all that is in it.
_HOSTS_LINKS = [".navbar .nav-link"]
_HOSTS_RULES = {"html-has-lang": {"enabled": False}}


# Numbers what Tab should reach, in the order of the document.
_STOPS = """() => {
  const all = document.querySelectorAll(
    ".fsi :is(a[href], button, input, select, textarea, summary, [tabindex])");
  const stops = [...all].filter((it) => it.tabIndex >= 0 && it.checkVisibility());
  stops.forEach((it, number) => { it.dataset.stop = number; });
  return stops.map((it) => it.outerHTML.slice(0, 100));
}"""

# The stop that has the focus, and where it is; null outside of the inspector.
_STOP = """() => {
  const it = document.activeElement;
  if (!it.closest(".fsi")) return null;
  const box = it.getBoundingClientRect();
  const left = Math.max(Math.floor(box.left) - 6, 0);
  const top = Math.max(Math.floor(box.top) - 6, 0);
  return {
    number: Number(it.dataset.stop ?? -1),
    html: it.outerHTML.slice(0, 100),
    perimeter:
      2 * (Math.min(box.width, innerWidth) + Math.min(box.height, innerHeight)),
    clip: {
      x: left,
      y: top,
      width: Math.min(Math.ceil(box.right) + 6, innerWidth) - left,
      height: Math.min(Math.ceil(box.bottom) + 6, innerHeight) - top,
    },
  };
}"""

# How many pixels differ between two pictures by a contrast of 3 to 1 or more.
_CHANGED = """async (pictures) => {
  const [one, other] = await Promise.all(pictures.map(async (picture) => {
    const bytes = Uint8Array.from(atob(picture), (it) => it.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height).data;
  }));
  const linear = (it) => it <= 10 ? it / 3294.6 : ((it / 255 + 0.055) / 1.055) ** 2.4;
  const light = (data, at) =>
    0.2126 * linear(data[at]) + 0.7152 * linear(data[at + 1])
    + 0.0722 * linear(data[at + 2]) + 0.05;
  let changed = 0;
  for (let at = 0; at < one.length; at += 4) {
    const [a, b] = [light(one, at), light(other, at)];
    if (Math.max(a, b) >= 3 * Math.min(a, b)) changed += 1;
  }
  return changed;
}"""

# axe cannot tell what is behind the text of a drawing: it is the last of the shapes
# before it that is filled where the text is, or else the page.
_FAINT_IN_DRAWINGS = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (it) => it <= 10 ? it / 3294.6 : ((it / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) =>
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
  const over = (color, alpha, under) => color.map((it, i) =>
    it * alpha + under[i] * (1 - alpha));
  const backOf = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const [r, g, b, alpha = 1] = numbers(getComputedStyle(it).backgroundColor);
      if (alpha > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const svg of document.querySelectorAll(".fsi svg.fsi-svg")) {
    if (!svg.checkVisibility()) continue;
    let shapes = [];
    for (const it of svg.querySelectorAll("rect, path, circle, text")) {
      const style = getComputedStyle(it);
      if (it.localName !== "text") {
        if (style.fill.startsWith("rgb")) shapes.push([it, style]);
        continue;
      }
      const box = it.getBoundingClientRect();
      const middle = new DOMPoint(
        (box.left + box.right) / 2, (box.top + box.bottom) / 2);
      let back = backOf(svg);
      for (const [shape, { fill, opacity }] of shapes) {
        const point = middle.matrixTransform(shape.getScreenCTM().inverse());
        if (!shape.isPointInFill(point)) continue;
        const [r, g, b, alpha = 1] = numbers(fill);
        back = over([r, g, b], alpha * Number(opacity), back);
      }
      const pair = [light(numbers(style.fill)), light(back)];
      const ratio = Math.max(...pair) / Math.min(...pair);
      if (!(ratio >= 4.5)) faint.push(`${it.textContent}: ${ratio.toFixed(2)}`);
    }
  }
  return faint;
}"""

# Whatever would move, whether it does at this moment or not.
_MOVING = """() => {
  const moves = (style) =>
    style.animationName !== "none"
    || style.transitionDuration.split(",").some((it) => parseFloat(it) > 0);
  return [...document.querySelectorAll(".fsi, .fsi *")].filter((it) =>
    [null, "::before", "::after"].some((part) => moves(getComputedStyle(it, part)))
  ).map((it) => it.outerHTML.slice(0, 100));
}"""


def at(path: str) -> Address:
    return lambda served: served.sessions(path)


def detail(path: str) -> Address:
    return lambda served: served.detail(path)


def _kept_alive(served: Served) -> str:
    (session,) = served.record("/pinned").sessions
    return served.sessions(f"audit?session={session.label}")


PAGES = {
    "list-empty": ("empty", at(""), 200),
    "list-healthy": ("healthy", at(""), 200),
    "list-in-trouble": ("troubled", at(""), 200),
    "list-no-match": ("troubled", at("?path=nobody-was-here"), 200),
    "list-bad-filter": ("troubled", at("?status=abc"), 400),
    "findings-none": ("healthy", at("findings"), 200),
    "findings-some": ("troubled", at("findings"), 200),
    "audit-pinned": ("troubled", at("audit"), 200),
    "audit-kept-alive": ("troubled", _kept_alive, 200),
    "detail-healthy": ("healthy", detail("/write"), 200),
    "detail-without-session": ("healthy", detail("/plain"), 200),
    "detail-in-trouble": ("troubled", detail("/pinned"), 200),
    "detail-lost-write": ("troubled", detail("/lost"), 200),
    "missing": ("healthy", at("requests/none"), 404),
}


def violations(page: Page, within: str = "", *rules: str) -> list[str]:
    """Return what axe finds against a page.

    :param within: A selector, for a part of the page.
    :param rules: The rules to apply; all of WCAG 2.2 AA and the best practices if
        none is given.
    """
    context: dict[str, t.Any] = {"exclude": _HOSTS_LINKS}
    if within:
        context["include"] = within
    options = {
        "resultTypes": ["violations"],
        "runOnly": {
            "type": "rule" if rules else "tag",
            "values": rules or _TAGS,
        },
        "rules": _HOSTS_RULES,
    }
    found = axe_api.Axe().run(page, context, options).response
    ran = {each["id"] for each in found["passes"] + found["violations"]}
    assert ran >= set(rules or ("color-contrast", "target-size")), ran
    return [
        f"{each['id']}: {each['help']}: {' '.join(map(str, node['target']))}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def open_all_details(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")


@pytest.fixture(scope="module")
def swatches(
    make_lasting_shop: MakeShop, serve_lasting: Serve
) -> cabc.Iterator[Served]:
    """Return a shop in trouble, whose admin is to change its colours."""
    shop = shops.with_admin(make_lasting_shop(), theme=Bootstrap4Theme())
    with shops.troubled(shop):
        served = Served(shop, serve_lasting(shop.app))
        yield shops.visited(served, shops.TROUBLED)


def _encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


@pytest.mark.parametrize("name", PAGES)
def test_page(request: pytest.FixtureRequest, page: Page, name: str) -> None:
    fixture, address, status = PAGES[name]
    visit(page, address(request.getfixturevalue(fixture)), status)
    open_all_details(page)
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        assert violations(page) == [], width
        assert page.evaluate(_FAINT_IN_DRAWINGS) == [], width
        # The colours are all that is different in the dark.
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        assert violations(page, ".fsi", "color-contrast") == [], width
        assert page.evaluate(_FAINT_IN_DRAWINGS) == [], width


@pytest.mark.parametrize("path", ["/write", "/pinned"])
def test_panel(with_toolbar: Served, page: Page, path: str) -> None:
    visit(page, with_toolbar.base + path)
    page.locator("#flDebugSessionsPanel a").click()
    # What is around it is the toolbar's.
    panel = "#flDebugSessionsPanel-content .fsi"
    expect(page.locator(panel)).not_to_contain_text("teardown pending")
    open_all_details(page)
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        assert violations(page, panel) == [], width
        assert page.evaluate(_FAINT_IN_DRAWINGS) == [], width
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        assert violations(page, panel, "color-contrast") == [], width
        assert page.evaluate(_FAINT_IN_DRAWINGS) == [], width


@pytest.mark.parametrize("swatch", SWATCHES)
def test_contrast_in_a_swatch(
    swatches: Served, page: Page, complaints: Complaints, swatch: str
) -> None:
    (admin,) = swatches.shop.app.extensions["admin"]
    admin.theme.swatch = swatch
    paths = [swatches.sessions()]
    if swatch in ("cerulean", "darkly", "default"):
        paths.append(swatches.detail("/pinned"))
    for path in paths:
        visit(page, path)
        open_all_details(page)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert violations(page, ".fsi", "color-contrast") == [], scheme
            assert page.evaluate(_FAINT_IN_DRAWINGS) == [], scheme
    if "fonts.googleapis.com" in (_SWATCHES / swatch / "bootstrap.min.css").read_text():
        # Flask-Admin's swatch loads a font, whose address is not resolved here.
        complaints.expect("^elsewhere: https://fonts.googleapis.com/css")
        complaints.expect("ERR_NAME_NOT_RESOLVED .https://fonts.googleapis.com/css")


class TestFocus:
    def test_every_stop_is_seen_and_left(
        self, troubled: Served, page: Page, new_page: NewPage
    ) -> None:
        """Tab leads through the page from start to end, and each stop is marked."""
        visit(page, troubled.sessions())
        canvas = new_page()
        wanted = page.evaluate(_STOPS)
        assert len(wanted) > 30
        reached = []
        unseen = []
        while True:
            page.keyboard.press("Tab")
            stop = page.evaluate(_STOP)
            if stop is None:
                if reached:
                    break
                continue  # Flask-Admin's menu is before.
            reached.append(stop["number"])
            assert len(reached) <= len(wanted), "The focus goes round in circles."
            focused = page.screenshot(clip=stop["clip"])
            page.evaluate("document.activeElement.blur()")
            blurred = page.screenshot(clip=stop["clip"])
            marked = canvas.evaluate(_CHANGED, [_encoded(focused), _encoded(blurred)])
            if marked < stop["perimeter"]:
                unseen.append((stop["html"], marked, stop["perimeter"]))
        assert reached == list(range(len(wanted)))
        assert unseen == []


def test_nothing_moves_where_less_motion_is_asked_for(
    shop: Shop, serve: Serve, page: Page
) -> None:
    served = Served(shop, serve(shop.app))
    page.emulate_media(reduced_motion="reduce")
    visit(page, served.sessions())
    shops.visited(served, ["/write"])
    # A row that has just arrived is what draws attention to itself.
    expect(page.locator("tr.is-new")).to_have_count(1)
    assert page.evaluate(_MOVING) == []
    page.emulate_media(reduced_motion="no-preference")
    assert len(page.evaluate(_MOVING)) == 1
