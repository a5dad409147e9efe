"""App contexts that end in a bad way, or not at all."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import contextvars
import gc
import threading
import typing as t
import weakref

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from marks import MARKING
from marks import assert_at_rest
from marks import assert_complete
from marks import mark
from marks import marks
from marks import records


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> cabc.Iterator[Shop]:
    """Make the teardown of the contexts whose ``g.fails`` is set raise."""
    shop = make_shop(**MARKING)

    @shop.app.teardown_appcontext
    def fail(exc: BaseException | None) -> None:
        if flask.g.pop("fails", False):
            raise LookupError("in the teardown")

    yield shop
    # What a broken teardown leaves behind.
    for session in shop.db.session.registry.registry.values():
        session.close()


def test_a_teardown_function_that_raises(shop: Shop) -> None:
    def view() -> str:
        mark(shop.db.session, "view")
        flask.g.fails = flask.request.args.get("fails") == "1"
        return "done"

    shop.view(view)
    client = shop.app.test_client()
    with contextlib.suppress(Exception):
        client.get("/?fails=1")
    client.get("/")

    first, second = records(shop)
    assert (first.path, first.status) == ("/?fails=1", 200)
    assert marks(first) == marks(second) == ["view"]
    assert_complete(second)
    assert first.contexts == second.contexts == 1
    assert_at_rest(shop)


def test_a_context_whose_teardown_raised_ends_with_the_next_one(shop: Shop) -> None:
    context = shop.app.app_context()
    with contextlib.suppress(Exception), context:
        mark(shop.db.session, "here")
        flask.g.fails = True
    with shop.app.app_context():
        mark(shop.db.session, "next")

    # The broken context is still alive, as in a traceback that was kept.
    assert sorted(map(marks, records(shop))) == [["here"], ["next"]]
    assert_at_rest(shop)
    assert context is not None


def test_a_context_whose_teardown_raised_ends_when_it_is_collected(shop: Shop) -> None:
    with contextlib.suppress(Exception), shop.app.app_context():
        mark(shop.db.session, "here")
        flask.g.fails = True
    gc.collect()

    assert marks(shop.newest()) == ["here"]
    assert_at_rest(shop)


def test_a_nested_context_whose_teardown_raised(shop: Shop) -> None:
    def view() -> str:
        mark(shop.db.session, "outside")
        with contextlib.suppress(Exception), shop.app.app_context():
            flask.g.fails = True
            mark(shop.db.session, "inside")
        mark(shop.db.session, "outside again")
        return "done"

    shop.view(view)
    first = shop.get()
    second = shop.get()
    gc.collect()

    for record in (first, second):
        assert marks(record) == ["outside", "inside", "outside again"]
        assert record.contexts == 2
    assert_at_rest(shop)


def test_a_context_that_nobody_pops(shop: Shop) -> None:
    def forget() -> None:
        shop.app.app_context().push()
        mark(shop.db.session, "here")

    # What is pushed in there is gone with it.
    contextvars.copy_context().run(forget)
    gc.collect()

    assert marks(shop.newest()) == ["here"]
    assert_at_rest(shop)


def test_contexts_popped_in_the_wrong_order(shop: Shop) -> None:
    def mix_up() -> None:
        outer, inner = shop.app.app_context(), shop.app.app_context()
        outer.push()
        mark(shop.db.session, "outer")
        inner.push()
        mark(shop.db.session, "inner")
        with pytest.raises((AssertionError, RuntimeError)):
            outer.pop()
        # The stack of contexts is broken now, and Flask says so in many ways.
        with contextlib.suppress(Exception):
            inner.pop()

    contextvars.copy_context().run(mix_up)
    shop.view(lambda: mark(shop.db.session, "view") or "done")
    gc.collect()
    record = shop.get()

    assert marks(record) == ["view"]
    assert_complete(record)
    assert_at_rest(shop)
    (broken,) = (each for each in records(shop) if each.kind == "context")
    assert marks(broken) == ["outer", "inner"]
    assert broken.contexts == 2


def test_a_thread_that_outlives_the_request_whose_context_it_copied(shop: Shop) -> None:
    ended = threading.Event()
    threads: list[threading.Thread] = []
    engine = sa.create_engine(shop.app.config["SQLALCHEMY_DATABASE_URI"])

    def late() -> None:
        assert ended.wait(10)
        with engine.connect() as connection:
            mark(connection, "late")

    def view() -> str:
        mark(shop.db.session, "view")
        copied = contextvars.copy_context()
        threads.append(threading.Thread(target=copied.run, args=[late]))
        threads[0].start()
        return "done"

    shop.view(view, "/first")
    shop.view(lambda: ended.set() or threads[0].join() or "done", "/second")
    client = shop.app.test_client()
    client.get("/first")
    client.get("/second")
    engine.dispose()

    first, second = records(shop)
    assert marks(first) == ["view"]
    assert marks(second) == []
    assert_at_rest(shop)


def test_sql_outside_of_any_context(shop: Shop) -> None:
    before = shop.inspection.counters
    engine = sa.create_engine(shop.app.config["SQLALCHEMY_DATABASE_URI"])
    with engine.connect() as connection:
        mark(connection, "nobody")
    engine.dispose()

    assert shop.inspection.counters == before


def in_a_copy(serve: t.Callable[[], t.Any]) -> t.Any:
    return contextvars.copy_context().run(serve)


def in_a_thread(serve: t.Callable[[], t.Any]) -> t.Any:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return pool.submit(serve).result()


def later(serve: t.Callable[[], t.Any]) -> t.Any:
    yield from serve()


@pytest.mark.parametrize("elsewhere", [in_a_copy, in_a_thread, later])
def test_a_middleware_that_serves_with_other_context_variables(
    make_app: t.Callable[..., flask.Flask],
    tmp_path: t.Any,
    elsewhere: t.Callable[[t.Callable[[], t.Any]], t.Any],
) -> None:
    app = make_app(**MARKING, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/shop.db")
    inner = app.wsgi_app

    def middleware(environ: t.Any, start_response: t.Any) -> t.Any:
        return elsewhere(lambda: inner(environ, start_response))

    app.wsgi_app = middleware
    shop = Shop(app)
    contexts: list[weakref.ref[t.Any]] = []

    def view() -> str:
        mark(shop.db.session, "view")
        contexts.append(weakref.ref(flask.globals.app_ctx._get_current_object()))
        return "done"

    shop.view(view)
    for _ in range(3):
        record = shop.get()
        assert (record.status, marks(record)) == (200, ["view"])
    gc.collect()

    assert_at_rest(shop)
    assert [reference() for reference in contexts] == [None] * 3


def test_a_view_that_goes_on_when_its_request_was_answered(
    make_app: t.Callable[..., flask.Flask], tmp_path: t.Any
) -> None:
    """As with a middleware that waits only so long."""
    app = make_app(**MARKING, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/shop.db")
    inner = app.wsgi_app
    given_up = threading.Event()
    threads: list[threading.Thread] = []

    def middleware(environ: t.Any, start_response: t.Any) -> t.Any:
        if environ["PATH_INFO"] != "/slow":
            return inner(environ, start_response)
        serve = threading.Thread(target=inner, args=(environ, lambda *_: None))
        threads.append(serve)
        serve.start()
        assert began.wait(10)
        start_response("504 GATEWAY TIMEOUT", [])
        return []

    app.wsgi_app = middleware
    shop = Shop(app)
    began = threading.Event()

    def slow() -> str:
        mark(shop.db.session, "before")
        began.set()
        assert given_up.wait(10)
        mark(shop.db.session, "after")
        return "done"

    shop.view(slow, "/slow")
    shop.view(lambda: "done", "/first")
    shop.get("/first")
    app.test_client().get("/slow").close()
    given_up.set()
    threads[0].join()

    assert marks(shop.newest()) == ["before", "after"]
    assert_at_rest(shop)
