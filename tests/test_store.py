"""What every store does."""

from __future__ import annotations

import gc
import threading
import typing as t

import pytest

from flask_session_inspector.builder import RecordBuilder
from flask_session_inspector.config import DEFAULT_SENSITIVE_KEYS
from flask_session_inspector.masking import Masker
from flask_session_inspector.recorder import Origin
from flask_session_inspector.recorder import Scope
from flask_session_inspector.stores import MemoryStore
from flask_session_inspector.stores import Store
from flask_session_inspector.stores import memory
from flask_session_inspector.stores import open_store


def make_builder() -> RecordBuilder:
    return RecordBuilder(Masker(DEFAULT_SENSITIVE_KEYS), keep_literals=False)


def make_scope(path: str = "/") -> Scope:
    """Make the scope of a request that has ended."""
    scope = Scope(Origin("shop", limit=10), "request")
    scope.path = path
    scope.stopped = scope.started + 0.001
    return scope


class StoreContract:
    """The contract; a subclass for each store opens it.

    :cvar capacity: How many records :meth:`open` retains.
    """

    capacity = 3

    def open(self, capacity: int) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Store:
        return self.open(self.capacity)

    @staticmethod
    def paths(store: Store, after: int = 0, before: int | None = None) -> list[str]:
        return [str(record.path) for record in store.scan(after, before)]

    def put(self, store: Store, *paths: str) -> list[Scope]:
        scopes = [make_scope(path) for path in paths]
        for scope in scopes:
            store.put(scope)
        return scopes

    def test_an_empty_store(self, store: Store) -> None:
        assert self.paths(store) == []
        assert store.get("00000000-1") is None
        assert store.place("00000000-1") is None
        assert store.latest() == 0
        assert store.counters() == (0, 0, 0, 0, 0)

    def test_newest_first(self, store: Store) -> None:
        scopes = self.put(store, "/1", "/2", "/3")

        assert self.paths(store) == ["/3", "/2", "/1"]
        record = store.get(str(scopes[1].id))
        assert record is not None
        assert (record.id, record.path) == (str(scopes[1].id), "/2")
        assert record.duration_ms == 1

    def test_places(self, store: Store) -> None:
        scopes = self.put(store, "/1", "/2", "/3")
        places = [store.place(str(scope.id)) for scope in scopes]

        assert places == sorted(set(map(int, filter(None, places))))
        first, second, third = t.cast("list[int]", places)
        assert store.latest() == third
        assert self.paths(store, after=first) == ["/3", "/2"]
        assert self.paths(store, after=third) == []
        assert self.paths(store, before=third) == ["/2", "/1"]
        assert self.paths(store, before=first) == []
        assert self.paths(store, first, third) == ["/2"]
        assert self.paths(store, after=second, before=second) == []

    def test_the_ring(self, store: Store) -> None:
        scopes = self.put(store, "/1", "/2", "/3", "/4", "/5")

        assert self.paths(store) == ["/5", "/4", "/3"]
        assert store.get(str(scopes[1].id)) is None
        assert store.place(str(scopes[1].id)) is None
        assert store.counters() == (5, 0, 0, 2, 3)

    def test_a_ring_of_one(self) -> None:
        store = self.open(1)
        self.put(store, "/1", "/2")

        assert self.paths(store) == ["/2"]
        assert store.counters() == (2, 0, 0, 1, 1)

    def test_put_again(self, store: Store) -> None:
        first, _, third = self.put(store, "/1", "/2", "/3")
        latest = store.latest()
        first.status = 200
        store.put(first)

        assert self.paths(store) == ["/1", "/3", "/2"]
        assert self.paths(store, after=latest) == ["/1"]
        record = store.get(str(first.id))
        assert record is not None
        assert record.status == 200
        assert store.counters() == (3, 0, 0, 0, 3)
        # The oldest is another one now.
        self.put(store, "/4")
        assert self.paths(store) == ["/4", "/1", "/3"]
        assert third.handed_over

    def test_put_again_and_again(self, store: Store) -> None:
        scopes = self.put(store, "/1", "/2", "/3")
        for number in range(1000):
            scopes[number % 2].status = 200 + number % 2
            store.put(scopes[number % 2])

        assert self.paths(store) == ["/2", "/1", "/3"]
        assert self.paths(store, before=store.latest()) == ["/1", "/3"]
        for scope, status in zip(scopes, (200, 201, None), strict=True):
            record = store.get(str(scope.id))
            assert record is not None
            assert record.status == status
        assert store.counters() == (3, 0, 0, 0, 3)
        self.put(store, "/4", "/5")
        assert self.paths(store) == ["/5", "/4", "/2"]
        assert store.get(str(scopes[0].id)) is None

    def test_put_again_after_its_eviction(self, store: Store) -> None:
        (first, *_) = self.put(store, "/1", "/2", "/3", "/4")
        store.put(first)

        assert self.paths(store) == ["/4", "/3", "/2"]
        assert store.counters() == (4, 0, 0, 1, 3)

    def test_counted_only(self, store: Store) -> None:
        scope = make_scope()
        store.put(scope, keep=False)
        store.put(scope, keep=False)

        assert self.paths(store) == []
        assert store.counters() == (1, 0, 0, 1, 0)

    def test_clearing(self, store: Store) -> None:
        (scope, _) = self.put(store, "/1", "/2")
        latest = store.latest()
        store.clear()

        assert self.paths(store) == []
        assert store.get(str(scope.id)) is None
        assert store.latest() > latest, "a clearing is news"
        assert store.counters() == (2, 0, 0, 2, 0)
        self.put(store, "/3")
        assert self.paths(store, after=latest) == ["/3"]
        assert store.counters() == (3, 0, 0, 2, 1)

    def test_clearing_while_records_are_read(self, store: Store) -> None:
        self.put(store, "/1", "/2")
        records = store.scan(0, None)
        assert next(iter(records)).path == "/2"
        store.clear()

        assert [record.path for record in records] in (["/1"], [])

    def test_more_than_are_taken_at_once(self) -> None:
        store = self.open(1000)
        scopes = self.put(store, *(f"/{number}" for number in range(450)))
        newest_first = [f"/{number}" for number in reversed(range(450))]
        assert self.paths(store) == newest_first
        place = store.place(str(scopes[400].id))
        assert place is not None
        assert self.paths(store, before=place) == newest_first[50:]
        assert self.paths(store, after=place) == newest_first[:49]

    def test_an_epoch_for_each_life(self, store: Store) -> None:
        assert len(store.epoch) == 8
        assert int(store.epoch, 16) >= 0

    def test_several_threads(self) -> None:
        workers, each, capacity = 4, 250, 100
        store = self.open(capacity)
        together = threading.Barrier(workers + 1)
        done = threading.Event()
        seen: list[int] = []

        def write() -> None:
            together.wait(10)
            for _ in range(each):
                self.put(store, "/")

        def read() -> None:
            together.wait(10)
            finished = False
            while not finished:
                finished = done.is_set()
                counters = store.counters()
                seen.append(counters.stored - counters.evicted - counters.retained)
                assert len(list(store.scan(0, None))) <= capacity

        writers = [threading.Thread(target=write) for _ in range(workers)]
        reader = threading.Thread(target=read)
        for thread in [reader, *writers]:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        reader.join()

        total = workers * each
        assert store.counters() == (total, 0, 0, total - capacity, capacity)
        assert len(self.paths(store)) == capacity
        assert set(seen) == {0}


