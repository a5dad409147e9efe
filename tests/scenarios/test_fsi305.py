"""FSI305 used-after-fork: a child works with what its parent opened."""

from __future__ import annotations

import json
import linecache
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

CODE = "FSI305"
PROGRAM = pathlib.Path(__file__).with_name("forking.py")

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="This operating system cannot fork."
)

CONNECTIONS = ["a_pooled_connection", "a_connection_without_a_session"]
SESSIONS = [
    "a_session_of_the_module",
    "a_session_of_a_context",
    "in_the_middle_of_a_request",
    "without_a_context",
]


def found_by_child(tmp_path: t.Any, *arguments: str) -> list[dict[str, t.Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", PROGRAM, tmp_path / "shop.db", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    findings = [
        finding for each in done.stdout.splitlines() for finding in json.loads(each)
    ]
    return t.cast("list[dict[str, t.Any]]", findings)


@pytest.mark.parametrize("scenario", [*CONNECTIONS, *SESSIONS])
def test_a_child_uses_what_its_parent_has(tmp_path: t.Any, scenario: str) -> None:
    findings = found_by_child(tmp_path, scenario)
    (finding,) = [each for each in findings if each["code"] == CODE]
    pid, parent = finding["pid"], finding["parent"]
    assert f"process {parent}" in finding["message"]
    assert f"in its child process {pid} at forking.py:" in finding["message"]
    evidence = finding["evidence"]
    assert evidence["used in"] == f"process {pid}"
    if scenario in CONNECTIONS:
        assert finding["message"].startswith("Connection ")
        assert evidence["opened in"] == f"process {parent}"
        assert finding["session"] is None
    else:
        assert finding["message"].startswith(
            f"S{finding['session']}, whose transaction"
        )
        assert evidence["began in"] == f"process {parent}"
    line = linecache.getline(str(PROGRAM), finding["line"])
    assert "execute(one)" in line or "engine.connect()" in line
    assert f"forking.py:{finding['line']} in " in evidence["place"]


@pytest.mark.parametrize("scenario", [*CONNECTIONS, *SESSIONS])
def test_it_is_the_rule_that_finds_it(tmp_path: t.Any, scenario: str) -> None:
    codes = {each["code"] for each in found_by_child(tmp_path, scenario)}
    without = {each["code"] for each in found_by_child(tmp_path, scenario, CODE)}
    assert without == codes - {CODE}


@pytest.mark.parametrize(
    "scenario",
    [
        "disposed_in_the_parent",
        "disposed_in_the_child",
        "nothing_before",
        "the_parent_goes_on",
        "a_context_of_its_own",
        "refused_by_a_listener",
        "opened_again",
        "a_session_that_was_closed",
    ],
)
def test_near_misses(tmp_path: t.Any, scenario: str) -> None:
    assert found_by_child(tmp_path, scenario) == []
