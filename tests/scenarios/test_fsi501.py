"""FSI501 lazy-load-burst: one statement for each object."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Post
from conftest import Shop
from conftest import User
from faults import MakeApp
from faults import MakeShop
from faults import Scenario
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import inspection_of
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import immediateload
from sqlalchemy.orm import joinedload
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship
from sqlalchemy.orm import selectinload
from sqlalchemy.orm import subqueryload
from work import add_posts
from work import serve

from flask_session_inspector import SessionInspector

CODE = "FSI501"


def collections(shop: Shop, users: int = 10) -> None:
    add_posts(shop, users)

    def work() -> None:
        for user in shop.db.session.scalars(sa.select(User)):
            assert len(user.posts) == 1

    serve(shop, work)


def references(shop: Shop, posts: int = 10) -> None:
    add_posts(shop, posts)

    def work() -> None:
        for post in shop.db.session.scalars(sa.select(Post)):
            assert post.user is not None

    serve(shop, work)


def of_a_session_of_its_own(shop: Shop) -> None:
    add_posts(shop, 10)
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            for user in session.scalars(sa.select(User)):
                assert len(user.posts) == 1

    serve(shop, work)


SCENARIOS = [collections, references, of_a_session_of_its_own]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_relationship(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    name = "Post.user" if scenario is references else "User.posts"
    assert (finding.name, finding.severity) == ("lazy-load-burst", "warning")
    assert finding.session == record.sessions[0].serial
    assert finding.message.startswith(
        f"{name} was lazily loaded 10 times in one request at test_fsi501.py:"
    )
    assert line(finding.location).startswith("assert ")
    evidence = finding.evidence
    assert evidence["loads"] == 10
    ((place, loads),) = evidence["lines"].items()
    assert (line_of(place), loads) == (line(finding.location), 10)
    assert evidence["statement"].startswith("SELECT ")
    assert evidence["milliseconds"] >= 0
    assert codes(record) == {CODE}


def test_in_a_template(shop: Shop, tmp_path: t.Any) -> None:
    """It names the line of the template."""
    add_posts(shop, 12)
    template = tmp_path / "users.html"
    template.write_text(
        "{% for user in users %}\n{{ user.posts|length }}\n{% endfor %}"
    )
    shop.app.template_folder = str(tmp_path)

    def work() -> None:
        users = shop.db.session.scalars(sa.select(User))
        assert flask.render_template("users.html", users=users)

    finding = the(serve(shop, work), CODE)
    assert finding.location is not None
    assert finding.location.file == str(template)
    assert line(finding.location) == "{{ user.posts|length }}"


def test_more_than_are_kept(make_shop: MakeShop) -> None:
    """Nobody knows what the others were."""
    shop = make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=21)
    collections(shop, 30)
    finding = the(shop.inspection, CODE)
    assert "was lazily loaded at least 20 times in one request" in finding.message


def test_immediate_loads(shop: Shop) -> None:
    """Nobody reads the relationship; the option of the query loads it one by one."""
    add_posts(shop, 10)
    query = sa.select(User).options(immediateload(User.posts))
    record = serve(shop, lambda: shop.db.session.scalars(query).all())
    assert the(record, CODE).evidence["loads"] == 10


def test_up_a_tree(shop: Shop) -> None:
    """One after the other; only a query of another kind would save them."""

    class Node(shop.db.Model):
        __tablename__ = "nodes"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("nodes.id"))
        parent: Mapped[t.Any] = relationship("Node", remote_side=[id])

    def climb() -> None:
        node = shop.db.session.get(Node, 11)
        while node is not None:
            node = node.parent

    try:
        with engine_of(shop).begin() as connection:
            Node.metadata.create_all(connection)
            rows = [{"id": n, "parent_id": n - 1 or None} for n in range(1, 12)]
            connection.execute(sa.insert(Node), rows)
        finding = the(serve(shop, climb), CODE)
        assert finding.message.startswith("Node.parent was lazily loaded 10 times")
        assert line(finding.location) == "node = node.parent"
    finally:
        Base.registry._dispose_cls(Node)
        Base.metadata.remove(Node.metadata.tables["nodes"])


def test_two_lines(shop: Shop) -> None:
    """The one that sends most of them is named first."""
    add_posts(shop, 12)

    def work() -> None:
        users = shop.db.session.scalars(sa.select(User).order_by(User.id)).all()
        assert all(user.posts for user in users[:3])
        for user in users:
            assert len(user.posts) == 1

    finding = the(serve(shop, work), CODE)
    assert sorted(finding.evidence["lines"].values()) == [3, 9]
    assert line(finding.location) == "assert len(user.posts) == 1"


def test_two_relationships(shop: Shop) -> None:
    add_posts(shop, 10)

    def work() -> None:
        for user in shop.db.session.scalars(sa.select(User)):
            assert len(user.posts) == 1
        shop.db.session.expunge_all()
        for post in shop.db.session.scalars(sa.select(Post)):
            assert post.user is not None

    findings = found(serve(shop, work), CODE)
    names = {finding.message.split()[0] for finding in findings}
    assert names == {"User.posts", "Post.user"}


def test_flask_sqlalchemy_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/lite.db"})
    db = lite.SQLAlchemy(app)
    SessionInspector(app)
    with app.app_context():
        User.metadata.create_all(db.engine)
        db.session.add_all([User(name="x") for _ in range(10)])
        db.session.commit()

    @app.get("/")
    def view() -> str:
        users = db.session.scalars(sa.select(User)).all()
        return str(sum(len(user.posts) for user in users))

    assert the(send(app), CODE).evidence["loads"] == 10


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


# Near misses


@pytest.mark.parametrize("scenario", [collections, references])
def test_nine(shop: Shop, scenario: t.Callable[[Shop, int], None]) -> None:
    scenario(shop, 9)
    (record,) = shop.inspection.requests(path="/")
    assert record.statement_count == 10
    assert codes(record) == set()


@pytest.mark.parametrize("load", [selectinload, joinedload, subqueryload])
def test_loaded_with_the_objects(shop: Shop, load: t.Any) -> None:
    add_posts(shop, 30)

    def work() -> None:
        query = sa.select(User).options(load(User.posts))
        for user in shop.db.session.scalars(query).unique():
            assert len(user.posts) == 1

    record = serve(shop, work)
    assert record.statement_count <= 2
    assert codes(record) == set()


def test_one_parent_of_many(shop: Shop) -> None:
    """The identity map has it after the first time."""
    add_posts(shop, users=1, posts=30)

    def work() -> None:
        for post in shop.db.session.scalars(sa.select(Post)):
            assert post.user is not None

    record = serve(shop, work)
    assert record.statement_count == 2
    assert codes(record) == set()


def test_nine_each_of_two(shop: Shop) -> None:
    add_posts(shop, 9)

    def work() -> None:
        for user in shop.db.session.scalars(sa.select(User)):
            assert len(user.posts) == 1
        shop.db.session.expunge_all()
        for post in shop.db.session.scalars(sa.select(Post)):
            assert post.user is not None

    record = serve(shop, work)
    assert record.statement_count == 20
    assert codes(record) == set()


def test_spread_over_requests(shop: Shop) -> None:
    add_posts(shop, 6)

    def work() -> None:
        for user in shop.db.session.scalars(sa.select(User)):
            assert len(user.posts) == 1

    serve(shop, work, times=3)
    assert codes(shop.inspection) == set()


def test_many_queries_that_are_no_lazy_loads(shop: Shop) -> None:
    add_posts(shop, 12)

    def work() -> None:
        for key in range(1, 13):
            assert shop.db.session.get(User, key) is not None

    record = serve(shop, work)
    assert record.statement_count == 12
    assert codes(record) == set()


def test_a_command(shop: Shop) -> None:
    """Nobody waits for it."""
    add_posts(shop, 12)

    @shop.app.cli.command("report")
    def report() -> None:
        for user in shop.db.session.scalars(sa.select(User)):
            assert len(user.posts) == 1

    shop.app.test_cli_runner().invoke(args=["report"])
    assert codes(inspection_of(shop.app)) == set()
