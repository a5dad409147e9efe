"""The texts of page and panel go through Flask-Admin's translations."""

from __future__ import annotations

import functools
import html
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import typing as t
from html.parser import HTMLParser

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from conftest import missing
from markupsafe import Markup

from flask_session_inspector import RULES
from flask_session_inspector.rules import queries
from flask_session_inspector.web import translating
from flask_session_inspector.web.translating import gettext
from flask_session_inspector.web.translating import gettext_markup
from flask_session_inspector.web.translating import joined
from flask_session_inspector.web.translating import listed
from flask_session_inspector.web.translating import ngettext
from flask_session_inspector.web.translating import one_language

# Where "make test" puts Flask-Babel, apart from what all other tests import.
APART = pathlib.Path(sys.prefix) / "translations"
ROOT = pathlib.Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "translating.md"
SHOP = pathlib.Path(__file__).with_name("translated_shop.py")
# Flask-Admin has no catalogue of its own for it.
LOCALE = "eo"
HOSTILE = "<script>alert(1)</script>"
PLACEHOLDER = re.compile(r"(%\([a-z]+\)s)")
READ_OUT = (
    "alt",
    "aria-label",
    "content",
    "data-fsi-subtitle",
    "data-label",
    "data-unit",
    "placeholder",
    "title",
)
SCRIPT_TEXTS = ("unreachable", "answered", "strange", "running", "complete", "away")

DATA_CLASSES = {"fsi-mono", "fsi-path-text"}
# Everything else that is no text of ours.
NAMES = "|".join(rule.name for rule in RULES.values())
DATA = re.compile(
    rf"""
    ^ [0-9]+\. \s (?: SELECT | INSERT ) .* $         # SQL
    | \S* … $                                        # the end of what is cut
    | \b FSI[0-9]{{3}} (?: \s (?: {NAMES} ) \b )?    # the findings
    | \b (?: {NAMES} ) \b
    | \b 0x[0-9a-f]+ \b
    | \b S?[0-9][0-9,.:]* (?: xx )? \b               # numbers, sessions, times
    | \b (?: GET | UTC | LookupError | MainThread ) \b
    | \b (?: db\.session | scoped_session | Session | spare | default ) \b
    | \b (?: shop\stidy | shelf ) \b
    | (?: memory | sqlite ) :// \S*                  # where records and rows are
    | app\.extensions\[ "? cache "? \] | __main__\.kept\[0\]
    | /[a-z]* | \w+/translated_shop\.py:[0-9]+       # paths
    | \b (?: any | bad ) \b                          # what was typed
    | \{{status\}}                                   # the script fills this in
    | [\s.,:;+\u00d7>…-]+
    """,
    re.VERBOSE | re.DOTALL,
)


class Texts(HTMLParser):
    """What can be read or is read out, but for what says that it is English.

    :ivar texts: Each text, with the tag or the attribute it stands in.
    :ivar languages: Every language that an element says it is in.
    """

    VOID: t.ClassVar = frozenset({"input", "link", "meta", "br", "hr", "img"})
    CODE: t.ClassVar = frozenset({"code", "pre", "script", "style", "kbd"})

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self.languages: set[str] = set()
        self._open: list[tuple[str, bool]] = [("", False)]
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        is_data = self._open[-1][1] or tag in self.CODE or _names_data(values)
        if "lang" in values:
            self.languages.add(values["lang"])
            is_data = values["lang"] == "en"
        if not is_data:
            names = [*READ_OUT, *(f"data-{name}" for name in SCRIPT_TEXTS)]
            self.texts += [(name, values[name]) for name in names if name in values]
        if tag not in self.VOID:
            self._open.append((tag, is_data))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        while len(self._open) > 1 and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, is_data = self._open[-1]
        if data.strip() and not is_data:
            self.texts.append((tag, data))


def _names_data(attributes: dict[str, str]) -> bool:
    """Say whether an element has nothing but what was recorded."""
    classes = attributes.get("class", "").split()
    return not DATA_CLASSES.isdisjoint(classes) or "datetime" in attributes


def untranslated(markup: str) -> list[tuple[str, str]]:
    """List the texts that are neither translated nor data."""
    found = []
    for place, text in Texts(markup).texts:
        rest = DATA.sub("", re.sub("⟦[^⟦⟧]*(⟧|…$)", " ", text).strip())
        if rest:
            found.append((place, text))
    return found


