"""The pictures of the documentation: each is taken, and each is shown."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("playwright.sync_api")

from demo_app import screenshots

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A picture of Markdown, and the directive of MyST.
SHOWN = re.compile(r"(?:\]\(|```\{image\} )((?:docs/)?images/[^)\s]+)")


def taken() -> set[pathlib.Path]:
    """The files that the command writes."""
    subjects = (
        *screenshots.HEALTHY,
        *screenshots.TROUBLE,
        *screenshots.PINNED,
    )
    names = [name for subject in subjects for name in subject.files.values()]
    assert len(names) == len(set(names)), "two pictures go to one file"
    return {screenshots.FOLDER / name for name in names}


def shown() -> set[pathlib.Path]:
    """The files that the documentation shows."""
    return {
        page.parent / path
        for page in PAGES
        for path in SHOWN.findall(page.read_text(encoding="utf-8"))
    }


def names(paths: set[pathlib.Path]) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def test_each_picture_that_is_taken_is_shown_and_no_other() -> None:
    assert names(shown()) == names(taken())


def test_each_picture_that_is_taken_is_there_and_no_other() -> None:
    assert names(set(screenshots.FOLDER.iterdir())) == names(taken())


def test_each_picture_is_a_png_of_the_width_in_its_name() -> None:
    for path in sorted(taken()):
        head = path.read_bytes()[:24]
        assert head.startswith(b"\x89PNG\r\n\x1a\n"), path.name
        width = int.from_bytes(head[16:20], "big")
        assert width == (400 if path.stem.endswith("-400") else 1280), path.name


def test_the_pictures_are_not_too_heavy_for_a_page() -> None:
    assert sum(path.stat().st_size for path in taken()) < 2_500_000


def test_each_picture_says_in_words_what_it_shows() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        directives = re.findall(r"```\{image\} (\S+)\n(.*?)```", text, re.DOTALL)
        for path, options in directives:
            assert re.search(r"^:alt: \S+ \S+", options, re.MULTILINE), path
        assert not re.search(r"!\[\s*\]", text), page.name


def test_the_command_says_so_where_there_is_no_chromium(
    tmp_path: pathlib.Path,
) -> None:
    before = {path: path.stat().st_mtime_ns for path in taken()}
    done = subprocess.run(
        [sys.executable, "-m", "demo_app.screenshots"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "Chromium, which takes the pictures, is not installed.\n"
    assert {path: path.stat().st_mtime_ns for path in taken()} == before