class TestMemoryStore(StoreContract):
    def open(self, capacity: int) -> Store:
        return MemoryStore(capacity, make_builder())

    def test_it_is_not_shared(self, store: Store) -> None:
        assert store.shared is False

    def test_one_that_goes_on_for_ever_takes_no_more_room(self) -> None:
        store = MemoryStore(1000, make_builder())
        first, second = make_scope("/1"), make_scope("/2")
        store.put(first)
        for _ in range(10_000):
            store.put(second)

        assert len(store._ring.slots) < 1000
        assert self.paths(store) == ["/2", "/1"]

    def test_ids_that_no_record_has(self, store: Store) -> None:
        self.put(store, "/1")
        for number in ("0", "", "x", "1e0", "\u0661", "9" * 5000, "-1", "1-1"):
            assert store.get(f"{store.epoch}-{number}") is None
            assert store.place(f"{store.epoch}-{number}") is None

    def test_a_record_that_is_put_while_another_is_packed(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outer, inner = make_scope("/outer"), make_scope("/inner")
        pack = memory.pack

        def interrupted(scope: Scope, place: int) -> t.Any:
            # As a finalizer may do.
            if scope is outer and not inner.handed_over:
                store.put(inner)
            return pack(scope, place)

        monkeypatch.setattr(memory, "pack", interrupted)
        store.put(outer)

        # It had to wait.
        assert self.paths(store) == ["/inner", "/outer"]
        places = [store.place(str(scope.id)) for scope in (outer, inner)]
        assert places == [1, 2]
        assert store.counters() == (2, 0, 0, 0, 2)

    def test_records_that_are_put_while_one_is_looked_for(self) -> None:
        store = MemoryStore(1000, make_builder())
        scopes: list[Scope] = []

        class Dying:
            """Garbage that puts a record when the collector finds it."""

            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                scopes.append(make_scope())
                store.put(scopes[-1])

        before = gc.get_threshold()
        gc.set_threshold(5)
        try:
            for _ in range(200):
                Dying()
                scope = make_scope()
                store.put(scope)
                scopes.append(scope)
                assert store.place(str(scope.id))
                store.put(scope)
                assert store.get(str(scope.id))
                store.oldest()
        finally:
            gc.set_threshold(*before)
        gc.collect()
        places = [store.place(str(scope.id)) for scope in scopes]
        assert None not in places
        assert len(set(places)) == len(scopes) == 400

    def test_a_record_is_built_once(self, store: Store) -> None:
        (scope,) = self.put(store, "/")
        assert store.get(str(scope.id)) is store.get(str(scope.id))

    def test_no_more_are_built_than_are_wanted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built: list[str] = []
        build = RecordBuilder.build

        def counted(builder: RecordBuilder, *args: t.Any) -> t.Any:
            record = build(builder, *args)
            built.append(str(record.path))
            return record

        monkeypatch.setattr(RecordBuilder, "build", counted)
        store = self.open(1000)
        self.put(store, *(f"/{number}" for number in range(300)))
        records = store.scan(0, None)
        assert [next(records).path for _ in range(3)] == ["/299", "/298", "/297"]
        assert built == ["/299", "/298", "/297"]

    def test_a_record_that_goes_on_is_built_anew(self, store: Store) -> None:
        (scope,) = self.put(store, "/")
        frame = object()
        scope.frames.add(frame)
        store.go_on(scope)
        before = store.get(str(scope.id))
        scope.status = 200
        during = store.get(str(scope.id))
        scope.frames.discard(frame)

        assert before is not None
        assert during is not None
        assert (before.status, during.status) == (None, 200)
        assert store.get(str(scope.id)) is store.get(str(scope.id))


def test_an_interrupt_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(2, make_builder())
    store.put(make_scope("/1"))

    def interrupt(*arguments: object) -> t.NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("flask_session_inspector.stores.memory.pack", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.put(make_scope("/2"))
    for path in ("/3", "/4"):
        store.put(make_scope(path))

    assert [record.path for record in store.scan(0, None)] == ["/4", "/3"]
    counters = store.counters()
    assert (counters.stored, counters.evicted, counters.retained) == (3, 1, 2)


def test_opening() -> None:
    assert isinstance(open_store("memory://", 3, make_builder()), MemoryStore)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///records.db", "unknown scheme 'sqlite'"),
        ("redis://localhost", "unknown scheme 'redis'"),
        ("://", "unknown scheme ''"),
        ("memory://somewhere", "no address"),
    ],
)
def test_a_store_that_cannot_be_opened(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"SESSION_INSPECTOR_STORE.*{reason}"):
        open_store(url, 3, make_builder())
