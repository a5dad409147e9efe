"""Where Flask calls the inspector: around its methods, whoever replaces them."""

from __future__ import annotations

import contextlib
import inspect
import typing as t

import flask
import pytest
from conftest import Shop
from conftest import User
from flask.sessions import SecureCookieSessionInterface
from flask_sqlalchemy import SQLAlchemy
from werkzeug.exceptions import ServiceUnavailable

from flask_session_inspector import SessionInspector

MakeShop = t.Callable[..., Shop]


def test_a_function_of_the_application_answers_first(shop: Shop) -> None:
    shop.view(lambda: "never")
    shop.app.before_request(lambda: ("refused", 403))
    record = shop.get()
    assert (record.kind, record.path, record.status) == ("request", "/", 403)


def test_a_url_value_preprocessor_that_raises(shop: Shop) -> None:
    def refuse(endpoint: str | None, values: object) -> None:
        shop.db.session.get(User, 1)
        flask.abort(410)

    shop.view(lambda: "never")
    shop.app.url_value_preprocessor(refuse)
    record = shop.get()
    assert (record.kind, record.path, record.status) == ("request", "/", 410)
    assert record.statement_count == 1


def test_the_status_that_a_function_makes(shop: Shop) -> None:
    def change(response: flask.Response) -> flask.Response:
        response.status_code = 418
        return response

    shop.view(lambda: "done")
    shop.app.after_request(change)
    assert shop.get().status == 418


def test_an_after_request_function_that_raises(shop: Shop) -> None:
    def fail(response: flask.Response) -> flask.Response:
        raise LookupError("of the application")

    shop.view(lambda: "done")
    shop.app.after_request(fail)
    response = shop.app.test_client().get("/")
    record = shop.newest()
    assert response.status_code == 500
    assert (record.path, record.status, record.error) == ("/", 500, "LookupError")


def test_functions_from_before_the_inspector(make_app: t.Any) -> None:
    app = make_app()
    db = SQLAlchemy(app)
    order: list[str] = []

    def first(endpoint: str | None, values: object) -> None:
        order.append("url")
        db.session.scalar(db.select(db.literal(2)))

    def last(response: flask.Response) -> flask.Response:
        order.append("after")
        response.status_code = 299
        return response

    app.url_value_preprocessor(first)
    app.after_request(last)
    app.teardown_request(lambda exc: order.append("teardown"))

    @app.get("/")
    def view() -> str:
        return str(db.session.scalar(db.select(db.literal(1))))

    SessionInspector(app)
    app.test_client().get("/")

    assert order == ["url", "after", "teardown"]
    (record,) = app.extensions["session_inspector"].requests()
    assert (record.kind, record.status, record.statement_count) == ("request", 299, 2)


def test_a_request_context_that_is_pushed_by_hand(shop: Shop) -> None:
    with shop.app.test_request_context("/by-hand"):
        pass
    record = shop.newest()
    assert (record.kind, record.path, record.status) == ("context", "/by-hand", None)


def test_what_is_dispatched_by_hand(shop: Shop) -> None:
    shop.view(lambda: "done")
    dispatch: t.Callable[..., t.Any] = shop.app.full_dispatch_request
    with shop.app.test_request_context("/") as context:
        # Newer Flask takes the context.
        given = [context][: len(inspect.signature(dispatch).parameters)]
        assert dispatch(*given).status_code == 200
    record = shop.newest()
    assert (record.kind, record.path, record.status) == ("request", "/", 200)


METHODS = (
    "full_dispatch_request",
    "process_response",
    "do_teardown_request",
    "do_teardown_appcontext",
    "handle_user_exception",
    "handle_exception",
)


