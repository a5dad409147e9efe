"""The routes answer in any kind of application, at the place the pages ask."""

from __future__ import annotations

import typing as t
import warnings

import flask
import pytest
from flask import Blueprint
from flask import Flask
from flask import url_for

from flask_session_inspector import SessionInspector

STATIC = "/_session_inspector/static/inspector.js"
COUNTERS = "/_session_inspector/api/counters"


def make_app(**options: t.Any) -> Flask:
    app = Flask(__name__, **options)
    app.debug = True
    return app


def add_routes(app: Flask, suffix: str = "", **options: t.Any) -> None:
    """Add a page that fetches from us, and a route that catches everything."""

    def page(**values: str) -> list[str]:
        return [
            url_for("session_inspector.static", filename="inspector.js"),
            url_for("session_inspector.counters"),
            url_for("session_inspector.request_detail", request_id="none"),
        ]

    def catch_all(path: str, **values: str) -> tuple[str, int]:
        return f"the host caught {path}", 418

    app.add_url_rule("/page", f"page{suffix}", page, **options)
    app.add_url_rule(
        "/<path:path>", f"all{suffix}", catch_all, methods=["GET", "POST"], **options
    )


def assert_mounted(app: Flask, base_url: str = "http://localhost") -> None:
    """Follow the links of the page, as a browser does."""
    client = app.test_client()
    origin, _, root = base_url.partition("://")[2].partition("/")
    prefix = f"/{root}" if root else ""
    page = client.get("/page", base_url=base_url)
    assert page.status_code == 200, page.get_data(as_text=True)
    static, counters, detail = page.get_json()
    # Relative, so they are of the page's own origin.
    assert static == prefix + STATIC
    assert counters == prefix + COUNTERS

    def fetch(url: str, method: str = "GET") -> int:
        with client.open(
            url.removeprefix(prefix), method=method, base_url=base_url
        ) as response:
            if response.mimetype == "application/json":
                assert response.headers["Cache-Control"] == "no-store"
            else:
                assert url == static
            return response.status_code

    assert fetch(static) == 200
    assert fetch(counters) == 200
    assert fetch(detail) == 404
    assert fetch("/_session_inspector/api/clear") == 405
    assert fetch("/_session_inspector/api/clear", "POST") == 403
    assert fetch("/_session_inspector/api/nothing") == 404
    assert fetch("/_session_inspector/api/nothing", "POST") == 404
    assert fetch("/_session_inspector/") == 404
    # The application keeps all the rest.
    assert client.get("/other", base_url=base_url).status_code == 418
    assert origin


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"static_folder": None},
        {"static_url_path": "/_session_inspector/assets"},
        {"static_folder": None, "template_folder": None},
    ],
)
def test_a_plain_application(options: dict[str, t.Any], late: bool) -> None:
    app = make_app(**options)
    if late:
        add_routes(app)
    SessionInspector(app)
    if not late:
        add_routes(app)

    assert_mounted(app)


def test_behind_a_prefix() -> None:
    app = make_app()
    SessionInspector(app)
    add_routes(app)

    # The test client makes SCRIPT_NAME of the path of its base URL.
    assert_mounted(app, "http://localhost/shop")
    assert_mounted(app, "http://localhost/a/b")


def test_application_root_counts_outside_a_request() -> None:
    app = make_app()
    app.config["SERVER_NAME"] = "example.com"
    app.config["APPLICATION_ROOT"] = "/shop"
    SessionInspector(app)
    add_routes(app)

    with app.app_context():
        url = url_for("session_inspector.static", filename="inspector.js")
    assert url == "http://example.com/shop" + STATIC
    assert_mounted(app, "http://example.com/shop")


@pytest.mark.parametrize("path", [COUNTERS, COUNTERS + "/"])
def test_without_strict_slashes(path: str) -> None:
    app = make_app()
    app.url_map.strict_slashes = False
    SessionInspector(app)
    add_routes(app)

    assert app.test_client().get(path).status_code == 200
    assert_mounted(app)


