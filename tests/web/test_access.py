"""The access rule, and the proof that a change was meant."""

from __future__ import annotations

import logging
import typing as t

import pytest
from flask import Flask
from flask import Response
from flask import abort
from flask import current_app
from flask import request
from flask.testing import FlaskClient

from flask_session_inspector import SessionInspector

API = "/_session_inspector/api/"
CHANGE = ["clear", "pause", "resume"]


def make_app(debug: bool = True, **config: t.Any) -> Flask:
    app = Flask(__name__)
    app.debug = debug
    app.config["SESSION_INSPECTOR_ENABLED"] = True
    app.config.update(config)
    SessionInspector(app)

    @app.get("/")
    def index() -> str:
        return "index"

    return app


def status(app: Flask, **kwargs: t.Any) -> int:
    return app.test_client().get(API + "counters", **kwargs).status_code


def reason(app: Flask, **kwargs: t.Any) -> str:
    response = app.test_client().get(API + "counters", **kwargs)
    assert response.status_code == 403
    assert response.content_type == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    sentence = response.get_json()["error"]
    assert sentence.endswith(".")
    assert ". " not in sentence
    return t.cast(str, sentence)


def refuse() -> bool:
    return False


def own_rules(app: Flask) -> list[tuple[str, str, str]]:
    """Every way into the blueprint, so that a new route is tested as well."""
    return [
        (
            str(rule.endpoint),
            rule.rule.replace("<request_id>", "x").replace("<path:anything>", "x/y"),
            method,
        )
        for rule in app.url_map.iter_rules()
        if str(rule.endpoint).startswith("session_inspector.")
        and rule.endpoint != "session_inspector.static"
        for method in sorted(rule.methods or ())
    ]


def test_every_route_is_behind_the_rule() -> None:
    app = make_app(SESSION_INSPECTOR_ACCESS=refuse)
    client = app.test_client()
    client.get("/")
    inspection = app.extensions["session_inspector"]
    token = {"X-Session-Inspector-Token": inspection.token}
    rules = own_rules(app)
    assert len({endpoint for endpoint, _, _ in rules}) == 12

    for endpoint, path, method in rules:
        response = client.open(path, method=method, headers=token)
        assert response.status_code == 403, (path, method)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        if method != "HEAD":
            assert "SESSION_INSPECTOR_ACCESS" in response.get_data(as_text=True)
        if endpoint == "session_inspector.panel":
            assert response.mimetype == "text/plain"
        else:
            assert response.content_type == "application/json"
    assert inspection.counters.retained == 1
    assert not inspection.paused


def test_static_files_are_not_behind_the_rule() -> None:
    client = make_app(debug=False).test_client()

    with client.get("/_session_inspector/static/inspector.js") as response:
        assert response.status_code == 200
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        # They may be cached.
        assert response.headers["Cache-Control"] != "no-store"
    missing = client.get("/_session_inspector/static/../config.py")
    assert missing.status_code in (403, 404)
    assert b"class Config" not in missing.data


def test_only_in_debug_mode_by_default() -> None:
    app = make_app(debug=False)

    sentence = reason(app)
    assert "debug mode" in sentence
    assert "SESSION_INSPECTOR_ACCESS" in sentence
    app.debug = True
    assert status(app) == 200
    app.debug = False
    assert status(app) == 403


@pytest.mark.parametrize(
    ("hosts", "address", "expected"),
    [
        ((), "10.0.0.1", 200),
        (None, "10.0.0.1", 200),
        (["10.0.0.1"], "10.0.0.1", 200),
        (("10.0.0.2", "10.0.0.1"), "10.0.0.1", 200),
        ({"10.0.0.1"}, "10.0.0.1", 200),
        (["10.0.0.2"], "10.0.0.1", 403),
        ("10.0.0.1", "10.0.0.1", 200),
        # A part of a string is not an address.
        ("10.0.0.10", "10.0.0.1", 403),
        (["::1"], "::1", 200),
        (["10.0.0.1"], None, 403),
    ],
)
def test_only_the_hosts_of_the_toolbar(
    hosts: t.Any, address: str | None, expected: int
) -> None:
    app = make_app(DEBUG_TB_HOSTS=hosts)
    environ = {"REMOTE_ADDR": address}

    assert status(app, environ_overrides=environ) == expected
    if expected == 403:
        assert "DEBUG_TB_HOSTS" in reason(app, environ_overrides=environ)


