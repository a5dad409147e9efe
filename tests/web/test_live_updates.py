"""What an open page is answered when it asks what is new, and what it may change."""

from __future__ import annotations

import re
import typing as t

import flask
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from flask_admin import Admin
from flask_debugtoolbar import DebugToolbarExtension
from markup import Markup
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionsView
from flask_session_inspector.web.pages import list_page
from flask_session_inspector.web.pages.presenter import record_row

if t.TYPE_CHECKING:
    from conftest import Shop

LIST = "/admin/sessions/"


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    shop = make_shop(SESSION_INSPECTOR_MAX_REQUESTS=20)
    shop.app.debug = True
    Admin(shop.app)

    def reads(page: str) -> str:
        shop.db.session.execute(sa.text("SELECT id FROM users")).all()
        return f"<html><body>{page}</body></html>"

    shop.app.add_url_rule("/shop/<page>", "reads", reads)
    return shop


class OpenPage:
    """A page that is open in a browser, as far as the server sees it."""

    def __init__(self, client: FlaskClient, path: str = LIST) -> None:
        self._client = client
        self._url = f"{path}{'&' if '?' in path else '?'}"
        self._take(Markup(client.get(path).text))

    def _take(self, markup: Markup) -> None:
        (self._state,) = [
            attributes
            for _, attributes in markup.elements
            if attributes.get("id") == "fsi-live"
        ]

    def attribute(self, name: str) -> str:
        return str(self._state[f"data-fsi-{name}"])

    def ask(self) -> TestResponse:
        """Ask as the script does."""
        response = self._client.get(
            f"{self._url}since={self.attribute('since')}",
            headers={"If-None-Match": f'"{self.attribute("etag")}"'},
        )
        if response.status_code == 200:
            self._take(Markup(response.text))
        return response


def rows(html: str) -> list[tuple[str, bool]]:
    """List the ids of the rows, and whether each only updates an earlier one."""
    return [
        (str(attributes["id"]).removeprefix("fsi-r-"), "data-fsi-update" in attributes)
        for tag, attributes in Markup(html).elements
        if tag == "tr" and "data-fsi-place" in attributes
    ]


def token_of(html: str) -> str:
    match = re.search(r'name="token" value="([0-9a-f]+)"', html)
    assert match is not None
    return match[1]


