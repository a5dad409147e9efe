"""What the inspector costs does not grow with what an application did before."""

from __future__ import annotations

import collections.abc as cabc
import gc
import itertools
import os
import random
import sys
import threading
import tracemalloc
import types
import typing as t

import sqlalchemy as sa
from conftest import Shop
from conftest import User
from sqlalchemy.orm import Session

import flask_session_inspector
from flask_session_inspector.clues import Detachment
from flask_session_inspector.hooks import objects
from flask_session_inspector.recorder import Origin
from flask_session_inspector.recorder import RawCheckout
from flask_session_inspector.recorder import Scope
from flask_session_inspector.rules.connections import _two_at_once

MakeShop = t.Callable[..., Shop]
Work = t.Callable[[], object]

PACKAGE = os.path.join(os.path.dirname(flask_session_inspector.__file__), "")
IN_MEMORY = {"SQLALCHEMY_DATABASE_URI": "sqlite://"}


def steps(work: Work, inside: str = "") -> int:
    """Count the lines of the package that run: what a loop costs, and no clock.

    :param inside: The part of the package, all of it by default.
    """
    counted = 0

    def count(frame: types.FrameType, what: str, _: object) -> t.Any:
        nonlocal counted
        counted += what == "line"
        return count

    def enter(frame: types.FrameType, what: str, _: object) -> t.Any:
        mine = frame.f_code.co_filename.startswith(PACKAGE + inside)
        return count if mine else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(before)
    return counted


def of_type(kind: type) -> int:
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


def serve(shop: Shop, work: Work) -> None:
    def view() -> str:
        work()
        return "ok"

    shop.view(view)
    shop.get()


def job(shop: Shop) -> None:
    with shop.app.app_context():
        shop.db.session.execute(sa.text("SELECT 1"))
        shop.db.session.commit()


def job_without_a_session(shop: Shop) -> None:
    with shop.app.app_context(), shop.db.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))


def in_command(shop: Shop, work: Work) -> None:
    shop.app.cli.command("worker")(work)
    result = shop.app.test_cli_runner().invoke(args=["worker"])
    assert result.exception is None, result.exception


def many_jobs(shop: Shop, number: int, one: t.Callable[[Shop], None] = job) -> None:
    for _ in range(number):
        one(shop)


def test_a_command_keeps_so_many_sessions(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=20)
    in_command(shop, lambda: many_jobs(shop, 50))
    record = shop.newest()
    assert len(record.sessions) == 20
    assert {session.ended for session in record.sessions} == {"removed"}
    assert all(len(session.statements) == 1 for session in record.sessions)
    assert record.truncated
    assert record.contexts == 51
    assert record.statement_count == 50


def test_a_command_below_the_limit_is_complete(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=20)
    in_command(shop, lambda: many_jobs(shop, 20))
    record = shop.newest()
    assert len(record.sessions) == 20
    assert not record.truncated


def test_no_statement_is_kept_of_a_session_that_is_not(make_shop: MakeShop) -> None:
    """Nothing would show it."""
    shop = make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=20)

    def work() -> None:
        for _ in range(30):
            with Session(shop.db.engine) as session:
                session.begin()
        with Session(shop.db.engine) as session:
            session.execute(sa.text("SELECT 1"))

    serve(shop, work)
    record = shop.newest()
    assert [session.statements for session in record.sessions] == [()] * 20
    assert record.statement_count == 1
    assert record.truncated


def test_a_late_job_costs_what_an_early_one_does(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=5_000)
    cost: list[int] = []

    def work() -> None:
        many_jobs(shop, 20)
        cost.append(steps(lambda: many_jobs(shop, 5)))
        many_jobs(shop, 300)
        cost.append(steps(lambda: many_jobs(shop, 5)))

    in_command(shop, work)
    early, late = cost
    assert late < early * 1.1


def test_a_command_that_never_ends_does_not_grow(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=20)
    package = tracemalloc.Filter(True, PACKAGE + "*")
    grown: list[int] = []

    def held() -> int:
        gc.collect()
        snapshot = tracemalloc.take_snapshot().filter_traces([package])
        return sum(trace.size for trace in snapshot.traces)

    def work() -> None:
        for one in (job, job_without_a_session):
            many_jobs(shop, 100, one)
            sizes = [held()]
            for _ in range(2):
                many_jobs(shop, 1000, one)
                sizes.append(held())
            # What is made once, such as a cache, is no growth.
            grown.append(min(sizes[1] - sizes[0], sizes[2] - sizes[1]))

    tracemalloc.start()
    try:
        in_command(shop, work)
    finally:
        tracemalloc.stop()
    # A single object for each job would be 16,000 bytes.
    assert max(grown) < 10_000, grown


def test_each_context_of_a_record_has_its_own_index() -> None:
    scope = Scope(Origin("shop", 100), "request")
    taken: list[int] = []
    barrier = threading.Barrier(4)

    def push() -> None:
        barrier.wait()
        taken.extend([scope.join() for _ in range(2_000)])

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 8_001))
    assert scope.contexts == 8_001


def test_sessions_in_memory_that_nobody_closes_keep_no_record(
    make_shop: MakeShop,
) -> None:
    """One connection is lent to all, and of most loans no return is told."""
    shop = make_shop(**IN_MEMORY, SESSION_INSPECTOR_MAX_REQUESTS=5)
    kept: dict[str, Session] = {}

    def view() -> str:
        session = Session(shop.db.engine)
        session.execute(sa.text("SELECT 1"))
        kept["last"] = session
        return "ok"

    shop.view(view)
    for _ in range(20):
        shop.get()
    before = of_type(Scope)
    for _ in range(60):
        shop.get()
    assert of_type(Scope) < before + 20
    kept.pop("last").close()


