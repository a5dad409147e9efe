"""What comes from requests, databases and code is shown as text, and does nothing."""

from __future__ import annotations

import contextlib
import typing as t
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from conftest import Shop
from playwright.sync_api import expect
from sqlalchemy.orm import Session

from browser import shops
from browser.conftest import Complaints
from browser.conftest import MakeShop
from browser.conftest import Serve
from browser.conftest import visit
from browser.shops import Served

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

_SCRIPT = "<script>document.title='pwned';alert('pwned')</script>"
_IMAGE = "<img src=\\\\evil.example onerror=\"document.title='pwned'\">"
_BREAKOUT = "\"'></title></textarea></svg></style>--><b id=pwned>"
_TEMPLATE = "{{ 'tem' ~ 'plated' }}{% raise %}"
_BIDI = "\u202ereversed\u2066\u200f"
_SPELLED_OUT = "\\u202ereversed\\u2066\u200f"
_LONG = "very-long-" * 500

EVIL = f"{_SCRIPT}{_IMAGE}{_BREAKOUT}{_TEMPLATE}"
EVIL_NAME = f"{_IMAGE}{_TEMPLATE}"

# What would be there if any of it were taken for markup.
_INJECTED = ", ".join(
    [
        *(f".fsi {tag}" for tag in ("script", "img", "iframe", "style", "textarea")),
        "#pwned",
        "[onerror]",
        "[onload]",
        "[onclick]",
        "a[href^='javascript:' i]",
    ]
)

# Texts that run from right to left, though they are Latin.
_REVERSED = """() => {
  const wrong = [];
  const place = (node, at) => {
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + 1);
    return range.getBoundingClientRect();
  };
  for (const root of document.querySelectorAll(".fsi")) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (!node.parentElement.checkVisibility()) continue;
      for (const word of node.data.matchAll(/[a-z]{2}/gi)) {
        const first = place(node, word.index);
        const second = place(node, word.index + 1);
        if (first.top === second.top && first.left > second.left) {
          wrong.push(node.data);
          break;
        }
      }
    }
  }
  return wrong;
}"""


