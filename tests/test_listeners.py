"""The listeners of others keep working beside the inspector's."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionInspector

STEPS = {
    "do_execute": lambda c: c.execute(sa.select(1)),
    "do_executemany": lambda c: c.execute(
        sa.insert(User), [{"name": "a"}, {"name": "b"}]
    ),
    "do_execute_no_params": lambda c: c.execution_options(
        no_parameters=True
    ).exec_driver_sql("SELECT 1"),
}


@pytest.fixture
def listen() -> t.Iterator[t.Callable[..., None]]:
    with contextlib.ExitStack() as stack:

        def add(target: t.Any, name: str, listener: t.Any, **options: t.Any) -> None:
            sa.event.listen(target, name, listener, **options)
            stack.callback(sa.event.remove, target, name, listener)

        yield add


def serve(shop: Shop, work: t.Callable[[sa.Connection], object]) -> RequestRecord:
    def index() -> str:
        with shop.db.engine.begin() as connection:
            work(connection)
        return ""

    shop.view(index)
    return shop.get()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("takes_over", [True, False])
@pytest.mark.parametrize("target", ["before", "after", "engine"])
def test_listeners_of_the_execute_step(
    make_shop: t.Callable[..., Shop],
    listen: t.Callable[..., None],
    step: str,
    takes_over: bool,
    target: str,
) -> None:
    seen: list[str] = []

    def theirs(cursor: t.Any, statement: str, *rest: t.Any) -> bool:
        seen.append(statement)
        if takes_over:
            if step == "do_executemany":
                cursor.executemany(statement, rest[0])
            else:
                cursor.execute(statement, *rest[:-1])
        return takes_over

    if target == "before":
        listen(sa.Engine, step, theirs)
    shop = make_shop()
    if target == "after":
        listen(sa.Engine, step, theirs)
    elif target == "engine":
        with shop.app.app_context():
            listen(shop.db.engine, step, theirs)
    seen.clear()
    record = serve(shop, STEPS[step])
    assert record.error is None
    assert len(seen) == 1, "asked once"
    if target == "before" and takes_over:
        # SQLAlchemy asks nobody else then.
        assert record.statement_count == 0
    else:
        (statement,) = record.connection_statements
        assert statement.rows == (2 if step == "do_executemany" else None)
    with shop.app.app_context(), shop.db.engine.connect() as connection:
        rows = connection.scalar(sa.select(sa.func.count(User.id)))
    assert rows == (2 if step == "do_executemany" else 0), "executed once"


def test_a_later_listener_is_not_asked_once_one_took_over(
    shop: Shop, listen: t.Callable[..., None]
) -> None:
    asked = []

    def first(cursor: t.Any, statement: str, parameters: t.Any, context: t.Any) -> bool:
        asked.append("first")
        cursor.execute(statement, parameters)
        return True

    def second(*arguments: t.Any) -> None:
        asked.append("second")

    listen(sa.Engine, "do_execute", first)
    listen(sa.Engine, "do_execute", second)
    record = serve(shop, STEPS["do_execute"])
    assert asked == ["first"]
    assert record.statement_count == 1


@pytest.mark.parametrize("step", STEPS)
def test_errors_and_interrupts_go_through_untouched(
    shop: Shop, listen: t.Callable[..., None], step: str
) -> None:
    class Interrupt(BaseException):
        pass

    raised = Interrupt("now")
    caught: list[BaseException] = []

    def theirs(*arguments: t.Any) -> None:
        raise raised

    def work(connection: sa.Connection) -> None:
        try:
            STEPS[step](connection)
        except Interrupt as interrupt:
            caught.append(interrupt)

    listen(sa.Engine, step, theirs)
    record = serve(shop, work)
    assert caught == [raised]
    assert record.statement_count == 1


def test_engine_events_around_the_execution(
    shop: Shop, listen: t.Callable[..., None]
) -> None:
    order: list[str] = []

    def before(
        connection: t.Any, cursor: t.Any, sql: str, values: t.Any, *rest: t.Any
    ) -> tuple[str, t.Any]:
        order.append("before")
        return f"{sql} /* marked */", values

    listen(sa.Engine, "before_cursor_execute", before, retval=True)
    listen(sa.Engine, "after_cursor_execute", lambda *a: order.append("after"))
    record = serve(
        shop, lambda c: c.execute(sa.insert(User).values([{"name": "a"}] * 3))
    )
    assert record.error is None
    assert order == ["before", "after"]
    (statement,) = record.connection_statements
    assert statement.sql.endswith("/* */")
    assert statement.rows == 3


def test_session_events(shop: Shop, listen: t.Callable[..., None]) -> None:
    seen: list[str] = []
    names = ("after_begin", "after_commit", "after_transaction_end", "after_flush")
    for name in names:
        listen(Session, name, lambda *a, name=name: seen.append(name))
        with shop.app.app_context():
            listen(shop.db.session, name, lambda *a, name=name: seen.append(name))

    def orm(state: t.Any) -> t.Any:
        return state.invoke_statement().unique() if state.is_select else None

    listen(Session, "do_orm_execute", orm)

    def index() -> str:
        shop.db.session.add(User(name="a"))
        shop.db.session.commit()
        return str(len(shop.db.session.scalars(sa.select(User)).all()))

    shop.view(index)
    assert shop.app.test_client().get("/").text == "1"
    assert {seen.count(name) % 2 for name in names} == {0}
    (session,) = shop.newest().sessions
    assert [x.outcome for x in session.transactions] == ["commit", "close"]
    assert [x.kind for x in session.statements] == ["insert", "select"]


def test_a_listener_of_the_pool_that_refuses_a_connection(
    shop: Shop, listen: t.Callable[..., None]
) -> None:
    refused: list[object] = []

    def refuse(connection: t.Any, *rest: t.Any) -> None:
        if not refused:
            refused.append(connection)
            raise sa.exc.DisconnectionError

    with shop.app.app_context():
        listen(shop.db.engine, "checkout", refuse)
    record = serve(shop, STEPS["do_execute"])
    assert record.error is None
    assert refused
    (checkout,) = record.connections
    assert checkout.checked_in_ms is not None
    assert checkout.bind == "default"


def test_everything_still_works_without_the_inspector(shop: Shop) -> None:
    SessionInspector().detach(shop.app)
    shop.view(lambda: str(shop.db.session.scalar(sa.select(7))), "/seven")
    assert shop.app.test_client().get("/seven").text == "7"
    assert shop.inspection.requests() == []
