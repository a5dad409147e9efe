"""Strict policies: none of the violations is ours, and the host's are named."""

from __future__ import annotations

import re
import secrets
import typing as t
from functools import partial
from pathlib import Path

import flask
import pytest
from conftest import Shop
from playwright.sync_api import expect

import flask_session_inspector
from browser import shops
from browser.conftest import Complaints
from browser.conftest import MakeShop
from browser.conftest import Serve
from browser.conftest import visit
from browser.shops import Served

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

_TEMPLATES = Path(flask_session_inspector.__file__).parent / "templates"
_FILES = sorted(_TEMPLATES.rglob("*.html"))


@pytest.fixture(scope="module")
def strict(make_lasting_shop: MakeShop, serve_lasting: Serve) -> t.Iterator[Served]:
    """Return a shop in trouble that allows only what is its own."""
    shop = shops.with_admin(make_lasting_shop())
    shop.app.after_request(partial(_with_policy, "default-src 'self'"))
    with shops.troubled(shop):
        served = Served(shop, serve_lasting(shop.app))
        yield shops.visited(served, shops.TROUBLED)


@pytest.fixture(scope="module")
def strict_with_nonces(
    make_lasting_shop: MakeShop, serve_lasting: Serve
) -> t.Iterator[Served]:
    """Return a shop in trouble that allows scripts and styles by nonces only."""

    def nonce() -> str:
        if "nonce" not in flask.g:
            flask.g.nonce = secrets.token_urlsafe(16)
        return str(flask.g.nonce)

    shop = shops.with_admin(make_lasting_shop(), csp_nonce_generator=nonce)

    @shop.app.after_request
    def allow_by_nonce_only(response: flask.Response) -> flask.Response:
        policy = (
            f"default-src 'self'; script-src 'nonce-{nonce()}';"
            f" style-src 'nonce-{nonce()}'; object-src 'none'; base-uri 'none'"
        )
        return _with_policy(policy, response)

    with shops.troubled(shop):
        served = Served(shop, serve_lasting(shop.app))
        yield shops.visited(served, shops.TROUBLED)


def visit_all(page: Page, served: Served) -> None:
    """Go to every page, and see that the style sheet and the script are at work."""
    (session,) = served.record("/pinned").sessions
    for address, status in (
        (served.sessions(), 200),
        (served.sessions("?status=abc"), 400),
        (served.sessions("findings"), 200),
        (served.sessions(f"audit?session={session.label}"), 200),
        (served.sessions("requests/none"), 404),
        (served.detail("/many"), 200),
    ):
        visit(page, address, status)
        card = page.locator(".fsi-card").first
        expect(card).to_have_css("border-top-left-radius", "8px")
    marks = page.locator(".fsi-timeline a")
    marks.first.focus()
    page.keyboard.press("ArrowRight")
    expect(marks.nth(1)).to_be_focused()


def test_own_sources_only(strict: Served, page: Page) -> None:
    visit_all(page, strict)


def test_nonces_only(strict_with_nonces: Served, page: Page) -> None:
    visit_all(page, strict_with_nonces)


@pytest.mark.parametrize("fixture", ["strict", "strict_with_nonces"])
def test_in_a_narrow_window(
    request: pytest.FixtureRequest, page: Page, complaints: Complaints, fixture: str
) -> None:
    # The sign of Flask-Admin's folded menu; ours are no images, as is tested below.
    complaints.expect("^host's violation: img-src blocked data ")
    page.set_viewport_size({"width": 400, "height": 800})
    visit_all(page, request.getfixturevalue(fixture))


def test_the_panel_where_the_toolbar_is_allowed(
    shop: Shop, serve: Serve, page: Page
) -> None:
    """The toolbar has scripts and styles in its markup; the panel has none."""
    policy = (
        "default-src 'self'; script-src 'self' 'unsafe-inline';"
        " style-src 'self' 'unsafe-inline'"
    )
    shop.app.after_request(partial(_with_policy, policy))
    shops.with_toolbar(shop)
    visit(page, serve(shop.app))
    page.locator("#flDebugSessionsPanel a").click()
    panel = page.locator("#flDebugSessionsPanel-content .fsi")
    expect(panel).to_contain_text("confirmed after the response")
    expect(panel.locator(".fsi-card").first).to_have_css("border-top-width", "1px")


def test_the_panel_where_the_toolbar_is_not_allowed(
    shop: Shop, serve: Serve, page: Page, complaints: Complaints
) -> None:
    for element in (
        '<div id="flDebug" style=',
        '<div style="display: none;" id="flDebugToolbar">',
        '<div style="display:none;" id="flDebugToolbarHandle">',
        '<col style="width:20%">',
    ):
        complaints.expect(f"^host's violation: style-src-attr .* at {element}")
    # The toolbar's first script, without which the others fail.
    complaints.expect("^host's violation: script-src-elem .*TOOLBAR_STATIC_PATH = ")
    complaints.expect("^page error: DEBUG_TOOLBAR_STATIC_PATH is not defined")
    shop.app.after_request(partial(_with_policy, "default-src 'self'"))
    shops.with_toolbar(shop)
    visit(page, serve(shop.app))
    panel = page.locator("#flDebugSessionsPanel-content .fsi")
    expect(panel).to_contain_text("confirmed after the response")


def _with_policy(policy: str, response: flask.Response) -> flask.Response:
    response.headers["Content-Security-Policy"] = policy
    return response


def test_no_image_in_the_style_sheet() -> None:
    text = (_TEMPLATES.parent / "static" / "inspector.css").read_text()
    assert re.findall(r"url\((?!#)[^)]*\)|@import", text) == []


@pytest.mark.parametrize(
    "template", [each.relative_to(_TEMPLATES).as_posix() for each in _FILES]
)
def test_nothing_inline_in_a_template(template: str) -> None:
    """Also in what no test happens to show."""
    text = (_TEMPLATES / template).read_text()
    for inline in (
        r"<style\b",
        r"<script\b(?![^>]*\ssrc=)",
        r"\sstyle\s*=",
        r"\son[a-z]+\s*=",
        r"javascript:",
    ):
        assert re.findall(inline, text, re.IGNORECASE) == [], inline
