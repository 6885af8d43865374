"""What is shipped: a wheel and a source archive that hold all that losslab reads when it runs."""

import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_sdist, build_wheel

import losslab

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "losslab"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str], str]:
    """The files of the wheel and of the source archive, and the wheel's metadata."""
    folder = tmp_path_factory.mktemp("dist")
    before = Path.cwd()
    os.chdir(ROOT)  # where a build backend is called
    try:
        wheel, archive = build_wheel(str(folder)), build_sdist(str(folder))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(folder / wheel) as file:
        names = set(file.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        said = file.read(metadata).decode()
    with tarfile.open(folder / archive) as file:
        return names, {name.partition("/")[2] for name in file.getnames()}, said


def test_the_wheel_holds_every_file_of_the_source(
    built: tuple[set[str], set[str], str],
) -> None:
    files = [
        path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    needed = {f"losslab/{path.relative_to(SOURCE).as_posix()}" for path in files}
    kinds = {path.suffix or path.name for path in files}
    assert {".py", ".toml", ".jinja", ".safetensors"} <= kinds
    assert "losslab/py.typed" in needed
    assert needed <= built[0]


def test_the_wheel_holds_nothing_else(built: tuple[set[str], set[str], str]) -> None:
    assert {name.partition("/")[0] for name in built[0]} == {
        "losslab",
        f"losslab-{losslab.__version__}.dist-info",
    }


def test_the_metadata_is_that_of_this_version(built: tuple[set[str], set[str], str]) -> None:
    assert f"\nVersion: {losslab.__version__}\n" in built[2]
    assert "\nRequires-Python: >=3.11\n" in built[2]
    assert f"version: {losslab.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_source_archive_holds_what_builds_tests_and_documents_it(
    built: tuple[set[str], set[str], str],
) -> None:
    needed = [
        "pyproject.toml",
        "Makefile",
        "constraints.txt",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "CITATION.cff",
        "LICENSE",
    ]
    assert {*needed, "docs/conf.py", "tests/conftest.py", "src/losslab/py.typed"} <= built[1]
