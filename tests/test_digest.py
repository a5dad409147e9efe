"""The sums of all retained records follow the store, and read each record once."""

from __future__ import annotations

import collections.abc as cabc
import random
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord
from flask_session_inspector import judge
from flask_session_inspector.builder import RecordBuilder
from flask_session_inspector.digest import Digest
from flask_session_inspector.digest import summary_of
from flask_session_inspector.queries import MOST
from flask_session_inspector.tally import tally_of

if t.TYPE_CHECKING:
    from flask_session_inspector.stores import Store

CAPACITY = 8


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> cabc.Iterator[Shop]:
    shop = make_shop(SESSION_INSPECTOR_MAX_REQUESTS=CAPACITY)
    with shop.app.app_context():
        kept = Session(shop.db.engine)

    def own() -> str:
        shop.db.session.execute(sa.select(1))
        return ""

    def two() -> str:
        with Session(shop.db.engine) as other:
            other.execute(sa.select(1))
        return own()

    def shared() -> str:
        kept.execute(sa.select(1))
        return ""

    def lost() -> str:
        shop.db.session.execute(sa.text("INSERT INTO users (name) VALUES ('x')"))
        return ""

    def none() -> str:
        return ""

    for view in (own, two, shared, lost, none):
        shop.view(view, f"/{view.__name__}")
    shop.inspection.clear()
    yield shop
    kept.close()


def check(shop: Shop) -> None:
    """Compare with what is found by reading all records."""
    inspection = shop.inspection
    records = inspection.requests(MOST)
    digest = inspection.digest
    assert inspection.verdicts() == judge(records)
    assert digest.summary() == summary_of(tally_of(records))
    found = [finding for record in records for finding in record.findings]
    found.sort(key=lambda finding: finding.at, reverse=True)
    assert list(digest.findings()) == found
    requests = [record for record in records if record.kind == "request"]
    using = [record for record in requests if record.sessions]
    newest = [record.id for record in using or requests]
    assert digest.latest_requests(3) == newest[:3]
    served: dict[int, list[str]] = {}
    for record in requests:
        for session in record.sessions:
            served.setdefault(session.serial, []).append(record.id)
    assert digest.served(served) == {each: len(ids) for each, ids in served.items()}
    assert {each: digest.users(each) for each in served} == served
    ids = ["", *(record.id for record in records), ""]
    for newer, record_id, older in zip(ids, ids[1:], ids[2:], strict=False):
        assert digest.neighbours(record_id) == (older, newer)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    client = shop.app.test_client()
    check(shop)
    for _ in range(40):
        for _ in range(chance.choice([0, 1, 1, 2, 3, CAPACITY, 2 * CAPACITY])):
            page = chance.choice(["own", "own", "two", "shared", "lost", "none"])
            client.get(f"/{page}").close()
        if chance.random() < 0.1:
            shop.inspection.clear()
        if chance.random() < 0.2:
            with shop.app.app_context():
                shop.db.session.execute(sa.select(1))
        check(shop)


class Built(list[str]):
    """The ids of the records that were built, in that order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        build = RecordBuilder.build

        def counted(builder: RecordBuilder, *args: t.Any) -> t.Any:
            record = build(builder, *args)
            self.append(record.id)
            return record

        patch.setattr(RecordBuilder, "build", counted)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Built:
    return Built(monkeypatch)


def test_each_record_is_built_once(shop: Shop, built: Built) -> None:
    ids = []
    for _ in range(3):
        client = shop.app.test_client()
        for page in ("own", "shared", "none"):
            client.get(f"/{page}").close()
        ids += [record.id for record in reversed(shop.inspection.requests(3))]
        check(shop)
        check(shop)
    assert sorted(built) == sorted(ids)


def test_what_is_known_is_not_read_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    take = Digest._take

    def noted(digest: Digest, record: t.Any) -> None:
        taken.append(record.id)
        take(digest, record)

    monkeypatch.setattr(Digest, "_take", noted)
    first = shop.get("/shared").id
    for _ in range(3):
        shop.inspection.verdicts()
    assert taken == [first]
    second = shop.get("/shared").id
    for _ in range(3):
        shop.inspection.findings([])
    assert taken == [first, second]


def test_a_stream_is_read_again_until_it_ends(shop: Shop) -> None:
    """It grows without a new place in the store, and gets one at its end."""

    def stream() -> flask.Response:
        def rows() -> cabc.Iterator[str]:
            for number in range(3):
                shop.db.session.execute(sa.select(number))
                yield str(number)

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(stream, "/stream")
    client = shop.app.test_client()
    client.get("/own").close()
    response = client.get("/stream", buffered=False)
    chunks = response.iter_encoded()
    statements = []
    for _ in range(3):
        next(chunks)
        client.get("/shared").close()
        check(shop)
        statements.append(shop.inspection.digest.summary().statements)
    response.close()
    check(shop)
    statements.append(shop.inspection.digest.summary().statements)
    assert statements == [3, 5, 7, 7]
    client.get("/none").close()
    check(shop)


@pytest.fixture
def use_late(shop: Shop) -> t.Callable[[], None]:
    """Use the session of a request after its end, which is found out then."""
    sessions: list[t.Any] = []

    def leave() -> str:
        sessions.append(shop.db.session())
        sessions[0].execute(sa.select(1))
        return ""

    def use() -> None:
        with shop.app.app_context():
            sessions[0].execute(sa.select(1))
            sessions[0].close()

    shop.view(leave, "/leave")
    shop.app.test_client().get("/leave").close()
    return use


def test_a_finding_that_comes_late(shop: Shop, use_late: t.Callable[[], None]) -> None:
    record = shop.newest()
    shop.get("/own")
    check(shop)
    place = shop.inspection.place(record.id)
    codes = {finding.code for finding in shop.inspection.findings([])}
    use_late()
    (late,) = [x for x in shop.inspection.findings([]) if x.code not in codes]
    assert late.request_id == record.id
    assert shop.inspection.place(record.id) > place
    check(shop)


class OneRecord:
    """A store whose only record is put again each time somebody looks."""

    shared = False
    epoch = "00000000"

    def __init__(self, record: RequestRecord) -> None:
        self.record = record
        self.newest = 0

    def latest(self) -> int:
        self.newest += 1
        return self.newest

    def oldest(self) -> int:
        return 1

    def place(self, record_id: str) -> int:
        return self.newest

    def get(self, record_id: str) -> RequestRecord:
        return self.record

    def scan(self, after: int, before: int | None) -> cabc.Iterator[RequestRecord]:
        yield self.record


def test_a_record_that_comes_again_and_again(shop: Shop) -> None:
    """What it was before takes no room for good."""
    digest = Digest(t.cast("Store", OneRecord(shop.get("/own"))))
    for _ in range(1000):
        assert digest.summary().requests == 1
    assert len(digest._order) < 110


def test_how_much_evidence_is_put_into_words(shop: Shop) -> None:
    client = shop.app.test_client()
    for _ in range(4):
        client.get("/shared").close()
    for most in (0, 1, 2, 3):
        full = shop.inspection.digest.summary()
        short = shop.inspection.digest.summary(most)
        for whole, part in zip(full.judgements, short.judgements, strict=True):
            assert part.verdict.passed == whole.verdict.passed
            assert part.verdict.sentence == whole.verdict.sentence
            assert part.sentences == whole.sentences == len(whole.verdict.evidence)
            assert part.requests == whole.requests == len(whole.verdict.requests)
            assert part.verdict.evidence == whole.verdict.evidence[:most]
            assert part.verdict.requests == whole.verdict.requests[:most]
