"""FSI502 repeated-statement: the same question again and again."""

from __future__ import annotations

import datetime
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from faults import MakeShop
from faults import Scenario
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import line
from faults import line_of
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.orm import Session
from work import add_posts
from work import serve

CODE = "FSI502"


def of_the_orm(shop: Shop) -> None:
    def work() -> None:
        for _ in range(5):
            shop.db.session.scalars(
                sa.select(User).where(User.name == "a secret")
            ).all()

    serve(shop, work)


def textual(shop: Shop) -> None:
    def work() -> None:
        query = sa.text("SELECT id FROM users WHERE name = :name")
        for _ in range(5):
            shop.db.session.execute(query, {"name": "a secret"}).all()

    serve(shop, work)


def without_parameters(shop: Shop) -> None:
    def work() -> None:
        for _ in range(5):
            shop.db.session.scalar(sa.select(sa.func.count(User.id)))

    serve(shop, work)


def in_sessions_of_their_own(shop: Shop) -> None:
    """Each asks anew, since no identity map has the answer."""
    engine = engine_of(shop)

    def work() -> None:
        for _ in range(5):
            with Session(engine) as session:
                session.get(User, 1)

    serve(shop, work)


def without_a_session(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with engine.connect() as connection:
            for _ in range(5):
                connection.execute(sa.select(User.id).where(User.id == 1)).all()

    serve(shop, work)


def somebody_who_is_not_there(shop: Shop) -> None:
    """``get()`` remembers who is there, and not who is not."""

    def work() -> None:
        for _ in range(5):
            assert shop.db.session.get(User, 1) is None

    serve(shop, work)


SCENARIOS = [
    of_the_orm,
    textual,
    without_parameters,
    in_sessions_of_their_own,
    without_a_session,
    somebody_who_is_not_there,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_repetition(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    assert (finding.name, finding.severity) == ("repeated-statement", "info")
    assert finding.message.startswith(
        "The same query was sent 5 times with the same parameters at test_fsi502.py:"
    )
    place = line(finding.location)
    assert "shop.db.session." in place or "session.get(" in place or "execute(" in place
    evidence = finding.evidence
    assert evidence["times"] == 5
    ((where, times),) = evidence["lines"].items()
    assert (line_of(where), times) == (place, 5)
    assert evidence["statement"].startswith("SELECT ")
    assert "a secret" not in str(finding)
    serials = {session.serial for session in record.sessions}
    assert evidence["sessions"] == [f"S{serial}" for serial in sorted(serials)]
    assert codes(record) == set()  # It is a note, and nothing to be alarmed at.


def test_from_several_lines(shop: Shop) -> None:
    def work() -> None:
        query = sa.select(User.id)
        shop.db.session.scalars(query).all()
        for _ in range(4):
            shop.db.session.scalars(query).all()

    finding = the(serve(shop, work), CODE)
    assert sorted(finding.evidence["lines"].values()) == [1, 4]


def test_values_of_many_types(shop: Shop) -> None:
    def work() -> None:
        query = sa.select(User.id).where(
            User.name.in_(["ann", "bob"]), sa.literal(now) > "2000", User.id != 3
        )
        for _ in range(5):
            shop.db.session.execute(query).all()

    now = datetime.datetime.now(tz=datetime.timezone.utc)
    assert the(serve(shop, work), CODE).evidence["times"] == 5


def test_more_than_are_kept(make_shop: MakeShop) -> None:
    """Nobody knows what the others were."""
    shop = make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=6)
    serve(shop, lambda: [four_times(shop) for _ in range(2)])
    assert "was sent at least 6 times with" in the(shop.inspection, CODE).message


def test_two_queries(shop: Shop) -> None:
    def work() -> None:
        for _ in range(6):
            shop.db.session.scalars(sa.select(User.id)).all()
            shop.db.session.scalars(sa.select(Post.id)).all()

    findings = found(serve(shop, work), CODE)
    assert [finding.evidence["times"] for finding in findings] == [6, 6]


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


# Near misses


def four_times(shop: Shop) -> None:
    for _ in range(4):
        shop.db.session.scalars(sa.select(User.id)).all()


def other_parameters(shop: Shop) -> None:
    for number in range(10):
        shop.db.session.scalars(sa.select(User.id).where(User.id == number)).all()


def other_types_of_parameters(shop: Shop) -> None:
    query = sa.text("SELECT id FROM users WHERE name = :name")
    for name in (1, 1.5, "1", None, b"1", True, 0):
        shop.db.session.execute(query, {"name": name}).all()


class Wrapped:
    """A value as drivers wrap them: its hash says nothing but where it is."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __conform__(self, protocol: object) -> str:
        return self.value


def wrapped_parameters(shop: Shop) -> None:
    """Each is gone before the next, which can come to lie in the same place."""
    query = sa.text("SELECT id FROM users WHERE name = :name")
    for name in range(30):
        shop.db.session.execute(query, {"name": Wrapped(str(name))}).all()


def parameters_of_one_hash(shop: Shop) -> None:
    query = sa.text("SELECT id FROM users WHERE name = :name")
    for name in (0, "", False, 0.0, b"", 0, "", False):
        shop.db.session.execute(query, {"name": name}).all()


def other_statements(shop: Shop) -> None:
    for table in (User, Post):
        for column in (table.__table__.c.id, table.__table__.c[1]):
            shop.db.session.scalars(sa.select(column)).all()
            shop.db.session.scalars(sa.select(sa.func.max(column))).all()


def the_identity_map_answers(shop: Shop) -> None:
    user = shop.db.session.get(User, 1)
    for _ in range(10):
        assert shop.db.session.get(User, 1) is user


def rows_that_look_alike(shop: Shop) -> None:
    """Each INSERT has an effect of its own."""
    for _ in range(10):
        shop.db.session.execute(sa.insert(User).values(name="x"))
    shop.db.session.commit()


def a_counter(shop: Shop) -> None:
    for _ in range(10):
        shop.db.session.execute(sa.text("UPDATE users SET name = name || '!'"))
    shop.db.session.commit()


def savepoints(shop: Shop) -> None:
    for number in range(10):
        with shop.db.session.begin_nested():
            shop.db.session.add(User(name=str(number)))
    shop.db.session.commit()


@pytest.mark.parametrize(
    "work",
    [
        four_times,
        other_parameters,
        other_types_of_parameters,
        wrapped_parameters,
        parameters_of_one_hash,
        other_statements,
        the_identity_map_answers,
        rows_that_look_alike,
        a_counter,
        savepoints,
    ],
    ids=lambda each: each.__name__,
)
def test_near_misses(shop: Shop, work: t.Callable[[Shop], None]) -> None:
    add_posts(shop)
    record = serve(shop, lambda: work(shop))
    assert record.status == 200
    assert record.statement_count >= 1
    assert codes(record, "error", "warning", "info") == set()


def test_spread_over_requests(shop: Shop) -> None:
    serve(shop, lambda: four_times(shop), times=3)
    assert found(shop.inspection, CODE) == []


def test_two_databases(shop: Shop, tmp_path: t.Any) -> None:
    """The same question to somebody else is another one."""
    other = sa.create_engine(f"sqlite:///{tmp_path}/other.db")
    User.metadata.create_all(other)

    def work() -> None:
        for engine in (shop.db.engine, other):
            with engine.connect() as connection:
                for _ in range(4):
                    connection.execute(sa.select(User.id)).all()

    serve(shop, work)
    other.dispose()
    assert found(shop.inspection, CODE) == []


def test_a_command(shop: Shop) -> None:
    """A loop that waits for something, for example."""

    @shop.app.cli.command("watch")
    def watch() -> None:
        for _ in range(10):
            shop.db.session.scalars(sa.select(User.id)).all()

    shop.app.test_cli_runner().invoke(args=["watch"])
    assert found(shop.inspection, CODE) == []
