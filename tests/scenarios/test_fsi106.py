"""FSI106 scope-key-recycled: a scope begins with the session of a dead one."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
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
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import RequestRecord

CODE = "FSI106"

# CPython gives an address away again soon, mostly at the first attempt.
MOST = 5000


def read(session: t.Any) -> None:
    session.scalars(sa.select(User)).all()
    session.commit()  # No connection is kept, of which there are not so many.


def leave_sessions_behind(shop: Shop) -> None:
    """Serve ``/late`` with a teardown function that comes after the removal."""

    def save_statistics(error: BaseException | None) -> None:
        if flask.g.pop("late", False):
            read(shop.db.session)

    # As if registered before db.init_app().
    shop.app.teardown_appcontext_funcs.insert(0, save_statistics)

    @shop.app.get("/late")
    def late() -> str:
        flask.g.late = True
        return ""


def visit(shop: Shop, *paths: str) -> RequestRecord:
    """Send requests in turn until the last gets what another left behind."""
    for _ in range(MOST):
        for path in paths:
            record = shop.get(path)
        if found(record, CODE):
            return record
    raise AssertionError("no address was given away again")


def a_teardown_function_that_comes_late(shop: Shop) -> RequestRecord:
    leave_sessions_behind(shop)
    shop.app.add_url_rule("/heir", "heir", lambda: f"{read(shop.db.session)}")
    return visit(shop, "/late", "/heir")


def a_view_without_a_session(shop: Shop) -> RequestRecord:
    """It asks for none, and would have got the wrong one."""
    leave_sessions_behind(shop)
    shop.app.add_url_rule("/heir", "heir", lambda: "hello")
    return visit(shop, "/late", "/heir")


def a_registry_of_ones_own(shop: Shop) -> RequestRecord:
    """By app context, as Flask-SQLAlchemy's, and nobody removes the session."""
    registry = scoped_session(
        sessionmaker(engine_of(shop)),
        scopefunc=lambda: id(flask.globals.app_ctx._get_current_object()),
    )
    shop.inspector.watch(registry, name="reporting")
    for path in ("late", "heir"):
        shop.app.add_url_rule(f"/{path}", path, lambda: f"{read(registry)}")
    return visit(shop, "/late", "/heir")


def a_key_of_the_request(shop: Shop) -> RequestRecord:
    registry = scoped_session(
        sessionmaker(engine_of(shop)),
        scopefunc=lambda: id(flask.request._get_current_object()),
    )
    shop.inspector.watch(registry, name="reporting")
    for path in ("late", "heir"):
        shop.app.add_url_rule(f"/{path}", path, lambda: f"{read(registry)}")
    return visit(shop, "/late", "/heir")


