"""Requests in an app context that was pushed before them.

Flask before 3.2 lets a request run in the context that is there; later ones give
every request a context of its own. What is recorded is the same in both, save
for the mark ``reused_context`` and the session.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import threading
import typing as t

import flask
import pytest
from conftest import Shop
from marks import MARKING
from marks import mark
from marks import marks

from flask_session_inspector.hooks import visits

REUSES = "RequestContext" in vars(flask.ctx)


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    """Serve ``/one``, and ``/two`` and ``/three`` which each ask the one before."""
    shop = make_shop(**MARKING)

    def one() -> str:
        mark(shop.db.session, "one")
        return "done"

    def two() -> str:
        mark(shop.db.session, "two")
        shop.app.test_client().get("/one")
        mark(shop.db.session, "two again")
        return "done"

    def three() -> str:
        mark(shop.db.session, "three")
        shop.app.test_client().get("/two")
        mark(shop.db.session, "three again")
        return "done"

    for view in (one, two, three):
        shop.view(view, f"/{view.__name__}")
    return shop


def by_path(shop: Shop) -> dict[str | None, list[str]]:
    """Return what each record says it sent; every path is asked for once."""
    records = shop.inspection.requests()
    found = {record.path: marks(record) for record in records}
    assert len(found) == len(records)
    return found


@pytest.mark.parametrize("used_before", [True, False])
def test_each_request_has_a_record_as_soon_as_it_ends(
    shop: Shop, used_before: bool
) -> None:
    client = shop.app.test_client()
    with shop.app.app_context():
        if used_before:
            mark(shop.db.session, "outside")
        for number in range(1, 4):
            client.get("/one")
            assert len(shop.inspection.requests()) == number
            record = shop.newest()
            assert (record.path, record.status) == ("/one", 200)
            assert record.reused_context is REUSES
            assert record.contexts == 1
            assert [session.context for session in record.sessions] == [0]
            assert marks(record) == ["one"]
            # Its session is the one of the outer context, which goes on.
            assert record.sessions[0].ended == ("open" if REUSES else "removed")
            assert visits._current.get(None) is None, "nothing piles up"
        mark(shop.db.session, "outside again")

    requests = shop.inspection.requests(path="/one")
    serials = {record.sessions[0].serial for record in requests}
    assert len(serials) == (1 if REUSES else 3)
    (outside,) = (r for r in shop.inspection.requests() if r.kind == "context")
    assert marks(outside) == ["outside"] * used_before + ["outside again"]
    assert outside.sessions[0].ended == "removed"
    assert shop.inspection.counters.in_flight == 0


@pytest.mark.parametrize("outer_context", [True, False])
def test_requests_inside_of_each_other(shop: Shop, outer_context: bool) -> None:
    with shop.app.app_context() if outer_context else contextlib.nullcontext():
        shop.app.test_client().get("/three")

    found = by_path(shop)
    assert found["/three"] == ["three", "three again"]
    assert found["/two"] == ["two", "two again"]
    assert found["/one"] == ["one"]
    requests = [r for r in shop.inspection.requests() if r.kind == "request"]
    assert [record.status for record in requests] == [200, 200, 200]
    reused = {record.path: record.reused_context for record in requests}
    assert reused == {
        "/one": REUSES,
        "/two": REUSES,
        "/three": REUSES and outer_context,
    }
    assert shop.inspection.counters.in_flight == 0


def test_a_request_to_another_app_inside_a_view(
    make_shop: t.Callable[..., Shop], shop: Shop
) -> None:
    def ask() -> str:
        mark(shop.db.session, "ask")
        other.app.test_client().get("/back")
        mark(shop.db.session, "ask again")
        return "done"

    other = make_shop(**MARKING)
    other.view(lambda: shop.app.test_client().get("/one").text, "/back")
    shop.view(ask, "/ask")
    shop.app.test_client().get("/ask")

    assert by_path(shop) == {"/ask": ["ask", "ask again"], "/one": ["one"]}
    assert by_path(other) == {"/back": []}


def test_a_request_inside_of_a_context_for_a_test(shop: Shop) -> None:
    with shop.app.test_request_context("/outside"):
        shop.app.test_client().get("/one")
        mark(shop.db.session, "outside")

    found = by_path(shop)
    assert found == {"/one": ["one"], "/outside": ["outside"]}
    assert shop.newest().kind == "context"


def test_a_context_nested_in_a_request_in_a_reused_context(shop: Shop) -> None:
    def view() -> str:
        with shop.app.app_context():
            mark(shop.db.session, "nested")
            shop.app.test_client().get("/one")
        mark(shop.db.session, "view")
        return "done"

    shop.view(view, "/nested")
    with shop.app.app_context():
        shop.app.test_client().get("/nested")

    assert by_path(shop) | {None: []} == {
        "/nested": ["nested", "view"],
        "/one": ["one"],
        None: [],
    }
    (nested,) = shop.inspection.requests(path="/nested")
    assert nested.contexts == 2
    ended = [session.ended for session in nested.sessions]
    assert ended == ["removed", "open" if REUSES else "removed"]


def test_a_copied_context_that_ends_within_the_view(shop: Shop) -> None:
    def view() -> str:
        shop.app.test_client().get("/one")
        flask.copy_current_request_context(mark)(shop.db.session, "copied")
        mark(shop.db.session, "view")
        return "done"

    shop.view(view, "/copied")
    with shop.app.app_context():
        shop.app.test_client().get("/copied")

    found = by_path(shop)
    assert found["/copied"] == ["copied", "view"]
    assert found["/one"] == ["one"]
    (record,) = shop.inspection.requests(path="/copied")
    assert record.status == 200


@pytest.mark.parametrize("failure", [SystemExit, KeyboardInterrupt])
def test_a_request_that_is_torn_out_of_its_view(
    shop: Shop, failure: type[BaseException]
) -> None:
    def leave() -> str:
        mark(shop.db.session, "leave")
        raise failure

    shop.view(leave, "/leave")
    with shop.app.app_context():
        with pytest.raises(failure):
            shop.app.test_client().get("/leave")
        mark(shop.db.session, "outside")
        shop.app.test_client().get("/one")
        mark(shop.db.session, "outside again")

    found = by_path(shop)
    assert found["/leave"] == ["leave"]
    assert found["/one"] == ["one"]
    assert found[None] == ["outside", "outside again"]
    (record,) = shop.inspection.requests(path="/leave")
    assert (record.status, record.error) == (None, failure.__name__)
    assert shop.inspection.counters.in_flight == 0


def test_a_request_whose_teardown_raises(shop: Shop) -> None:
    @shop.app.teardown_request
    def fail(exc: BaseException | None) -> None:
        if flask.request.args.get("fail"):
            raise LookupError("in the teardown")

    with shop.app.app_context():
        with contextlib.suppress(Exception):
            shop.app.test_client().get("/one?fail=1")
        mark(shop.db.session, "outside")
        gc.collect()
        shop.app.test_client().get("/two")
        # The next request shows that the one before is over.
        assert by_path(shop).keys() == {"/one?fail=1", "/two", "/one"}

    assert by_path(shop) == {
        "/one?fail=1": ["one"],
        "/two": ["two", "two again"],
        "/one": ["one"],
        None: ["outside"],
    }
    assert shop.inspection.counters.in_flight == 0


@pytest.mark.skipif(not REUSES, reason="no context is reused")
def test_a_request_without_an_end_in_a_context_that_nobody_pops(shop: Shop) -> None:
    @shop.app.teardown_request
    def fail(exc: BaseException | None) -> None:
        raise LookupError("in the teardown")

    def forget() -> None:
        shop.app.app_context().push()
        mark(shop.db.session, "outside")
        with contextlib.suppress(LookupError):
            shop.app.test_client().get("/one")

    _, _, before = shop.inspection.cursor.partition(".")
    contextvars.copy_context().run(forget)
    gc.collect()

    assert by_path(shop) == {"/one": ["one"], None: ["outside"]}
    _, _, after = shop.inspection.cursor.partition(".")
    assert int(after) == int(before) + 2, "each was stored once"
    # What nobody removed.
    for session in shop.db.session.registry.registry.values():
        session.close()


def test_excluded_requests_leave_no_trace(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SESSION_INSPECTOR_EXCLUDE=["/hidden"], **MARKING)
    shop.view(lambda: mark(shop.db.session, "hidden") or "done", "/hidden")
    with shop.app.app_context():
        mark(shop.db.session, "outside")
        shop.app.test_client().get("/hidden")
        mark(shop.db.session, "outside again")

    assert by_path(shop) == {None: ["outside", "outside again"]}


def test_one_context_shared_by_requests_in_several_threads(shop: Shop) -> None:
    workers = 4
    together = threading.Barrier(workers)

    def view(number: int) -> str:
        # Each has begun before any goes on, and all before one of them ends.
        with shop.db.engine.connect() as connection:
            together.wait(10)
            mark(connection, number)
            together.wait(10)
            mark(connection, number)
            together.wait(10)
        return "done"

    shop.view(view, "/<int:number>")
    with shop.app.app_context():
        threads = [
            threading.Thread(
                target=contextvars.copy_context().run,
                args=[shop.app.test_client().get, f"/{number}"],
            )
            for number in range(workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = by_path(shop)
    for number in range(workers):
        assert found[f"/{number}"] == [str(number)] * 2
    assert shop.inspection.counters.in_flight == 0


def test_a_thread_that_outlives_the_request_in_a_reused_context(shop: Shop) -> None:
    ended = threading.Event()
    threads: list[threading.Thread] = []

    def late() -> None:
        assert ended.wait(10)
        with shop.db.engine.connect() as connection:
            mark(connection, "late")

    def view() -> str:
        mark(shop.db.session, "view")
        copied = contextvars.copy_context()
        threads.append(threading.Thread(target=copied.run, args=[late]))
        threads[0].start()
        return "done"

    shop.view(view, "/view")
    with shop.app.app_context():
        shop.app.test_client().get("/view")
        ended.set()
        threads[0].join()
        mark(shop.db.session, "outside")

    assert by_path(shop) == {"/view": ["view"], None: ["outside"]}


@pytest.mark.skipif(not REUSES, reason="no context is reused")
def test_a_session_that_a_request_never_touched_is_not_its_own(shop: Shop) -> None:
    shop.view(lambda: "done", "/plain")
    with shop.app.app_context():
        mark(shop.db.session, "outside")
        shop.app.test_client().get("/plain")
        assert shop.newest().path == "/plain"
        assert shop.newest().sessions == ()
