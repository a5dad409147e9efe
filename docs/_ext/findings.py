"""Directives that take what is said of each rule from the rules themselves.

``{finding} FSI101`` renders severity, name, meaning and fix of one rule, and makes
its code a target for ``{ref}``. ``{finding-index}`` lists all rules by family.
"""

from __future__ import annotations

import inspect
import itertools
import re
import typing as t

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util.docutils import SphinxDirective

from flask_session_inspector import rules
from flask_session_inspector.rules import RULES

_CODE = re.compile(r"(FSI\d{3})")

Cell = t.Sequence[nodes.Node]


class _RuleDirective(SphinxDirective):
    def depend_on_the_rules(self) -> None:
        """Let Sphinx build the page again when a rule has changed."""
        modules = {inspect.getmodule(rule.check) for rule in RULES.values()}
        for module in (rules, *filter(None, modules)):
            self.env.note_dependency(t.cast(str, module.__file__))


class FindingDirective(_RuleDirective):
    """What a rule says of itself."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        code = self.arguments[0]
        rule = RULES.get(code)
        if rule is None:
            raise self.error(f"There is no rule {code}.")
        self.depend_on_the_rules()
        anchor = nodes.make_id(code)
        standard = t.cast(StandardDomain, self.env.get_domain("std"))
        standard.note_hyperlink_target(
            code.lower(), self.env.docname, anchor, f"{code} {rule.name}"
        )
        rows = [
            [[_text(term)], content]
            for term, content in (
                ("Severity", [_text(rule.severity)]),
                ("Name", [nodes.literal("", rule.name)]),
                ("Meaning", _linked(rule.meaning, code)),
                ("Fix", _linked(rule.fix, code)),
            )
        ]
        table = _table(rows, widths=(12, 88), stub=True)
        # Around the table: the theme repeats the id of a table on its wrapper.
        return [nodes.container("", table, ids=[anchor])]


class FindingIndexDirective(_RuleDirective):
    """All rules, by family."""

    def run(self) -> list[nodes.Node]:
        self.depend_on_the_rules()
        result: list[nodes.Node] = []
        families = itertools.groupby(RULES.values(), lambda rule: rule.family)
        for family, members in families:
            section = nodes.section(ids=[nodes.make_id(f"family-{family}")])
            section += nodes.title("", family)
            section += _table(
                [
                    [
                        [_link(rule.code), _text(f" {rule.name}")],
                        [_text(rule.severity)],
                        _linked(rule.meaning),
                    ]
                    for rule in members
                ],
                widths=(24, 12, 64),
                titles=("Finding", "Severity", "Meaning"),
            )
            result.append(section)
        return result


def _text(text: str) -> nodes.Node:
    return nodes.Text(text)


def _linked(text: str, own_code: str = "") -> list[nodes.Node]:
    """Turn the codes of other rules in a text into links."""
    return [
        _link(part) if _CODE.fullmatch(part) and part != own_code else _text(part)
        for part in _CODE.split(text)
    ]


def _link(code: str) -> nodes.Node:
    return addnodes.pending_xref(
        "",
        nodes.inline("", code),
        refdomain="std",
        reftype="doc",
        refexplicit=True,
        reftarget=f"/findings/{code}",
        refwarn=True,
    )


def _table(
    rows: t.Iterable[t.Sequence[Cell]],
    widths: t.Sequence[int],
    titles: t.Sequence[str] = (),
    *,
    stub: bool = False,
) -> nodes.Node:
    """Make a table.

    :param titles: Of the columns, if it is to have a head.
    :param stub: Whether the first column names the rows.
    """
    group = nodes.tgroup(cols=len(widths))
    for number, width in enumerate(widths):
        group += nodes.colspec(colwidth=width, stub=int(stub and number == 0))
    if titles:
        group += nodes.thead("", _row([[_text(title)] for title in titles]))
    group += nodes.tbody("", *(_row(row) for row in rows))
    return nodes.table("", group, classes=["colwidths-given"])


def _row(cells: t.Iterable[Cell]) -> nodes.Node:
    return nodes.row(
        "", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells)
    )


def setup(app: Sphinx) -> dict[str, t.Any]:
    """Add the directives to Sphinx."""
    app.add_directive("finding", FindingDirective)
    app.add_directive("finding-index", FindingIndexDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