SCENARIOS = [
    a_teardown_function_that_comes_late,
    a_view_without_a_session,
    a_registry_of_ones_own,
    a_key_of_the_request,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_way_to_inherit_a_session(
    shop: Shop, scenario: t.Callable[[Shop], RequestRecord]
) -> None:
    heir = scenario(shop)

    finding = the(heir, CODE)
    (left_by,) = finding.related_requests
    before = shop.inspection.request(left_by)
    assert before is not None
    (used,) = (s for s in heir.sessions if s.serial == finding.session)
    assert (finding.name, finding.severity) == ("scope-key-recycled", "error")
    assert f"S{used.serial} was already in the registry" in finding.message
    assert f"GET {before.path} left it under the key" in finding.message
    assert finding.evidence["left by"] == f"GET {before.path}"
    assert finding.evidence["before"]["id"] == before.id
    assert finding.evidence["scope key"] == used.scope_key
    assert str(used.scope_key) in finding.message
    assert used.registry in ("db.session", "reporting")
    assert str(used.registry) in finding.message
    assert line_of(finding.evidence["before"]["place"]).startswith("session.scalars(")
    # The cause stands in the record of the one that left it.
    assert "FSI102" in codes(before)
    assert found(heir, "FSI107") == []


@pytest.mark.parametrize("scenario", [a_teardown_function_that_comes_late])
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    def until_it_happens(shop: Shop) -> None:
        """Known by the session, which two records have, not by the finding."""
        leave_sessions_behind(shop)
        shop.app.add_url_rule("/heir", "heir", lambda: f"{read(shop.db.session)}")
        for _ in range(MOST):
            record = [shop.get(path) for path in ("/late", "/heir")][-1]
            if any(s.first_request_id != record.id for s in record.sessions):
                return
        raise AssertionError("no address was given away again")

    assert_found_by_its_rule(make_shop, tmp_path, CODE, until_it_happens)


def test_the_heir_is_told_where_it_used_the_session(shop: Shop) -> None:
    heir = a_teardown_function_that_comes_late(shop)
    finding = the(heir, CODE)
    assert line(finding.location) == "session.scalars(sa.select(User)).all()"
    assert line_of(finding.evidence["here"]["place"]) == line(finding.location)


def test_a_context_by_hand_can_be_the_heir(shop: Shop) -> None:
    leave_sessions_behind(shop)
    for _ in range(MOST):
        shop.get("/late")
        with shop.app.app_context():
            read(shop.db.session)
        if found(shop.newest(), CODE):
            break
    finding = the(shop.newest(), CODE)
    assert "when this app context began: GET /late left it" in finding.message


# Near misses


@pytest.mark.parametrize("how", ["removed", "in time"])
def test_nothing_is_left_behind(shop: Shop, how: str) -> None:
    def save_statistics(error: BaseException | None) -> None:
        if "late" in flask.g:
            read(shop.db.session)
            if how == "removed":
                shop.db.session.remove()

    place = 0 if how == "removed" else len(shop.app.teardown_appcontext_funcs)
    shop.app.teardown_appcontext_funcs.insert(place, save_statistics)
    addresses: list[int] = []

    def view() -> str:
        flask.g.late = True
        addresses.append(id(flask.globals.app_ctx._get_current_object()))
        return f"{read(shop.db.session)}"

    shop.view(view)
    while len(set(addresses)) == len(addresses) < MOST:
        shop.get()
    assert len(set(addresses)) < len(addresses)
    assert codes(shop.inspection) == set()


def test_what_is_left_behind_is_nobodys_yet(shop: Shop) -> None:
    """FSI102 says that much."""
    leave_sessions_behind(shop)
    shop.get("/late")
    assert found(shop.inspection, CODE) == []
    assert "FSI102" in codes(shop.inspection)


def test_a_key_that_is_too_coarse(shop: Shop) -> None:
    """A thread is not dead: FSI107 says that."""
    registry = scoped_session(sessionmaker(engine_of(shop)))
    shop.inspector.watch(registry, name="reporting")
    shop.view(lambda: f"{read(registry)}")
    for _ in range(2):
        shop.get()
    assert found(shop.inspection, CODE) == []
    assert "FSI107" in codes(shop.inspection)


def test_one_context_that_is_pushed_again(shop: Shop) -> None:
    """The key is the same because the context is."""
    context = shop.app.app_context()
    for _ in range(3):
        with context:
            read(shop.db.session)
    shop.view(lambda: f"{read(shop.db.session)}")
    with shop.app.test_client() as client:
        client.get("/")
        read(shop.db.session)
    assert codes(shop.inspection) == set()


def test_a_session_that_is_handed_on(shop: Shop) -> None:
    """Not by the registry: whoever kept it did that."""
    kept: list[Session] = []

    def view() -> str:
        if not kept:
            kept.append(shop.db.session())
        return f"{read(kept[0])}"

    shop.view(view)
    for _ in range(2):
        shop.get()
    assert found(shop.inspection, CODE) == []
    assert "FSI101" in codes(shop.inspection)


def test_requests_in_one_context(shop: Shop) -> None:
    shop.view(lambda: f"{read(shop.db.session)}")
    with shop.app.app_context():
        read(shop.db.session)
        for _ in range(2):
            shop.app.test_client().get("/").close()
    assert found(shop.inspection, CODE) == []
