"""The JSON API."""

from __future__ import annotations

import json
import logging
import typing as t

import msgspec
import pytest
import sqlalchemy as sa
from flask import Flask
from flask import abort
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from flask_session_inspector import Counters
from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionInspector
from flask_session_inspector.guard import guard
from flask_session_inspector.process import process
from flask_session_inspector.web import api

API = "/_session_inspector/api/"
READ = ["requests", "requests/none", "findings", "audit", "counters", "export"]
CHANGE = ["clear", "pause", "resume"]


@pytest.fixture
def app() -> t.Iterator[Flask]:
    app = Flask(__name__)
    app.debug = True
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    app.config["SECRET_KEY"] = "for the cookie session"
    db = SQLAlchemy(app)
    SessionInspector(app)

    @app.get("/")
    def index() -> str:
        return "index"

    @app.get("/shop/<int:number>")
    def shop(number: int) -> str:
        return str(db.session.scalar(sa.select(sa.literal(number))))

    @app.get("/gone")
    def gone() -> str:
        abort(410)

    @app.errorhandler(404)
    @app.errorhandler(405)
    @app.errorhandler(Exception)
    def custom(error: Exception) -> tuple[str, int]:
        return "<h1>the host's own error page</h1>", getattr(error, "code", 500)

    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def assert_json(response: TestResponse, status: int = 200) -> t.Any:
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    return response.get_json()


def assert_one_sentence(response: TestResponse, status: int) -> str:
    payload = assert_json(response, status)
    assert list(payload) == ["error"]
    sentence = payload["error"]
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    return t.cast(str, sentence)


def encoding(value: object) -> t.Any:
    return json.loads(msgspec.json.encode(value))


def paths(response: TestResponse) -> list[str]:
    return [record["path"] for record in assert_json(response)["requests"]]


def token_of(app: Flask) -> dict[str, str]:
    return {"X-Session-Inspector-Token": app.extensions["session_inspector"].token}


def test_the_newest_records_come_first(app: Flask, client: FlaskClient) -> None:
    for number in range(3):
        client.get(f"/shop/{number}")

    payload = assert_json(client.get(API + "requests"))

    assert set(payload) == {"requests", "cursor", "process"}
    assert [r["path"] for r in payload["requests"]] == ["/shop/2", "/shop/1", "/shop/0"]
    inspection = app.extensions["session_inspector"]
    assert payload["cursor"] == inspection.cursor
    assert payload["process"] == inspection.process()
    assert set(payload["process"]) == {"pid", "store", "shared"}


def test_the_json_is_the_encoding_of_the_records(
    app: Flask, client: FlaskClient
) -> None:
    client.get("/shop/7")

    payload = assert_json(client.get(API + "requests"))

    decoded = msgspec.convert(payload["requests"], list[RequestRecord])
    assert decoded == app.extensions["session_inspector"].requests()
    assert decoded[0].sessions[0].statements[0].kind == "select"


def test_a_cursor_gives_only_what_is_newer(client: FlaskClient) -> None:
    client.get("/shop/1")
    cursor = assert_json(client.get(API + "requests"))["cursor"]
    assert paths(client.get(API + "requests", query_string={"after": cursor})) == []

    client.get("/shop/2")

    assert paths(client.get(API + "requests", query_string={"after": cursor})) == [
        "/shop/2"
    ]


def test_pages_by_record_id_have_no_gap(client: FlaskClient) -> None:
    for number in range(5):
        client.get(f"/shop/{number}")

    seen: list[str] = []
    query: dict[str, t.Any] = {"limit": 2}
    while True:
        page = assert_json(client.get(API + "requests", query_string=query))["requests"]
        seen += [record["path"] for record in page]
        if len(page) < 2:
            break
        query["before"] = page[-1]["id"]

    assert seen == ["/shop/4", "/shop/3", "/shop/2", "/shop/1", "/shop/0"]


