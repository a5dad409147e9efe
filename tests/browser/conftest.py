"""A real Chromium, real servers, and a watch on what the browser complains about.

The fixtures:

* ``page`` is a watched page, ``new_page`` makes more of them, with options.
* ``complaints`` is what was said against the pages. The test fails at its end if
  there is any complaint that it did not declare by ``complaints.expect(...)``.
* ``serve`` serves an application for one test.
* ``empty``, ``healthy``, ``troubled`` and ``with_toolbar`` are shops that are served
  once for all tests of a module, which only read them; what they hold is said in
  ``shops``. ``make_lasting_shop`` and ``serve_lasting`` make more.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import re
import shutil
import threading
import typing as t
from urllib.parse import urlsplit

import flask
import pytest
from conftest import Shop
from conftest import making_apps
from conftest import missing
from conftest import shop_maker
from werkzeug.serving import make_server

from browser import shops
from browser import watching
from browser.shops import Served

playwright_api = pytest.importorskip("playwright.sync_api")

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment
    from playwright.sync_api import Browser
    from playwright.sync_api import ConsoleMessage
    from playwright.sync_api import Page
    from playwright.sync_api import Request
    from playwright.sync_api import Response

MakeShop = t.Callable[..., Shop]
Serve = t.Callable[[flask.Flask], str]
NewPage = t.Callable[..., "Page"]

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Nothing leaves this machine, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

# Tells of each violation, and whether it happened inside the inspector's own element.
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  const target = event.composedPath()[0];
  const element = target instanceof Element ? target : null;
  window.fsiTestViolation({
    directive: event.effectiveDirective,
    blocked: event.blockedURI,
    source: event.sourceFile,
    html: element ? element.outerHTML.slice(0, 200) : "",
    own: element !== null && element.closest(".fsi") !== null,
  });
});
"""