class TestAsking:
    @pytest.mark.parametrize("path", [LIST, f"{LIST}findings", f"{LIST}audit"])
    def test_nothing_new(self, shop: Shop, path: str) -> None:
        shop.get("/shop/a")
        page = OpenPage(shop.app.test_client(), path)
        for _ in range(2):
            response = page.ask()
            assert response.status_code == 304
            assert response.data == b""
            assert response.headers["Cache-Control"] == "no-store"

    def test_only_what_is_new(self, shop: Shop) -> None:
        shop.get("/shop/a")
        page = OpenPage(shop.app.test_client())
        first, second = shop.get("/shop/b"), shop.get("/shop/c")
        response = page.ask()
        assert rows(response.text) == [(second.id, False), (first.id, False)]
        assert "3 requests, 3 sessions: each request had its own" in response.text
        assert "navbar" not in response.text
        assert page.ask().status_code == 304

    def test_what_is_not_new_is_not_drawn(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(5):
            shop.get("/shop/a")
        drawn: list[str] = []

        def counted(record: RequestRecord, *args: t.Any, **named: t.Any) -> t.Any:
            drawn.append(record.id)
            return record_row(record, *args, **named)

        monkeypatch.setattr(list_page, "record_row", counted)
        page = OpenPage(shop.app.test_client())
        assert len(drawn) == 5
        record = shop.get("/shop/b")
        page.ask()
        page.ask()
        assert drawn[5:] == [record.id]

    def test_every_page_follows(self, shop: Shop) -> None:
        client = shop.app.test_client()
        for name in ("findings", "audit", "requests"):
            record = shop.get("/shop/a")
            path = name.replace("requests", f"requests/{record.id}")
            page = OpenPage(client, f"{LIST}{path}")
            shop.get("/shop/b")
            response = page.ask()
            assert response.status_code == 200
            assert "<html" not in response.text
            assert page.ask().status_code == 304

    def test_a_pause_of_the_recording_is_news(self, shop: Shop) -> None:
        page = OpenPage(shop.app.test_client())
        shop.inspection.pause()
        assert "Recording is paused." in page.ask().text

    def test_filters_go_on(self, shop: Shop) -> None:
        page = OpenPage(shop.app.test_client(), f"{LIST}?path=/b&status=2xx")
        shop.get("/shop/a")
        wanted = shop.get("/shop/b")
        assert rows(page.ask().text) == [(wanted.id, False)]

    def test_an_older_page_stays_as_it_is(self, shop: Shop) -> None:
        records = [shop.get("/shop/a") for _ in range(3)]
        page = OpenPage(shop.app.test_client(), f"{LIST}?before={records[2].id}")
        shop.get("/shop/b")
        response = page.ask()
        assert response.status_code == 200
        assert rows(response.text) == []

    def test_an_earlier_row_that_a_new_record_changes(self, shop: Shop) -> None:
        engine = sa.create_engine("sqlite://")
        with Session(engine) as pinned:

            def uses_pinned() -> str:
                return str(pinned.execute(sa.text("SELECT 1")).all())

            shop.view(uses_pinned, "/pinned")
            client = shop.app.test_client()
            first = shop.get("/pinned")
            page = OpenPage(client)
            second = shop.get("/pinned")
            told = page.ask().text
        engine.dispose()
        assert (second.id, False) in rows(told)
        # A finding may have moved it to the newest place as well.
        assert first.id in [each for each, _ in rows(told)]
        assert told.count("shared by 2 requests") >= 2

    @pytest.mark.parametrize("query", ["?path=/used/a", "?before={second}"])
    def test_one_that_is_changed_by_a_record_of_another_page(
        self, shop: Shop, query: str
    ) -> None:
        engine = sa.create_engine("sqlite://")
        with Session(engine) as pinned:

            def used(page: str) -> str:
                return f"{page}{pinned.execute(sa.text('SELECT 1')).all()}"

            shop.view(used, "/used/<page>")
            first, second = shop.get("/used/a"), shop.get("/used/b")
            client = shop.app.test_client()
            page = OpenPage(client, f"{LIST}{query.format(second=second.id)}")
            shop.get("/used/b")
            told = page.ask().text
        engine.dispose()
        assert rows(told) == [(second.id, True), (first.id, True)]
        assert "shared by 3 requests" in told

    def test_what_was_evicted_can_be_told_from_the_places(self, shop: Shop) -> None:
        page = OpenPage(shop.app.test_client())
        before = int(page.attribute("oldest"))
        for _ in range(25):
            shop.get("/shop/a")
        page.ask()
        assert int(page.attribute("oldest")) == before + 5

    def test_a_record_that_is_gone(self, shop: Shop) -> None:
        page = OpenPage(
            shop.app.test_client(), f"{LIST}requests/{shop.get('/shop/a').id}"
        )
        shop.inspection.clear()
        assert page.ask().status_code == 410

    def test_what_was_cleared_likewise(self, shop: Shop) -> None:
        shop.get("/shop/a")
        page = OpenPage(shop.app.test_client())
        place = int(page.attribute("oldest"))
        shop.inspection.clear()
        assert rows(page.ask().text) == []
        assert int(page.attribute("oldest")) > place

    def test_a_cursor_of_an_earlier_process(self, shop: Shop) -> None:
        record = shop.get("/shop/a")
        client = shop.app.test_client()
        response = client.get(f"{LIST}?since=00000000.7")
        assert rows(response.text) == [(record.id, False)]
        epoch = OpenPage(client).attribute("epoch")
        assert epoch != "00000000"

    def test_a_malformed_cursor(self, shop: Shop) -> None:
        response = shop.app.test_client().get(f"{LIST}?since=nonsense")
        assert response.status_code == 400
        assert "must be a cursor or a request id" in response.text

    def test_a_page_with_a_problem_does_not_ask(self, shop: Shop) -> None:
        html = shop.app.test_client().get(f"{LIST}?status=soon").text
        assert "data-fsi-etag" not in html

    def test_what_keeps_a_session_alive_is_not_searched_again(self, shop: Shop) -> None:
        html = shop.app.test_client().get(f"{LIST}audit?session=1").text
        assert "data-fsi-etag" not in html

    def test_the_toolbar_stays_out_of_it(self, shop: Shop) -> None:
        DebugToolbarExtension(shop.app)
        page = OpenPage(shop.app.test_client())
        shop.get("/shop/a")
        assert "flDebug" not in page.ask().text

    def test_nothing_of_it_is_recorded(self, shop: Shop) -> None:
        page = OpenPage(shop.app.test_client())
        shop.get("/shop/a")
        page.ask()
        page.ask()
        assert len(shop.inspection.requests()) == 1

    def test_the_rule_of_a_view_holds(self, make_shop: t.Callable[..., Shop]) -> None:
        class Guarded(SessionsView):
            def is_accessible(self) -> bool:
                return "key" in flask.request.args

        shop = make_shop()
        shop.app.debug = True
        admin = Admin(shop.app)
        admin.add_view(Guarded(endpoint="guarded"))
        client = shop.app.test_client()
        assert client.get(f"{LIST}?key=1").status_code == 200
        assert client.get(f"{LIST}?since=00000000.0").status_code == 403
        assert client.post(f"{LIST}clear").status_code == 403


class TestLimit:
    def test_more_rows(self, shop: Shop) -> None:
        for _ in range(3):
            shop.get("/shop/a")
        client = shop.app.test_client()
        assert len(rows(client.get(f"{LIST}?limit=2").text)) == 2
        assert len(rows(client.get(f"{LIST}?limit=1000").text)) == 3

    @pytest.mark.parametrize(
        "limit", ["0", "1001", "-1", "x", "1_0", "\u0661", "9" * 50]
    )
    def test_no_limit(self, shop: Shop, limit: str) -> None:
        response = shop.app.test_client().get(LIST, query_string={"limit": limit})
        assert response.status_code == 400
        assert "limit must be a whole number from 1 to 1,000." in response.text

    def test_any_finding(self, shop: Shop) -> None:
        def writes() -> str:
            shop.db.session.execute(sa.text("INSERT INTO users (name) VALUES ('x')"))
            return "lost"

        shop.view(writes, "/lost")
        shop.get("/shop/a")
        lost = shop.get("/lost")
        assert "FSI201" in [each.code for each in lost.findings]
        html = shop.app.test_client().get(f"{LIST}?finding=any").text
        assert [each for each, _ in rows(html)] == [lost.id]
        assert [each.id for each in shop.inspection.requests(finding="any")] == [
            lost.id
        ]


class TestChanging:
    def test_clear(self, shop: Shop) -> None:
        shop.get("/shop/a")
        client = shop.app.test_client()
        html = client.get(LIST).text
        assert "Forget 1 recorded request, for everybody?" in html
        response = client.post(f"{LIST}clear", data={"token": token_of(html)})
        assert (response.status_code, response.location) == (303, LIST)
        assert shop.inspection.requests() == []

    def test_resume(self, shop: Shop) -> None:
        shop.inspection.pause()
        client = shop.app.test_client()
        html = client.get(LIST).text
        assert f'action="{LIST}resume"' in html
        response = client.post(f"{LIST}resume", data={"token": token_of(html)})
        assert response.status_code == 303
        assert not shop.inspection.paused

    @pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "0" * 64}])
    def test_without_the_token(self, shop: Shop, data: dict[str, str]) -> None:
        shop.get("/shop/a")
        shop.inspection.pause()
        client = shop.app.test_client()
        for change in ("clear", "resume"):
            response = client.post(f"{LIST}{change}", data=data)
            assert response.status_code == 403
            assert "needs the current token" in response.text
        assert len(shop.inspection.requests()) == 1
        assert shop.inspection.paused

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://elsewhere.test"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            {"Referer": "https://elsewhere.test/form"},
        ],
    )
    def test_from_another_site(self, shop: Shop, headers: dict[str, str]) -> None:
        shop.get("/shop/a")
        client = shop.app.test_client()
        token = token_of(client.get(LIST).text)
        response = client.post(f"{LIST}clear", data={"token": token}, headers=headers)
        assert response.status_code == 403
        assert len(shop.inspection.requests()) == 1

    def test_a_link_changes_nothing(self, shop: Shop) -> None:
        record = shop.get("/shop/a")
        client = shop.app.test_client()
        token = token_of(client.get(LIST).text)
        assert client.get(f"{LIST}clear?token={token}").status_code == 405
        assert shop.inspection.request(record.id) is not None