def test_the_hosts_of_the_toolbar_do_not_replace_debug_mode() -> None:
    assert status(make_app(debug=False, DEBUG_TB_HOSTS=["127.0.0.1"])) == 403


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [(True, 200), (1, 200), ("yes", 200), (False, 403), (None, 403), (0, 403)],
)
@pytest.mark.parametrize("debug", [True, False])
def test_the_callable_decides_alone(verdict: t.Any, expected: int, debug: bool) -> None:
    app = make_app(
        debug,
        SESSION_INSPECTOR_ACCESS=lambda: verdict,
        DEBUG_TB_HOSTS=["192.0.2.1"],
    )

    assert status(app) == expected


def test_the_callable_runs_in_the_context_of_the_request() -> None:
    def access() -> bool:
        return (
            current_app.name == app.name
            and request.path == API + "counters"
            and request.headers.get("X-User") == "ada"
        )

    app = make_app(SESSION_INSPECTOR_ACCESS=access)

    assert status(app, headers={"X-User": "ada"}) == 200
    assert status(app, headers={"X-User": "eve"}) == 403


def test_an_error_in_the_callable_denies(caplog: pytest.LogCaptureFixture) -> None:
    def access() -> bool:
        raise LookupError("the user table is gone")

    app = make_app(SESSION_INSPECTOR_ACCESS=access, SESSION_INSPECTOR_STRICT=True)
    with caplog.at_level(logging.ERROR, "flask_session_inspector"):
        sentence = reason(app)

    assert "SESSION_INSPECTOR_ACCESS" in sentence
    assert "user table" not in sentence
    [entry] = [r for r in caplog.records if r.name == "flask_session_inspector"]
    assert entry.exc_info is not None
    assert entry.exc_info[0] is LookupError


def test_a_verdict_without_a_truth_value_denies(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Undecided:
        def __bool__(self) -> bool:
            raise TypeError("neither")

    assert reason(make_app(SESSION_INSPECTOR_ACCESS=Undecided))
    assert "neither" in caplog.text


@pytest.mark.parametrize("code", [401, 403, 404])
def test_abort_in_the_callable_is_a_plain_no(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(SESSION_INSPECTOR_ACCESS=lambda: abort(code))

    assert "did not allow" in reason(app)
    assert "flask_session_inspector" not in [r.name for r in caplog.records]


def test_an_awaitable_verdict_is_not_taken_for_a_yes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def nobody() -> bool:
        return False

    class Nobody:
        async def __call__(self) -> bool:
            return False

    # With Flask's async extra the first one runs, without it Flask refuses it.
    assert reason(make_app(SESSION_INSPECTOR_ACCESS=nobody))
    assert reason(make_app(SESSION_INSPECTOR_ACCESS=Nobody()))
    assert "awaitable" in caplog.text


def test_an_async_callable_is_awaited() -> None:
    pytest.importorskip("asgiref", reason="needs Flask's async extra")

    async def access() -> bool:
        return request.headers.get("X-User") == "ada"

    app = make_app(SESSION_INSPECTOR_ACCESS=access)

    assert status(app, headers={"X-User": "ada"}) == 200
    assert status(app, headers={"X-User": "eve"}) == 403


def test_a_request_cannot_turn_debug_mode_on() -> None:
    app = make_app(debug=False)

    for query in ("?debug=1", "?SESSION_INSPECTOR_ENABLED=1", "?_debug=true"):
        assert app.test_client().get(API + "counters" + query).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site"},
        # Fetch metadata is sent to trustworthy addresses only, such as localhost.
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ],
)
def test_another_site_reads_nothing(headers: dict[str, str]) -> None:
    app = make_app(SESSION_INSPECTOR_ACCESS=lambda: True)

    # As flask_cors.CORS(app) does.
    @app.after_request
    def allow_every_origin(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    client = app.test_client()
    client.get("/")
    inspection = app.extensions["session_inspector"]
    sent = {"X-Session-Inspector-Token": inspection.token, **headers}

    assert "another site" in reason(app, headers=headers)
    for _, path, method in own_rules(app):
        assert client.open(path, method=method, headers=sent).status_code == 403
    assert inspection.counters.retained == 1
    with client.get(
        "/_session_inspector/static/inspector.js", headers=headers
    ) as response:
        assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "http://localhost"},
        {"Origin": "https://LOCALHOST:443"},
        {"Referer": "http://elsewhere.example/"},
    ],
)
def test_links_and_our_own_pages_read(headers: dict[str, str]) -> None:
    assert status(make_app(), headers=headers) == 200


