"""FSI305: a child process uses what its parent made."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import msgspec

from flask_session_inspector import Finding

from . import forked
from .run import Run
from .scenario import Scenario
from .scenario import Way

_FOLDER_OF_THE_PACKAGE = pathlib.Path(__file__).parents[2]
_SECONDS = 30


def _fork(run: Run, way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", forked.__name__, way],
        cwd=_FOLDER_OF_THE_PACKAGE,
        stdout=subprocess.PIPE,
        check=True,
        timeout=_SECONDS,
    )
    run.reported = tuple(msgspec.json.decode(done.stdout, type=list[Finding]))


def fork_with_a_full_pool(run: Run) -> None:
    _fork(run, "fault")


def fork_and_empty_the_pool(run: Run) -> None:
    _fork(run, "fixed")


scenario = Scenario(
    code="FSI305",
    title="A connection in two processes",
    look_at=(
        "This runs in a program of its own, which forks; what its child found is"
        " shown here, and is not on the Sessions page. Two processes that talk on"
        " one connection read each other's answers."
    ),
    fault=Way(
        drive=fork_with_a_full_pool,
        shown=(forked.work_with_what_the_parent_made, forked.ask),
    ),
    fixed=Way(
        drive=fork_and_empty_the_pool,
        shown=(forked.work_with_an_empty_pool, forked.ask_on_a_connection_of_its_own),
    ),
    obstacle="" if hasattr(os, "fork") else "This operating system cannot fork.",
)
