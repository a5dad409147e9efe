"""Request contexts copied into threads, and preserved for a test."""

from __future__ import annotations

import threading
import typing as t

import flask
import pytest
from conftest import Shop
from marks import MARKING
from marks import assert_complete
from marks import mark
from marks import marks


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop(**MARKING)


class Helper:
    """A thread that works in a copy of the request context, step by step.

    :param work: What it does.
    """

    def __init__(self, work: t.Callable[[], object]) -> None:
        self.may_begin = threading.Event()
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self._work = work
        self._thread = threading.Thread(
            target=self._run, args=[flask.copy_current_request_context(self._steps)]
        )
        self._thread.start()

    def _run(self, steps: t.Callable[[], None]) -> None:
        assert self.may_begin.wait(10)
        steps()

    def _steps(self) -> None:
        self._work()
        self.has_begun.set()
        assert self.may_end.wait(10)
        self._work()

    def begin(self) -> None:
        self.may_begin.set()
        assert self.has_begun.wait(10)

    def end(self) -> None:
        self.may_end.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_a_thread_that_ends_before_the_view(shop: Shop) -> None:
    def view() -> str:
        mark(shop.db.session, "view")
        helper = Helper(lambda: mark(shop.db.session, "thread"))
        helper.begin()
        helper.end()
        mark(shop.db.session, "view again")
        return "done"

    shop.view(view)
    record = shop.get()

    assert marks(record) == ["view", "thread", "thread", "view again"]
    assert record.contexts == 2
    assert [session.context for session in record.sessions] == [0, 1]
    assert (record.status, record.error) == (200, None)
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


def test_a_thread_that_ends_after_the_request(shop: Shop) -> None:
    helpers: list[Helper] = []

    def view() -> str:
        mark(shop.db.session, "view")
        helpers.append(Helper(lambda: mark(shop.db.session, "thread")))
        helpers[0].begin()
        return "done"

    shop.view(view)
    shop.view(lambda: mark(shop.db.session, "other") or "done", "/other")
    before = shop.get()
    assert marks(before) == ["view", "thread"]
    assert before.sessions[0].ended == "removed"
    assert before.sessions[1].ended == "open"
    shop.get("/other")
    helpers[0].end()

    record = shop.newest()
    assert record.id == before.id
    assert record.duration_ms > before.duration_ms
    assert marks(record) == ["view", "thread", "thread"]
    assert_complete(record)
    assert [marks(r) for r in shop.inspection.requests(path="/other")] == [["other"]]
    counters = shop.inspection.counters
    assert (counters.in_flight, counters.retained) == (0, 2)
    assert counters.stored == counters.started


def test_a_thread_that_begins_after_the_request(shop: Shop) -> None:
    helpers: list[Helper] = []

    def view() -> str:
        mark(shop.db.session, "view")
        helpers.append(Helper(lambda: mark(shop.db.session, "thread")))
        return "done"

    shop.view(view)
    before = shop.get()
    assert marks(before) == ["view"]
    assert_complete(before)
    helpers[0].begin()
    helpers[0].end()

    record = shop.newest()
    assert record.id == before.id
    assert marks(record) == ["view", "thread", "thread"]
    assert record.contexts == 2
    assert_complete(record)
    assert shop.inspection.counters.retained == 1


def test_contexts_that_join_at_the_same_time_have_numbers_of_their_own(
    shop: Shop,
) -> None:
    number = 8
    together = threading.Barrier(number)

    def view() -> str:
        @flask.copy_current_request_context
        def work() -> None:
            together.wait(10)
            mark(shop.db.session, "thread")

        threads = [threading.Thread(target=work) for _ in range(1)]
        threads += [
            threading.Thread(target=flask.copy_current_request_context(steps))
            for steps in [lambda: (together.wait(10), mark(shop.db.session, "thread"))]
            * (number - 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return "done"

    shop.view(view)
    record = shop.get()

    assert record.contexts == 1 + number
    indexes = sorted(session.context for session in record.sessions)
    assert indexes == [*range(1, 1 + number)]
    assert marks(record) == ["thread"] * number
    assert_complete(record)


def test_a_thread_of_an_unrecorded_request(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SESSION_INSPECTOR_EXCLUDE=["/hidden"], **MARKING)

    def view() -> str:
        helper = Helper(lambda: mark(shop.db.session, "thread"))
        helper.begin()
        helper.end()
        return "done"

    shop.view(view, "/hidden")
    before = shop.inspection.counters
    shop.app.test_client().get("/hidden")

    assert shop.inspection.counters == before


@pytest.mark.parametrize("uses_database", [True, False])
def test_a_preserved_context(shop: Shop, uses_database: bool) -> None:
    shop.view(lambda: mark(shop.db.session, "view") or "done")
    with shop.app.test_client() as client:
        for _ in range(2):
            client.get("/")
            if uses_database:
                mark(shop.db.session, "test")

    records = shop.inspection.requests()
    requests = [record for record in records if record.kind == "request"]
    assert [marks(record) for record in requests] == [["view"]] * 2
    assert [record.contexts for record in requests] == [1, 1]
    tests = [record for record in records if record.kind == "context"]
    assert [marks(record) for record in tests] == [["test"]] * (2 * uses_database)
    for record in records:
        assert_complete(record)
    serials = [session.serial for record in records for session in record.sessions]
    assert len(serials) == len(set(serials)) == len(records)
    assert shop.inspection.counters.in_flight == 0


def test_a_request_while_another_one_is_preserved(shop: Shop) -> None:
    shop.view(lambda: mark(shop.db.session, "view") or "done")
    with shop.app.test_client() as client:
        client.get("/?first")
        shop.app.test_client().get("/?second")
        mark(shop.db.session, "test")

    records = {(r.kind, r.path): marks(r) for r in shop.inspection.requests()}
    assert records[("request", "/?first")] == ["view"]
    assert records[("request", "/?second")] == ["view"]
    (test,) = (r for r in shop.inspection.requests() if r.kind == "context")
    assert marks(test) == ["test"]
    assert shop.inspection.counters.in_flight == 0