def test_filters_compose(client: FlaskClient) -> None:
    for path in ("/shop/1", "/shop/2", "/", "/gone", "/shop/x"):
        client.get(path)
    shops = assert_json(client.get(API + "requests?path=shop/2"))["requests"]
    serial = shops[0]["sessions"][0]["serial"]

    def found(query: str) -> list[str]:
        return paths(client.get(f"{API}requests?{query}"))

    assert found("path=shop") == ["/shop/x", "/shop/2", "/shop/1"]
    assert found("path=shop&status=200") == ["/shop/2", "/shop/1"]
    assert found("status=4xx") == ["/shop/x", "/gone"]
    assert found("status=410") == ["/gone"]
    assert found(f"session={serial}") == ["/shop/2"]
    assert found(f"session=S{serial}&path=shop/1") == []
    assert found("finding=FSI999") == []
    assert found("limit=1&status=200") == ["/"]


def test_nothing_new_is_answered_without_reading_a_record(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/shop/1")
    etag = client.get(API + "requests").headers["ETag"]

    def read(*args: object, **kwargs: object) -> t.NoReturn:
        pytest.fail("a record was read")

    inspection = app.extensions["session_inspector"]
    for name in ("page", "requests", "request"):
        monkeypatch.setattr(inspection, name, read)

    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        response = client.get(API + "requests", headers={"If-None-Match": known})
        assert response.status_code == 304
        assert response.data == b""
        assert response.headers["ETag"] == etag
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_news_are_answered_in_full(app: Flask, client: FlaskClient) -> None:
    client.get("/shop/1")

    def etag(query: str = "", known: str = "") -> str:
        response = client.get(
            f"{API}requests{query}", headers={"If-None-Match": known} if known else {}
        )
        assert response.status_code == 200
        return response.headers["ETag"]

    first = etag()
    assert etag("?path=shop", known=first) != first
    assert etag("?limit=49", known=first) != first
    # An explicit default is the same question.
    assert etag("?limit=50") == first
    assert etag(known="*") == first
    client.get("/shop/2")
    second = etag(known=first)
    assert second != first
    app.extensions["session_inspector"].clear()
    assert etag(known=second) not in (first, second)


def test_a_restarted_process_is_news_too(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = client.get(API + "requests").headers["ETag"]
    monkeypatch.setattr(process, "token", "another")

    response = client.get(API + "requests", headers={"If-None-Match": etag})

    assert response.status_code == 200
    assert response.headers["ETag"] != etag


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=10001",
        "limit=1e3",
        "limit=",
        "limit=+5",
        "limit=%205",
        "limit=5%0A",
        "limit=1_0",
        "limit=0x10",
        "limit=5.0",
        "limit=%D9%A1%D9%A2",
        "limit=5%00",
        "limit=" + "9" * 5000,
        "limit=5&limit=6",
        "path=a&path=a",
        "path=" + "x" * 1001,
        "status=abc",
        "status=",
        "status=6xx",
        "status=xxx",
        "status=%00",
        "status=20",
        "status=2000",
        "status=%D9%A2xx",
        "status=%D9%A2%D9%A0%D9%A0",
        "status=-200",
        "session=S",
        "session=",
        "session=-1",
        "session=1.5",
        "session=S%D9%A1",
        "session=%00",
        "session=" + "9" * 5000,
        "after=garbage",
        "after=",
        "after=%00",
        "after=" + "z" * 5000,
        "after=-1",
        "before=garbage",
        "before=%F0%9F%92%A9",
        "before=" + "1" * 5000,
        "finding=abc",
        "finding=",
        "finding=FSI1%D9%A1%D9%A2",
        "finding=%00",
        "Limit=5",
        "limit[]=5",
        "nothing=1",
        "=1",
        "%00=1",
        "%FF=1",
        "%ED%A0%80=1",
        "%3Cscript%3E=1",
        "x" * 5000 + "=1",
    ],
)
def test_a_malformed_query_is_refused_in_one_sentence(
    client: FlaskClient, query: str
) -> None:
    client.get("/shop/1")

    sentence = assert_one_sentence(client.get(f"{API}requests?{query}"), 400)

    assert len(sentence) < 1200


@pytest.mark.parametrize(
    "query",
    [
        "limit=1",
        "limit=10000",
        "limit=00010",
        "path=%00",
        "path=%FF",
        "path=%ED%A0%80",
        "path=" + "x" * 1000,
        "path=%F0%9F%92%A9",
        "status=200",
        "status=5xx",
        "session=0",
        "session=S" + "9" * 18,
        "",
    ],
)
def test_an_odd_query_is_answered(client: FlaskClient, query: str) -> None:
    client.get("/shop/1")

    assert_json(client.get(f"{API}requests?{query}"))