class TestSeveralWorkers:
    def test_one_of_several_says_so(self, shop: Shop) -> None:
        client = shop.app.test_client()
        assert "one of several workers" not in client.get(LIST).text
        html = client.get(LIST, environ_overrides={"wsgi.multiprocess": True}).text
        assert "This is one of several workers." in html
        assert "data-fsi-several" in html

    def test_a_record_of_another_worker(self, shop: Shop) -> None:
        own = shop.get("/shop/a").id
        shop.inspection.clear()
        client = shop.app.test_client()

        def get(record_id: str, query: str = "") -> TestResponse:
            return client.get(
                f"{LIST}requests/{record_id}{query}",
                environ_overrides={"wsgi.multiprocess": True},
            )

        assert "another one may have it" in get("00000000-7").text
        assert "another one may have it" not in get(own).text
        assert get("00000000-7", "?since=00000000.9").status_code == 304
        assert get(own, "?since=00000000.9").status_code == 410


class TestPanel:
    def panel(self, shop: Shop, record_id: str, **query: t.Any) -> TestResponse:
        return shop.app.test_client().get(
            f"/_session_inspector/panel/{record_id}", query_string=query
        )

    def test_the_requests_since(self, shop: Shop) -> None:
        shop.get("/shop/before")
        record = shop.get("/shop/page")
        assert "None so far" in self.panel(shop, record.id).text
        shop.get("/shop/after")
        markup = Markup(self.panel(shop, record.id).text)
        assert markup.attributes("span", "data-fsi-path") == ["/shop/after"]

    def test_their_paths_are_those_of_the_browser(self, shop: Shop) -> None:
        """So that it can say which of them a script asked for."""
        client = shop.app.test_client()
        mounted = {"SCRIPT_NAME": "/mounted"}
        record = shop.get("/shop/page")
        client.get("/shop/caf\u00e9?number=1", environ_overrides=mounted)
        html = client.get(
            f"/_session_inspector/panel/{record.id}", environ_overrides=mounted
        ).text
        paths = Markup(html).attributes("span", "data-fsi-path")
        assert paths == ["/mounted/shop/caf\u00e9"]

    def test_the_redirects_that_led_here(self, shop: Shop) -> None:
        shop.app.add_url_rule("/go", "go", lambda: flask.redirect("/shop/page"))
        shop.get("/go")
        shop.get("/shop/other")
        shop.get("/go")
        record = shop.get("/shop/page")
        assert "redirect" not in self.panel(shop, record.id).text
        markup = Markup(self.panel(shop, record.id, redirects=1).text)
        assert markup.attributes("span", "data-fsi-path") == ["/go"]
        assert ">redirect<" in self.panel(shop, record.id, redirects=1).text

    @pytest.mark.parametrize("redirects", ["x", "-1", "1e3", "\u0661", "999"])
    def test_no_number_of_redirects(self, shop: Shop, redirects: str) -> None:
        record = shop.get("/shop/page")
        assert self.panel(shop, record.id, redirects=redirects).status_code == 200

    def test_nothing_new(self, shop: Shop) -> None:
        record = shop.get("/shop/page")
        etag = self.panel(shop, record.id).headers["ETag"]
        again = shop.app.test_client().get(
            f"/_session_inspector/panel/{record.id}", headers={"If-None-Match": etag}
        )
        assert again.status_code == 304
