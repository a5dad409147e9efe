"""Greenlets and workers, each in a process of its own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest


def run(script: str, *arguments: object) -> list[dict[str, object]]:
    """Run a script beside this file; return the lines of JSON that it prints."""
    outcome = subprocess.run(
        # Python 3.12 warns of a fork beside threads, which the driver may start.
        [
            *[sys.executable, "-W", "ignore::DeprecationWarning"],
            *[pathlib.Path(__file__).parent / script, *arguments],
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert outcome.returncode == 0, outcome.stderr
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def test_greenlets() -> None:
    pytest.importorskip("gevent")
    (counted,) = run("healthy_greenlets.py")
    # Each of the last 30 requests has a greenlet beside it, with its own session.
    assert counted == {"requests": 90, "sessions": 120, "by greenlet": 30}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("dispose", ["before", "after"])
def test_workers(tmp_path: pathlib.Path, dispose: str) -> None:
    assert run("healthy_fork.py", tmp_path / "shop.db", dispose) == [
        {"role": "worker 0", "sessions": 3},
        {"role": "worker 1", "sessions": 3},
        {"role": "parent", "sessions": 4},
    ]
