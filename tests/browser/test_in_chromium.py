"""The page and the panel in a real Chromium, served by a real server."""

from __future__ import annotations

import collections.abc as cabc
import shutil
import threading
import typing as t
from urllib.parse import quote

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from conftest import missing
from flask_admin import Admin
from flask_debugtoolbar import DebugToolbarExtension
from werkzeug.serving import make_server

playwright_api = pytest.importorskip("playwright.sync_api")

if t.TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_HOSTILE = "/<script>document.title='pwned'</script>"


@pytest.fixture(scope="module")
def browser() -> cabc.Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing("Chromium is not installed.")
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> cabc.Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    shop = make_shop()
    shop.app.debug = True
    shop.app.config["DEBUG_TB_INTERCEPT_REDIRECTS"] = False

    def front(anything: str = "") -> str:
        shop.db.session.execute(sa.select(User)).all()
        return (
            "<!doctype html><html lang=en><title>shop</title><body>shop</body></html>"
        )

    shop.app.add_url_rule("/", "front", front)
    shop.app.add_url_rule("/<path:anything>", "front", front)
    Admin(shop.app, name="Back office")
    return shop


@pytest.fixture
def serve() -> cabc.Iterator[t.Callable[[flask.Flask], str]]:
    """Serve applications in threads; returns the address of each."""
    servers = []

    def start(app: flask.Flask) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_panel_completes_itself_after_the_teardown(
    shop: Shop, serve: t.Callable[[flask.Flask], str], page: Page
) -> None:
    """The page is made before the teardown, and says so until it knows more."""
    DebugToolbarExtension(shop.app)
    held: list[t.Any] = []
    page.route("**/_session_inspector/panel/*", lambda route: held.append(route))

    with page.expect_request("**/_session_inspector/panel/*"):
        page.goto(serve(shop.app), wait_until="domcontentloaded")
    page.locator("#flDebugSessionsPanel a").click()
    panel = page.locator("#flDebugSessionsPanel-content")
    playwright_api.expect(panel).to_contain_text("teardown pending")
    playwright_api.expect(panel).not_to_contain_text("confirmed after the response")

    page.unroute("**/_session_inspector/panel/*")  # Lets go what was held.
    playwright_api.expect(panel).to_contain_text("confirmed after the response")
    playwright_api.expect(panel).to_contain_text("removed")
    playwright_api.expect(panel).not_to_contain_text("teardown pending")


def test_the_page_keeps_a_strict_content_security_policy(
    shop: Shop, serve: t.Callable[[flask.Flask], str], page: Page
) -> None:
    @shop.app.after_request
    def allow_own_only(response: flask.Response) -> flask.Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    base = serve(shop.app)
    page.goto(f"{base}{quote(_HOSTILE)}")
    page.goto(f"{base}/admin/sessions/")
    playwright_api.expect(page.locator("body")).to_contain_text(_HOSTILE)
    page.get_by_role("link", name="script").first.click()
    playwright_api.expect(page.locator("h1")).to_contain_text(_HOSTILE)

    # Flask-Admin has a message of its own on every page.
    own = [text for text in said if "JQMIGRATE" not in text]
    assert [text for text in own if "Content Security Policy" in text] == []
    assert page.title() != "pwned"


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(
    shop: Shop,
    serve: t.Callable[[flask.Flask], str],
    page: Page,
    width: int,
    scheme: t.Literal["light", "dark"],
) -> None:
    base = serve(shop.app)
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(base)
    record = shop.newest()
    for path in ("/admin/sessions/", f"/admin/sessions/requests/{record.id}"):
        page.goto(f"{base}{path}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, path