class _Table:
    """A table whose name is markup."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        with shop.app.app_context():
            engine = shop.db.engine
        metadata = sa.MetaData()
        self.table = sa.Table(EVIL_NAME, metadata, sa.Column(_SCRIPT, sa.Integer))
        metadata.create_all(engine)

    def lose(self) -> str:
        """Insert a row and discard it."""
        self.shop.db.session.execute(sa.insert(self.table).values({_SCRIPT: 1}))
        return shops.HTML


def hostile(shop: Shop) -> Shop:
    """Add views that use the database in hostile words, and an admin."""
    session = shop.db.session

    def sql() -> str:
        quoted = EVIL.replace("'", "''").replace(":", "\\:")
        session.execute(sa.text(f"SELECT '{quoted}'")).all()
        session.execute(sa.text(f"SELECT 1 /* {_BIDI} */")).all()
        session.execute(sa.text(f"SELECT 1 /* {_LONG} */")).all()
        return shops.HTML

    def surrogate() -> str:
        with contextlib.suppress(UnicodeError):
            session.execute(sa.text("SELECT :it"), {"it": "\ud800"}).all()
        session.rollback()
        return shops.HTML

    def fail() -> t.NoReturn:
        raise type(f"{_SCRIPT}{_BREAKOUT}", (Exception,), {})(EVIL)

    evil_session = type(EVIL_NAME, (Session,), {})

    def share(rest: str = "") -> str:
        if not kept:
            kept.append(evil_session(shop.db.engine))
        kept[0].execute(sa.text("SELECT 1")).all()
        return shops.HTML

    kept: list[Session] = []
    shop.app.extensions["kept"] = kept
    shop.view(sql, "/sql")
    shop.view(fail, "/fail")
    shop.view(surrogate, "/surrogate")
    shop.view(share, "/share/<path:rest>")
    shop.view(_Table(shop).lose, "/lose")
    return shops.with_admin(shop)


# What is asked for, and how it is shown; bytes that are no text are replaced.
SHOWN = {
    f"/script/{EVIL}": f"/script/{EVIL}",
    f"/query?q={EVIL}": f"/query?q={quote(EVIL, safe='/?=')}",
    f"/share/{_BIDI}/one": f"/share/{_SPELLED_OUT}/one",
    f"/share/{_BIDI}/two": f"/share/{_SPELLED_OUT}/two",
    "/bytes/\udc80\udcff?q=\udcfe": "/bytes/\ufffd\ufffd?q=%FE",
    f"/long/{_LONG}": "/long/very-long-very-long-",
    "/sql": EVIL.replace("'", "''"),
    "/surrogate": "SELECT ",
    "/fail": f"{_SCRIPT}{_BREAKOUT}",
    "/lose": EVIL_NAME,
}


def encoded(path: str) -> str:
    return quote(path.encode("utf-8", "surrogateescape"), safe="/?=")


@contextlib.contextmanager
def serving_hostile(make_shop: MakeShop, serve: Serve) -> t.Iterator[Served]:
    """Serve a shop with nothing but hostile views; yields it before it is visited."""
    shop = hostile(make_shop(SESSION_INSPECTOR_CAPTURE_PARAMETERS=True))
    yield Served(shop, serve(shop.app))
    for each in shop.app.extensions["kept"]:
        each.close()


@pytest.fixture(scope="module")
def served(make_lasting_shop: MakeShop, serve_lasting: Serve) -> t.Iterator[Served]:
    """Return a shop with nothing but hostile records."""
    with serving_hostile(make_lasting_shop, serve_lasting) as served:
        yield shops.visited(served, map(encoded, SHOWN))


@pytest.fixture(scope="module")
def served_with_toolbar(
    make_lasting_shop: MakeShop, serve_lasting: Serve
) -> t.Iterator[Served]:
    """Return a shop with nothing but hostile views, and with the toolbar."""
    with serving_hostile(make_lasting_shop, serve_lasting) as served:
        shops.with_toolbar(served.shop)
        yield served


@pytest.fixture(autouse=True)
def no_dialog(page: Page, complaints: Complaints) -> None:
    def refuse(dialog: t.Any) -> None:
        complaints.all.append(f"page error: a dialog says {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)


def assert_inert(page: Page) -> None:
    """See that none of it became markup, and that none was taken for a template.

    That no address elsewhere was asked is seen when the test ends.
    """
    page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")
    assert page.locator(_INJECTED).count() == 0
    assert page.title() != "pwned"
    assert "templated" not in page.locator("body").inner_text()
    assert "templated" not in page.title()
    assert page.evaluate(_REVERSED) == []


@pytest.mark.parametrize("path", ["", "findings", "audit"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_of_all_records(
    served: Served, page: Page, path: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    visit(page, served.sessions(path))
    assert_inert(page)
    text = page.locator(".fsi").text_content() or ""
    for shown in {
        "": (f"/script/{EVIL}", _SPELLED_OUT, f"{_SCRIPT}{_BREAKOUT}"),
        "findings": (EVIL_NAME, _SPELLED_OUT),
        "audit": ("kept",),
    }[path]:
        assert shown in text
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.split("/")[1][:6])
def test_page_of_a_record(served: Served, page: Page, path: str) -> None:
    records = served.shop.inspection.requests()[::-1]
    record = [each for each in records if each.kind == "request"][
        list(SHOWN).index(path)
    ]
    visit(page, served.sessions(f"requests/{record.id}"))
    assert_inert(page)
    assert SHOWN[path] in page.locator(".fsi").inner_text()
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


# The server's answer to an error has no toolbar.
@pytest.mark.parametrize(
    "path", sorted(SHOWN.keys() - {"/fail"}), ids=lambda path: path.split("/")[1][:6]
)
def test_panel(served_with_toolbar: Served, page: Page, path: str) -> None:
    visit(page, served_with_toolbar.base + encoded(path))
    panel = page.locator("#flDebugSessionsPanel-content .fsi")
    page.locator("#flDebugSessionsPanel a").click()
    expect(panel).not_to_contain_text("teardown pending")
    assert_inert(page)
    assert page.title() == "shop"
    assert SHOWN[path] in panel.inner_text()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?path={}", 200),
        ("?status={}", 400),
        ("?session={}", 400),
        ("?finding={}", 400),
        ("?before={}", 400),
        ("audit?session={}", 400),
        ("requests/{}", 404),
    ],
)
def test_what_is_asked_for(served: Served, page: Page, query: str, status: int) -> None:
    visit(page, served.sessions(query.format(quote(EVIL_NAME, safe=""))), status)
    assert_inert(page)
    if query == "?path={}":
        expect(page.get_by_label("Path contains")).to_have_value(EVIL_NAME)
    if query == "requests/{}":
        expect(page.get_by_role("heading", level=1)).to_contain_text(_IMAGE)
