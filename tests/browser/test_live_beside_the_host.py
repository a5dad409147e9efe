"""The open page beside a host that goes on."""

from __future__ import annotations

import threading
import typing as t

import flask
import sqlalchemy as sa
from conftest import Shop
from playwright.sync_api import Page
from playwright.sync_api import expect
from werkzeug.serving import make_server

from browser.conftest import Complaints
from browser.conftest import Serve
from browser.conftest import visit
from browser.shops import Served
from browser.shops import with_admin


def test_a_page_of_another_origin_cannot_frame_the_form_that_clears(
    served: Served, serve: Serve, page: Page, complaints: Complaints
) -> None:
    complaints.expect("frame")  # The browser says why it shows none.
    other = flask.Flask("other")
    other.add_url_rule("/", "lure", lambda: f'<iframe src="{served.sessions()}">')
    other.add_url_rule("/favicon.ico", "icon", lambda: ("", 204))
    # Another port is another origin.
    with page.expect_response(served.sessions()):
        visit(page, serve(other))
    frame = page.frames[1]
    frame.wait_for_load_state()
    assert frame.locator(".fsi-confirm").count() == 0


def test_an_open_page_leaves_the_login_page_alone(
    shop: Shop, serve: Serve, page: Page, complaints: Complaints
) -> None:
    gone = threading.Event()

    @shop.app.before_request
    def guard() -> flask.typing.ResponseReturnValue | None:
        if gone.is_set() and flask.request.path.startswith("/admin"):
            return flask.redirect("/login")
        return None

    def login() -> str:
        return "".join(flask.get_flashed_messages()) or "Please log in."

    shop.view(login, "/login")
    served = Served(shop, serve(shop.app))
    visit(page, served.sessions())
    gone.set()
    expect(page.get_by_text("Live updates stopped.").first).to_be_visible()
    assert [each.path for each in shop.inspection.requests()] == []


def test_a_finding_is_announced_though_there_are_fewer_than_before(
    make_shop: t.Callable[..., Shop], serve: Serve, page: Page, complaints: Complaints
) -> None:
    complaints.expect("ERR_FAILED")
    shop = with_admin(
        make_shop(
            SESSION_INSPECTOR_MAX_REQUESTS=2,
            SESSION_INSPECTOR_EXCLUDE=("/favicon.ico", "/static/"),
        )
    )

    def lose(number: int) -> str:
        shop.db.session.execute(
            sa.text("INSERT INTO users (name) VALUES (:name)"), {"name": str(number)}
        )
        return "lost"

    shop.app.add_url_rule("/lose/<int:number>", "lose", lose)
    served = Served(shop, serve(shop.app))
    client = shop.app.test_client()
    client.get("/lose/1").close()
    client.get("/lose/2").close()
    assert len(shop.inspection.findings()) == 2
    visit(page, served.sessions())
    # Both come with one update.
    page.route("**/*since=*", lambda route: route.abort())
    expect(page.get_by_text("Live updates stopped.").first).to_be_visible()
    client.get("/plain").close()
    client.get("/lose/3").close()
    page.unroute("**/*since=*")
    page.get_by_role("button", name="Retry now").click()
    expect(page.locator("[data-fsi-rows] tr").first).to_contain_text("/lose/3")
    expect(page.locator("[data-fsi-said]")).to_contain_text("FSI")


def test_two_processes_that_take_turns_do_not_replace_the_rows(
    make_shop: t.Callable[..., Shop], page: Page, tmp_path_factory: t.Any
) -> None:
    """As behind a proxy that balances: neither knows of the other one."""
    one, other = with_admin(make_shop()), with_admin(make_shop())
    other.inspection._store.epoch = "ffffffff"  # type: ignore[misc] # another process
    turns: list[int] = []

    def balance(environ: t.Any, start_response: t.Any) -> t.Any:
        if "since=" in environ["QUERY_STRING"]:
            turns.append(1)
        app = other.app if len(turns) % 2 else one.app
        return app(environ, start_response)

    for shop in (one, other):
        shop.app.test_client().get("/").close()
    server = make_server("127.0.0.1", 0, balance, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        visit(page, f"http://127.0.0.1:{server.server_port}/admin/sessions/")
        row = page.locator("[data-fsi-rows] tr").element_handle()
        for _ in range(6):
            with page.expect_request_finished(lambda each: "since=" in each.url):
                pass
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert row.evaluate("(row) => row.isConnected")
    finally:
        page.goto("about:blank")
        server.shutdown()
        thread.join()
        server.server_close()