class Complaints:
    """What the browser said against the pages of one test.

    Each is one line that begins with what it is: ``console``, ``page error``,
    ``elsewhere`` (a request that was to leave the application), ``own violation``
    or ``host's violation`` (of a Content-Security-Policy).
    """

    def __init__(self) -> None:
        self.all: list[str] = []
        self._expected: list[str] = []

    def expect(self, pattern: str) -> None:
        """Declare that complaints that match come, and are no fault of ours.

        The test fails if none comes, so that no declaration outlives its cause.

        :param pattern: A regular expression, searched for in the line.
        """
        self._expected.append(pattern)

    def watch(self, page: Page, *, scripts: bool = True) -> None:
        """Listen to a page from now on.

        :param scripts: Whether the page runs JavaScript.
        """
        page.on("console", lambda message: self._hear(page, message, scripts))
        page.on("pageerror", lambda error: self.all.append(f"page error: {error}"))
        page.on("request", self._look)
        page.expose_function("fsiTestViolation", self._note)
        page.add_init_script(_REPORT_VIOLATIONS)

    def check(self) -> None:
        """Fail if there is a complaint that is not declared, or the reverse."""
        undeclared = [
            each
            for each in self.all
            if not any(re.search(pattern, each) for pattern in self._expected)
        ]
        assert undeclared == [], "The browser complained."
        for pattern in self._expected:
            assert any(re.search(pattern, each) for each in self.all), (
                f"No complaint matches {pattern!r}, though the test expects it."
            )

    def _hear(self, page: Page, message: ConsoleMessage, scripts: bool) -> None:
        if message.type not in ("warning", "error"):
            return
        # jQuery Migrate of Flask-Admin and of the toolbar greets on every page.
        if "JQMIGRATE" in message.text:
            return
        # The event says the same, and where; without JavaScript there is no event.
        if scripts and "Content Security Policy" in message.text:
            return
        url = message.location["url"]
        if message.text.startswith("Failed to load resource"):
            # The answer to the navigation itself: the test asserts its status.
            if url.partition("#")[0] == page.url.partition("#")[0]:
                return
            # This is how the panel learns that its request has not ended yet.
            if "/_session_inspector/panel/" in url and " 404 " in message.text:
                return
        self.all.append(f"console {message.type}: {message.text} ({url})")

    def _look(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.all.append(f"elsewhere: {request.url}")

    def _note(self, said: dict[str, t.Any]) -> None:
        own = said["own"] or any(
            "/_session_inspector/" in said[each] for each in ("blocked", "source")
        )
        self.all.append(
            f"{'own' if own else 'host' + chr(39) + 's'} violation:"
            f" {said['directive']} blocked {said['blocked']}"
            f" of {urlsplit(said['source']).path} at {said['html']}"
        )


@pytest.fixture(scope="package")
def browser() -> cabc.Iterator[Browser]:
    """One Chromium for all tests of this package that a worker runs."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing("Chromium is not installed.")
    # Its event loop would be in the way of tests outside of this package.
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def complaints() -> Complaints:
    """What was said against the pages of this test; looked at when it ends."""
    return Complaints()


@pytest.fixture
def new_page(browser: Browser, complaints: Complaints) -> cabc.Iterator[NewPage]:
    """Make watched pages; takes the options of a browser context."""
    pages: list[Page] = []

    def make(**options: t.Any) -> Page:
        page = browser.new_context(**options).new_page()
        complaints.watch(page, scripts=options.get("java_script_enabled", True))
        pages.append(page)
        return page

    yield make
    for page in pages:
        page.title()  # What was said before this answer has arrived.
        page.context.close()
    complaints.check()


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """Return a watched page of 1280 x 800."""
    return new_page(viewport={"width": 1280, "height": 800})


def visit(page: Page, url: str, status: int = 200) -> Response:
    """Go to an address and check the status of the answer."""
    response = page.goto(url)
    assert response is not None
    assert response.status == status, url
    return response


def _closing_files(app: flask.Flask) -> WSGIApplication:
    """Read files before they are sent.

    Werkzeug leaves a file open if the browser hangs up, as it does when it goes on
    to another page.
    """

    def answer(
        environ: WSGIEnvironment, start_response: StartResponse
    ) -> cabc.Iterable[bytes]:
        body = app(environ, start_response)
        if "/static/" not in environ["PATH_INFO"]:
            return body
        with contextlib.closing(t.cast(t.Any, body)):
            return list(body)

    return answer


@contextlib.contextmanager
def serving() -> cabc.Iterator[Serve]:
    """Serve applications in threads until the end of the block."""
    servers = []

    def start(app: flask.Flask) -> str:
        server = make_server("127.0.0.1", 0, _closing_files(app), threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serve() -> cabc.Iterator[Serve]:
    """Serve applications for one test; returns the address of each."""
    with serving() as start:
        yield start


@pytest.fixture(scope="module")
def make_lasting_shop(
    tmp_path_factory: pytest.TempPathFactory,
) -> cabc.Iterator[MakeShop]:
    """Make shops that all tests of a module look at."""
    with making_apps() as make_app:

        def make(**config: t.Any) -> Shop:
            folder = tmp_path_factory.mktemp("shop")
            return shop_maker(make_app, folder)(**shops.CONFIG, **config)

        yield make


@pytest.fixture(scope="module")
def serve_lasting() -> cabc.Iterator[Serve]:
    """Serve applications for all tests of a module."""
    with serving() as start:
        yield start


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """Return a shop with an admin that answers every path, for one test."""
    return shops.with_admin(make_shop(**shops.CONFIG))


@pytest.fixture(scope="module")
def empty(make_lasting_shop: MakeShop, serve_lasting: Serve) -> Served:
    """Return a shop with an admin that nobody has visited."""
    shop = shops.with_admin(make_lasting_shop())
    return Served(shop, serve_lasting(shop.app))


@pytest.fixture(scope="module")
def healthy(make_lasting_shop: MakeShop, serve_lasting: Serve) -> Served:
    """Return a shop with requests that did nothing wrong."""
    shop = shops.with_admin(make_lasting_shop())
    return shops.visited(Served(shop, serve_lasting(shop.app)), shops.HEALTHY)


@pytest.fixture(scope="module")
def troubled(
    make_lasting_shop: MakeShop, serve_lasting: Serve
) -> cabc.Iterator[Served]:
    """Return a shop with a pinned and shared session, and with lost writes."""
    shop = shops.with_admin(make_lasting_shop())
    with shops.troubled(shop):
        served = Served(shop, serve_lasting(shop.app))
        yield shops.visited(served, shops.TROUBLED)


@pytest.fixture(scope="module")
def with_toolbar(
    make_lasting_shop: MakeShop, serve_lasting: Serve
) -> cabc.Iterator[Served]:
    """Return a shop with the same faults and the debug toolbar."""
    shop = shops.with_toolbar(shops.with_admin(make_lasting_shop()))
    with shops.troubled(shop):
        yield Served(shop, serve_lasting(shop.app))


@pytest.fixture
def served(shop: Shop, serve: Serve) -> Served:
    """Return a shop of one test with an admin and two faults."""
    watching.add_faults(shop)
    return Served(shop, serve(shop.app))