@pytest.fixture
def app() -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def post(
    app: Flask, client: FlaskClient, name: str = "clear", **headers: str
) -> int | str:
    """Return 200, or the sentence that came with a 403."""
    token = app.extensions["session_inspector"].token
    sent = {"X-Session-Inspector-Token": token}
    sent |= {key.replace("_", "-"): value for key, value in headers.items()}
    response = client.post(API + name, headers=sent)
    assert response.content_type == "application/json"
    if response.status_code == 200:
        return 200
    assert response.status_code == 403
    sentence = response.get_json()["error"]
    assert sentence.endswith(".")
    assert ". " not in sentence
    return t.cast(str, sentence)


@pytest.mark.parametrize("name", CHANGE)
def test_a_change_needs_the_token(app: Flask, client: FlaskClient, name: str) -> None:
    client.get("/")
    inspection = app.extensions["session_inspector"]
    assert len(inspection.token) >= 20

    for token in (
        None,
        "",
        "wrong",
        inspection.token[:-1],
        inspection.token + "x",
        inspection.token.swapcase(),
        "\xff\xfe tök",
        "x" * 10_000,
    ):
        headers = {} if token is None else {"X-Session-Inspector-Token": token}
        response = client.post(API + name, headers=headers)
        assert response.status_code == 403
        assert "X-Session-Inspector-Token" in response.get_json()["error"]
    in_the_wrong_place = client.post(
        API + name,
        query_string={"token": inspection.token},
        data={"X-Session-Inspector-Token": inspection.token},
    )
    assert in_the_wrong_place.status_code == 403
    assert inspection.counters.retained == 1
    assert not inspection.paused
    assert post(app, client, name) == 200


def test_the_token_of_another_application_is_no_good(client: FlaskClient) -> None:
    other = make_app().extensions["session_inspector"]

    headers = {"X-Session-Inspector-Token": other.token}

    assert client.post(API + "clear", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost"},
        {"Origin": "http://LOCALHOST"},
        {"Origin": "http://localhost:80"},
        # Behind a proxy that ends TLS.
        {"Origin": "https://localhost"},
        {"Origin": "https://localhost:443"},
        {"Referer": "http://localhost/admin/sessions/?path=x"},
        {"Origin": "http://localhost", "Referer": "http://elsewhere.example/"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_change_from_our_own_origin(
    app: Flask, client: FlaskClient, headers: dict[str, str]
) -> None:
    assert post(app, client, **headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Origin": "http://localhost.elsewhere.example"},
        {"Origin": "http://elsewhere.example/localhost"},
        {"Origin": "http://localhost:5000"},
        {"Origin": "http://localhost@elsewhere.example"},
        {"Origin": "http://elsewhere.example@localhost"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "localhost"},
        {"Origin": "http://["},
        {"Origin": "http://l\xf6calhost"},
        {"Referer": "http://elsewhere.example/"},
        {"Referer": "about:blank"},
        {"Origin": "http://elsewhere.example", "Referer": "http://localhost/"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
def test_a_change_from_another_origin(
    app: Flask, client: FlaskClient, headers: dict[str, str]
) -> None:
    client.get("/")

    assert post(app, client, **headers) != 200
    assert app.extensions["session_inspector"].counters.retained == 1


def test_the_port_is_part_of_the_origin(app: Flask, client: FlaskClient) -> None:
    token = app.extensions["session_inspector"].token
    for origin, expected in [
        ("http://127.0.0.1:5000", 200),
        ("http://127.0.0.1:5001", 403),
        ("http://127.0.0.1", 403),
    ]:
        response = client.post(
            API + "pause",
            base_url="http://127.0.0.1:5000",
            headers={"Origin": origin, "X-Session-Inspector-Token": token},
        )
        assert response.status_code == expected


def test_the_access_rule_comes_before_the_token() -> None:
    app = make_app(SESSION_INSPECTOR_ACCESS=refuse)

    sentence = post(app, app.test_client())

    assert "SESSION_INSPECTOR_ACCESS" in str(sentence)