def ours(page: str) -> str:
    """Return our part of a page of Flask-Admin, or of one with the toolbar."""
    for begin, end in (
        ('<main class="fsi', "</main>"),
        ("<main>", "</main>"),
        ('<p class="fsi-sr" role="status" data-fsi-keep', "</html>"),
        ('<div class="fsi fsi-panel"', '<script type="module"'),
        ('<div class="fsi fsi-panel"', "</body>"),
        ('<div class="fsi-panel-parts"', "</html>"),
    ):
        start = page.find(begin)
        stop = page.find(end, start)
        if start >= 0 and (stop >= 0 or end == "</html>"):
            return page[start : stop if stop >= 0 else None]
    raise AssertionError(f"Nothing of ours: {page[:500]}")


@functools.cache
def extracted() -> Catalog:
    """Extract all messages, as the documentation says."""
    command = next(
        line.removeprefix("pybabel ").split()
        for line in GUIDE.read_text(encoding="utf-8").splitlines()
        if line.startswith("pybabel extract")
    )
    with tempfile.TemporaryDirectory() as folder:
        template = pathlib.Path(folder, "all.pot")
        command[command.index("-o") + 1] = str(template)
        subprocess.run(
            [sys.executable, "-m", "babel.messages.frontend", "-q", *command],
            check=True,
            cwd=ROOT,
            timeout=120,
        )
        with template.open("rb") as file:
            return read_po(file, locale=LOCALE)


def write_catalogue(
    folder: pathlib.Path, translate: t.Callable[[str], str], code: str = LOCALE
) -> pathlib.Path:
    """Compile a catalogue in which every message is what a function makes of it."""
    catalog = Catalog(locale=LOCALE)
    for message in extracted():
        if not message.id:
            continue
        if isinstance(message.id, tuple):
            catalog.add(message.id, tuple(translate(each) for each in message.id))
        else:
            catalog.add(
                message.id, code if message.id == "en" else translate(message.id)
            )
    path = folder / LOCALE / "LC_MESSAGES" / "admin.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalog)
    return folder


def bracketed(message: str) -> str:
    """Put what is not a placeholder in brackets."""
    parts = PLACEHOLDER.split(message)
    return "".join(
        each if PLACEHOLDER.fullmatch(each) or not each.strip() else f"⟦{each}⟧"
        for each in parts
    )


def serve(
    folder: pathlib.Path, catalogues: pathlib.Path | None = None
) -> tuple[dict[str, t.Any], str]:
    """Run the shop, and return what it prints and what it logs.

    :param catalogues: Without these, Flask-Babel cannot be imported in it.
    """
    path = list(filter(None, sys.path))
    if catalogues is None:
        (folder / "flask_babel.py").write_text("raise ImportError", encoding="utf-8")
        path.insert(0, str(folder))
    elif importlib.util.find_spec("flask_babel") is None:
        if not APART.exists():
            missing(f'Flask-Babel is not in {APART}; "make test" puts it there.')
        path.insert(0, str(APART))
    result = subprocess.run(
        [sys.executable, SHOP, folder, *([catalogues] if catalogues else [])],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """The pages of a shop in a language that puts every text in brackets."""
    folder = tmp_path_factory.mktemp("shop")
    served, log = serve(folder, write_catalogue(folder / "translations", bracketed))
    assert log == ""
    return served


@pytest.fixture(scope="module")
def english_shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """The pages of a shop without Flask-Babel."""
    served, log = serve(tmp_path_factory.mktemp("shop"))
    assert log == ""
    return served


@pytest.fixture(scope="module")
def sloppy_shop(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, t.Any], str]:
    """The pages of a shop with mistakes in its catalogue, and what it logs."""
    folder = tmp_path_factory.mktemp("shop")
    return serve(folder, write_catalogue(folder / "translations", mistaken))


def mistaken(message: str) -> str:
    """Spoil the placeholders, in one way or another; add markup where are none."""
    wrong = ("%(unknown)s", "%s", "%d", "%", "%(num")[len(message) % 5]
    if PLACEHOLDER.search(message):
        return PLACEHOLDER.sub(wrong, message)
    return f"{message}{HOSTILE}"