def test_the_address_without_its_slash() -> None:
    app = make_app()
    SessionInspector(app)

    response = app.test_client().get("/_session_inspector", follow_redirects=True)

    assert response.status_code == 404
    assert response.content_type == "application/json"


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "base_url",
    [
        "http://example.com:5000",
        "http://admin.example.com:5000",
        "http://anna.example.com:5000",
        "http://a.b.example.com:5000",
        "http://ADMIN.example.com:5000",
        "http://admin.example.com:5000/shop",
    ],
)
def test_subdomains(base_url: str, late: bool) -> None:
    app = make_app(subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.com:5000"
    if not late:
        SessionInspector(app)
    add_routes(app, "_main")
    add_routes(app, "_admin", subdomain="admin")
    add_routes(app, "_user", subdomain="<user>")
    if late:
        SessionInspector(app)

    assert_mounted(app, base_url)
    with app.app_context():
        url = url_for("session_inspector.static", filename="inspector.js")
    assert url == "http://example.com:5000" + STATIC


def test_a_default_subdomain() -> None:
    app = make_app(subdomain_matching=True, static_folder=None)
    app.config["SERVER_NAME"] = "example.com"
    app.url_map.default_subdomain = "www"
    SessionInspector(app)
    add_routes(app)
    add_routes(app, "_admin", subdomain="admin")

    assert_mounted(app, "http://www.example.com")
    assert_mounted(app, "http://admin.example.com")
    with app.app_context():
        url = url_for("session_inspector.static", filename="inspector.js")
    assert url == "http://www.example.com" + STATIC


def test_subdomain_matching_without_a_server_name() -> None:
    app = make_app(subdomain_matching=True)
    SessionInspector(app)
    add_routes(app)

    assert_mounted(app, "http://localhost:5000")


def test_a_foreign_host_of_an_application_with_subdomains() -> None:
    app = make_app(subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.com"
    SessionInspector(app)
    add_routes(app, subdomain="<user>")

    with warnings.catch_warnings():
        # Werkzeug's own, about the name that does not match.
        warnings.simplefilter("ignore", UserWarning)
        assert_mounted(app, "http://127.0.0.1:5000")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "base_url",
    [
        "http://example.com",
        "http://admin.example.com:8080",
        "http://elsewhere.example",
        "http://127.0.0.1:5000",
        "http://[::1]:5000",
        "http://EXAMPLE.com",
        "http://example.com/shop",
    ],
)
def test_host_matching(base_url: str, late: bool) -> None:
    app = make_app(host_matching=True, static_host="static.example.com")
    if not late:
        SessionInspector(app)
    add_routes(app, "_main", host="example.com")
    add_routes(app, "_admin", host="admin.example.com:8080")
    add_routes(app, "_any", host="<host>")
    if late:
        SessionInspector(app)

    assert_mounted(app, base_url)


def test_a_host_in_capitals() -> None:
    app = make_app(host_matching=True, static_folder=None)
    SessionInspector(app)
    add_routes(app, host="example.com")

    page = app.test_client().get("/page", headers={"Host": "EXAMPLE.com"})

    assert page.get_json()[0] == STATIC


def test_options_of_a_static_file_on_a_named_host() -> None:
    app = make_app(host_matching=True, static_folder=None)
    SessionInspector(app)
    add_routes(app, host="example.com")

    response = app.test_client().options(STATIC, base_url="http://example.com")

    assert response.data == b""
    assert "GET" in response.headers["Allow"]


def test_host_matching_outside_a_request() -> None:
    app = make_app(host_matching=True, static_folder=None)
    app.config["SERVER_NAME"] = "example.com:8080"
    SessionInspector(app)

    with app.app_context():
        url = url_for("session_inspector.static", filename="inspector.js")

    assert url == "http://example.com:8080" + STATIC


def test_host_matching_without_a_server_name_has_no_url_outside_a_request() -> None:
    app = make_app(host_matching=True, static_folder=None)
    SessionInspector(app)

    with app.app_context(), pytest.raises(RuntimeError, match="SERVER_NAME"):
        url_for("session_inspector.static", filename="inspector.js")


def test_routes_that_come_after_an_app_context() -> None:
    app = make_app(host_matching=True, static_folder=None)
    SessionInspector(app)
    with app.app_context():
        pass  # Such as db.create_all() has.
    add_routes(app, host="example.com")

    assert_mounted(app, "http://example.com")


def test_the_views_do_not_see_the_domain() -> None:
    app = make_app(host_matching=True, static_folder=None)
    SessionInspector(app)
    seen: list[object] = []

    @app.before_request
    def note() -> None:
        seen.append(flask.request.view_args)

    app.test_client().get("/_session_inspector/api/requests/x")

    assert seen == [{"request_id": "x"}]


def test_no_route_is_repeated_in_a_plain_application() -> None:
    app = make_app()
    SessionInspector(app)
    add_routes(app)
    app.test_client().get("/page")

    endpoints = [str(rule.endpoint) for rule in app.url_map.iter_rules()]
    own = [name for name in endpoints if name.startswith("session_inspector.")]
    assert len(own) == len(set(own))


def test_an_inspector_that_comes_with_the_first_request() -> None:
    app = make_app(host_matching=True, static_folder=None)
    add_routes(app, host="example.com")

    def come(sender: Flask, **extra: object) -> None:
        if "session_inspector" not in sender.extensions:
            SessionInspector(sender)

    with flask.appcontext_pushed.connected_to(come, sender=app):
        assert_mounted(app, "http://example.com")


def test_one_extension_in_several_applications() -> None:
    inspector = SessionInspector()
    apps = [
        make_app(),
        make_app(host_matching=True, static_folder=None),
        make_app(subdomain_matching=True),
    ]
    for app in apps:
        inspector.init_app(app)

    add_routes(apps[0])
    add_routes(apps[1], host="example.com")
    add_routes(apps[2])

    assert_mounted(apps[0])
    assert_mounted(apps[1], "http://example.com")
    assert_mounted(apps[2])
    assert len({id(app.blueprints["session_inspector"]) for app in apps}) == 3


def test_a_blueprint_of_the_same_name() -> None:
    app = make_app()
    app.register_blueprint(Blueprint("session_inspector", __name__))

    with pytest.raises(RuntimeError, match="'session_inspector'"):
        SessionInspector(app)


def test_nothing_is_mounted_while_disabled() -> None:
    app = make_app()
    app.config["SESSION_INSPECTOR_ENABLED"] = False
    SessionInspector(app)

    assert "session_inspector" not in app.blueprints
    assert app.test_client().get(COUNTERS).status_code == 404
