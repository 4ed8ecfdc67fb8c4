"""The wheel and the sdist hold what they should."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

from async_backup.cli import shipped

ROOT = Path(__file__).parent.parent
FILES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md")
DIRECTORIES = ("async_backup", "tests", "docs", "man", "completions")
INSTALLED = {
    "share/man/man1/async-backup.1": shipped.MANUAL,
    "share/bash-completion/completions/async-backup": shipped.COMPLETIONS["bash"],
    "share/zsh/site-functions/_async-backup": shipped.COMPLETIONS["zsh"],
    "share/fish/vendor_completions.d/async-backup.fish": shipped.COMPLETIONS["fish"],
}


def can_build() -> bool:
    try:
        return int(version("setuptools").split(".")[0]) >= 77 and bool(version("build"))
    except PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not can_build(), reason="needs build and setuptools 77")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel that was made from the sdist beside it, and that from a copy of the tree."""
    tree = tmp_path_factory.mktemp("tree")
    for name in FILES:
        copy(ROOT / name, tree)
    for name in DIRECTORIES:
        copytree(ROOT / name, tree / name, ignore=ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", str(tree)], check=True, capture_output=True, cwd="/"
    )
    return tree / "dist"


@pytest.fixture
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def test_twine_finds_nothing_to_complain_about(built: Path) -> None:
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "async_backup").rglob("*.py")}
    extra = {"async_backup/py.typed", "async_backup/profiles/schema.json"}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name and ".data/" not in name} == package | extra


@pytest.mark.parametrize("place", INSTALLED)
def test_the_wheel_installs_manual_and_completions(wheel: zipfile.ZipFile, place: str) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(f".data/data/{place}"))
    assert wheel.read(name) == (ROOT / INSTALLED[place]).read_bytes()


def test_the_sdist_holds_all_that_its_tests_need(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {*FILES, *INSTALLED.values()} <= names
    assert {f"tests/{path.name}" for path in (ROOT / "tests").glob("*.py")} <= names
