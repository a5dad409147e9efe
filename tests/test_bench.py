"""The benchmark works. No test asserts a time, which depends on the machine."""

from __future__ import annotations

import ast
import gc
import pathlib
import subprocess
import sys
import tracemalloc
import typing as t

import pytest

from flask_session_inspector import SessionInspector
from tests.bench import bracketing
from tests.bench import conditions
from tests.bench import handing_over
from tests.bench import pinning
from tests.bench import retained
from tests.bench import variants
from tests.bench import worker
from tests.bench.bracketing import Brackets
from tests.bench.bracketing import Comparison
from tests.bench.bracketing import Job
from tests.bench.bracketing import Took

ROOT = pathlib.Path(__file__).parent.parent
# They change the process: they listen to every session, wrap SQLAlchemy's functions, or
# can then import no more panels.
ELSEWHERE = {"listening", "noting", "opentelemetry", "toolbar"}
ANSWERS = {"/none": "nothing", "/one": "item 7", "/many/3": "item 3"}
ASK = """
import sys
from tests.bench.variants import make_app
client = make_app(*sys.argv[1:3]).test_client()
answers = [client.get(path) for path in sys.argv[3:]]
print([(answer.status_code, answer.text) for answer in answers])
"""


@pytest.fixture
def database(tmp_path: pathlib.Path) -> str:
    url = f"sqlite:///{tmp_path}/bench.db"
    variants.fill(url)
    return url


@pytest.fixture
def make_variant(database: str) -> t.Iterator[t.Callable[..., t.Any]]:
    made = []

    def make(name: str, **config: t.Any) -> t.Any:
        made.append(variants.make_app(name, database, **config))
        return made[-1]

    yield make
    for app in made:
        SessionInspector().detach(app)
        with app.app_context():
            app.extensions["sqlalchemy"].engine.dispose()


@pytest.mark.parametrize("name", sorted(set(variants.VARIANTS) - ELSEWHERE))
def test_every_variant_gives_the_same_answers(
    name: str, make_variant: t.Callable[..., t.Any]
) -> None:
    if not variants.VARIANTS[name].is_there:
        pytest.skip("It is not installed.")
    client = make_variant(name).test_client()
    for path, body in ANSWERS.items():
        response = client.get(path)
        assert (response.status_code, response.text) == (200, body)


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_the_others_do_in_a_process_of_their_own(name: str, database: str) -> None:
    if not variants.VARIANTS[name].is_there:
        pytest.skip("It is not installed.")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, name, database, *ANSWERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert ast.literal_eval(done.stdout) == [(200, body) for body in ANSWERS.values()]


LEAST = """
import sys
from tests.bench.variants import make_app
from tests.bench.worker import serve
app = make_app("noting", sys.argv[1])
serve(app, "/many/3", 2)
print(app.extensions["floor"].kept[-1])
with app.app_context():
    app.extensions["sqlalchemy"].engine.dispose()
"""


def test_the_least_has_statements_and_lines(database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LEAST, database],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    noted = ast.literal_eval(done.stdout)
    assert {"GET", "/many/3", "many", 200} <= {x for x in noted if type(x) is not tuple}
    statements = [x for x in noted if type(x) is tuple and "SELECT" in str(x[2:3])]
    assert len(statements) == 3
    places = [x for part in noted if type(part) is tuple for x in part]
    lines = {x for x in places if type(x) is tuple}
    assert {(file.rpartition("/")[2], view) for file, _, view in lines} == {
        ("variants.py", "many")
    }


@pytest.mark.parametrize(
    ("name", "records"),
    [("ours", 2), ("no-locations", 2), ("disabled", 0), ("bare", None)],
)
def test_a_variant_records_what_its_name_says(
    name: str, records: int | None, make_variant: t.Callable[..., t.Any]
) -> None:
    # A machine under load is no fault of the application's.
    app = make_variant(name, SESSION_INSPECTOR_IDLE_TRANSACTION_MS=60_000)
    worker.serve(app, "/many/1000", 1)
    worker.serve(app, "/none", 1)
    inspection = app.extensions.get("session_inspector")
    if records is None:
        assert inspection is None
        return
    kept = inspection.requests()
    assert len(kept) == records
    for record in kept:
        # Those would be another kind of request.
        assert not record.findings
        assert not record.truncated
        assert record.statement_count == (1000 if record.path != "/none" else 0)


