"""Does a ``ModelView`` keep one database session for all requests? It does not.

``python -m demo_app.reproduction_script`` sends three real requests to a list
page of Flask-Admin and prints what was recorded, for three ways to make the
view. The exit code is 1 if an expectation fails.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import sqlite3
import sys
import tempfile
import typing as t

from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord
from flask_session_inspector.verdicts import Verdict

from .scoping import LIST_PAGE
from .scoping import SETUPS
from .scoping import Application
from .scoping import Setup

REQUESTS = 3


class Check(t.NamedTuple):
    """One expectation, whether it held, and the facts behind the answer."""

    passed: bool
    question: str
    evidence: tuple[str, ...]


class Outcome(t.NamedTuple):
    """What the requests showed.

    :param records: One per request, oldest first.
    :param checks: The three expectations.
    """

    records: list[RequestRecord]
    checks: tuple[Check, ...]


def observe(application: Application, path: pathlib.Path) -> Outcome:
    """Send the requests and judge what was recorded.

    :param path: The application's SQLite file. Between the requests somebody
        else renames a user in it: a session that is kept would not notice.
    """
    app, view, _ = application
    inspection = app.extensions["session_inspector"]
    inspection.clear()
    holders: list[object] = []
    unseen = []
    client = app.test_client()
    for number in range(1, REQUESTS + 1):
        name = f"Ada the {number}."
        with contextlib.closing(sqlite3.connect(path)) as outside, outside:
            outside.execute("UPDATE user SET name = ? WHERE id = 1", (name,))
        response = client.get(LIST_PAGE)
        # view.session is the db object or the proxy, whichever was passed.
        holders.append(view.session)
        if response.status_code != 200 or name not in response.text:
            unseen.append(number)
    inspection.flush()
    records = [r for r in inspection.requests() if r.kind == "request"][::-1]
    proxy, session, leakage = inspection.verdicts()
    complete = len(records) == REQUESTS and all(record.sessions for record in records)
    checks = (
        _same_holder(proxy, holders, complete),
        Check(bool(session.passed) and complete, session.question, _facts(session)),
        Check(
            bool(leakage.passed) and complete and not unseen,
            leakage.question,
            (*_facts(leakage), _freshness(unseen)),
        ),
    )
    return Outcome(records, checks)


def _same_holder(proxy: Verdict, holders: list[object], complete: bool) -> Check:
    # Where there is no scoped_session, only what the view holds can be judged.
    same = all(holder is holders[0] for holder in holders)
    fact = (
        f"The view held {'the same' if same else 'not the same'}"
        f" {type(holders[0]).__name__} object in every request."
    )
    passed = proxy.passed is not False and not isinstance(holders[0], Session)
    evidence = (fact, *(_facts(proxy) if proxy.passed is not None else ()))
    return Check(passed and same and complete, proxy.question, evidence)


def _freshness(unseen: list[int]) -> str:
    fact = "A name changed from outside before each request"
    if unseen:
        return f"{fact} was missed by request {', '.join(map(str, unseen))}."
    return f"{fact} was on the page each time."


def _facts(verdict: Verdict) -> tuple[str, ...]:
    return (verdict.sentence, *verdict.evidence)


def describe(outcome: Outcome) -> cabc.Iterator[str]:
    """Put an outcome into lines of text."""
    for number, record in enumerate(outcome.records, 1):
        proxies = {s.proxy_id for s in record.sessions if s.proxy_id is not None}
        proxy = ", ".join(f"{proxy_id:#x}" for proxy_id in proxies) or "none"
        labels = [f"{s.label} (id {s.python_id:#x})" for s in record.sessions]
        yield (
            f"  Request {number}: {record.method} {record.path} {record.status},"
            f" proxy {proxy}, session {', '.join(labels) or 'none'}"
        )
    ids = [s.python_id for record in outcome.records for s in record.sessions]
    serials = {s.serial for record in outcome.records for s in record.sessions}
    if len(set(ids)) < len(serials):
        yield f"  Note: {len(serials)} sessions, but {len(set(ids))} different id()s:"
        yield "  CPython reuses memory; an equal id() does not tell an equal session."
    for check in outcome.checks:
        yield f"  {_mark(check.passed)} {check.question}"
        yield from (f"      {fact}" for fact in check.evidence)


def _mark(passed: bool) -> str:
    mark = "\N{CHECK MARK}" if passed else "\N{BALLOT X}"
    try:
        mark.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "[ok]" if passed else "[FAILED]"
    return mark


def try_out(setup: Setup) -> bool:
    """Try one set-up, print what happened, and say whether all went as expected."""
    print(setup.title)
    if obstacle := setup.obstacle():
        print(f"  Skipped: {obstacle}\n")
        return True
    if setup.remark:
        print(f"  {setup.remark}")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "users.sqlite")
        application = setup.build(path)
        try:
            outcome = observe(application, path)
        finally:
            application.engine.dispose()
    print(*describe(outcome), "", sep="\n")
    return all(check.passed for check in outcome.checks)


def main(setups: cabc.Sequence[Setup] = SETUPS) -> int:
    """Try every set-up.

    :return: The exit code, 1 if an expectation failed in any of them.
    """
    passed = [try_out(setup) for setup in setups]
    if all(passed):
        print("Each request had a database session of its own.")
        return 0
    print("An expectation failed; see above.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
