"""FSI203 idle-in-transaction: it waits with its transaction open.

The time itself is what this is about, so these tests sleep.
"""

from __future__ import annotations

import time
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Shop
from conftest import User
from faults import MakeShop
from faults import assert_found_by_its_rule
from faults import codes
from faults import found
from faults import line
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.orm import Session
from work import read
from work import serve

CODE = "FSI203"
THRESHOLD = {"SESSION_INSPECTOR_IDLE_TRANSACTION_MS": 40}
LONG_THRESHOLD = {"SESSION_INSPECTOR_IDLE_TRANSACTION_MS": 400}
Use = t.Callable[[Session], object]


def a_service_takes_its_time(seconds: float = 0.06) -> None:
    time.sleep(seconds)


def between_two_statements(session: Session) -> None:
    session.scalars(sa.select(User)).all()
    a_service_takes_its_time()
    session.scalars(sa.select(User.id)).all()


def before_the_commit(session: Session) -> None:
    session.add(User(name="x"))
    session.flush()
    a_service_takes_its_time()
    session.commit()


def before_the_rollback(session: Session) -> None:
    session.scalars(sa.select(User)).all()
    a_service_takes_its_time()
    session.rollback()


def until_the_end(session: Session) -> None:
    session.scalars(sa.select(User)).all()
    a_service_takes_its_time()


def in_a_savepoint(session: Session) -> None:
    with session.begin_nested():
        session.execute(sa.insert(User).values(name="x"))
        a_service_takes_its_time()
    session.commit()


def after_a_commit(session: Session) -> None:
    """``expire_on_commit``: reading begins another transaction."""
    user = User(name="x")
    session.add(user)
    session.commit()
    assert user.name == "x"
    a_service_takes_its_time()


USES: list[tuple[Use, str]] = [
    (between_two_statements, "the statement at test_fsi203.py:"),
    (before_the_commit, "its commit"),
    (before_the_rollback, "its rollback"),
    (until_the_end, "the close of its session"),
    (in_a_savepoint, "the statement at test_fsi203.py:"),
    (after_a_commit, "the close of its session"),
]


@pytest.mark.parametrize(("use", "before"), USES, ids=[use.__name__ for use, _ in USES])
def test_each_wait(make_shop: MakeShop, use: Use, before: str) -> None:
    shop = make_shop(**THRESHOLD)
    record = serve(shop, lambda: use(shop.db.session()))

    finding = the(record, CODE)
    assert (finding.name, finding.severity) == ("idle-in-transaction", "warning")
    assert finding.session == record.sessions[0].serial
    assert f"The transaction of S{finding.session} stayed open for" in finding.message
    assert "between the statement at test_fsi203.py:" in finding.message
    assert finding.location is not None
    assert finding.location.file == __file__
    after = f"the statement at test_fsi203.py:{finding.location.line} in "
    assert after in finding.message
    assert finding.evidence["threshold"] == "40 ms"
    idle = max(finding.evidence["idle"], key=lambda each: each["ms"])
    assert idle["ms"] >= 60
    assert idle["after"].startswith(after)
    # A savepoint is released by a statement that nobody but the driver sees.
    if use is not in_a_savepoint:
        assert idle["before"].startswith(before)


def test_a_session_of_its_own(make_shop: MakeShop) -> None:
    shop = make_shop(**THRESHOLD)

    def work() -> None:
        with Session(shop.db.engine) as session:
            between_two_statements(session)

    finding = the(serve(shop, work), CODE)
    assert "session.scalars(sa.select(User)).all()" in line(finding.location)


def test_several_waits_are_one_finding(make_shop: MakeShop) -> None:
    shop = make_shop(**THRESHOLD)

    def work() -> None:
        read(shop.db.session)
        a_service_takes_its_time()
        read(shop.db.session)
        a_service_takes_its_time(0.12)
        shop.db.session.commit()

    finding = the(serve(shop, work), CODE)
    short, long = finding.evidence["idle"]
    assert short["ms"] < 120 <= long["ms"]
    assert (short["before"][:13], long["before"]) == ("the statement", "its commit")
    assert "and its commit." in finding.message