@pytest.mark.parametrize("name", METHODS)
class TestAMethodIsReplaced:
    """By the application or an extension, as some do to handle errors their way."""

    @staticmethod
    def counted(function: t.Callable[..., t.Any], calls: list[str]) -> t.Any:
        def instead(*arguments: t.Any, **named: t.Any) -> t.Any:
            calls.append("theirs")
            return function(*arguments, **named)

        return instead

    @staticmethod
    def check(shop: Shop, calls: list[str]) -> None:
        def view() -> t.NoReturn:
            shop.db.session.get(User, 1)
            fail()

        shop.view(view)
        assert shop.app.test_client().get("/").status_code == 500
        record = shop.newest()
        assert (record.kind, record.path, record.status) == ("request", "/", 500)
        assert record.error == "LookupError"
        assert [session.ended for session in record.sessions] == ["removed"]
        assert calls == ["theirs"]

    def test_on_the_application_before(self, make_app: t.Any, name: str) -> None:
        calls: list[str] = []
        app = make_app()
        theirs = self.counted(getattr(app, name), calls)
        setattr(app, name, theirs)
        shop = Shop(app)
        shop.create_tables()
        calls.clear()
        self.check(shop, calls)
        shop.inspector.detach(app)
        assert vars(app)[name] is theirs

    def test_on_the_application_after(self, shop: Shop, name: str) -> None:
        calls: list[str] = []
        theirs = self.counted(getattr(shop.app, name), calls)
        setattr(shop.app, name, theirs)
        self.check(shop, calls)
        calls.clear()
        shop.inspector.detach(shop.app)
        assert vars(shop.app)[name] is theirs
        before = len(shop.inspection.requests())
        assert shop.app.test_client().get("/").status_code == 500
        assert calls == ["theirs"]
        assert len(shop.inspection.requests()) == before

    def test_on_the_class_after(
        self, shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        theirs = self.counted(getattr(flask.Flask, name), calls)
        monkeypatch.setattr(flask.Flask, name, theirs)
        self.check(shop, calls)

    def test_on_the_class_by_what_is_no_function(
        self, shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        method = getattr(flask.Flask, name)
        given: list[tuple[object, ...]] = []

        class Recorder:
            """Is not bound to the application, like a mock."""

            def __call__(self, *arguments: t.Any, **named: t.Any) -> t.Any:
                given.append(arguments)
                return method(shop.app, *arguments, **named)

        monkeypatch.setattr(flask.Flask, name, Recorder())
        shop.view(fail)
        assert shop.app.test_client().get("/").status_code == 500
        (arguments,) = given
        assert shop.app not in arguments
        assert shop.newest().status == 500

    def test_nothing_is_left(self, shop: Shop, name: str) -> None:
        assert name in vars(shop.app)
        assert getattr(shop.app, name).__name__ == name
        shop.inspector.detach(shop.app)
        assert name not in vars(shop.app)


def test_something_dispatches_in_a_way_of_its_own(shop: Shop) -> None:
    def answer(*_: object) -> flask.Response:
        shop.db.session.get(User, 1)
        return flask.Response("down for maintenance")

    shop.view(lambda: "never")
    shop.app.full_dispatch_request = answer  # type: ignore[method-assign] # as some do
    record = shop.get()
    assert (record.kind, record.path, record.status) == ("request", "/", None)
    assert [session.ended for session in record.sessions] == ["removed"]


def test_a_cookie_session_that_cannot_be_opened(shop: Shop) -> None:
    class Broken(SecureCookieSessionInterface):
        def open_session(self, app: t.Any, request: t.Any) -> t.Any:
            raise LookupError("of the application")

    shop.app.session_interface = Broken()
    shop.view(lambda: "never")
    record = shop.get()
    assert (record.kind, record.path, record.status) == ("request", "/", 500)
    assert record.error == "LookupError"


def fail() -> t.NoReturn:
    """Be a view."""
    raise LookupError("of the application")


def something_else(environ: t.Any, start_response: t.Any) -> t.Iterable[bytes]:
    """Be a WSGI application of no known kind."""
    start_response("507 Insufficient Storage", [])
    return [b"full"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (flask.Response("taken care of", status=502), 502),
        (ServiceUnavailable(), 503),
        (something_else, None),
    ],
)
class TestAnAnswerOfAnExtensions:
    """What it answers with need be no response, only something that WSGI can call."""

    def test_to_an_exception(self, shop: Shop, answer: t.Any, status: int) -> None:
        shop.app.handle_exception = lambda *_: answer  # type: ignore[method-assign] # as they do
        shop.view(fail)
        assert shop.app.test_client().get("/").status_code == (status or 507)
        record = shop.newest()
        assert (record.status, record.path) == (status, "/")

    def test_to_a_request(self, make_app: t.Any, answer: t.Any, status: int) -> None:
        app = make_app()
        app.full_dispatch_request = lambda *_: answer
        SessionInspector(app)
        assert app.test_client().get("/").status_code == (status or 507)
        (record,) = app.extensions["session_inspector"].requests()
        assert (record.status, record.path) == (status, "/")


def test_an_extension_wraps_what_is_around_a_handler(shop: Shop) -> None:
    """Ours is put around it once more, and the inner one passes on alone."""
    inner = shop.app.handle_user_exception

    def theirs(*arguments: t.Any) -> t.Any:
        shop.db.session.rollback()
        return inner(*arguments)

    shop.app.handle_user_exception = theirs  # type: ignore[method-assign] # as they do
    shop.app.register_error_handler(LookupError, lambda error: ("handled", 409))

    def view() -> t.NoReturn:
        shop.db.session.add(User(name="never"))
        shop.db.session.flush()
        fail()

    shop.view(view)
    record = shop.get()
    assert (record.status, record.findings) == (409, ())
    assert shop.app.handle_user_exception is not theirs
    shop.inspector.detach(shop.app)
    assert shop.app.handle_user_exception is theirs
    assert shop.app.test_client().get("/").status_code == 409


def test_a_server_that_answers_step_by_step(make_app: t.Any) -> None:
    app = make_app()

    def step_by_step(environ: t.Any, start_response: t.Any) -> t.Any:
        with app.request_context(environ):
            answer = app.preprocess_request() or app.dispatch_request()
            return app.finalize_request(answer)(environ, start_response)

    app.wsgi_app = step_by_step
    shop = Shop(app)
    shop.create_tables()

    def view() -> flask.Response:
        def stream() -> t.Iterator[str]:
            yield str(shop.db.session.get(User, 1))

        return flask.Response(flask.stream_with_context(stream()), status=203)

    shop.view(view)
    record = shop.get()
    assert (record.kind, record.status) == ("request", 203)
    assert record.statement_count == 1


def test_the_status_while_the_request_runs(shop: Shop) -> None:
    seen: list[int | None] = []

    def note(app: flask.Flask, **_: object) -> None:
        current = shop.inspection.current()
        seen.append(None if current is None else current.status)

    shop.view(lambda: ("done", 201))
    with flask.request_finished.connected_to(note, sender=shop.app):
        shop.get()
    assert seen == [201]


def test_an_answer_that_fails_at_last_in_a_context_that_was_there(shop: Shop) -> None:
    class Broken(SecureCookieSessionInterface):
        def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:
            fail()

    def reraise(*arguments: t.Any) -> t.NoReturn:
        raise arguments[-1]

    shop.app.session_interface = Broken()
    shop.app.handle_exception = reraise  # type: ignore[method-assign] # as some do
    shop.view(lambda: str(shop.db.session.get(User, 1)))
    with shop.app.app_context():
        with pytest.raises(LookupError):
            shop.app.test_client().get("/")
        record = shop.newest()
        assert (record.kind, record.status, record.error) == (
            "request",
            None,
            "LookupError",
        )
        assert [session.ended for session in record.sessions] == ["open"]


def test_what_is_called_by_hand_while_an_exception_is_handled(shop: Shop) -> None:
    with shop.app.test_request_context("/"):
        shop.db.session.get(User, 1)
        try:
            fail()
        except LookupError:
            shop.app.do_teardown_appcontext()
    assert shop.newest().error == "LookupError"


def test_something_around_a_streamed_answer_fails(shop: Shop) -> None:
    inner = shop.app.full_dispatch_request

    def failing(*arguments: t.Any) -> t.Any:
        inner(*arguments).close()
        fail()

    shop.app.full_dispatch_request = failing  # type: ignore[method-assign] # as some do
    shop.view(lambda: flask.Response(iter(["a", "b"])))
    record = shop.get()
    assert (record.status, record.error) == (500, "LookupError")


def test_the_status_that_saving_the_cookie_session_makes(shop: Shop) -> None:
    class Refusing(SecureCookieSessionInterface):
        def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:
            response.status_code = 507

    shop.app.session_interface = Refusing()
    shop.view(lambda: "done")
    assert shop.get().status == 507


class FailOnce:
    """Raises when it is called for the first time."""

    def __init__(self) -> None:
        self.failed = False

    def __call__(self, *_: object) -> None:
        if not self.failed:
            self.failed = True
            fail()


def test_a_teardown_function_that_raises(shop: Shop) -> None:
    def view() -> str:
        shop.db.session.get(User, 1)
        return "done"

    function = FailOnce()
    shop.view(view)
    shop.app.teardown_request(function)
    # Newer Flask raises a group of what its functions raise.
    with contextlib.suppress(Exception):
        shop.app.test_client().get("/")
    assert function.failed
    record = shop.newest()
    assert (record.status, len(record.sessions)) == (200, 1)
    assert record.sessions[0].ended == "removed"
    assert shop.get().id != record.id


def test_a_teardown_function_that_raises_in_a_context_that_was_there(
    shop: Shop,
) -> None:
    shop.view(lambda: str(shop.db.session.get(User, 1)))
    shop.app.teardown_request(FailOnce())
    with shop.app.app_context():
        with pytest.raises(LookupError):
            shop.app.test_client().get("/")
        first = shop.newest()
        second = shop.get()
        assert (first.kind, second.kind) == ("request", "request")
        assert first.id != second.id
        assert first.duration_ms is not None
    assert [record.kind for record in shop.inspection.requests()].count("request") == 2


class TestAnAnswerBeforeAllFunctions:
    """The request is recorded as one all the same, and excluded as others are."""

    @pytest.fixture(params=["nothing", "a query"])
    def uses(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @staticmethod
    def of_receiver(shop: Shop, uses: str) -> t.Callable[..., None]:
        def refuse(app: flask.Flask, **_: object) -> None:
            if uses == "a query":
                shop.db.session.get(User, 1)
            flask.abort(403)

        return refuse

    def test_a_receiver_of_request_started(self, shop: Shop, uses: str) -> None:
        shop.view(lambda: "never")
        refuse = self.of_receiver(shop, uses)
        with flask.request_started.connected_to(refuse, sender=shop.app):
            record = shop.get()
        assert (record.kind, record.path, record.status) == ("request", "/", 403)
        assert record.statement_count == (uses == "a query")

    def test_what_is_excluded(self, make_shop: MakeShop, uses: str) -> None:
        shop = make_shop(SESSION_INSPECTOR_EXCLUDE=["/health"])
        shop.view(lambda: "never", "/health")
        refuse = self.of_receiver(shop, uses)
        with flask.request_started.connected_to(refuse, sender=shop.app):
            shop.app.test_client().get("/health")
        assert shop.inspection.requests() == []

    def test_in_a_context_that_was_there(self, shop: Shop, uses: str) -> None:
        shop.view(lambda: "never")
        refuse = self.of_receiver(shop, uses)
        with shop.app.app_context():
            with flask.request_started.connected_to(refuse, sender=shop.app):
                shop.app.test_client().get("/")
            (record,) = shop.inspection.requests()
        assert (record.kind, record.path, record.status) == ("request", "/", 403)


class Quiet(flask.Flask):
    """An application with methods of its own."""

    def preprocess_request(self, *_: t.Any) -> t.Any:
        return ("down for maintenance", 503)

    def process_response(self, *arguments: t.Any) -> flask.Response:
        response = super().process_response(*arguments)
        response.status_code = 299
        return response


def test_methods_of_the_application(make_app: t.Any) -> None:
    plain = make_app()
    app = Quiet("quiet")
    app.config |= plain.config | {"SESSION_INSPECTOR_EXCLUDE": ["/health"]}
    inspector = SessionInspector(app)
    client = app.test_client()
    assert client.get("/").status_code == client.get("/health").status_code == 299

    (record,) = app.extensions["session_inspector"].requests()
    assert (record.kind, record.path, record.status) == ("request", "/", 299)
    inspector.detach(app)
    client.get("/")
    assert len(app.extensions["session_inspector"].requests()) == 1


def test_a_cookie_session_that_cannot_be_saved(shop: Shop) -> None:
    class Broken(SecureCookieSessionInterface):
        save_session = FailOnce()

    def view() -> flask.Response:
        shop.db.session.get(User, 1)
        return flask.Response(iter(["a", "b"]))

    shop.app.session_interface = Broken()
    shop.view(view)
    assert shop.app.test_client().get("/").status_code == 500
    record = shop.newest()
    assert (record.status, record.error) == (500, "LookupError")
    assert [session.ended for session in record.sessions] == ["removed"]