def test_the_worker_counts_the_collector() -> None:
    collector = worker.Collector()
    try:
        gc.collect(1)
        assert collector.usual > 0
        assert collector.full == 0
        gc.collect()
        assert collector.full > 0
    finally:
        gc.callbacks.remove(collector._note)


def test_requests_in_threads_are_measured(
    make_variant: t.Callable[..., t.Any],
) -> None:
    assert worker.measure(make_variant("ours"), "/one", 2, 3) > 0


def test_a_failing_application_is_not_measured(
    make_variant: t.Callable[..., t.Any],
) -> None:
    with pytest.raises(RuntimeError, match="answered 404"):
        worker.serve(make_variant("bare"), "/nowhere", 1)


def test_bracketing_removes_drift() -> None:
    took = {"bare": 100.0, "a": 107.0, "b": 90.0}
    calls = []

    def run(name: str) -> Took:
        calls.append(name)
        return Took(took[name] + 3.0 * len(calls))

    brackets = Brackets()
    brackets.measure(run, ["a", "b"], 4)
    for name, added in (("a", 7.0), ("b", -10.0)):
        result = brackets.compared(name)
        assert result.added == pytest.approx(added)
        assert (result.low, result.high) == pytest.approx((added, added))
    # Each between two of the bare one, and none always the first.
    assert calls[::2] == ["bare"] * 9
    assert calls[1::2] == ["a", "b", "b", "a"] * 2


def test_what_comes_seldom_counts_only_where_it_must() -> None:
    slow = iter([500.0, 0, 0, 0, 0, 0, 0, 0])
    collector = iter([80.0, 0, 0, 0, 0, 0, 0, 0])

    def run(name: str) -> Took:
        if name == "bare":
            return Took(100.0)
        return Took(110.0 + next(slow), next(collector))

    brackets = Brackets()
    brackets.measure(run, ["a"], 8)
    result = brackets.compared("a")
    # Another process took the processor once: not the variant's fault. What the
    # collector did once is, and is spread over all.
    assert result == Comparison(100.0, 20.0, 20.0, 20.0, 10.0)
    assert result.ratio == pytest.approx(1.2)


def test_comparing_runs_processes(database: str) -> None:
    told: list[str] = []
    jobs = [Job("short", "/one", 2, 2), Job("sized", "/none", None, 2, threads=2)]
    result = bracketing.compare(["control"], jobs, database, told.append, 1)
    assert list(result) == [("control", "short"), ("control", "sized")]
    assert all(each.bare > 0 for each in result.values())
    assert told == ["short, 1 of 1", "sized, 1 of 1"]


def test_a_worker_that_has_failed_says_so(
    database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    process = bracketing.Worker("bare", database)
    with pytest.raises(RuntimeError, match="has ended"):
        process.run(Job("", "/nowhere", 1, 1))
    process.end()
    assert "answered 404" in capfd.readouterr().err
    with pytest.raises(RuntimeError, match=r"tests\.bench\.worker has failed"):
        pinning.run("tests.bench.worker", "no-such-variant nowhere")


def test_conditions_are_told_and_nothing_else_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = pinning.run("tests.bench.conditions")
    assert f"CPython {sys.version.split()[0]}" in text or "PyPy" in text
    monkeypatch.setattr(pinning.os, "sched_getaffinity", None, raising=False)
    monkeypatch.delattr(pinning.os, "sched_getaffinity")
    monkeypatch.setattr(pinning.sys, "platform", "darwin")
    assert "not pinned" in conditions.describe()
    assert "left to chance" in conditions.describe()


def test_growth_is_of_one_request(make_variant: t.Callable[..., t.Any]) -> None:
    app, bare = make_variant("ours"), make_variant("bare")
    tracemalloc.start()
    try:
        short, _ = retained.growth(app, "/many/1", 20, 20)
        long, objects = retained.growth(app, "/many/21", 20, 20)
        _, of_host = retained.growth(bare, "/many/21", 20, 20)
    finally:
        tracemalloc.stop()
    assert long > short > 0
    # SQLAlchemy itself keeps one dead weak reference of each request for a while.
    assert objects - of_host < 0.5, "a packed record is nothing for the collector"


def test_a_store_that_is_looked_through_is_emptied(
    make_variant: t.Callable[..., t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retained, "FILL", 3)
    app = make_variant("ours")
    assert isinstance(retained.full_collection(app), float)
    assert app.extensions["session_inspector"].requests() == []


def test_handing_over_is_measured() -> None:
    result = handing_over.measure()
    assert 0 < result.least <= result.middle
