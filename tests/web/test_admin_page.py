"""The page in Flask-Admin: list, detail, access, and every way to mount it."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import jinja2
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from flask_admin import Admin
from flask_admin import BaseView
from flask_admin import expose
from flask_admin.contrib.sqla import ModelView
from flask_admin.theme import Bootstrap4Theme
from markup import Markup
from sqlalchemy.orm import Session

from flask_session_inspector import SessionInspector
from flask_session_inspector import SessionsView
from flask_session_inspector.web.automatic_page import AutomaticSessionsView
from flask_session_inspector.web.automatic_page import ensure_page

if t.TYPE_CHECKING:
    from conftest import Shop

HOSTILE = "<script>alert(1)</script>"
LIST = "/admin/sessions/"

MakeShop = t.Callable[..., t.Any]


def inspected(make_shop: MakeShop, *admins: Admin, **config: t.Any) -> Shop:
    """Make a shop in debug mode whose front page reads the users."""
    shop: Shop = make_shop(**config)
    shop.app.debug = True
    for admin in admins or [Admin(name="Shop")]:
        admin.init_app(shop.app)
    shop.app.add_url_rule("/", "front", reads, defaults={"shop": shop})
    return shop


def reads(shop: Shop) -> str:
    shop.db.session.execute(sa.text("SELECT id FROM users")).all()
    return "read"


def inspector_part(html: str) -> Markup:
    """Return our part of the page; the rest is Flask-Admin's."""
    return Markup(html[html.index('<main class="fsi') : html.index("</main>")])


def page(client: FlaskClient, path: str = LIST, status: int = 200, **kw: t.Any) -> str:
    response = client.get(path, **kw)
    assert response.status_code == status, response.text
    assert response.content_type.startswith("text/html")
    assert response.headers["Cache-Control"] == "no-store"
    return response.text


@pytest.fixture
def engine() -> cabc.Iterator[sa.Engine]:
    made = sa.create_engine("sqlite://")
    yield made
    made.dispose()


def admit() -> bool:
    return "key" in flask.request.args