def test_the_loans_in_memory_end_when_their_borrowers_do(make_shop: MakeShop) -> None:
    shop = make_shop(**IN_MEMORY)

    def work() -> None:
        for _ in range(3):
            Session(shop.db.engine).execute(sa.text("SELECT 1"))
            gc.collect()

    serve(shop, work)
    connections = shop.newest().connections
    assert len(connections) == 3
    assert all(each.checked_in_ms is not None for each in connections)


def cost_of_rules(
    make_shop: MakeShop, number: int, work: cabc.Callable[..., None]
) -> int:
    shop = make_shop()

    def view() -> str:
        for _ in range(number):
            work(shop)
        return "ok"

    shop.view(view)
    return steps(shop.get, "rules")


def connect(shop: Shop) -> None:
    with shop.db.engine.connect():
        pass


def work_in_a_session(shop: Shop) -> None:
    with Session(shop.db.engine) as session:
        session.execute(sa.text("SELECT 1"))


def test_rules_look_once_at_each_connection(make_shop: MakeShop) -> None:
    small = cost_of_rules(make_shop, 50, connect)
    large = cost_of_rules(make_shop, 200, connect)
    assert large < small * 5


def test_rules_look_once_at_each_session(make_shop: MakeShop) -> None:
    small = cost_of_rules(make_shop, 50, work_in_a_session)
    large = cost_of_rules(make_shop, 200, work_in_a_session)
    assert large < small * 5


def discarded(shop: Shop) -> list[str]:
    findings = shop.newest().findings
    return [each.message for each in findings if each.code == "FSI201"]


def fill(shop: Shop, number: int) -> None:
    with shop.app.app_context():
        rows = [{"name": "somebody"}] * number
        shop.db.session.execute(sa.insert(User), rows)
        shop.db.session.commit()


def detached(user: User) -> Detachment | None:
    return objects.detachments.get(sa.inspect(user))


def let_go(session: t.Any, users: list[User]) -> None:
    for user in users:
        session.expunge(user)


def test_objects_expunged_by_one_line_share_what_is_known(shop: Shop) -> None:
    fill(shop, 100)
    kept: list[User] = []
    before = of_type(Detachment)

    def work() -> None:
        kept.extend(shop.db.session.scalars(sa.select(User)).all())
        let_go(shop.db.session, kept)

    serve(shop, work)
    origins = {id(detached(user)) for user in kept}
    assert len(origins) == 1
    assert of_type(Detachment) <= before + 2


def test_objects_expunged_elsewhere_have_a_line_of_their_own(shop: Shop) -> None:
    fill(shop, 2)
    kept: list[User] = []

    def work() -> None:
        kept.extend(shop.db.session.scalars(sa.select(User)).all())
        shop.db.session.expunge(kept[0])
        shop.db.session.expunge(kept[1])

    serve(shop, work)
    first, second = (t.cast(t.Any, detached(user)).location[1] for user in kept)
    assert second == first + 1


def test_objects_deleted_and_committed_share_what_is_known(shop: Shop) -> None:
    fill(shop, 100)
    kept: list[User] = []

    def work() -> None:
        session = shop.db.session
        kept.extend(session.scalars(sa.select(User)).all())
        for user in kept:
            session.delete(user)
        session.commit()

    serve(shop, work)
    origins = {id(detached(user)) for user in kept}
    assert len(origins) == 1


def test_only_so_many_objects_of_one_close_are_remembered(shop: Shop) -> None:
    fill(shop, 10_050)
    kept: list[User] = []
    before = len(objects.detachments)
    serve(shop, lambda: kept.extend(shop.db.session.scalars(sa.select(User)).all()))
    assert len(kept) == 10_050
    assert len(objects.detachments) - before == 10_000


def test_only_so_many_changed_objects_are_compared(shop: Shop) -> None:
    fill(shop, 1_100)
    compared = []

    class Counting(Session):
        def is_modified(self, *arguments: t.Any, **options: t.Any) -> bool:
            compared.append(1)
            return super().is_modified(*arguments, **options)

    def work() -> None:
        session = Counting(shop.db.engine)
        users = session.scalars(sa.select(User)).all()
        for user in users:
            user.name = "somebody else"
        session.close()

    serve(shop, work)
    assert len(compared) == 1_000
    (message,) = discarded(shop)
    assert "1,100 changed objects" in message


def test_objects_that_were_only_touched_are_no_changes(shop: Shop) -> None:
    fill(shop, 1_100)

    def work() -> None:
        session = Session(shop.db.engine)
        users = session.scalars(sa.select(User)).all()
        for user in users:
            user.name = str(user.name)
        session.close()

    serve(shop, work)
    assert discarded(shop) == []


def test_two_connections_at_once_are_found_wherever_there_are_two() -> None:
    """As comparing each with each other would find them."""
    generator = random.Random(5)
    both = {True: 0, False: 0}
    for _ in range(2_000):
        checkouts = [loan(generator) for _ in range(generator.randint(2, 5))]
        expected = any(at_once(*pair) for pair in itertools.combinations(checkouts, 2))
        pair = _two_at_once(checkouts)
        assert (pair is not None) == expected
        assert pair is None or at_once(*pair)
        both[expected] += 1
    assert min(both.values()) > 100


def loan(generator: random.Random) -> RawCheckout:
    taken = generator.randint(0, 20)
    made = RawCheckout(None, generator.randint(1, 3), taken, 1, None)
    made.returned = generator.choice([None, *[taken + generator.randint(0, 5)] * 5])
    return made


def at_once(one: RawCheckout, other: RawCheckout) -> bool:
    first, second = sorted((one, other), key=lambda each: each.taken)
    out = first.returned is None or first.returned > second.taken
    return out and first.connection_id != second.connection_id