@pytest.mark.parametrize("raw", ["path=\xff", "path=\xed\xa0\x80", "\xff=1", "\xff"])
def test_raw_bytes_in_the_query_are_refused(client: FlaskClient, raw: str) -> None:
    environ = {"QUERY_STRING": raw}

    response = client.get(API + "requests", environ_overrides=environ)

    assert_one_sentence(response, 400)


def test_one_record(app: Flask, client: FlaskClient) -> None:
    client.get("/shop/3")
    record = app.extensions["session_inspector"].requests()[0]

    payload = assert_json(client.get(f"{API}requests/{record.id}"))

    assert msgspec.convert(payload, RequestRecord) == record


@pytest.mark.parametrize(
    "request_id",
    ["nothing", "x" * 5000, "%00", "%FF", "..%2F..%2Fx", "a/b", "<script>", "0", "%20"],
)
def test_an_unknown_record(client: FlaskClient, request_id: str) -> None:
    assert_one_sentence(client.get(f"{API}requests/{request_id}"), 404)


def test_findings_and_audit(app: Flask, client: FlaskClient) -> None:
    inspection = app.extensions["session_inspector"]

    findings = assert_json(client.get(API + "findings"))
    audit = assert_json(client.get(API + "audit"))

    assert findings == {"findings": encoding(inspection.findings())}
    assert audit == {"audit": encoding(inspection.audit())}


def test_the_audit_tells_what_keeps_a_session_alive(
    app: Flask, client: FlaskClient
) -> None:
    inspection = app.extensions["session_inspector"]
    with Session() as kept:
        serial = kept.hash_key
        expected = inspection.kept_alive_by(serial)

        for asked in (f"{serial}", f"S{serial}"):
            payload = assert_json(client.get(f"{API}audit?session={asked}"))
            assert set(payload) == {"audit", "kept_alive_by"}
            assert payload["audit"] == encoding(inspection.audit())
            assert len(payload["kept_alive_by"]) == len(expected)


def test_nothing_keeps_a_session_alive_that_never_was(client: FlaskClient) -> None:
    payload = assert_json(client.get(f"{API}audit?session=999999999999"))

    assert payload["kept_alive_by"] == []


@pytest.mark.parametrize(
    "query",
    ["session=x", "session=", "session=-1", "session=1&session=2", "nothing=1", "=1"],
)
def test_a_malformed_query_of_the_audit_is_refused(
    client: FlaskClient, query: str
) -> None:
    assert_one_sentence(client.get(f"{API}audit?{query}"), 400)


def test_counters(app: Flask, client: FlaskClient) -> None:
    client.get("/")

    payload = assert_json(client.get(API + "counters"))

    counters = msgspec.convert(payload, Counters)
    assert counters == app.extensions["session_inspector"].counters
    assert counters.started == counters.stored == counters.retained == 1


def test_the_export_holds_everything(app: Flask, client: FlaskClient) -> None:
    for number in range(60):
        client.get(f"/shop/{number}")
    inspection = app.extensions["session_inspector"]

    response = client.get(API + "export")

    payload = assert_json(response)
    assert response.headers["Content-Disposition"].startswith(
        'attachment; filename="session-inspector-'
    )
    assert response.headers["Content-Disposition"].endswith('.json"')
    assert payload.pop("exported_at") > 0
    payload.pop("version")
    assert payload == {
        "app": inspection.app_name,
        "process": inspection.process(),
        "counters": encoding(inspection.counters),
        "verdicts": encoding(inspection.verdicts()),
        "findings": encoding(inspection.findings()),
        "audit": encoding(inspection.audit()),
        "requests": encoding(inspection.requests(60)),
    }
    assert len(payload["requests"]) == 60


