"""The gallery's pages: a card for each finding, and what came of making it happen."""

from __future__ import annotations

import inspect
import itertools
import typing as t

from flask import Blueprint
from flask import Response
from flask import abort
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue

from flask_session_inspector import Finding
from flask_session_inspector import RequestRecord
from flask_session_inspector.rules import RULES

from .catalogue import SCENARIOS
from .gallery import Outcome
from .gallery import current_gallery
from .run import in_thread
from .run import is_step
from .run import later
from .run import this_app
from .scenario import Scenario
from .scenario import View

blueprint = Blueprint("scenarios", __name__, url_prefix="/scenarios")

_HELPERS = (in_thread, later, this_app)
_MOST_SHOWN = 5


class Shown(t.NamedTuple):
    """An outcome, as a page shows it.

    :param records: The latest ones, oldest first.
    :param left_out: How many earlier ones are not shown.
    :param forgotten: Whether the Sessions page has forgotten some.
    :param findings: What is reported under the scenario's code.
    :param beside: What else is, each code once.
    """

    outcome: Outcome
    records: list[RequestRecord]
    left_out: int
    forgotten: bool
    findings: list[Finding]
    beside: list[Finding]


@blueprint.get("/")
def index() -> str:
    """All cards."""
    families = itertools.groupby(
        SCENARIOS.values(), lambda scenario: RULES[scenario.code].family
    )
    return render_template("scenarios/index.html", families=families, rules=RULES)


@blueprint.get("/<code>")
def scenario(code: str) -> str:
    """One scenario: its code, and what came of the latest runs."""
    found = _find(code)
    gallery = current_gallery()
    shown = {way: _shown(found, gallery.outcome(found, way)) for way in found.ways}
    return render_template(
        "scenarios/scenario.html",
        scenario=found,
        rule=RULES[found.code],
        shown=shown,
        paused=gallery.paused,
        helpers=_helpers_in(found),
    )


@blueprint.post("/<code>/<any(fault, fixed):way>")
def run(code: str, way: str) -> ResponseReturnValue:
    """Run one way of a scenario, and show what came of it."""
    found = _find(code)
    _refuse_other_sites()
    if not found.obstacle:
        current_gallery().run(this_app(), found, way)
    address = url_for("scenarios.scenario", code=found.code, _anchor=way)
    return redirect(address, code=303)


def add_steps() -> None:
    """Give every view of every scenario an address, for its runs alone."""
    for each in SCENARIOS.values():
        for name, view in each.views.items():
            blueprint.add_url_rule(
                f"/{each.code}/steps/{name}", f"{each.code}-{name}", _step(view)
            )


def _step(view: View) -> View:
    def step() -> Response:
        if not is_step():
            abort(404)
        answer = view()
        if isinstance(answer, Response):
            return answer
        return Response(answer, mimetype="text/plain")

    return step


def _find(code: str) -> Scenario:
    return SCENARIOS.get(code) or abort(404)


def _refuse_other_sites() -> None:
    """Let nobody run a scenario from a page of another site.

    A browser says where a form was sent from; whoever is not a browser needs no
    form to be kept from.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    own = request.host_url.rstrip("/")
    if site not in ("same-origin", "none") or origin not in (None, own):
        abort(403)


def _helpers_in(found: Scenario) -> list[tuple[str, str]]:
    """Explain the helpers that the code of a scenario uses."""
    code = found.fault.code + found.fixed.code
    return [
        (helper.__name__, inspect.getdoc(helper) or "")
        for helper in _HELPERS
        if f"{helper.__name__}(" in code
    ]


def _shown(found: Scenario, outcome: Outcome | None) -> Shown | None:
    if outcome is None:
        return None
    records = current_gallery().records(outcome)
    findings = [finding for record in records for finding in record.findings]
    findings += outcome.other_findings
    beside = {each.code: each for each in reversed(findings)}
    return Shown(
        outcome,
        records[-_MOST_SHOWN:],
        max(len(records) - _MOST_SHOWN, 0),
        len(records) < len(outcome.record_ids),
        [each for each in findings if each.code == found.code],
        [each for code, each in sorted(beside.items()) if code != found.code],
    )
