"""Runs the scenarios, one at a time, and keeps what came of them."""

from __future__ import annotations

import itertools
import threading
import time
import typing as t
from dataclasses import dataclass

from flask import Flask
from flask import current_app

from flask_session_inspector import Finding
from flask_session_inspector import Inspection
from flask_session_inspector import RequestRecord

from ..models import db
from .run import Run
from .run import run_in_thread
from .scenario import Scenario

_EXTENSION = "demo_scenarios"
# More than any scenario makes; FSI106 makes as many as it needs.
_MOST_RECORDS = 1000


@dataclass(frozen=True)
class Outcome:
    """What one run of one way left on the Sessions page.

    :param at: When it ended, in Unix seconds.
    :param record_ids: Its records, oldest first.
    :param other_findings: Findings that are in none of these records: of the
        audit, while the fault lasted, and of another process.
    """

    at: float
    record_ids: tuple[str, ...]
    other_findings: tuple[Finding, ...]


class Gallery:
    """The scenarios of one application.

    :param app: The shop; its database has been made.
    """

    def __init__(self, app: Flask) -> None:
        with app.app_context():
            self._engine = db.engine
        self._inspection: Inspection = app.extensions["session_inspector"]
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._numbers = itertools.count(1)
        # One at a time: what the audit finds meanwhile belongs to that one.
        self._lock = threading.Lock()
        app.extensions[_EXTENSION] = self

    @property
    def paused(self) -> bool:
        """Whether nothing is recorded at the moment."""
        return self._inspection.paused

    def run(self, app: Flask, scenario: Scenario, way: str) -> None:
        """Run a scenario and keep its outcome.

        :param way: ``"fault"`` or ``"fixed"``.
        """
        with self._lock:
            name = f"{scenario.code} {way} #{next(self._numbers)}"
            run = Run(app, self._engine, scenario, scenario.ways[way], name)
            self._outcomes[scenario.code, way] = run_in_thread(
                lambda: self._perform(run, scenario.code, name), name
            )

    def outcome(self, scenario: Scenario, way: str) -> Outcome | None:
        """Return what came of the latest run."""
        return self._outcomes.get((scenario.code, way))

    def records(self, outcome: Outcome) -> list[RequestRecord]:
        """Return the records of a run that are still retained, oldest first."""
        found = map(self._inspection.request, outcome.record_ids)
        return [record for record in found if record is not None]

    def _perform(self, run: Run, code: str, name: str) -> Outcome:
        cursor = self._inspection.cursor
        try:
            run.go()
            self._inspection.flush()
            records = self._inspection.requests(_MOST_RECORDS, after=cursor)
            audited = [
                finding
                for finding in self._inspection.findings()
                if finding.request_id is None and finding.code == code
            ]
        finally:
            run.tidy()
        # The threads of a run are called after it.
        mine = [
            record.id
            for record in reversed(records)
            if record.thread == name or record.thread.startswith(f"{name}, ")
        ]
        return Outcome(time.time(), tuple(mine), (*audited, *run.reported))


def current_gallery() -> Gallery:
    """Return the gallery of the current application."""
    return t.cast(Gallery, current_app.extensions[_EXTENSION])
