"""The complete apps in the pages of the documentation, and how to run one.

HTML comments around a code block say what it is::

    <!-- needs flask>=3.1.2 -->
    <!-- shows FSI303 -->
    (the code block)
    <!-- requests: GET /one, GET /two -->

``shows nothing`` is for the app that is in order. The requests are sent each in a
thread of its own, unless ``in one thread`` or ``in a forked worker`` follows them.
Without that comment, the functions ``main`` and ``test_...`` of the app are called.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import typing as t

import pytest
from packaging.requirements import Requirement

RUNNER = pathlib.Path(__file__).with_name("run_page_example.py")

_EXAMPLE = re.compile(
    r"(?P<needs>(?:<!-- needs [^\n]+ -->\n)*)"
    r"<!-- shows (?P<shows>\w+) -->\n"
    r"```(?:python|\{code-block\} python)\n"
    r"(?::emphasize-lines: (?P<emphasized>[\d,-]+)\n\n)?"
    r"(?P<source>.*?)```\n"
    r"(?:<!-- requests: (?P<requests>[^\n]+) -->\n)?",
    re.DOTALL,
)
_WAY = re.compile(r" in (one thread|a forked worker)$")


@dataclasses.dataclass(frozen=True)
class Example:
    """A complete app in a page.

    :ivar needs: Requirements; where one is not met, the app cannot run.
    :ivar shows: The code of a finding, or ``"nothing"``.
    :ivar emphasized: The numbers of the lines that the page emphasizes.
    :ivar requests: Methods and paths; empty where functions are to be called.
    :ivar way: ``"one thread"``, ``"a forked worker"``, or ``""``.
    """

    needs: tuple[str, ...]
    shows: str
    source: str
    emphasized: frozenset[int]
    requests: tuple[tuple[str, str], ...]
    way: str

    def skip_where_it_cannot_run(self) -> None:
        if self.way == "a forked worker" and not hasattr(os, "fork"):
            pytest.skip("needs os.fork()")
        needs = self.needs
        if "flask_admin" in self.source:
            needs += ("flask-admin",)
        for need in map(Requirement, needs):
            try:
                version = importlib.metadata.version(need.name)
            except importlib.metadata.PackageNotFoundError:
                pytest.skip(f"needs {need}")
            if not need.specifier.contains(version, prereleases=True):
                pytest.skip(f"needs {need}, this is {version}")


class Outcome(t.NamedTuple):
    """What came of running an app.

    :ivar findings: Code, severity and message of each finding.
    :ivar requests: Path, status and error of each record of a request.
    :ivar log: What was printed and logged.
    """

    findings: list[dict[str, str]]
    requests: list[dict[str, t.Any]]
    log: str

    @property
    def codes(self) -> set[str]:
        return {finding["code"] for finding in self.findings}


def examples_in(page: pathlib.Path) -> list[Example]:
    """Return the complete apps of a page, in their order."""
    return [
        Example(
            needs=tuple(re.findall("<!-- needs (.+) -->", match["needs"])),
            shows=match["shows"],
            source=match["source"],
            emphasized=frozenset(_numbers(match["emphasized"] or "")),
            requests=_requests(match["requests"]),
            way=_way(match["requests"]),
        )
        for match in _EXAMPLE.finditer(page.read_text(encoding="utf-8"))
    ]


def run(example: Example, folder: pathlib.Path) -> Outcome:
    """Run an app in a process of its own, as its reader would.

    :param folder: An empty folder, which the app runs in.
    """
    app_file = folder / "example_app.py"
    app_file.write_text(example.source, encoding="utf-8")
    outcome_file = folder / "outcome.json"
    plan = {
        "app": str(app_file),
        "outcome": str(outcome_file),
        "requests": example.requests,
        "way": example.way,
    }
    done = subprocess.run(
        [sys.executable, str(RUNNER), json.dumps(plan)],
        cwd=folder,
        # What "flask run --debug" sets before it imports the application.
        env={**os.environ, "FLASK_DEBUG": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    outcome = json.loads(outcome_file.read_text(encoding="utf-8"))
    assert outcome["internal_errors"] == 0, done.stdout
    assert outcome["thread_errors"] == [], done.stdout
    return Outcome(outcome["findings"], outcome["requests"], done.stdout)


def _numbers(text: str) -> t.Iterator[int]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _requests(text: str | None) -> tuple[tuple[str, str], ...]:
    if text is None:
        return ()
    parts = (part.split(" ") for part in _WAY.sub("", text).split(", "))
    return tuple((method, path) for method, path in parts)


def _way(text: str | None) -> str:
    match = _WAY.search(text or "")
    return match[1] if match else ""
