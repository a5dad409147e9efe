"""What the test suites of Flask-Admin and Flask-SQLAlchemy taught.

They are run with ``tests/upstream/run.py``; what they showed and no other test did
is told here in our own words.
"""

from __future__ import annotations

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User

REUSES = "RequestContext" in vars(flask.ctx)


@pytest.fixture
def forgetful(shop: Shop) -> Shop:
    """Add a view that writes a row and does not commit."""

    def forget() -> str:
        shop.db.session.add(User(name="Ada"))
        shop.db.session.scalars(sa.select(User)).all()  # Flushes.
        return "ok"

    shop.view(forget)
    return shop


def lost(shop: Shop) -> list[tuple[str | None, str]]:
    """Tell whose writes were discarded, the oldest record first."""
    shop.inspection.flush()
    records = reversed(shop.inspection.requests(finding="FSI201"))
    return [
        (record.path, finding.message)
        for record in records
        for finding in record.findings
        if finding.code == "FSI201"
    ]


@pytest.mark.skipif(not REUSES, reason="Flask gives each request its own context")
class TestWritesInAReusedContext:
    """The transaction of a request goes on after it, until the context is popped."""

    def test_are_lost_with_the_context(self, forgetful: Shop) -> None:
        with forgetful.app.app_context():
            forgetful.app.test_client().get("/").close()
            assert not lost(forgetful)  # It may still be committed.

        ((path, message),) = lost(forgetful)
        assert path == "/"
        assert message.endswith("without a commit, which discarded 1 row of users.")

    def test_are_lost_after_further_requests(self, forgetful: Shop) -> None:
        def read() -> str:
            return str(forgetful.db.session.scalar(sa.select(1)))

        forgetful.view(read, "/read")
        with forgetful.app.app_context():
            client = forgetful.app.test_client()
            client.get("/").close()
            client.get("/read").close()
            client.get("/").close()

        assert [path for path, _ in lost(forgetful)] == ["/", "/"]

    def test_are_lost_from_a_savepoint(self, forgetful: Shop) -> None:
        def careful() -> str:
            with forgetful.db.session.begin_nested():
                forgetful.db.session.add(User(name="Ada"))
            return "ok"

        forgetful.view(careful, "/careful")
        with forgetful.app.app_context():
            client = forgetful.app.test_client()
            client.get("/careful").close()
            client.get("/").close()

        assert [path for path, _ in lost(forgetful)] == ["/careful", "/"]

    @pytest.mark.parametrize("end", ["commit", "rollback"])
    def test_are_settled_after_the_request(self, forgetful: Shop, end: str) -> None:
        with forgetful.app.app_context():
            client = forgetful.app.test_client()
            client.get("/").close()
            client.get("/").close()
            getattr(forgetful.db.session, end)()

        assert not lost(forgetful)

    def test_are_committed_by_a_teardown_function(self, forgetful: Shop) -> None:
        @forgetful.app.teardown_appcontext
        def commit(error: BaseException | None) -> None:
            forgetful.db.session.commit()

        with forgetful.app.app_context():
            forgetful.app.test_client().get("/").close()

        assert not lost(forgetful)

    def test_are_given_up_by_an_exception(self, forgetful: Shop) -> None:
        def fail() -> None:
            with forgetful.app.app_context():
                forgetful.app.test_client().get("/").close()
                raise SystemExit

        with pytest.raises(SystemExit):
            fail()

        assert not lost(forgetful)

    def test_leave_the_record_as_it_was(self, forgetful: Shop) -> None:
        with forgetful.app.app_context():
            forgetful.app.test_client().get("/").close()
        (record,) = forgetful.inspection.requests(path="/")

        (session,) = record.sessions
        assert session.ended == "open"
        assert [each.outcome for each in session.transactions] == ["open"]


def test_a_skipped_test_discards_nothing(shop: Shop) -> None:
    def begin() -> None:
        with shop.app.app_context():
            shop.db.session.add(User(name="Ada"))
            pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception):
        begin()

    assert not lost(shop)
