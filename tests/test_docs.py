"""The documentation says what the code does."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import pathlib
import re
import sys
import types
import typing as t

import pytest

from flask_session_inspector.config import DEFAULT_SENSITIVE_KEYS
from flask_session_inspector.config import PREFIX
from flask_session_inspector.config import Config

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FIELDS = {field.name: field for field in dataclasses.fields(Config)}
EXAMPLE = re.compile(r"<!-- complete app -->\n```python\n(.*?)```", re.DOTALL)


def described_keys() -> dict[str, str]:
    """The keys that configuration.md defines, each with what it says."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    entries = re.findall(
        rf"^`{PREFIX}([A-Z_]+)`\n: (.*?)(?=^`|^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    return {name.lower(): " ".join(body.split()) for name, body in entries}


def test_each_key_is_described_and_no_other() -> None:
    assert sorted(described_keys()) == sorted(FIELDS)


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"enabled", "sensitive_keys"}))
def test_the_described_default_is_the_default(name: str) -> None:
    match = re.search(r"Default: `(.+?)`", described_keys()[name])
    assert match, f"{name} has no default in the documentation"
    assert ast.literal_eval(match[1]) == FIELDS[name].default


def test_the_described_sensitive_keys_are_the_default() -> None:
    listed = described_keys()["sensitive_keys"].partition("which is:")[2]
    names = re.findall(r"`(\w+)`", listed.partition(". To add")[0])
    assert tuple(names) == DEFAULT_SENSITIVE_KEYS


def complete_apps() -> list[t.Any]:
    return [
        pytest.param(example, id=f"{page.name}-{number}")
        for page in PAGES
        for number, example in enumerate(EXAMPLE.findall(page.read_text("utf-8")), 1)
    ]


def load(
    source: str, folder: pathlib.Path, patch: pytest.MonkeyPatch
) -> types.ModuleType:
    path = folder / "example_app.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("example_app", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where Flask looks for the application's folder.
    patch.setitem(sys.modules, "example_app", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", complete_apps())
def test_a_complete_app_runs_and_is_recorded(
    source: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What "flask run --debug" sets before it imports the application.
    monkeypatch.setenv("FLASK_DEBUG", "1")
    if "ModelView(User, db)" in source:
        pytest.importorskip("flask_admin", minversion="2.1")
    module = load(source, tmp_path, monkeypatch)
    app = module.app
    try:
        app.test_client().get("/")
        (record,) = app.extensions["session_inspector"].requests(path="/", limit=1)
        assert record.path == "/"
        if "db" in vars(module):
            assert [session.registry for session in record.sessions] == ["db.session"]
            assert (tmp_path / "instance" / "app.sqlite").exists()
    finally:
        if "db" in vars(module):
            with app.app_context():
                module.db.engine.dispose()


def test_there_are_complete_apps() -> None:
    assert {param.id.partition(".")[0] for param in complete_apps()} >= {
        "README",
        "start",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_lead_somewhere(page: pathlib.Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text)
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []
