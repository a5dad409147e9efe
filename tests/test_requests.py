"""What becomes of a request, and whether it is recorded at all."""

from __future__ import annotations

import typing as t

import flask
import pytest
from conftest import Shop
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from marks import MARKING
from marks import assert_complete
from marks import mark
from marks import marks

from flask_session_inspector import RequestRecord


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop(**MARKING)


def ask(shop: Shop, path: str = "/", method: str = "GET") -> RequestRecord:
    """Send a request that may raise, and return the one record that it left."""
    before = shop.inspection.cursor
    try:
        shop.app.test_client().open(path, method=method).close()
    except BaseException:
        if not shop.app.config["PROPAGATE_EXCEPTIONS"]:
            raise
    (record,) = shop.inspection.requests(after=before)
    assert_complete(record)
    counters = shop.inspection.counters
    assert counters.in_flight == 0
    assert counters.started == counters.stored
    return record


def fail() -> t.NoReturn:
    raise LookupError("in the view")


@pytest.mark.parametrize("propagate", [True, False])
def test_a_view_that_raises(shop: Shop, propagate: bool) -> None:
    shop.app.config["PROPAGATE_EXCEPTIONS"] = propagate
    shop.view(lambda: mark(shop.db.session, "view") or fail())

    record = ask(shop)

    assert record.error == "LookupError"
    assert record.status == (None if propagate else 500)
    assert marks(record) == ["view"]


def test_an_exception_that_the_app_handles(shop: Shop) -> None:
    @shop.app.errorhandler(LookupError)
    def handle(exception: LookupError) -> tuple[str, int]:
        mark(shop.db.session, "handler")
        return "handled", 409

    shop.view(fail)
    record = ask(shop)

    assert (record.status, record.error) == (409, None)
    assert marks(record) == ["handler"]