class TestTranslated:
    def test_every_text_of_every_page(self, shop: dict[str, t.Any]) -> None:
        pages = dict(shop["pages"])
        english = untranslated(ours(pages.pop("English")[1]).replace('lang="en"', ""))
        assert ("h1", "Sessions") in english
        assert ("aria-label", "Verdict") in english
        assert len(english) > 100
        pages.pop("panel of a page without a language")
        left = {name: untranslated(ours(page)) for name, (_, page) in pages.items()}
        assert {name: texts for name, texts in left.items() if texts} == {}

    def test_the_pages_are_those_that_were_meant(self, shop: dict[str, t.Any]) -> None:
        status = {name: status for name, (status, _) in shop["pages"].items()}
        failed = {name: code for name, code in status.items() if code != 200}
        assert failed == {
            "bad limit": 400,
            "bad filter": 400,
            "bad session": 400,
            "missing": 404,
            "denied": 403,
        }
        assert sum(name.startswith("detail of") for name in status) == 15
        assert shop["internal errors"] == 0

    def test_the_menu_and_the_title(self, shop: dict[str, t.Any]) -> None:
        _, page = shop["pages"]["healthy"]
        assert "<title>⟦Sessions⟧ - Shop</title>" in page
        menu = page[: page.index("<main")]
        assert re.search(r'href="/admin/sessions/"[^>]*>\s*⟦Sessions⟧</a>', menu)
        assert "⟦No such record⟧ - Shop" in shop["pages"]["missing"][1]

    def test_the_toolbar(self, shop: dict[str, t.Any]) -> None:
        _, page = shop["pages"]["panel"]
        button = page[page.index('id="flDebugSessionsPanel"') :]
        button = button[: button.index("</a>")]
        assert "⟦Sessions⟧" in button
        assert re.search("<small>S[0-9]+⟦, isolated⟧</small>", button)

    def test_plurals(self, shop: dict[str, t.Any]) -> None:
        assert "2⟦ requests⟧" in shop["pages"]["healthy"][1]
        assert "⟦The last request, newest first⟧" not in shop["pages"]["healthy"][1]
        assert "1⟦ statement⟧" in shop["pages"]["panel"][1]

    def test_the_language_is_told(self, shop: dict[str, t.Any]) -> None:
        _, page = shop["pages"]["trouble"]
        part = ours(page)
        assert part.startswith(f'<main class="fsi fsi-page" lang="{LOCALE}"')
        assert Texts(part).languages == {LOCALE, "en"}
        assert (
            '<div class="fsi-panel-parts" data-fsi-etag="" '
            in (shop["pages"]["panel"][1])
        )
        for name in ("panel", "fragment"):
            parts = shop["pages"][name][1].partition('<div class="fsi-panel-parts"')[2]
            assert f'lang="{LOCALE}"' in parts[: parts.index(">")]

    def test_what_was_found_stays_english_and_says_so(
        self, shop: dict[str, t.Any]
    ) -> None:
        _, page = shop["pages"]["findings"]
        said = re.findall('<p class="fsi-message">(.*?)</p>', page)
        assert said
        for message in said:
            assert re.fullmatch('<span lang="en">[^⟦<]+</span>', message)

    def test_meaning_and_fix_of_a_finding(self, shop: dict[str, t.Any]) -> None:
        page = html.unescape(shop["pages"]["findings"][1])
        assert f"⟦{RULES['FSI101'].meaning}⟧" in page
        assert f"⟦{RULES['FSI101'].fix}⟧" in page

    def test_the_language_is_chosen_for_each_request(
        self, shop: dict[str, t.Any], english_shop: dict[str, t.Any]
    ) -> None:
        part = ours(shop["pages"]["English"][1])
        assert "⟦" not in part
        assert Texts(part).languages == {"en"}
        assert "2 requests, 2 sessions: each request had its own" in part
        assert texts_of(part) == texts_of(ours(english_shop["pages"]["English"][1]))

    def test_the_request_that_is_shown_is_not_asked_for_its_language(
        self, shop: dict[str, t.Any]
    ) -> None:
        # To choose it, the application may query; that would be in the record.
        asked = shop["asked for a language"]
        assert "/read" not in asked
        assert "/translated" in asked
        part = ours(shop["pages"]["panel of a page without a language"][1])
        assert "⟦" not in part
        assert Texts(part).languages == {"en"}
        # The fragment is a request of our own, which is not recorded.
        assert "⟦This request⟧" in shop["pages"]["fragment"][1]


def texts_of(part: str) -> list[str]:
    """List the texts of a page, but for numbers, which differ from run to run."""
    return [re.sub("[0-9a-f.,:x-]+", "", text) for _, text in Texts(part).texts]


