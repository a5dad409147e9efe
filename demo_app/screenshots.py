"""Takes the pictures of the documentation: ``python -m demo_app.screenshots``.

It serves the shop from a temporary database, walks through it, and makes some faults
of the gallery happen. Two runs differ in times, ids and durations only.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import io
import logging
import pathlib
import shutil
import sys
import tempfile
import threading
import typing as t

import playwright.sync_api as pw
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from . import create_app
from .models import db
from .stocktaking import add_stocktaking
from .stocktaking import keep_session

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "images"

_SESSIONS = "/admin/sessions/"
_RECORDS = "/_session_inspector/api/requests"
_HIGHEST = 2400
# On a busy machine, requests wait in a transaction (FSI203) which were not meant to.
_ATTEMPTS = 5
_BUSY = "This machine is too busy for pictures of a healthy shop."
# The diagram shows the newest requests, so the most telling fault comes last.
_FAULTS = ("FSI501", "FSI203", "FSI205", "FSI201", "FSI101")
# No toolbar; and what is far below the window is to be drawn as well.
_STYLE = "#flDebug{display:none!important} *{content-visibility:visible!important}"
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class ScreenshotError(Exception):
    """A picture cannot be taken; the message is one sentence that says why."""


class Subject(t.NamedTuple):
    """A page, and the pictures that are taken of it.

    :param name: How the names of its files begin.
    :param looks: ``light`` or ``dark``, and ``-400`` after it for a narrow window.
    :param heading: A heading that says that it is this page.
    :param path: Where it is, or a question to the API, whose first record it is of.
    :param shows: The page, what fits into the window, or that with the open panel.
    """

    name: str
    looks: str
    heading: str
    path: str
    shows: t.Literal["page", "window", "panel"] = "page"

    @property
    def files(self) -> dict[str, str]:
        """The name of the file of each look."""
        return {look: f"{self.name}-{look}.png" for look in self.looks.split()}


HEALTHY = (Subject("sessions-healthy", "light dark light-400", "Sessions", _SESSIONS),)
IDLE, BURST = (f"{_RECORDS}?finding={code}" for code in ("FSI203", "FSI501"))
# The pages of the shop come last, since looking at them is recorded.
TROUBLE = (
    Subject("sessions-trouble", "light dark dark-400", "Sessions", _SESSIONS),
    Subject("findings", "light dark light-400", "Findings", f"{_SESSIONS}findings"),
    Subject("audit", "light dark light-400", "Who holds", f"{_SESSIONS}audit"),
    Subject("request-idle", "light dark dark-400", "wait_in_a_transaction", IDLE),
    Subject("request-burst", "light dark", "list_notes_one_by_one", BURST),
    Subject("gallery", "light dark", "Every fault", "/scenarios/", "window"),
    Subject("panel", "light light-400", "Orders", "/orders", "panel"),
    Subject("panel-trouble", "light", "Stocktaking", "/stocktaking", "panel"),
)
PINNED = (
    Subject("audit-trouble", "light dark dark-400", "Who holds", f"{_SESSIONS}audit"),
)


def main() -> int:
    """Take all pictures, and write them if all could be taken.

    :return: The exit code, 1 if one could not.
    """
    # The faults are meant to happen; nobody needs to be told of them here.
    for name in ("werkzeug", "flask_session_inspector"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with pw.sync_playwright() as playwright, _served_shop() as (app, base):
            browser, client = _launch(playwright), app.test_client()
            _walk_through(client)  # The first visit is slow: templates are compiled.
            _make_records(client, ())
            pictures = _take(HEALTHY, browser, client, base)
            _make_records(client, _FAULTS)
            pictures |= _take(TROUBLE, browser, client, base)
            keep_session(app)
            pictures |= _take(PINNED, browser, client, base)
    except (ScreenshotError, pw.Error) as error:
        print(*str(error).split(), file=sys.stderr)
        return 1
    for name, content in pictures.items():
        (FOLDER / name).write_bytes(content)
    print(f"{len(pictures)} pictures are in {FOLDER}.")
    return 0


def _launch(playwright: pw.Playwright) -> pw.Browser:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise ScreenshotError("Chromium, which takes the pictures, is not installed.")
    return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)


@contextlib.contextmanager
def _served_shop() -> cabc.Iterator[tuple[Flask, str]]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/shop.sqlite"
        # What is to be seen is what a fault does, not the click that makes it happen.
        clicks = [f"/scenarios/{code}/fault" for code in _FAULTS]
        config = {"SQLALCHEMY_DATABASE_URI": url, "SESSION_INSPECTOR_EXCLUDE": clicks}
        app = create_app({**config, "PROPAGATE_EXCEPTIONS": False})
        add_stocktaking(app)
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield app, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            with app.app_context():
                db.engine.dispose()


def _make_records(client: FlaskClient, faults: tuple[str, ...]) -> None:
    """Leave the records of a walk, then of some faults, and no others."""
    inspection = client.application.extensions["session_inspector"]
    for _ in range(_ATTEMPTS):
        inspection.clear()
        _walk_through(client)
        for code in faults:
            _send(client, f"/scenarios/{code}/fault", {})
        if len(inspection.requests(finding="FSI203")) == faults.count("FSI203"):
            return
    raise ScreenshotError(_BUSY)


def _walk_through(client: FlaskClient) -> None:
    """Visit pages that do the same, however many orders there already are."""
    _send(client, "/")
    _send(client, "/products/3")
    _send(client, "/basket/3", {"quantity": "2"})
    _send(client, "/basket")
    _send(client, "/checkout", {"name": "Ada", "email": "ada@example.com"})
    for path in ("/orders", "/admin/product/", "/admin/customer/", "/admin/orderline/"):
        _send(client, path)


def _send(client: FlaskClient, path: str, form: dict[str, str] | None = None) -> t.Any:
    """Send a request; not by the browser, so that the records keep this order."""
    method, expected = ("GET", 200) if form is None else ("POST", 303)
    with client.open(path, method=method, data=form) as response:
        if response.status_code != expected:
            raise ScreenshotError(f"{path} answered {response.status}.")
        return response.get_json(silent=True)


def _take(
    subjects: tuple[Subject, ...], browser: pw.Browser, client: FlaskClient, base: str
) -> dict[str, bytes]:
    pictures = {}
    for subject in subjects:
        path = subject.path
        if path.startswith(_RECORDS):
            records = _send(client, path)["requests"]
            if not records:
                raise ScreenshotError(f"{path} answered no request.")
            path = f"{_SESSIONS}requests/{records[0]['id']}"
        for look, name in subject.files.items():
            scheme, _, narrow = look.partition("-")
            context = browser.new_context(
                viewport={"width": int(narrow or 1280), "height": 900},
                color_scheme="dark" if scheme == "dark" else "light",
                locale="en-GB",
                timezone_id="UTC",
            )
            with context:
                content = _picture(context.new_page(), subject, base + path)
            pictures[name] = _smaller(content)
    return pictures


def _picture(page: pw.Page, subject: Subject, url: str) -> bytes:
    answers: list[pw.Response] = []
    page.on("response", lambda answer: answers.append(answer))
    # As after a click on the toolbar's "Hide", which leaves a handle.
    page.context.add_cookies([{"name": "fldt", "value": "hide", "url": url}])
    page.goto(url)
    for answer in answers:
        # What a script asks for, such as the record of the panel, may come later.
        if answer.status >= 400 and answer.request.resource_type != "fetch":
            raise ScreenshotError(f"{answer.url} answered {answer.status}.")
    page.get_by_role("heading", name=subject.heading).first.wait_for()
    if subject.shows == "panel":
        _open_panel(page)
    page.evaluate("document.fonts.ready")
    if str(ROOT) in page.locator("body").inner_text():
        raise ScreenshotError(f"{url} shows where the project is on this machine.")
    style = "" if subject.shows == "panel" else _STYLE
    is_whole = subject.shows == "page"
    return page.screenshot(full_page=is_whole, animations="disabled", style=style)


def _open_panel(page: pw.Page) -> None:
    """Open the panel when it has learnt what came after the response."""
    panel = page.locator("#flDebugSessionsPanel-content")
    for _ in range(_ATTEMPTS):
        panel.filter(has_text="confirmed after the response").wait_for(state="attached")
        if "FSI203" not in (panel.text_content() or ""):
            page.locator("#flDebugShowToolBarButton").click()
            page.locator("#flDebugSessionsPanel a").click()
            panel.wait_for()
            # As a script of the page would.
            page.evaluate("fetch('/basket')")
            return panel.get_by_text("AJAX", exact=True).wait_for()
        page.reload()
    raise ScreenshotError(_BUSY)


def _smaller(content: bytes) -> bytes:
    """Cut a picture off, and give it a palette: enough for text and drawings."""
    from PIL import Image  # Not needed by the test that reads the list.

    with Image.open(io.BytesIO(content)) as image:
        shown = image.crop((0, 0, image.width, min(image.height, _HIGHEST)))
    target = io.BytesIO()
    # This way to choose the colours keeps the rare ones, too.
    reduced = shown.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, 1)
    reduced.save(target, "PNG", optimize=True)
    return target.getvalue()


if __name__ == "__main__":
    sys.exit(main())
