"""Pages and panel beside an application that goes on with its own work."""

from __future__ import annotations

import re
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from flask_admin import Admin
from flask_debugtoolbar import DebugToolbarExtension
from flask_wtf.csrf import CSRFProtect
from test_live_updates import OpenPage
from test_live_updates import token_of

LIST = "/admin/sessions/"
HTML = "<html><body>shop</body></html>"

MakeShop = t.Callable[..., Shop]


def admin_shop(make_shop: MakeShop, **config: t.Any) -> Shop:
    shop = make_shop(**config)
    shop.app.debug = True
    Admin(shop.app)

    def front() -> str:
        shop.db.session.execute(sa.select(User)).all()
        return HTML

    shop.view(front)
    return shop


def sign_in() -> str:
    flask.session.permanent = True
    flask.session["user"] = 1
    return "signed in"


@pytest.mark.parametrize("is_new", [True, False], ids=["news", "304"])
def test_an_update_does_not_write_the_cookie_session(
    make_shop: MakeShop, is_new: bool
) -> None:
    shop = admin_shop(make_shop)
    shop.view(sign_in, "/sign-in")
    client = shop.app.test_client()
    client.get("/sign-in")
    page = OpenPage(client)
    if is_new:
        client.get("/")
    response = page.ask()
    assert response.status_code == (200 if is_new else 304)
    assert response.headers.getlist("Set-Cookie") == []


def test_what_the_panel_fetches_does_not_write_the_cookie_session(
    make_shop: MakeShop,
) -> None:
    shop = admin_shop(make_shop)
    shop.view(sign_in, "/sign-in")
    client = shop.app.test_client()
    client.get("/sign-in")
    record = shop.newest()
    response = client.get(f"/_session_inspector/panel/{record.id}")
    assert response.status_code == 200
    assert response.headers.getlist("Set-Cookie") == []


def test_an_access_rule_that_queries_writes_nothing_for_the_view(
    make_shop: MakeShop,
) -> None:
    def access() -> bool:
        shop.db.session.execute(sa.select(User)).first()
        return True

    shop = make_shop(
        SESSION_INSPECTOR_ACCESS=access, DEBUG_TB_INTERCEPT_REDIRECTS=False
    )
    shop.app.debug = True
    DebugToolbarExtension(shop.app)

    def add() -> str:
        shop.db.session.add(User(name="Ann"))
        return HTML

    shop.view(add)
    (session,) = shop.get().sessions
    assert [each.kind for each in session.statements] == []
    assert session.pending_new == 1


def test_an_access_rule_gives_no_session_to_a_page_that_has_none(
    make_shop: MakeShop,
) -> None:
    def access() -> bool:
        shop.db.session.execute(sa.select(User)).first()
        return True

    shop = make_shop(
        SESSION_INSPECTOR_ACCESS=access, DEBUG_TB_INTERCEPT_REDIRECTS=False
    )
    shop.app.debug = True
    DebugToolbarExtension(shop.app)
    shop.app.add_url_rule("/", "plain", lambda: HTML)
    assert shop.get().sessions == ()


def test_the_form_works_beside_flask_wtf(make_shop: MakeShop) -> None:
    shop = admin_shop(make_shop)
    CSRFProtect(shop.app)
    client = shop.app.test_client()
    client.get("/")
    html = client.get(LIST).text
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', html))
    assert form["token"] == token_of(html)
    assert client.post(f"{LIST}clear", data=form).status_code == 303
    assert shop.inspection.requests() == []


@pytest.mark.parametrize("path", ["", "findings", "audit"])
def test_no_other_site_can_frame_a_page(make_shop: MakeShop, path: str) -> None:
    shop = admin_shop(make_shop)
    headers = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "iframe",
    }
    response = shop.app.test_client().get(LIST + path, headers=headers)
    policy = response.headers.get("Content-Security-Policy", "")
    assert (
        response.status_code == 403
        or response.headers.get("X-Frame-Options") in ("DENY", "SAMEORIGIN")
        or "frame-ancestors" in policy
    )


def test_a_query_that_is_not_utf_8_breaks_no_page(make_shop: MakeShop) -> None:
    shop = admin_shop(make_shop)
    client = shop.app.test_client()
    client.get("/")
    record = shop.newest()
    for path in (
        f"{LIST}findings",
        f"{LIST}requests/{record.id}",
        f"{LIST}requests/none",
        f"/_session_inspector/panel/{record.id}",
    ):
        response = client.get(path, environ_overrides={"QUERY_STRING": "q=\xff"})
        assert response.status_code < 500, path


def test_a_title_is_escaped_where_the_application_escapes_nothing(
    make_app: t.Callable[..., flask.Flask],
) -> None:
    app = make_app()
    app.debug = True
    app.jinja_env.autoescape = False
    shop = Shop(app)
    Admin(app)
    app.add_url_rule("/<path:anything>", "any", lambda anything: HTML)
    record = shop.get("/</title><script>alert(1)</script>")
    html = app.test_client().get(f"{LIST}requests/{record.id}").text
    assert "<script>alert" not in html


def test_what_a_form_is_answered_is_not_kept(make_shop: MakeShop) -> None:
    shop = admin_shop(make_shop)
    client = shop.app.test_client()
    token = token_of(client.get(LIST).text)
    response = client.post(f"{LIST}clear", data={"token": token})
    assert response.status_code == 303
    assert response.headers.get("Cache-Control") == "no-store"


def test_other_requests_do_not_make_a_finished_record_new(make_shop: MakeShop) -> None:
    shop = admin_shop(make_shop)
    client = shop.app.test_client()
    client.get("/")
    client.get("/")
    older = shop.inspection.requests()[-1]
    page = OpenPage(client, f"{LIST}requests/{older.id}")
    client.get("/")
    # It has its neighbours already, and its session served no other request.
    assert page.ask().status_code == 304
