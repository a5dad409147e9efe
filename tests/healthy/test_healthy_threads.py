"""Threads that push an app context of their own."""

from __future__ import annotations

import concurrent.futures
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import of_path
from silence import sessions
from silence import written
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker


def write(shop: Shop, name: str = "x") -> None:
    shop.db.session.add(User(name=name))
    shop.db.session.commit()


def in_context(shop: Shop, work: t.Callable[[], object]) -> t.Callable[[], None]:
    """Make a thread's function that works in an app context of its own."""

    def run() -> None:
        with shop.app.app_context():
            work()

    return run


@pytest.mark.parametrize("end", ["commit", "rollback", "close", "remove"])
def test_a_view_that_waits_for_its_thread(shop: Shop, end: str) -> None:
    def view() -> str:
        shop.db.session.scalars(sa.select(User)).all()
        getattr(shop.db.session, end)()
        thread = threading.Thread(target=in_context(shop, lambda: write(shop)))
        thread.start()
        thread.join()
        return str(len(shop.db.session.scalars(sa.select(User)).all()))

    shop.view(view)
    for _ in range(3):
        shop.get()
    records = assert_silent(shop.inspection)
    assert sorted(r.kind for r in records) == ["context"] * 3 + ["request"] * 3
    assert written(*records) == {"users": 3}


def test_a_thread_beside_its_view(shop: Shop) -> None:
    """Both have a transaction open, each in its own context."""

    def view() -> str:
        both = threading.Barrier(2, timeout=30)

        def read() -> None:
            shop.db.session.scalars(sa.select(User)).all()
            both.wait()
            both.wait()

        thread = threading.Thread(target=in_context(shop, read))
        thread.start()
        both.wait()
        shop.db.session.scalars(sa.select(User)).all()
        both.wait()
        thread.join()
        return "done"

    shop.view(view)
    for _ in range(3):
        shop.get()
    records = assert_silent(shop.inspection)
    assert len(records) == len(sessions(*records)) == 6


def test_a_thread_that_outlives_its_view(shop: Shop) -> None:
    answered = threading.Event()
    threads: list[threading.Thread] = []

    def later(number: int) -> None:
        assert answered.wait(30)
        user = shop.db.session.get(User, number)
        assert user is not None
        user.name = "mailed"
        shop.db.session.commit()

    def view() -> str:
        user = User(name="x")
        shop.db.session.add(user)
        shop.db.session.commit()
        number = user.id
        threads.append(threading.Thread(target=in_context(shop, lambda: later(number))))
        threads[-1].start()
        return "done"

    shop.view(view)
    for _ in range(2):
        shop.app.test_client().get("/").close()
    answered.set()
    for thread in threads:
        thread.join()
    records = assert_silent(shop.inspection)
    assert written(*of_path(records, "/")) == {"users": 2}
    assert written(*records) == {"users": 4}


def test_a_pool_of_threads(shop: Shop) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:

        def view() -> str:
            write(shop, "view")
            work = in_context(shop, lambda: write(shop, "thread"))
            concurrent.futures.wait([pool.submit(work) for _ in range(4)])
            return "done"

        shop.view(view)
        for _ in range(3):
            shop.get()
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 15}


@pytest.mark.parametrize("after", [True, False])
def test_a_copied_request_context(shop: Shop, after: bool) -> None:
    """The thread reads the request, and has a session of its own."""
    may_go = threading.Event()
    threads: list[threading.Thread] = []

    def view() -> str:
        write(shop, "view")

        @flask.copy_current_request_context
        def log() -> None:
            assert may_go.wait(30)
            write(shop, flask.request.path)

        threads.append(threading.Thread(target=log))
        threads[-1].start()
        if not after:
            may_go.set()
            threads[-1].join()
        return "done"

    shop.view(view)
    shop.app.test_client().get("/").close()
    may_go.set()
    threads[-1].join()
    (record,) = assert_silent(shop.inspection)
    assert len(record.sessions) == 2
    assert written(record) == {"users": 2}


def test_a_copied_request_context_beside_the_view(shop: Shop) -> None:
    """Two connections at once, and neither waits for the other."""
    reading, done = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def view() -> str:
        shop.db.session.scalars(sa.select(User)).all()

        @flask.copy_current_request_context
        def read() -> None:
            shop.db.session.scalars(sa.select(User)).all()
            reading.set()
            assert done.wait(30)

        threads.append(threading.Thread(target=read))
        threads[-1].start()
        assert reading.wait(30)
        return "done"

    shop.view(view)
    shop.app.test_client().get("/").close()
    done.set()
    threads[-1].join()
    (record,) = assert_silent(shop.inspection)
    assert len(record.sessions) == len(record.connections) == 2


def test_a_worker_that_lives_on(shop: Shop) -> None:
    """A thread of the process with a context for each job."""
    jobs: list[t.Callable[[], None]] = [
        in_context(shop, lambda: write(shop, "job")) for _ in range(5)
    ]
    worker = threading.Thread(target=lambda: [job() for job in jobs])
    shop.view(lambda: write(shop) or "done")
    worker.start()
    for _ in range(5):
        shop.app.test_client().get("/").close()
    worker.join()
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 10}
    assert len(records) == 10


@pytest.mark.parametrize("watched", [True, False])
def test_a_thread_without_a_context(shop: Shop, watched: bool) -> None:
    """A registry by thread, used in a thread that Flask knows nothing of."""
    with shop.app.app_context():
        registry = scoped_session(sessionmaker(shop.db.engine))
    if watched:
        shop.inspector.watch(registry, name="jobs")

    def job() -> None:
        registry.add(User(name="job"))
        registry.commit()
        registry.remove()

    def view() -> str:
        thread = threading.Thread(target=job)
        thread.start()
        thread.join()
        job()
        return "done"

    shop.view(view)
    for _ in range(3):
        shop.get()
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 3}
    with shop.app.app_context():
        assert shop.db.session.scalar(sa.select(sa.func.count(User.id))) == 6


def test_threads_that_serve_at_the_same_time(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop({"pool_size": 4, "max_overflow": 0})
    together = threading.Barrier(4, timeout=30)

    def view() -> str:
        shop.db.session.scalars(sa.select(User)).all()
        together.wait()
        return str(len(shop.db.session.scalars(sa.select(User)).all()))

    def ask() -> None:
        for _ in range(5):
            shop.app.test_client().get("/").close()

    shop.view(view)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = assert_silent(shop.inspection)
    assert len(records) == len({s.serial for s in sessions(*records)}) == 20
