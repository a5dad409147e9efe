"""Each finding has a page, and the apps in it do what the page says."""

from __future__ import annotations

import ast
import difflib
import pathlib
import re
import typing as t

import pytest
from page_examples import Example
from page_examples import examples_in
from page_examples import run

from flask_session_inspector.rules import RULES

FOLDER = pathlib.Path(__file__).parent.parent / "docs" / "findings"
PAGES = sorted(FOLDER.glob("FSI*.md"))
SECTIONS = [
    "What happens",
    "An app that shows it",
    "The fix",
    "What the evidence says",
    "When to ignore it",
    "Background",
]
IGNORED = re.compile(r'app\.config\["SESSION_INSPECTOR_IGNORE_FINDINGS"\] = (.+)')


def text_of(page: pathlib.Path) -> str:
    return page.read_text(encoding="utf-8")


def numbered_examples() -> list[t.Any]:
    return [
        pytest.param(example, id=f"{page.stem}-{example.shows}")
        for page in PAGES
        for example in examples_in(page)
    ]


each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_each_rule_has_a_page_and_each_page_a_rule() -> None:
    assert [page.stem for page in PAGES] == list(RULES)
    for rule in RULES.values():
        assert rule.docs_url.endswith(f"/findings/{rule.code}.html")


@each_page
def test_a_page_has_its_parts_and_repeats_nothing_of_the_rule(
    page: pathlib.Path,
) -> None:
    text = text_of(page)
    rule = RULES[page.stem]
    assert text.startswith(
        f"# {rule.code} {rule.name}\n\n```{{finding}} {rule.code}\n```\n\n## "
    )
    assert re.findall("^## (.+)$", text, re.MULTILINE) == SECTIONS
    for said in (rule.meaning, rule.fix):
        assert said not in " ".join(text.split())


@each_page
def test_a_page_says_how_to_ignore_its_finding(page: pathlib.Path) -> None:
    section = text_of(page).partition("## When to ignore it")[2]
    values = IGNORED.findall(section.partition("\n## ")[0])
    assert [ast.literal_eval(value) for value in values] == [(page.stem,)]


def test_the_index_ignores_findings_that_there_are() -> None:
    (value,) = IGNORED.findall(text_of(FOLDER / "index.md"))
    assert set(ast.literal_eval(value)) <= set(RULES)


@each_page
def test_a_page_shows_the_finding_and_then_the_fix(page: pathlib.Path) -> None:
    shown, fixed = examples_in(page)
    assert (shown.shows, fixed.shows) == (page.stem, "nothing")
    # Nothing else is different: neither the requests, nor how they are sent.
    assert (shown.requests, shown.way) == (fixed.requests, fixed.way)
    # Every block of this kind was understood.
    assert text_of(page).count("<!-- shows ") == 2
    assert text_of(page).count("<!-- requests:") == 2 * bool(shown.requests)


@each_page
def test_a_page_emphasizes_what_is_different_in_its_apps(page: pathlib.Path) -> None:
    shown, fixed = examples_in(page)
    assert sorted(shown.emphasized) == lines_of_its_own(shown.source, fixed.source)
    assert sorted(fixed.emphasized) == lines_of_its_own(fixed.source, shown.source)


def lines_of_its_own(source: str, other: str) -> list[int]:
    """Return the numbers of the lines that the other source does not have there."""
    lines = source.splitlines()
    matcher = difflib.SequenceMatcher(None, other.splitlines(), lines, autojunk=False)
    return [
        number
        for tag, _, _, first, last in matcher.get_opcodes()
        if tag != "equal"
        for number in range(first + 1, last + 1)
        if lines[number - 1].strip()
    ]


@pytest.mark.parametrize("example", numbered_examples())
def test_an_app_does_what_its_page_says(
    example: Example, tmp_path: pathlib.Path
) -> None:
    example.skip_where_it_cannot_run()
    outcome = run(example, tmp_path)

    assert outcome.requests, "No request was recorded."
    if example.shows == "nothing":
        assert outcome.findings == [], outcome.log
        assert [r for r in outcome.requests if r["error"] or r["status"] >= 400] == []
    else:
        assert example.shows in outcome.codes, (outcome.findings, outcome.log)


@pytest.mark.parametrize("page", [FOLDER / "index.md", *PAGES], ids=lambda p: p.stem)
def test_links_to_other_pages_lead_somewhere(page: pathlib.Path) -> None:
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    missing = {
        target
        for target in re.findall(r"\{doc\}`([^`<]+)`", text)
        if not (page.parent / f"{target}.md").exists()
    }
    targets = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text)
    missing |= {target for target in targets if not (page.parent / target).exists()}
    assert missing == set()