class TestWithoutFlaskBabel:
    def test_everything_is_english(self, english_shop: dict[str, t.Any]) -> None:
        status = {name: status for name, (status, _) in english_shop["pages"].items()}
        assert status["trouble"] == status["panel"] == status["findings"] == 200
        assert not any("⟦" in page for _, page in english_shop["pages"].values())
        assert Texts(ours(english_shop["pages"]["trouble"][1])).languages == {"en"}
        assert english_shop["internal errors"] == 0

    def test_no_element_says_once_more_that_it_is_english(
        self, english_shop: dict[str, t.Any]
    ) -> None:
        for name in ("trouble", "findings", "audit"):
            assert ours(english_shop["pages"][name][1]).count('lang="en"') == 1


class TestMistakes:
    def test_wrong_placeholders_give_the_english_text(
        self, sloppy_shop: tuple[dict[str, t.Any], str]
    ) -> None:
        served, _ = sloppy_shop
        _, page = served["pages"]["healthy"]
        assert "2 requests, 2 sessions: each request had its own" in page
        assert "The last 2 requests, newest first" in page
        assert {status for status, _ in served["pages"].values()} <= {
            200,
            400,
            403,
            404,
        }
        for _, each in served["pages"].values():
            for _, text in Texts(ours(each)).texts:
                assert "%" not in text
                assert "unknown)" not in text
        assert served["internal errors"] == 0

    def test_each_is_logged_once(
        self, sloppy_shop: tuple[dict[str, t.Any], str]
    ) -> None:
        _, log = sloppy_shop
        told = re.findall("^A translation of .*", log, re.MULTILINE)
        assert any("'%(num)s statements'" in line for line in told)
        assert len(told) == len(set(told))

    def test_markup_in_a_translation_is_text(
        self, sloppy_shop: tuple[dict[str, t.Any], str]
    ) -> None:
        served, _ = sloppy_shop
        escaped = HOSTILE.replace("<", "&lt;").replace(">", "&gt;")
        for name, (_, page) in served["pages"].items():
            assert HOSTILE not in page, name
        for name in ("healthy", "panel", "fragment", "denied"):
            assert escaped in served["pages"][name][1], name


class TestMessages:
    def test_every_rule_can_be_translated(self) -> None:
        messages = {each.id for each in extracted()}
        for rule in RULES.values():
            assert rule.meaning in messages
            assert rule.fix in messages

    def test_numbers_in_meanings(self) -> None:
        assert str(queries.BURST) in RULES["FSI501"].meaning
        assert str(queries.REPEATED) in RULES["FSI502"].meaning

    def test_placeholders_have_names(self) -> None:
        for message in extracted():
            for text in [message.id] if isinstance(message.id, str) else message.id:
                assert "%" not in PLACEHOLDER.sub("", text), text


class TestOneLanguage:
    def test_it_is_chosen_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Catalogue:
            def ugettext(self, message: str) -> str:
                return f"[{message}]"

        chosen: list[str] = []

        def choose() -> Catalogue:
            if translating._chosen.get() is None:
                chosen.append("de")
            return Catalogue()

        monkeypatch.setattr(translating, "_catalogue", choose)
        with one_language():
            assert translating._chosen.get() is not None
            with one_language():
                assert gettext("a") == "[a]"
            assert translating._chosen.get() is not None
        assert chosen == ["de"]
        assert translating._chosen.get() is None

    def test_it_is_forgotten_after_an_error(self) -> None:
        with pytest.raises(KeyError), one_language():
            raise KeyError
        assert translating._chosen.get() is None


class TestOutsideOfARequest:
    def test_it_is_english(self) -> None:
        assert gettext("%(names)s and %(last)s", names="A", last="B") == "A and B"
        assert gettext("100 %") == "100 %"
        assert ngettext("%(num)s row", "%(num)s rows", 1) == "1 row"
        assert ngettext("%(num)s row", "%(num)s rows", 1204) == "1,204 rows"

    def test_values_are_escaped_in_markup(self) -> None:
        said = gettext_markup("%(name)s & %(code)s", name="<b>", code=Markup("<i>"))
        assert said == "&lt;b&gt; &amp; <i>"
        assert gettext_markup(said) == said

    def test_lists(self) -> None:
        assert joined([]) == ""
        assert joined(["A"]) == "A"
        assert joined(["A", "B", "C"]) == "A, B and C"
        assert listed(["A", "B", "C", "D", "E"]) == "A, B, C and 2 more"