def test_without_locations(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_LOCATIONS=False, **THRESHOLD)
    record = serve(shop, lambda: between_two_statements(shop.db.session()))
    finding = the(record, CODE)
    assert finding.location is None
    assert "between the statement and the statement." in finding.message


def test_the_view_raised(make_shop: MakeShop) -> None:
    """The locks were held all the same."""
    shop = make_shop(**THRESHOLD)

    def work() -> None:
        until_the_end(shop.db.session())
        raise LookupError

    assert len(found(serve(shop, work), CODE)) == 1


def test_it_is_the_rule_that_finds_it(make_shop: MakeShop, tmp_path: t.Any) -> None:
    def make(**config: t.Any) -> Shop:
        return make_shop(**THRESHOLD, **config)

    def scenario(shop: Shop) -> None:
        serve(shop, lambda: between_two_statements(shop.db.session()))

    assert_found_by_its_rule(make, tmp_path, CODE, scenario)


# Near misses


def test_a_short_wait(make_shop: MakeShop) -> None:
    shop = make_shop(**LONG_THRESHOLD)
    serve(shop, lambda: between_two_statements(shop.db.session()))
    assert codes(shop.inspection) == set()


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_no_transaction_is_open(make_shop: MakeShop, end: str) -> None:
    shop = make_shop(**LONG_THRESHOLD)

    def work() -> None:
        a_service_takes_its_time(0.45)
        read(shop.db.session)
        getattr(shop.db.session, end)()
        a_service_takes_its_time(0.45)

    record = serve(shop, work)
    assert record.duration_ms > 900
    assert codes(record) == set()


def test_a_session_that_sent_nothing(make_shop: MakeShop) -> None:
    """No connection, no locks."""
    shop = make_shop(**LONG_THRESHOLD)

    def work() -> None:
        shop.db.session.add(User(name="x"))
        a_service_takes_its_time(0.45)
        shop.db.session.commit()

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_a_slow_statement(make_shop: MakeShop) -> None:
    shop = make_shop(**LONG_THRESHOLD)

    def work() -> None:
        connection = shop.db.session.connection().connection.driver_connection
        assert connection is not None
        connection.create_function("pause", 1, time.sleep)
        shop.db.session.execute(sa.text("SELECT pause(0.45)"))
        shop.db.session.execute(sa.text("SELECT pause(0.45)"))
        shop.db.session.commit()

    record = serve(shop, work)
    assert record.duration_ms > 900
    assert codes(record) == set()


def test_many_statements(make_shop: MakeShop) -> None:
    """A long transaction that is at work all the time."""
    shop = make_shop(**LONG_THRESHOLD)

    def work() -> None:
        for number in range(9):
            shop.db.session.scalar(sa.select(sa.literal(number)))
            a_service_takes_its_time(0.05)

    record = serve(shop, work)
    assert record.duration_ms > 450
    assert codes(record) == set()


def test_the_transaction_of_another_request(make_shop: MakeShop) -> None:
    """Between two requests in one outer context, which is a test's."""
    shop = make_shop(**LONG_THRESHOLD)
    shop.view(lambda: f"{read(shop.db.session)}")
    with shop.app.app_context():
        shop.get()
        a_service_takes_its_time(0.45)
        shop.get()
    assert found(shop.inspection, CODE) == []


def test_a_command(make_shop: MakeShop) -> None:
    """It serves nobody who waits."""
    shop = make_shop(**THRESHOLD)

    @shop.app.cli.command("report")
    def report() -> None:
        until_the_end(shop.db.session())

    shop.app.test_cli_runner().invoke(args=["report"])
    assert found(shop.inspection, CODE) == []


def test_another_bind(make_shop: MakeShop, tmp_path: t.Any) -> None:
    """The one transaction was over before the long work with the other."""
    shop = make_shop(**LONG_THRESHOLD)
    other = sa.create_engine(f"sqlite:///{tmp_path}/other.db")
    Base.metadata.create_all(other)

    def work() -> None:
        read(shop.db.session)
        shop.db.session.commit()
        with Session(other) as session:
            for _ in range(9):
                read(session)
                a_service_takes_its_time(0.05)

    record = serve(shop, work)
    other.dispose()
    assert codes(record) == set()