@pytest.mark.parametrize("failure", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_view_that_is_torn_out(shop: Shop, failure: type[BaseException]) -> None:
    def view() -> t.NoReturn:
        mark(shop.db.session, "view")
        raise failure

    shop.app.config["PROPAGATE_EXCEPTIONS"] = True
    shop.view(view)
    record = ask(shop)

    assert record.status is None
    assert record.error == failure.__name__
    assert marks(record) == ["view"]


def test_an_abort_before_the_view(shop: Shop) -> None:
    @shop.app.before_request
    def refuse() -> None:
        mark(shop.db.session, "before")
        flask.abort(403)

    shop.view(fail)
    record = ask(shop)

    assert (record.status, record.error) == (403, None)
    assert marks(record) == ["before"]


@pytest.mark.parametrize("propagate", [True, False])
def test_an_exception_after_the_view(shop: Shop, propagate: bool) -> None:
    @shop.app.after_request
    def break_response(response: flask.Response) -> flask.Response:
        mark(shop.db.session, "after")
        raise LookupError("in after_request")

    shop.app.config["PROPAGATE_EXCEPTIONS"] = propagate
    shop.view(lambda: "done")
    record = ask(shop)

    # The error page goes through after_request once more.
    assert record.error == "LookupError"
    assert marks(record) == ["after"] * (1 if propagate else 2)


def test_a_teardown_request_function_that_raises(shop: Shop) -> None:
    @shop.app.teardown_request
    def fail_at_the_end(exc: BaseException | None) -> None:
        mark(shop.db.session, "teardown")
        raise LookupError("in teardown_request")

    shop.app.config["PROPAGATE_EXCEPTIONS"] = True
    shop.view(lambda: mark(shop.db.session, "view") or "done")
    record = ask(shop)

    assert record.status == 200
    assert marks(record) == ["view", "teardown"]


@pytest.mark.parametrize(
    ("path", "method", "status", "endpoint"),
    [
        ("/nowhere", "GET", 404, None),
        ("/", "POST", 405, None),
        ("/", "HEAD", 200, "view"),
        ("/", "OPTIONS", 200, "view"),
    ],
)
def test_other_answers(
    shop: Shop, path: str, method: str, status: int, endpoint: str | None
) -> None:
    @shop.app.before_request
    def note() -> None:
        mark(shop.db.session, "before")

    def view() -> str:
        return "done"

    shop.view(view)
    record = ask(shop, path, method)

    assert (record.method, record.path) == (method, path)
    assert (record.status, record.endpoint) == (status, endpoint)
    assert marks(record) == ["before"]


def test_an_async_view(shop: Shop) -> None:
    async def view() -> str:
        mark(shop.db.session, "view")
        with shop.app.app_context():
            mark(shop.db.session, "nested")
        return "done"

    shop.view(view)
    record = ask(shop)

    assert marks(record) == ["view", "nested"]
    assert record.contexts == 2
    assert record.status == 200


def test_an_async_view_that_raises(shop: Shop) -> None:
    async def view() -> str:
        mark(shop.db.session, "view")
        raise LookupError

    shop.app.config["PROPAGATE_EXCEPTIONS"] = False
    shop.view(view)
    record = ask(shop)

    assert marks(record) == ["view"]
    assert (record.status, record.error) == (500, "LookupError")


class FromDatabase(SecureCookieSessionInterface):
    """Keeps Flask's cookie session in the database, so to speak."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def open_session(
        self, app: flask.Flask, request: flask.Request
    ) -> SecureCookieSession | None:
        mark(self.shop.db.session, "open")
        return super().open_session(app, request)

    def save_session(
        self, app: flask.Flask, session: t.Any, response: flask.Response
    ) -> None:
        mark(self.shop.db.session, "save")
        super().save_session(app, session, response)


def test_a_cookie_session_from_the_database(shop: Shop) -> None:
    shop.app.session_interface = FromDatabase(shop)
    shop.view(lambda: mark(shop.db.session, "view") or "done", "/view")

    record = ask(shop, "/view")

    assert (record.kind, record.path, record.status) == ("request", "/view", 200)
    assert record.contexts == 1
    assert marks(record) == ["open", "view", "save"]
    assert len(record.sessions) == 1


def test_a_cookie_session_of_a_request_inside_of_other_contexts(
    shop: Shop, make_app: t.Callable[..., flask.Flask]
) -> None:
    shop.app.session_interface = FromDatabase(shop)
    shop.view(lambda: mark(shop.db.session, "view") or "done", "/view")
    with shop.app.app_context():
        mark(shop.db.session, "outside")
        with make_app().app_context():
            shop.app.test_client().get("/view")

    records = {record.kind: record for record in shop.inspection.requests()}
    assert marks(records["request"]) == ["open", "view", "save"]
    assert marks(records["context"]) == ["outside"]


@pytest.mark.parametrize(
    "config",
    [
        {"SESSION_INSPECTOR_EXCLUDE": ["/view"]},
        {"SESSION_INSPECTOR_SAMPLE_RATE": 0},
    ],
)
def test_a_cookie_session_of_an_unrecorded_request(
    make_shop: t.Callable[..., Shop], config: dict[str, t.Any]
) -> None:
    shop = make_shop(**config, **MARKING)
    shop.app.session_interface = FromDatabase(shop)
    shop.view(lambda: mark(shop.db.session, "view") or "done", "/view")
    before = shop.inspection.counters
    shop.app.test_client().get("/view")

    assert shop.inspection.counters == before


def test_excluded_paths(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SESSION_INSPECTOR_EXCLUDE=["/health", "/internal/"], **MARKING)
    client = shop.app.test_client()
    for path in ["/health", "/healthy", "/internal/x", "/internal", "/other/health"]:
        client.get(path)

    paths = [record.path for record in shop.inspection.requests()]
    assert sorted(map(str, paths)) == ["/internal", "/other/health"]


def test_routes_that_are_never_recorded(shop: Shop) -> None:
    shop.inspection.own_blueprints.add("own")
    blueprint = flask.Blueprint("own", __name__, url_prefix="/own")
    blueprint.add_url_rule("/", "page", lambda: "done")
    shop.app.register_blueprint(blueprint)
    pictures = flask.Blueprint(
        "pictures", __name__, static_folder=".", static_url_path="/pictures/static"
    )
    shop.app.register_blueprint(pictures)
    shop.view(lambda: "done")
    client = shop.app.test_client()
    before = shop.inspection.counters
    for path in [
        "/own/",
        "/static/nothing.css",
        f"/pictures/static/{__file__.rpartition('/')[2]}",
        "/_session_inspector/api/counters",
        "/_session_inspector/static/inspector.css",
        "/_session_inspector/nothing",
    ]:
        client.get(path).close()
    assert [record.path for record in shop.inspection.requests()] == []
    assert shop.inspection.counters == before

    client.get("/").close()
    assert shop.inspection.counters.started == before.started + 1


@pytest.mark.parametrize(("rate", "least", "most"), [(0, 0, 0), (1, 60, 60)])
def test_sampling_none_and_all(
    make_shop: t.Callable[..., Shop], rate: float, least: int, most: int
) -> None:
    assert least <= sampled(make_shop, rate) <= most


def test_sampling_a_share(make_shop: t.Callable[..., Shop]) -> None:
    # Of 60, the chance of as few as 10 or as many as 50 is one in ten million.
    assert 10 < sampled(make_shop, 0.5) < 50


def sampled(make_shop: t.Callable[..., Shop], rate: float) -> int:
    """Count how many of 60 requests are recorded, and check that they are whole."""
    shop = make_shop(SESSION_INSPECTOR_SAMPLE_RATE=rate, **MARKING)

    def view() -> str:
        mark(shop.db.session, "view")
        with shop.app.app_context():
            mark(shop.db.session, "nested")
        return "done"

    shop.view(view)
    client = shop.app.test_client()
    for _ in range(60):
        client.get("/").close()
    records = shop.inspection.requests(limit=100)
    assert all(marks(record) == ["view", "nested"] for record in records)
    assert {record.kind for record in records} <= {"request"}
    return len(records)