class TestList:
    def test_empty(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        client = shop.app.test_client()
        html = page(client)
        assert "Nothing recorded yet" in html
        assert "No evidence yet" in html
        assert "fsi-scope" not in html
        # Looking does not record anything.
        assert shop.inspection.requests() == []

    def test_healthy(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        client = shop.app.test_client()
        labels = [shop.get().sessions[0].label for _ in range(3)]
        html = page(client)
        assert "3 requests, 3 sessions: each request had its own" in html
        for question in (
            "Same proxy across requests",
            "A different session per request",
            "No data leakage between requests",
        ):
            assert question in html
        for label in labels:
            assert f'href="{LIST}?session={label}"' in html
        assert "this process only" in html
        assert inspector_part(html).inline() == []
        assert inspector_part(html).repeated_ids() == set()

    def test_shared_session(self, make_shop: MakeShop, engine: sa.Engine) -> None:
        shop = inspected(make_shop)
        with Session(engine) as pinned:

            def use_pinned() -> str:
                return str(pinned.execute(sa.text("SELECT 1")).all())

            shop.view(use_pinned, "/pinned")
            client = shop.app.test_client()
            for _ in range(2):
                shop.get("/pinned")
            html = page(client)
        assert "2 requests shared a session" in html
        assert "shared by 2 requests" in html
        assert 'class="d-session is-trouble"' in html
        assert "never closed" in html

    def test_a_view_that_holds_a_session_bypasses_the_proxy(
        self, make_shop: MakeShop, engine: sa.Engine
    ) -> None:
        admin = Admin()
        shop = inspected(make_shop, admin)
        models = [mapper.class_ for mapper in shop.db.Model.registry.mappers]
        admin.add_view(ModelView(models[0], shop.db, endpoint="safe"))
        pinned = ModelView(models[1], shop.db, endpoint="unsafe")
        shop.get()
        with Session(engine) as session:
            pinned.session = session
            shop.app.extensions["admin"][0]._views.append(pinned)
            html = page(shop.app.test_client())
        assert "held by admin view safe" in html
        assert "admin view unsafe bypasses it" in html
        named = "FSI103 session-pinned: admin view &#34;unsafe&#34; holds the session"
        assert named in html

    def test_commands_and_contexts(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)

        @shop.app.cli.command("rebuild")
        def rebuild() -> None:
            reads(shop)

        shop.app.test_cli_runner().invoke(args=["rebuild"])
        shop.app.debug = True  # The command line takes it from the environment.
        with shop.app.app_context():
            reads(shop)
        part = inspector_part(page(shop.app.test_client()))
        assert "command" in part.text
        assert "rebuild" in part.text
        assert "app context" in part.text

    def test_paging(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        client = shop.app.test_client()
        for number in range(60):
            client.get(f"/?n={number}")
        html = page(client)
        assert "50 of 60" in Markup(html).text
        assert "/?n=10<" in html
        assert "/?n=9<" not in html
        assert "Newest" not in html
        older = next(
            url for url in Markup(html).attributes("a", "href") if "before=" in url
        )
        html = page(client, older)
        assert "/?n=9<" in html
        assert "/?n=10<" not in html
        assert "Newest" in html
        assert "Older" not in html

    def test_filters(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        client = shop.app.test_client()
        shop.get()
        client.get("/nowhere")
        label = shop.inspection.requests()[-1].sessions[0].label
        for query, found in (
            ("path=nowhere", ["/nowhere"]),
            ("status=2xx", ["/"]),
            ("status=404", ["/nowhere"]),
            (f"session={label}", ["/"]),
            ("path=&status=&session=", ["/nowhere", "/"]),
        ):
            part = inspector_part(page(client, f"{LIST}?{query}"))
            rows = [
                attributes["title"]
                for tag, attributes in part.elements
                if tag == "a" and attributes.get("title", "").startswith("/")
            ]
            assert rows == found, query
        assert "No request matches" in page(client, f"{LIST}?path=elsewhere")
        assert "<option selected>404</option>" in page(client, f"{LIST}?status=404")

    @pytest.mark.parametrize(
        "query", ["status=abc", "session=x", "status=%3Cscript%3Ealert(1)%3C/script%3E"]
    )
    def test_malformed_filter(self, make_shop: MakeShop, query: str) -> None:
        shop = inspected(make_shop)
        shop.get()
        html = page(shop.app.test_client(), f"{LIST}?{query}", 400)
        assert 'role="alert"' in html
        assert HOSTILE not in html

    def test_an_evicted_place_to_page_from(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        shop.get()
        response = shop.app.test_client().get(f"{LIST}?before=gone")
        assert response.status_code in (200, 400)
        assert "Newest" in response.text or "Clear" in response.text

    def test_paused_is_said(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        shop.inspection.pause()
        assert "Recording is paused." in page(shop.app.test_client())

    def test_full_store_is_said(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop, SESSION_INSPECTOR_MAX_REQUESTS=2)
        for _ in range(3):
            shop.get()
        assert "Only the last 2 records are kept." in page(shop.app.test_client())


class TestDetail:
    def test_everything_is_there(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        record = shop.get()
        client = shop.app.test_client()
        html = page(client, f"{LIST}requests/{record.id}")
        session = record.sessions[0]
        assert "This request had its own session" in html
        assert f"{session.python_id:#x}" in html
        assert f"{session.proxy_id:#x}" in html
        assert str(session.scope_key) in html
        assert "SELECT id FROM users" in html
        assert 'id="fsi-page-statement-1"' in html
        assert 'href="#fsi-page-statement-1"' in html
        assert "test_admin_page.py:" in html
        assert "teardown" in html
        assert inspector_part(html).inline() == []
        assert inspector_part(html).repeated_ids() == set()

    def test_neighbours(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        ids = [shop.get().id for _ in range(3)]
        client = shop.app.test_client()

        def links(number: int) -> dict[str, str]:
            markup = Markup(page(client, f"{LIST}requests/{ids[number]}"))
            return {
                str(attributes["rel"]): str(attributes["href"]).rpartition("/")[2]
                for tag, attributes in markup.elements
                if tag == "a" and attributes.get("rel") in ("prev", "next")
            }

        assert links(0) == {"next": ids[1]}
        assert links(1) == {"prev": ids[0], "next": ids[2]}
        assert links(2) == {"prev": ids[1]}

    @pytest.mark.parametrize("record_id", ["nope", "<b onclick=alert(1)>"])
    def test_unknown(self, make_shop: MakeShop, record_id: str) -> None:
        shop = inspected(make_shop)
        html = page(shop.app.test_client(), f"{LIST}requests/{record_id}", 404)
        assert "There is no record" in html
        part = inspector_part(html)
        assert record_id in part.text
        assert part.inline() == []

    def test_evicted(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop, SESSION_INSPECTOR_MAX_REQUESTS=1)
        record = shop.get()
        shop.get()
        html = page(shop.app.test_client(), f"{LIST}requests/{record.id}", 404)
        assert "only the last is kept" in html

    def test_statement_without_a_session(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)

        def bare() -> str:
            with shop.db.engine.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
            return ""

        shop.view(bare, "/bare")
        record = shop.get("/bare")
        html = page(shop.app.test_client(), f"{LIST}requests/{record.id}")
        assert "1 without a session" in html
        assert "used no database session" in html

    def test_parameters(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop, SESSION_INSPECTOR_CAPTURE_PARAMETERS=True)

        def find() -> str:
            found = shop.db.session.execute(sa.text("SELECT :who"), {"who": HOSTILE})
            return str(len(found.all()))

        shop.view(find, "/find")
        record = shop.get("/find")
        html = page(shop.app.test_client(), f"{LIST}requests/{record.id}")
        assert HOSTILE not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


class TestHostileData:
    def test_path_sql_and_names(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        path = f"/{HOSTILE}/\N{SNOWMAN}\u202e" + "x" * 300

        def hostile(**values: str) -> str:
            sql = f'SELECT 1 AS "</svg></code>{HOSTILE}\N{SNOWMAN}"'
            return str(shop.db.session.execute(sa.text(sql)).all())

        shop.app.add_url_rule("/<path:anything>", "hostile", hostile)
        client = shop.app.test_client()
        client.get(path)
        record = shop.newest()
        for address in (LIST, f"{LIST}requests/{record.id}"):
            html = page(client, address)
            assert HOSTILE not in html
            part = inspector_part(html)
            assert part.inline() == []
            assert "script" not in {tag for tag, _ in part.elements}
        assert "\N{SNOWMAN}" in html

    def test_forty_sessions(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)

        def many() -> str:
            for _ in range(40):
                with Session(shop.db.engine) as session:
                    session.execute(sa.text("SELECT 1"))
            return ""

        shop.view(many, "/many")
        record = shop.get("/many")
        assert len(record.sessions) == 40
        client = shop.app.test_client()
        assert "+36" in page(client)
        html = page(client, f"{LIST}requests/{record.id}")
        assert "32 more sessions are not drawn" in html


class TestAccess:
    def test_denied_by_the_rule(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop, SESSION_INSPECTOR_ACCESS=lambda: False)
        record = shop.get()
        client = shop.app.test_client()
        for path in (LIST, f"{LIST}requests/{record.id}", f"{LIST}requests/nope"):
            html = page(client, path, 403)
            assert "SESSION_INSPECTOR_ACCESS did not allow this request" in html
            assert record.sessions[0].label not in html
            assert Markup(html).inline() == []

    def test_denied_outside_of_debug_mode(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        shop.app.debug = False
        assert "debug" in page(shop.app.test_client(), LIST, 403)

    def test_not_to_be_read_from_another_site(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        record = shop.get()
        client = shop.app.test_client()
        for path in (LIST, f"{LIST}requests/{record.id}"):
            for headers in (
                {"Origin": "http://elsewhere.example"},
                {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
            ):
                html = page(client, path, 403, headers=headers)
                assert "another site" in html
                assert record.sessions[0].label not in html
            link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
            assert record.sessions[0].label in page(client, path, headers=link)

    def test_no_menu_entry_when_denied(self, make_shop: MakeShop) -> None:
        allowed = True
        shop = inspected(make_shop, SESSION_INSPECTOR_ACCESS=lambda: allowed)
        client = shop.app.test_client()
        assert LIST in client.get("/admin/").text
        allowed = False
        assert LIST not in client.get("/admin/").text

    def test_the_rule_comes_before_the_applications_own(
        self, make_shop: MakeShop
    ) -> None:
        asked: list[str] = []

        class Own(SessionsView):
            def is_accessible(self) -> bool:
                asked.append("own")
                return True

            # As older recipes for Flask-Admin have it, without super().
            def _handle_view(self, name: str, **kwargs: t.Any) -> t.Any:
                asked.append("handle")

        admin = Admin()
        admin.add_view(Own())
        shop = inspected(make_shop, admin, SESSION_INSPECTOR_ACCESS=lambda: False)
        page(shop.app.test_client(), LIST, 403)
        assert asked == []

    def test_own_view_denies(self, make_shop: MakeShop) -> None:
        class Own(SessionsView):
            def is_accessible(self) -> bool:
                return flask.request.args.get("key") == "1"

        admin = Admin()
        admin.add_view(Own(name="Records"))
        shop = inspected(make_shop, admin)
        client = shop.app.test_client()
        assert client.get(LIST).status_code == 403
        assert "<h1>Records</h1>" in page(client, f"{LIST}?key=1")
        views = [view for view in admin._views if isinstance(view, SessionsView)]
        assert [type(view) for view in views] == [Own]

    @pytest.mark.parametrize("url", [None, "/backoffice/db", "elsewhere"])
    def test_own_view_added_after_the_automatic_one(
        self, make_shop: MakeShop, url: str | None
    ) -> None:
        class Own(SessionsView):
            def is_accessible(self) -> bool:
                return "key" in flask.request.args

            def inaccessible_callback(self, name: t.Any, **kwargs: t.Any) -> t.Any:
                return flask.redirect("/login")

        admin = Admin()
        shop = inspected(make_shop, admin)
        with shop.app.app_context():
            pass  # The automatic page is added now.
        assert any(isinstance(view, AutomaticSessionsView) for view in admin._views)
        admin.add_view(Own(url=url) if url else Own())
        record = shop.get()
        client = shop.app.test_client()
        for path in (LIST, f"{LIST}requests/{record.id}"):
            response = client.get(path)
            assert response.status_code == 302, path
            assert response.location == "/login"
            assert record.sessions[0].label in page(client, f"{path}?key")
        menu = Markup(client.get("/admin/?key").text).attributes("a", "href")
        assert sum("sessions" in each or url == each for each in menu) <= 1

    def test_own_view_in_another_admin(self, make_shop: MakeShop) -> None:
        class Own(SessionsView):
            def is_accessible(self) -> bool:
                return False

        first, second = Admin(), Admin(endpoint="inner", url="/inner")
        second.add_view(Own())
        shop = inspected(make_shop, first, second)
        client = shop.app.test_client()
        assert client.get(LIST).status_code == 404
        assert client.get("/inner/sessions/").status_code == 403

    def test_a_callback_that_returns_nothing_still_denies(
        self, make_shop: MakeShop
    ) -> None:
        class Own(SessionsView):
            def is_accessible(self) -> bool:
                return False

            def inaccessible_callback(self, name: t.Any, **kwargs: t.Any) -> t.Any:
                return None

        admin = Admin()
        admin.add_view(Own())
        shop = inspected(make_shop, admin)
        assert shop.app.test_client().get(LIST).status_code == 403


class TestMounting:
    def test_requests_to_it_are_not_recorded(self, make_shop: MakeShop) -> None:
        class Own(SessionsView):
            pass

        admin = Admin()
        admin.add_view(Own())
        shop = inspected(make_shop, admin)
        client = shop.app.test_client()
        page(client)
        client.get("/admin/")
        assert [each.path for each in shop.inspection.requests()] == ["/admin/"]
        assert "own" in shop.inspection.own_blueprints

    def test_ensure_page_may_be_repeated(self, make_shop: MakeShop) -> None:
        admin = Admin()
        shop = inspected(make_shop, admin)
        for _ in range(3):
            ensure_page(shop.inspection, admin)
        assert sum(isinstance(view, SessionsView) for view in admin._views) == 1
        assert "session_inspector_page" in shop.inspection.own_blueprints

    def test_an_admin_that_has_no_app_yet(self, make_shop: MakeShop) -> None:
        admin = Admin()
        shop: Shop = make_shop()
        shop.app.debug = True
        ensure_page(shop.inspection, admin)
        admin.init_app(shop.app)
        assert "No evidence yet" in page(shop.app.test_client())

    def test_two_admins(self, make_shop: MakeShop) -> None:
        first = Admin(name="Outer")
        second = Admin(name="Inner", endpoint="inner", url="/inner")
        shop = inspected(make_shop, first, second)
        client = shop.app.test_client()
        record = shop.get()
        for base in ("/admin", "/inner"):
            html = page(client, f"{base}/sessions/")
            assert f'href="{base}/sessions/requests/{record.id}"' in html
        assert shop.inspection.requests() == [record]

    def test_an_application_with_a_view_of_the_same_name(
        self, make_shop: MakeShop
    ) -> None:
        class Sessions(BaseView):  # type: ignore[misc]
            @expose("/")
            def index(self) -> str:
                return "the application's"

        admin = Admin()
        admin.add_view(Sessions(endpoint="sessions", url="visits"))
        shop = inspected(make_shop, admin)
        client = shop.app.test_client()
        assert client.get("/admin/visits/").text == "the application's"
        page(client)

    @pytest.mark.parametrize("inspected_first", [True, False])
    @pytest.mark.parametrize("initialised_first", [True, False])
    def test_an_application_with_a_view_at_the_same_url(
        self, make_shop: MakeShop, inspected_first: bool, initialised_first: bool
    ) -> None:
        class Visits(BaseView):  # type: ignore[misc]
            @expose("/", methods=("GET", "POST"))
            def index(self) -> str:
                return f"the application's: {flask.url_for('.index')}"

            @expose("/requests/<number>")
            def request_page(self, number: str) -> str:
                return f"the application's {number}"

        admin = Admin()
        shop: Shop = make_shop(SESSION_INSPECTOR_ACCESS=admit)
        if initialised_first:
            admin.init_app(shop.app)
        if inspected_first:
            ensure_page(shop.inspection, admin)
        admin.add_view(Visits(endpoint="visits", url="sessions"))
        if not initialised_first:
            admin.init_app(shop.app)
        client = shop.app.test_client()
        for allowed in ("?key", ""):
            assert client.get(LIST + allowed).text == f"the application's: {LIST}"
        assert client.post(LIST).text == f"the application's: {LIST}"
        assert client.get(f"{LIST}requests/5").text == "the application's 5"
        assert len(shop.inspection.requests()) == 4
        menu = Markup(client.get("/admin/?key").text).attributes("a", "href")
        assert menu.count(LIST) == 1
        elsewhere = "/admin/session-inspector/"
        html = page(client, f"{elsewhere}?key")
        assert "<h1>Session inspector</h1>" in html
        assert f'href="{elsewhere}"' in html

    def test_a_view_added_in_the_context_that_serves_the_request(
        self, make_shop: MakeShop
    ) -> None:
        class Visits(BaseView):  # type: ignore[misc]
            @expose("/")
            def index(self) -> str:
                return "the application's"

        admin = Admin()
        shop = inspected(make_shop, admin)
        with shop.app.app_context():
            admin.add_view(Visits(endpoint="visits", url="/admin/sessions/"))
            assert shop.app.test_client().get(LIST).text == "the application's"

    @pytest.mark.parametrize("initialised_first", [True, False])
    def test_a_blueprint_of_the_same_name(
        self, make_shop: MakeShop, initialised_first: bool
    ) -> None:
        admin = Admin()
        shop: Shop = make_shop()
        shop.app.debug = True
        for name in ("session_inspector_page", "session_inspector_page_admin"):
            shop.app.register_blueprint(flask.Blueprint(name, __name__))
        if initialised_first:
            admin.init_app(shop.app)
        ensure_page(shop.inspection, admin, shop.app)
        if not initialised_first:
            admin.init_app(shop.app)
        page(shop.app.test_client())
        assert "session_inspector_page" not in shop.inspection.own_blueprints

    def test_url_and_script_name(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop, Admin(url="/backoffice"))
        record = shop.get()
        client = shop.app.test_client()
        html = page(
            client,
            "/backoffice/sessions/",
            environ_overrides={"SCRIPT_NAME": "/shop"},
        )
        assert f'href="/shop/backoffice/sessions/requests/{record.id}"' in html
        assert 'href="/shop/_session_inspector/static/inspector.css"' in html
        assert 'action="/shop/backoffice/sessions/"' in html

    def test_subdomain(self, make_shop: MakeShop) -> None:
        shop: Shop = make_shop(SERVER_NAME="shop.test")
        shop.app.debug = True
        shop.app.subdomain_matching = True
        admin = Admin(subdomain="office")
        admin.init_app(shop.app)
        client = shop.app.test_client()
        html = page(client, LIST, base_url="http://office.shop.test")
        assert "No evidence yet" in html

    def test_host(self) -> None:
        app = flask.Flask(__name__, host_matching=True, static_host="a.test")
        app.config["SESSION_INSPECTOR_ENABLED"] = True
        app.debug = True
        SessionInspector(app)
        Admin(app, host="a.test")
        html = page(app.test_client(), LIST, base_url="http://a.test")
        assert "No evidence yet" in html
        SessionInspector().detach(app)

    def test_any_host(self) -> None:
        app = flask.Flask(__name__, host_matching=True, static_host="a.test")
        app.config["SESSION_INSPECTOR_ENABLED"] = True
        app.debug = True
        SessionInspector(app)
        Admin(app, host="*")
        client = app.test_client()
        client.get("/nowhere", base_url="http://b.test")
        html = page(client, LIST, base_url="http://b.test")
        assert f'action="{LIST}"' in html
        SessionInspector().detach(app)

    def test_nonce(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop, Admin(csp_nonce_generator=lambda: "n0nce"))
        markup = Markup(page(shop.app.test_client()))
        ours = [
            attributes
            for tag, attributes in markup.elements
            if tag in ("link", "script")
            and "_session_inspector"
            in str(attributes.get("href", attributes.get("src")))
        ]
        assert len(ours) == 2
        assert [each["nonce"] for each in ours] == ["n0nce", "n0nce"]

    @pytest.mark.parametrize(
        ("swatch", "theme"), [("default", None), ("darkly", "dark"), ("flatly", None)]
    )
    def test_dark_swatches_are_dark(
        self, make_shop: MakeShop, swatch: str, theme: str | None
    ) -> None:
        shop = inspected(make_shop, Admin(theme=Bootstrap4Theme(swatch=swatch)))
        main = next(
            attributes
            for tag, attributes in Markup(page(shop.app.test_client())).elements
            if tag == "main"
        )
        assert main.get("data-theme") == theme

    def test_custom_base_template_and_strict_environment(
        self, make_shop: MakeShop
    ) -> None:
        shop = inspected(
            make_shop, Admin(theme=Bootstrap4Theme(base_template="own_base.html"))
        )
        own = (
            '{% extends "admin/base.html" %}{% block head %}{{ super() }}'
            '<meta name="own">{% endblock %}'
        )
        loader = jinja2.DictLoader({"own_base.html": own})
        shop.app.jinja_env.undefined = jinja2.StrictUndefined
        shop.app.jinja_loader = loader
        # Names that an application may have given to something else.
        shop.app.jinja_env.globals |= {"page": "x", "record_url": "y", "icon": "z"}
        shop.app.jinja_env.trim_blocks = True
        record = shop.get()
        client = shop.app.test_client()
        for path in (LIST, f"{LIST}requests/{record.id}", f"{LIST}?path=none"):
            html = page(client, path)
            assert '<meta name="own">' in html
            assert "inspector.css" in html
        page(client, f"{LIST}requests/none", 404)

    def test_its_own_heading_replaces_flask_admins(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        html = page(shop.app.test_client())
        assert html.count("<h1>") == 1
        assert "<h4" not in html

    def test_a_type_error_in_a_view_is_not_tried_again(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        calls = []

        def broken(**_: t.Any) -> t.NoReturn:
            calls.append(1)
            raise TypeError("broken")

        monkeypatch.setattr(shop.inspection, "audit_for_page", broken)
        # Flask-Admin's second try would raise a TypeError of its own instead.
        with pytest.raises(TypeError, match=r"^broken$"):
            shop.app.test_client().get(LIST)
        assert calls == [1]

    def test_disabled(self, make_shop: MakeShop) -> None:
        admin = Admin()
        admin.add_view(SessionsView())
        shop = inspected(make_shop, admin, SESSION_INSPECTOR_ENABLED=False)
        client = shop.app.test_client()
        assert "SESSION_INSPECTOR_ENABLED is False" in page(client, LIST, 404)
        assert LIST not in client.get("/admin/").text

    def test_without_an_inspector(self) -> None:
        app = flask.Flask(__name__)
        admin = Admin(app)
        admin.add_view(SessionsView())
        client = app.test_client()
        assert "has no SessionInspector" in page(client, LIST, 404)
        assert LIST not in client.get("/admin/").text
