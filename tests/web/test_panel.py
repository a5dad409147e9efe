"""The toolbar's panel: before the teardown, and completed after it."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import handmade
import jinja2
import pytest
import sqlalchemy as sa
from flask_admin import Admin
from flask_debugtoolbar import DebugToolbarExtension
from markup import Markup
from sqlalchemy.orm import Session

from flask_session_inspector import Finding
from flask_session_inspector.toolbar import SessionsPanel
from flask_session_inspector.web.fragments import panel as serve_fragment
from flask_session_inspector.web.pages import panels
from flask_session_inspector.web.rendering import render

if t.TYPE_CHECKING:
    from conftest import Shop

MakeShop = t.Callable[..., t.Any]

HOSTILE = "<script>alert(1)</script>"


def with_toolbar(make_shop: MakeShop, **config: t.Any) -> Shop:
    """Make a shop with a toolbar, whose front page reads the users."""
    shop: Shop = make_shop(**config)
    shop.app.debug = True
    shop.app.config["DEBUG_TB_ENABLED"] = True
    shop.app.config["DEBUG_TB_INTERCEPT_REDIRECTS"] = False
    DebugToolbarExtension(shop.app)

    def front() -> str:
        shop.db.session.execute(sa.text("SELECT id FROM users")).all()
        return "<html><body>front</body></html>"

    def plain() -> str:
        return "<html><body>plain</body></html>"

    shop.view(front)
    shop.view(plain, "/plain")
    return shop


def content(html: str) -> str:
    """Return the panel out of a page."""
    start = html.index('<div id="flDebugSessionsPanel-content"')
    return html[start : html.index('<div id="flDebugWindow"')]


def subtitle(html: str) -> str:
    start = html.index('<li id="flDebugSessionsPanel"')
    item = html[start : html.index("</li>", start)]
    return Markup(item[item.index("<small>") : item.index("</small>")]).text


@pytest.fixture
def engine() -> cabc.Iterator[sa.Engine]:
    made = sa.create_engine("sqlite://")
    yield made
    made.dispose()


class TestInTheResponse:
    def test_before_the_teardown(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        html = shop.app.test_client().get("/").text
        label = shop.newest().sessions[0].label
        panel = content(html)
        assert subtitle(html) == f"{label}, isolated"
        assert "teardown pending" in panel
        assert "confirmed after the response" not in panel
        assert "This request has its own session" in panel
        assert "<span>200</span>" in panel
        assert "SELECT id FROM users" in panel
        assert "front" in panel

    def test_it_leads_to_the_finished_record(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        client = shop.app.test_client()
        html = client.get("/").text
        (url,) = Markup(content(html)).attributes("div", "data-fsi-url")
        assert url == f"/_session_inspector/panel/{shop.newest().id}"
        response = client.get(url)
        assert response.status_code == 200
        assert response.content_type.startswith("text/html")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "confirmed after the response" in response.text
        assert "teardown pending" not in response.text
        part = Markup(response.text)
        assert part.elements[0][1]["data-fsi-subtitle"] == subtitle(html)

    def test_nothing_inline(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        markup = Markup(content(shop.app.test_client().get("/").text))
        assert markup.inline() == []
        assert markup.repeated_ids() == set()
        assert len(markup.attributes("script", "src")) == 1

    def test_its_static_files_are_served(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        client = shop.app.test_client()
        markup = Markup(content(client.get("/").text))
        (script,) = markup.attributes("script", "src")
        (style,) = markup.attributes("link", "href")
        for url, kind in ((script, "javascript"), (style, "css")):
            with client.get(url) as response:
                assert response.status_code == 200
                assert kind in response.content_type

    def test_no_session(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        html = shop.app.test_client().get("/plain").text
        assert subtitle(html) == "no session"
        assert "used no database session" in content(html)

    def test_two_sessions(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)

        def two() -> str:
            shop.db.session.execute(sa.text("SELECT 1"))
            with Session(shop.db.engine) as other:
                other.execute(sa.text("SELECT 2"))
            return "<html><body></body></html>"

        shop.view(two, "/two")
        assert subtitle(shop.app.test_client().get("/two").text) == "2 sessions"

    def test_a_session_that_another_request_used(
        self, make_shop: MakeShop, engine: sa.Engine
    ) -> None:
        shop = with_toolbar(make_shop)
        with Session(engine) as pinned:

            def use() -> str:
                pinned.execute(sa.text("SELECT 1")).all()
                return "<html><body></body></html>"

            shop.view(use, "/use")
            client = shop.app.test_client()
            assert "isolated" in subtitle(client.get("/use").text)
            html = client.get("/use").text
            assert subtitle(html).endswith(", shared")
            assert "served 2 requests" in content(html)
            (url,) = Markup(content(html)).attributes("div", "data-fsi-url")
            assert "not closed" in client.get(url).text

    def test_link_to_the_admin(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        assert "Open in admin" not in content(shop.app.test_client().get("/").text)

    def test_link_to_the_admin_where_there_is_one(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        Admin(shop.app)
        client = shop.app.test_client()
        markup = Markup(content(client.get("/").text))
        url = f"/admin/sessions/requests/{shop.newest().id}"
        assert url in markup.attributes("a", "href")
        assert client.get(url).status_code == 200

    def test_requests_of_panel_and_fragment_are_not_recorded(
        self, make_shop: MakeShop
    ) -> None:
        shop = with_toolbar(make_shop)
        client = shop.app.test_client()
        html = client.get("/").text
        (url,) = Markup(content(html)).attributes("div", "data-fsi-url")
        client.get(url)
        assert len(shop.inspection.requests()) == 1


class TestNotRecorded:
    @pytest.mark.parametrize(
        ("config", "words"),
        [
            ({"SESSION_INSPECTOR_EXCLUDE": ["/"]}, "SESSION_INSPECTOR_EXCLUDE"),
            ({"SESSION_INSPECTOR_SAMPLE_RATE": 0.0}, "SESSION_INSPECTOR_SAMPLE_RATE"),
        ],
    )
    def test_left_out(
        self, make_shop: MakeShop, config: dict[str, t.Any], words: str
    ) -> None:
        html = with_toolbar(make_shop, **config).app.test_client().get("/").text
        assert words in content(html)
        assert subtitle(html) == "not recorded"
        assert "data-fsi-url" not in content(html)

    def test_paused(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        shop.inspection.pause()
        assert "recording is paused" in content(shop.app.test_client().get("/").text)

    def test_own_page(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        Admin(shop.app)
        html = shop.app.test_client().get("/admin/sessions/").text
        assert "own pages are not recorded" in Markup(content(html)).text

    def test_denied(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop, SESSION_INSPECTOR_ACCESS=lambda: False)
        client = shop.app.test_client()
        html = client.get("/").text
        record = shop.newest()
        panel = content(html)
        assert "Asking whether you may see this." in panel
        assert record.sessions[0].label not in html
        assert "SELECT" not in panel
        response = client.get(f"/_session_inspector/panel/{record.id}")
        assert response.status_code == 403
        assert "SESSION_INSPECTOR_ACCESS did not allow this request" in response.text

    def test_unknown_record(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        response = shop.app.test_client().get("/_session_inspector/panel/nope")
        assert response.status_code == 404
        assert response.content_type.startswith("text/plain")

    def test_a_request_that_is_still_running(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        statuses = []

        def ask() -> str:
            current = shop.inspection.current()
            assert current is not None
            statuses.append(serve_fragment(current.id).status_code)
            return "<html><body></body></html>"

        shop.view(ask, "/ask")
        record = shop.get("/ask")
        assert statuses == [404]
        path = f"/_session_inspector/panel/{record.id}"
        assert shop.app.test_client().get(path).status_code == 200

    @pytest.mark.parametrize(
        ("keep", "words"),
        [("all", "is no longer kept."), ("findings", "only those with findings.")],
    )
    def test_a_request_that_has_ended_without_a_record(
        self, make_shop: MakeShop, keep: str, words: str
    ) -> None:
        shop = with_toolbar(make_shop, SESSION_INSPECTOR_KEEP=keep)
        client = shop.app.test_client()
        (url,) = Markup(content(client.get("/").text)).attributes("div", "data-fsi-url")
        shop.inspection.clear()
        response = client.get(url)
        assert response.status_code == 410
        assert response.content_type.startswith("text/plain")
        assert words in response.text


class TestHosts:
    def test_an_error_of_ours_does_not_reach_the_page(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from flask_session_inspector.guard import guard

        shop = with_toolbar(make_shop, SESSION_INSPECTOR_STRICT=False)
        errors = guard.errors

        def broken(*args: t.Any, **kwargs: t.Any) -> t.NoReturn:
            raise RuntimeError("broken")

        with monkeypatch.context() as patch:
            patch.setattr(panels, "panel_view", broken)
            response = shop.app.test_client().get("/")
        assert response.status_code == 200
        assert "The panel could not be made" in content(response.text)
        assert guard.errors == errors + 1
        guard.errors = errors

    def test_the_applications_own_templates_do_not_matter(
        self, make_shop: MakeShop
    ) -> None:
        shop = with_toolbar(make_shop)
        shop.app.jinja_env.undefined = jinja2.StrictUndefined
        shop.app.jinja_env.variable_start_string = "[["
        shop.app.jinja_env.variable_end_string = "]]"
        queries = []

        @shop.app.context_processor
        def query() -> dict[str, t.Any]:
            queries.append(shop.db.session.execute(sa.text("SELECT 1")))
            return {"panel": None}

        rendered = []
        with flask.template_rendered.connected_to(
            lambda sender, **extra: rendered.append(extra), shop.app
        ):
            html = shop.app.test_client().get("/").text
        assert "teardown pending" in content(html)
        assert queries == []
        assert rendered == []

    def test_name(self) -> None:
        panel = SessionsPanel(jinja2.Environment(autoescape=True))
        assert panel.dom_id() == "flDebugSessionsPanel"
        assert (panel.nav_title(), panel.title()) == ("Sessions", "Sessions")
        assert panel.has_content

    def test_panels_do_not_share_what_they_show(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        shop.app.test_client().get("/")
        panel = SessionsPanel(jinja2.Environment(autoescape=True))
        assert panel.nav_subtitle() == "not recorded"
        assert "fsi" not in SessionsPanel.context


class TestFindings:
    def test_subtitle(self) -> None:
        def subtitle(*findings: Finding) -> str:
            record = handmade.record(1, handmade.session(7), findings=findings)
            return panels.subtitle(record, frozenset())

        error = handmade.finding()
        note = handmade.finding("FSI502", severity="info")
        assert subtitle() == "S7, isolated"
        assert subtitle(error) == "1 finding"
        assert subtitle(error, note) == "2 findings"
        assert subtitle(note) == "S7, isolated"

    @pytest.mark.parametrize("with_admin", [True, False])
    def test_shown_with_links_where_they_lead_somewhere(
        self, make_shop: MakeShop, with_admin: bool
    ) -> None:
        shop = with_toolbar(make_shop)
        if with_admin:
            Admin(shop.app)
        other = shop.get()
        record = handmade.record(
            1,
            handmade.session(7),
            findings=(
                handmade.finding(
                    message="S7 served two requests.",
                    related_requests=(other.id, "00000000-1"),
                    evidence={"first used at": "/srv/shop/views.py:4 in show"},
                ),
                handmade.finding("FSI201", message="It was lost."),
            ),
        )
        with shop.app.test_request_context():
            view = panels.panel_view(shop.inspection, record, pending=False)
            markup = Markup(render("_panel.html", panel=view, etag=""))
        assert markup.elements[0][1]["data-fsi-subtitle"] == "2 findings"
        for text in (
            "FSI101 session-shared, and 1 more finding.",
            "It was lost.",
            "Other requests GET / 00000000-1 (no longer kept)",
            "First used at shop/views.py:4 in show",
        ):
            assert text in markup.words
        assert markup.words.count("S7 served two requests.") == 1
        links = markup.attributes("a", "href")
        assert (f"/admin/sessions/requests/{other.id}" in links) == with_admin
        assert ("/admin/sessions/?session=S1" in links) == with_admin
        # The page around the panel may have elements of the same id.
        assert "FSI101" not in markup.attributes("article", "id")


class TestHostileData:
    @pytest.mark.parametrize("pending", [True, False])
    def test_every_value_is_escaped(self, make_shop: MakeShop, pending: bool) -> None:
        shop = with_toolbar(make_shop)
        evil = f'"></svg></details>{HOSTILE}\N{SNOWMAN}'
        session = handmade.session(
            1,
            label=evil,
            registry=evil,
            class_name=evil,
            scope_key=evil,
            statements=(
                handmade.statement(
                    sql=evil,
                    bind=evil,
                    relationship=evil,
                    location=handmade.Location(evil, 1, evil),
                    parameters=({evil: evil},),
                ),
            ),
            transactions=(handmade.transaction(bind=evil, writes={evil: 1}),),
        )
        record = handmade.record(
            1,
            session,
            path=evil,
            method=evil,
            error=evil,
            status=None,
            findings=(
                handmade.finding(
                    evil, name=evil, message=evil, hint=evil, evidence={evil: evil}
                ),
            ),
            connections=(handmade.checkout(bind=evil),),
        )
        with shop.app.test_request_context():
            view = panels.panel_view(shop.inspection, record, pending=pending)
            html = render("_panel.html", panel=view, etag="")
        assert HOSTILE not in html
        assert "&lt;script&gt;" in html
        markup = Markup(html)
        assert markup.inline() == []
        assert "script" not in {tag for tag, _ in markup.elements}

    def test_many_sessions_and_statements_are_cut(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        record = handmade.record(
            1,
            *(
                handmade.session(n, statements=(handmade.statement(),) * 3)
                for n in range(40)
            ),
        )
        with shop.app.test_request_context():
            view = panels.panel_view(shop.inspection, record, pending=False)
        assert len(view.statements) == 50
        assert view.more == 70
        html = render("_panel.html", panel=view, etag="")
        assert "70 more" in html
        assert "37 more sessions are not drawn" in html

    def test_many_findings_are_cut(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        notes = [
            handmade.finding("FSI502", severity="info", message=f"Note {n}.")
            for n in range(30)
        ]
        worst = handmade.finding("FSI203", message="The worst.")
        for findings, more in (([*notes, worst], 11), ([*notes[:19], worst], 0)):
            record = handmade.record(1, findings=tuple(findings))
            with shop.app.test_request_context():
                view = panels.panel_view(shop.inspection, record, pending=False)
            assert len(view.findings) == 20
            assert view.more_findings == more
            assert "The worst." in {str(each.message) for each in view.findings}
            html = render("_panel.html", panel=view, etag="")
            assert ("11 more findings are not listed here." in html) == bool(more)

    def test_a_mark_leads_only_to_a_statement_that_is_listed(
        self, make_shop: MakeShop
    ) -> None:
        shop = with_toolbar(make_shop)
        record = handmade.record(
            1, handmade.session(1, statements=(handmade.statement(),) * 80)
        )
        with shop.app.test_request_context():
            view = panels.panel_view(shop.inspection, record, pending=False)
        markup = Markup(render("_panel.html", panel=view, etag=""))
        ids = {each.get("id") for _, each in markup.elements}
        targets = [
            href for href in markup.attributes("a", "href") if href.startswith("#")
        ]
        assert targets
        assert {href[1:] for href in targets} <= ids

    def test_a_mark_can_be_reached_by_keyboard(self, make_shop: MakeShop) -> None:
        shop = with_toolbar(make_shop)
        late = handmade.session(1, statements=(handmade.statement(90.0),))
        busy = handmade.session(2, statements=(handmade.statement(),) * 60)
        with shop.app.test_request_context():
            view = panels.panel_view(
                shop.inspection, handmade.record(1, late, busy), pending=False
            )
        markup = Markup(render("_panel.html", panel=view, etag=""))
        marks = [
            attributes
            for tag, attributes in markup.elements
            if tag == "a" and str(attributes["href"]).startswith("#")
        ]
        assert [mark.get("tabindex") for mark in marks] == [None] + ["-1"] * 49
