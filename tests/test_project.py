"""The package as it is built, and the commands of the project."""

from __future__ import annotations

import email.message
import email.parser
import pathlib
import shutil
import subprocess
import tarfile
import types
import zipfile

import pytest

import flask_session_inspector

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "flask_session_inspector"


def test_all_names_exactly_what_is_public() -> None:
    public = {
        name
        for name, value in vars(flask_session_inspector).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and name != "annotations"
    }
    named = flask_session_inspector.__all__
    assert len(named) == len(set(named))
    assert public <= set(named)
    for name in named:
        assert getattr(flask_session_inspector, name) is not None


def test_the_names_of_the_contract_are_public() -> None:
    assert set(flask_session_inspector.__all__) >= {
        "ConnectionCheckout",
        "Counters",
        "Finding",
        "Holder",
        "Inspection",
        "Location",
        "RequestRecord",
        "SessionInspector",
        "SessionRecord",
        "StatementRecord",
        "TransactionRecord",
        "Verdict",
    }


def test_what_is_public_is_documented() -> None:
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [n for n in flask_session_inspector.__all__ if n not in api]
    assert missing == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the checkout."""
    backend = pytest.importorskip("flit_core.buildapi")
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = backend.build_wheel(str(folder))
    with zipfile.ZipFile(folder / name) as archive:
        yield archive


@pytest.fixture
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    """The metadata of the wheel."""
    (path,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    return email.parser.Parser().parsestr(wheel.read(path).decode("utf-8"))


def test_metadata(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "Flask-Session-Inspector"
    assert metadata["Version"].startswith("0.1.0")
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert set(metadata.get_all("Provides-Extra")) == {
        "admin",
        "all",
        "redis",
        "sqlalchemy",
        "toolbar",
    }


def test_dependencies_have_lower_bounds_only(metadata: email.message.Message) -> None:
    requirements = metadata.get_all("Requires-Dist")
    required = [r for r in requirements if "extra ==" not in r]
    assert {r.partition(">=")[0] for r in required} == {
        "flask",
        "msgspec",
        "sqlalchemy",
    }
    for requirement in requirements:
        specifier = requirement.partition(";")[0]
        assert ">=" in specifier
        assert not set("<!~") & set(specifier)
        assert "==" not in specifier


def test_all_is_the_sum_of_the_other_extras(metadata: email.message.Message) -> None:
    by_extra: dict[str, set[str]] = {}
    for requirement in metadata.get_all("Requires-Dist"):
        specifier, _, marker = requirement.partition(";")
        if extra := marker.rpartition("==")[2].strip(" \"'"):
            by_extra.setdefault(extra, set()).add(specifier.strip())
    together = by_extra.pop("all")
    assert together == set().union(*by_extra.values())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert "flask_session_inspector/py.typed" in packed
    assert any(name.endswith(".html") for name in packed)
    assert any(name.endswith(".css") for name in packed)


def test_the_sdist_can_be_tested_and_documented(tmp_path: pathlib.Path) -> None:
    backend = pytest.importorskip("flit_core.buildapi")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = backend.build_sdist(str(tmp_path))
    with tarfile.open(tmp_path / name) as archive:
        names = {path.partition("/")[2] for path in archive.getnames()}
    assert names >= {
        ".ci/run",
        "CHANGES.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "demo_app/__main__.py",
        "demo_app/templates/shop/front.html",
        "docs/conf.py",
        "docs/start.md",
        "pyproject.toml",
        "tests/test_project.py",
    }
    assert not [path for path in names if "_build" in path or "__pycache__" in path]


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


@needs_make
@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_says_so_where_there_is_no_python(
    target: str, tmp_path: pathlib.Path
) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        ["make", target, "PYTHON=no-such-python"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Python 3.10 or newer is needed" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_ci_script_is_sound() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "it must be executable"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "\nmake test\n" in script.read_text(encoding="utf-8")