def test_the_export_goes_beyond_the_largest_page(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        client.get(f"/shop/{number}")
    whole = app.extensions["session_inspector"].requests()

    for size in (1, 3, 7, 8):
        monkeypatch.setattr(api, "MAX_LIMIT", size)
        exported = assert_json(client.get(API + "export"))["requests"]
        assert exported == encoding(whole)


def test_an_empty_export(client: FlaskClient) -> None:
    assert assert_json(client.get(API + "export"))["requests"] == []


def test_clear(app: Flask, client: FlaskClient) -> None:
    client.get("/")

    payload = assert_json(client.post(API + "clear", headers=token_of(app)))

    assert payload["counters"]["retained"] == 0
    assert app.extensions["session_inspector"].requests() == []


def test_pause_and_resume(app: Flask, client: FlaskClient) -> None:
    assert assert_json(client.post(API + "pause", headers=token_of(app)))["paused"]
    client.get("/shop/1")
    assert paths(client.get(API + "requests")) == []

    resumed = assert_json(client.post(API + "resume", headers=token_of(app)))
    client.get("/shop/2")

    assert not resumed["paused"]
    assert paths(client.get(API + "requests")) == ["/shop/2"]


@pytest.mark.parametrize("name", READ)
def test_other_methods_cannot_read(client: FlaskClient, name: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        response = client.open(API + name, method=method)
        assert_one_sentence(response, 405)
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("name", CHANGE)
def test_other_methods_cannot_change(
    app: Flask, client: FlaskClient, name: str
) -> None:
    client.get("/")
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        response = client.open(API + name, method=method, headers=token_of(app))
        assert response.status_code == 405
        assert response.content_type == "application/json"
        assert response.headers["Allow"] == "POST, OPTIONS"
    assert app.extensions["session_inspector"].counters.retained == 1
    assert not app.extensions["session_inspector"].paused


@pytest.mark.parametrize("name", [name for name in READ if name != "requests/none"])
def test_head_is_get_without_the_body(client: FlaskClient, name: str) -> None:
    response = client.head(API + name)

    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.data == b""
    assert response.content_length is not None
    assert response.content_length > 2


@pytest.mark.parametrize("name", READ + CHANGE)
def test_options_says_what_is_allowed(client: FlaskClient, name: str) -> None:
    response = client.options(API + name)

    assert response.status_code == 204
    assert response.headers["Allow"].startswith("POST" if name in CHANGE else "GET")
    # Another site gets no permission.
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    "path",
    [
        API,
        "/_session_inspector/",
        API + "nothing",
        API + "requests/",
        API + "counters/",
        API + "requests/a/b",
        API + "%00",
        "/_session_inspector/panel/",
        "/_session_inspector/api",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_address(client: FlaskClient, path: str, method: str) -> None:
    assert_one_sentence(client.open(path, method=method), 404)


def test_a_failure_of_ours_is_json_and_counted(
    app: Flask,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> t.NoReturn:
        raise OSError("the disk is gone")

    monkeypatch.setattr(guard, "strict", False)
    monkeypatch.setattr(guard, "errors", 0)
    monkeypatch.setattr(guard, "_seen", set())
    inspection = app.extensions["session_inspector"]
    monkeypatch.setattr(inspection, "findings", fail)

    with caplog.at_level(logging.ERROR, "flask_session_inspector"):
        response = client.get(API + "findings")

    assert_one_sentence(response, 500)
    assert "disk" not in response.get_data(as_text=True)
    assert guard.errors == 1
    assert "the disk is gone" in caplog.text


def test_the_api_leaves_the_database_and_the_cookie_alone(
    app: Flask, client: FlaskClient
) -> None:
    client.get("/shop/1")
    touched: list[object] = []
    with app.app_context():
        engine = app.extensions["sqlalchemy"].engine

    def touch(*args: object) -> None:
        touched.append(args)

    sa.event.listen(engine, "checkout", touch)
    try:
        responses = [client.get(API + name) for name in READ]
        responses += [client.post(API + n, headers=token_of(app)) for n in CHANGE]
    finally:
        sa.event.remove(engine, "checkout", touch)

    assert touched == []
    for response in responses:
        # Flask adds it as soon as the session is looked at.
        assert "Cookie" not in response.headers.get("Vary", "")
        assert "Set-Cookie" not in response.headers


def test_the_api_is_not_recorded(app: Flask, client: FlaskClient) -> None:
    for name in READ:
        client.get(API + name)
    client.get(API + "nothing")

    assert app.extensions["session_inspector"].requests() == []


def test_hostile_text_stays_data(client: FlaskClient) -> None:
    hostile = '/</script><b>&\u2028"\\\x1b'
    client.get(hostile)

    response = client.get(API + "requests")

    assert paths(response) == [hostile]
    assert b"\x1b" not in response.data
