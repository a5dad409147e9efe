"""A process that forks, as servers with several workers do."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = """
import json
import logging
import os
import sys
import threading

import flask
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_session_inspector import SessionInspector
from flask_session_inspector.guard import guard

logging.disable(logging.CRITICAL)
app = flask.Flask(__name__)
app.config["SESSION_INSPECTOR_ENABLED"] = True
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + sys.argv[1]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"poolclass": sa.NullPool}
db = SQLAlchemy(app)
guard.errors += 1  # Of another application, before this one.
SessionInspector(app)
inspection = app.extensions["session_inspector"]


def fail():
    try:
        raise LookupError
    except LookupError:
        guard.report("a test")


@app.get("/")
def index():
    return str(db.session.execute(sa.text("SELECT 1")).scalar())


@app.get("/fork")
def fork():
    fork.child = os.fork()
    return index()


def report(**facts):
    records = inspection.requests(limit=100)
    counters = inspection.counters
    facts["pid"] = os.getpid()
    facts["ids"] = [record.id for record in records]
    facts["pids"] = [record.pid for record in records]
    facts["paths"] = [record.path for record in records]
    facts["counters"] = {
        name: getattr(counters, name) for name in counters.__struct_fields__
    }
    facts["cursor"] = inspection.cursor
    facts["process"] = inspection.process()["pid"]
    return json.dumps(facts)


client = app.test_client()
for _ in range(3):
    assert client.get("/").status_code == 200
fail()
before = inspection.cursor

read, write = os.pipe()
# Held by another thread at the moment of the fork: not so in the child.
locks = [inspection._store._lock, guard._lock, inspection.recording._wiring_lock]
held, release = threading.Event(), threading.Event()


def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    release.wait()
    for lock in locks:
        lock.release()


thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    empty = json.loads(report())
    inspection.recording._looking_around = True
    inspection.recording.look_around(app)
    assert client.get("/").status_code == 200
    fail()
    stale = [record.id for record in inspection.requests(after=before)]
    os.write(write, (report(empty=empty, stale=stale) + "\\n").encode())
    os._exit(0)
release.set()
thread.join()
assert os.waitpid(child, 0)[1] == 0
assert client.get("/").status_code == 200
print(report(role="parent"))
print(os.read(read, 100_000).decode().strip())

# A fork within a request: both processes finish it, each for itself.
inspection.clear()
assert client.get("/fork").status_code == 200
if fork.child == 0:
    os.write(write, (report(role="child") + "\\n").encode())
    os._exit(0)
assert os.waitpid(fork.child, 0)[1] == 0
print(report(role="parent"))
print(os.read(read, 100_000).decode().strip())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_begins_anew(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "forking.py"
    script.write_text(SCRIPT)
    outcome = subprocess.run(
        # Python 3.12 warns of a fork beside threads, which is the point here.
        [
            *[sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning"],
            *[script, tmp_path / "shop.db"],
        ],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert outcome.returncode == 0, outcome.stderr
    parent, child, parent_later, forked = map(json.loads, outcome.stdout.splitlines())

    empty = child["empty"]
    assert empty["ids"] == []
    assert set(empty["counters"].values()) == {0}
    assert empty["cursor"] != parent["cursor"]
    assert child["pids"] == [child["pid"]]
    assert child["process"] == child["pid"] != parent["pid"]
    assert child["counters"]["started"] == child["counters"]["stored"] == 1
    assert child["counters"]["internal_errors"] == 1
    assert child["counters"]["in_flight"] == 0
    assert child["stale"] == child["ids"], "the parent's cursor means nothing here"

    assert len(parent["ids"]) == 4
    assert set(parent["pids"]) == {parent["pid"]}
    assert parent["counters"]["started"] == 4
    assert parent["counters"]["internal_errors"] == 1
    assert not set(parent["ids"]) & set(child["ids"])
    tokens = {text.partition("-")[0] for text in parent["ids"] + child["ids"]}
    assert len(tokens) == 2, "each process has a token of its own"

    for process in (parent_later, forked):
        assert process["paths"] == ["/fork"]
        assert process["counters"]["in_flight"] == 0
        assert process["counters"]["retained"] == 1
    assert forked["counters"]["started"] == forked["counters"]["stored"] == 1
