"""Run the test suites of others with and without an inspector, and compare.

Nothing of them is kept here: their source distributions are downloaded with pip
into a temporary folder. See ``README.md``.
"""

from __future__ import annotations

import argparse
import collections
import collections.abc as cabc
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent

# (where to attach, whether to re-raise the inspector's own errors)
WAYS = (("early", True), ("late", True), ("early", False), ("late", False))

# What differs between two runs that do the same.
_VOLATILE = re.compile(r"0x[0-9a-f]+|\b[0-9]{6,}\b")


@dataclass(frozen=True)
class Suite:
    """A test suite.

    :param distribution: The distribution whose source has it.
    :param arguments: For pytest.
    :param judged: The codes and severities of findings that were looked at and
        found true; ``README.md`` says why.
    """

    distribution: str
    arguments: tuple[str, ...]
    judged: frozenset[tuple[str, str]]


# Of a suite's own open files and connections: when they are collected is chance.
_CHANCE = ("-W", "ignore::ResourceWarning")

# Of a WTForms newer than the suite, which makes errors of all warnings.
_WTFORMS = (
    *("-W", "ignore:Passing SelectField:DeprecationWarning"),
    *("-W", "ignore:Yielding raw tuples:DeprecationWarning"),
    *("-W", "ignore:'DateTimeField' renders:DeprecationWarning"),
)

SUITES = {
    "flask-admin": Suite(
        "Flask-Admin",
        (
            "flask_admin/tests/sqla",
            "flask_admin/tests/test_base.py",
            "flask_admin/tests/test_csp.py",
            "flask_admin/tests/test_host_matching.py",
            "flask_admin/tests/test_model.py",
            *_CHANCE,
            *_WTFORMS,
        ),
        frozenset(
            {
                ("FSI104", "warning"),
                ("FSI201", "error"),
                ("FSI203", "warning"),
                ("FSI502", "info"),
            }
        ),
    ),
    "flask-sqlalchemy": Suite(
        "Flask-SQLAlchemy",
        ("tests", *_CHANCE),
        frozenset({("FSI201", "error")}),
    ),
}


class Result(t.TypedDict, total=False):
    """How one test ended, as ``attach.py`` writes it."""

    test: str
    outcome: str
    internal_errors: int
    records: int
    findings: list[dict[str, t.Any]]


Results = dict[str, Result]


def main() -> int:
    options = _options()
    sound = True
    with tempfile.TemporaryDirectory() as folder:
        for name in options.suite:
            suite = SUITES[name]
            source = options.folder or _download(
                suite.distribution, options.python, Path(folder)
            )
            arguments = options.tests or suite.arguments
            sound &= _compare(name, suite, source, arguments, options)
    return 0 if sound else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suite", nargs="*", choices=[*SUITES, []], default=[])
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="the interpreter whose installed versions are to be tested",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="an unpacked source to take instead, such as a checkout",
    )
    parser.add_argument(
        "--tests", action="append", help="for pytest, instead of the whole suite"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="print every finding, not one of a kind"
    )
    options = parser.parse_args()
    options.suite = options.suite or list(SUITES)
    # The suites run in folders of their own.
    options.python = os.path.abspath(shutil.which(options.python) or options.python)
    return options


def _download(distribution: str, python: str, folder: Path) -> Path:
    """Download and unpack the source of the version that is installed."""
    version = subprocess.run(
        [
            python,
            "-c",
            "import importlib.metadata, sys;"
            "print(importlib.metadata.version(sys.argv[1]))",
            distribution,
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    print(f"{distribution} {version}")
    target = folder / distribution
    subprocess.run(
        [
            *(python, "-m", "pip", "download", "--quiet"),
            *("--no-deps", "--no-binary", ":all:", "--dest", str(target)),
            f"{distribution}=={version}",
        ],
        check=True,
    )
    (archive,) = target.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(target, filter="data")
    (source,) = (each for each in target.iterdir() if each.is_dir())
    return source


def _compare(
    name: str,
    suite: Suite,
    source: Path,
    arguments: cabc.Sequence[str],
    options: argparse.Namespace,
) -> bool:
    plain = _run(source, arguments, options.python, "", strict=False)
    print(f"{name}: {_summary(plain)}")
    sound = bool(plain)
    for when, strict in WAYS:
        inspected = _run(source, arguments, options.python, when, strict=strict)
        differences = _differences(plain, inspected)
        records = sum(result.get("records", 0) for result in inspected.values())
        print(
            f"  inspected ({when}, {'strict' if strict else 'lenient'}):"
            f" {len(differences)} differences, {records} records"
        )
        for test, before, after in differences:
            print(f"    {test}\n      plain: {before}\n      inspected: {after}")
        sound &= not differences and records > 0
        sound &= _print_findings(inspected, suite.judged, options.verbose)
    return sound


def _run(
    source: Path,
    arguments: cabc.Sequence[str],
    python: str,
    when: str,
    *,
    strict: bool,
) -> Results:
    """Run a suite and read what became of each test."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.jsonl")
        subprocess.run(
            [
                *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("-p", "attach", *arguments),
            ],
            cwd=source,
            check=False,  # Some fail without an inspector too.
            stdout=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(HERE), str(PROJECT)]),
                "UPSTREAM_ATTACH": when,
                "UPSTREAM_STRICT": str(int(strict)),
                "UPSTREAM_RESULTS": str(results),
            },
        )
        lines = results.read_text().splitlines()
    return {result["test"]: result for result in map(json.loads, lines)}


def _summary(results: Results) -> str:
    words = collections.Counter(
        re.split("[:,( ]", result["outcome"])[0] for result in results.values()
    )
    return ", ".join(f"{number} {word}" for word, number in sorted(words.items()))


def _differences(plain: Results, inspected: Results) -> list[tuple[str, str, str]]:
    found = []
    for test in {**plain, **inspected}:
        before, after = (
            each[test]["outcome"] if test in each else "missing"
            for each in (plain, inspected)
        )
        if _VOLATILE.sub("", before) != _VOLATILE.sub("", after):
            found.append((test, before, after))
        errors = inspected.get(test, {}).get("internal_errors")
        if errors:
            found.append((test, "no internal error", f"{errors} internal errors"))
    return found


def _print_findings(
    results: Results, judged: frozenset[tuple[str, str]], verbose: bool
) -> bool:
    """Print what was found.

    :return: Whether all of it is of a kind that somebody has judged.
    """
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for test, result in results.items():
        for finding in result.get("findings", ()):
            kind = finding["code"], finding["severity"]
            kinds.setdefault(kind, []).append((test, finding["message"]))
    for kind, found in sorted(kinds.items()):
        tests = len({test for test, _ in found})
        new = "" if kind in judged else " NOT JUDGED"
        print(f"    {' '.join(kind)}: {len(found)} in {tests} tests{new}")
        for test, message in found if verbose else found[:1]:
            print(f"      {test}: {message}")
    return kinds.keys() <= judged


if __name__ == "__main__":
    sys.exit(main())
