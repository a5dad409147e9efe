"""FSI401 detached-access: what has to be loaded, and no session to load it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import copy
import pickle
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import MakeApp
from faults import MakeShop
from faults import Scenario
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.orm import Session
from sqlalchemy.orm import defer
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.exc import DetachedInstanceError
from work import add_posts
from work import get
from work import serve
from work import streams_in_another_session

from flask_session_inspector import SessionInspector

CODE = "FSI401"


def the_user(session: t.Any) -> User:
    return t.cast(User, session.scalars(sa.select(User)).one())


def titles(user: User) -> list[str]:
    return [post.title for post in user.posts]


def closed(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            user = the_user(session)
        titles(user)

    serve(shop, work)


def closed_by_hand(shop: Shop) -> None:
    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.close()
        titles(user)

    serve(shop, work)


def removed(shop: Shop) -> None:
    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.remove()
        titles(user)

    serve(shop, work)


def expunged(shop: Shop) -> None:
    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.expunge(user)
        titles(user)

    serve(shop, work)


def all_expunged(shop: Shop) -> None:
    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.expunge_all()
        titles(user)

    serve(shop, work)


def expired_by_a_commit(shop: Shop) -> None:
    """``expire_on_commit``: not even its columns are there any more."""
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            user = the_user(session)
            session.commit()
        assert user.name

    serve(shop, work)


def deferred(shop: Shop) -> None:
    def work() -> None:
        query = sa.select(User).options(defer(User.name))
        user = shop.db.session.scalars(query).one()
        shop.db.session.expunge(user)
        assert user.name

    serve(shop, work)


def in_a_nested_context(shop: Shop) -> None:
    def work() -> None:
        with shop.app.app_context():
            user = the_user(shop.db.session)
        titles(user)

    serve(shop, work)


def raised_from_it(shop: Shop) -> None:
    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.expunge(user)
        try:
            titles(user)
        except DetachedInstanceError as error:
            raise LookupError from error

    serve(shop, work)


SCENARIOS: dict[Scenario, str] = {
    closed: "close()",
    closed_by_hand: "close()",
    removed: "remove()",
    expunged: "expunge()",
    all_expunged: "expunge_all()",
    expired_by_a_commit: "close()",
    deferred: "expunge()",
    in_a_nested_context: "the teardown of an app context of this request",
    raised_from_it: "expunge()",
}
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_detachment(shop: Shop, scenario: Scenario) -> None:
    add_posts(shop)
    scenario(shop)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    used = record.sessions[0]
    assert (finding.name, finding.severity) == ("detached-access", "error")
    assert finding.session == used.serial
    of_a_column = scenario in (expired_by_a_commit, deferred)
    what = "User.name" if of_a_column else "User.posts"
    how = SCENARIOS[scenario]
    expired = " was expired, as by a commit, and" * (scenario is expired_by_a_commit)
    assert finding.message.startswith(
        f"{what}{expired} had to be loaded at test_fsi401.py:"
    )
    assert f", but {how}" in finding.message
    assert finding.message.endswith(f" had detached it from S{used.serial}.")
    read = line(finding.location)
    assert read.startswith(("return [post.title", "assert user.name"))
    evidence = finding.evidence
    assert line_of(evidence["read"]) == read
    assert evidence["session"] == f"S{used.serial}"
    assert "session.scalars(" in line_of(evidence["session first used"])
    assert evidence["detached by"] == how
    if scenario is in_a_nested_context:
        assert "detached" not in evidence
    else:
        assert f"{how} at test_fsi401.py:" in finding.message
        detached = line_of(evidence["detached"])
        assert how.strip("()") in detached or "with Session(engine)" in detached
    assert finding.related_requests == ()
    assert codes(record) <= {CODE, "FSI105"}


def test_the_end_of_another_request(shop: Shop) -> None:
    """What a cache of objects leads to."""
    add_posts(shop)
    cache: list[User] = []
    shop.view(lambda: f"{cache.append(the_user(shop.db.session))}", "/fill")

    def show() -> str:
        return f"{titles(cache[0])}"

    shop.view(show, "/show")
    filled = get(shop, "/fill")
    shown = get(shop, "/show")
    finding = the(shown, CODE)
    assert finding.session == filled.sessions[0].serial
    assert finding.related_requests == (filled.id,)
    assert "but the end of GET /fill had detached it from" in finding.message
    assert finding.evidence["detached by"] == "the end of GET /fill"
    assert finding.evidence["in"] == "GET /fill"
    assert found(filled, CODE) == []


@streams_in_another_session
def test_the_end_of_the_view_of_a_stream(shop: Shop) -> None:
    add_posts(shop)

    def view() -> flask.Response:
        user = the_user(shop.db.session)

        def rows() -> cabc.Iterator[str]:
            yield "first"
            yield from titles(user)

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    with pytest.raises(DetachedInstanceError):
        get(shop)
    finding = the(shop.inspection.requests(path="/")[0], CODE)
    assert "the teardown of an app context of this request" in finding.message


def test_in_a_template(shop: Shop) -> None:
    add_posts(shop)
    template = "{{ title }}\n{% for post in user.posts %}{{ post.title }}{% endfor %}"

    def work() -> None:
        user = the_user(shop.db.session)
        shop.db.session.expunge(user)
        flask.render_template_string(template, user=user)

    finding = the(serve(shop, work), CODE)
    assert "render_template_string" in line(finding.location)


def test_an_object_that_no_session_is_known_of(shop: Shop) -> None:
    add_posts(shop)
    with Session(engine_of(shop)) as session:
        pickled = pickle.dumps(the_user(session))

    finding = the(serve(shop, lambda: titles(pickle.loads(pickled))), CODE)
    assert finding.session is None
    assert "no session known to the inspector ever had the object" in finding.message
    assert finding.evidence["session"].startswith("unknown")


def test_a_context_pushed_by_hand(shop: Shop) -> None:
    add_posts(shop)

    def job() -> None:
        with shop.app.app_context():
            user = the_user(shop.db.session)
            shop.db.session.close()
            titles(user)

    with pytest.raises(DetachedInstanceError):
        job()
    assert len(found(shop.inspection, CODE)) == 1


def test_flask_sqlalchemy_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/lite.db"})
    db = lite.SQLAlchemy(app)
    SessionInspector(app)
    with app.app_context():
        User.metadata.create_all(db.engine)
        db.session.add(User(name="x"))
        db.session.commit()
    cache: list[User] = []

    @app.get("/fill")
    def fill() -> str:
        return f"{cache.append(the_user(db.session))}"

    @app.get("/show")
    def show() -> str:
        return f"{titles(cache[0])}"

    filled = send(app, "/fill")
    finding = the(send(app, "/show"), CODE)
    assert finding.related_requests == (filled.id,)
    assert finding.session == filled.sessions[0].serial


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    def after_the_first_user(shop: Shop) -> None:
        add_posts(shop)
        scenario(shop)

    assert_found_by_its_rule(make_shop, tmp_path, CODE, after_the_first_user)


# Near misses


def loaded_before(session: Session) -> None:
    query = sa.select(User).options(selectinload(User.posts))
    user = session.scalars(query).one()
    session.expunge(user)
    assert len(user.posts) == 1
    assert user.name


def attached_again(session: Session) -> None:
    user = the_user(session)
    session.close()
    session.add(user)
    assert len(titles(user)) == 1


def merged(session: Session) -> None:
    user = the_user(session)
    session.close()
    assert len(titles(session.merge(user))) == 1


def never_attached(session: Session) -> None:
    assert titles(User(name="x")) == []
    assert titles(copy.copy(User(name="x"))) == []


def handled(session: Session) -> None:
    user = the_user(session)
    session.close()
    with contextlib.suppress(DetachedInstanceError):
        titles(user)


def handled_and_something_else_raised(session: Session) -> None:
    handled(session)
    flask.abort(404)


@pytest.mark.parametrize(
    "use",
    [
        loaded_before,
        attached_again,
        merged,
        never_attached,
        handled,
        handled_and_something_else_raised,
    ],
    ids=lambda each: each.__name__,
)
def test_near_misses(shop: Shop, use: t.Callable[[Session], None]) -> None:
    add_posts(shop)
    record = serve(shop, lambda: use(shop.db.session()))
    assert record.status in (200, 404)
    assert codes(record) == set()


def test_an_error_handler_answers(shop: Shop) -> None:
    """The application knows of it, and says so to the client."""
    add_posts(shop)
    shop.app.register_error_handler(
        DetachedInstanceError, lambda error: ("come again", 503)
    )
    closed(shop)
    (record,) = shop.inspection.requests(path="/")
    assert record.status == 503
    assert found(record, CODE) == []
