"""What holds the code together: public names, the direction of imports, torch only where training is."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import losslab

ROOT = Path(losslab.__file__).parent
ORDER = (
    "errors",
    "devices",
    "choice",
    "text",
    "plots",
    "files",
    "tables",
    "randomness",
    "schedules",
    "records",
    "models",
    "policies",
    "optimizers",
    "augment",
    "data",
    "tasks",
    "spec",
    "machine",
    "training",
    "ranges",
    "accounting",
    "study",
    "analysis",
    "studies",
    "reports",
    "integrations",
    "cli",
    "__main__",
)
"""All parts of losslab; each may import itself and those before it, wherever in a file the import stands."""


def imports_upwards(files: Iterable[tuple[str, str]]) -> list[str]:
    """The imports that point to a later part, among files given as (path below the package, source)."""
    found = []
    for path, source in files:
        part = part_of(path)
        allowed = ORDER[: ORDER.index(part) + 1]
        found += [f"{path} imports {name}" for name in imported(source) if name not in allowed]
    return found


def imported(source: str) -> set[str]:
    """The parts of losslab that a source imports, inside functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "losslab":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("losslab."):
            names.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("losslab.")
            }
    return {name for name in names if not name.startswith("__version")}


def part_of(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def sources() -> list[tuple[str, str]]:
    paths = [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]
    return [(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]


def test_every_part_has_its_rank() -> None:
    assert {part_of(path) for path, _ in sources()} == set(ORDER)


def test_imports_point_one_way() -> None:
    assert imports_upwards(sources()) == []


@pytest.mark.parametrize(
    "line",
    [
        "from losslab.cli import main",
        "from losslab import reports",
        "import losslab.study.plan",
    ],
)
def test_an_import_that_points_upwards_is_found_wherever_it_stands(line: str) -> None:
    assert imports_upwards([("training/loop.py", line)]) != []
    assert imports_upwards([("training/loop.py", f"def late() -> None:\n    {line}\n")]) != []


def test_at_most_twelve_modules_stand_beside_the_folders() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 12


def test_public_names_are_sorted_and_documented() -> None:
    assert losslab.__all__ == sorted(losslab.__all__) == sorted(losslab._HOME)
    for name in losslab.__all__:
        assert getattr(losslab, name).__doc__, name


@pytest.mark.parametrize(
    "module",
    [
        "losslab",
        "losslab.cli",
        "losslab.cli.study",
        "losslab.cli.report",
        "losslab.cli.export",
        "losslab.reports",
    ],
)
def test_torch_is_not_imported_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


TESTS = Path(__file__).parent
SUBJECTS = {"docs", "examples", "faults"}
"""Folders of tests that test no one part."""


def test_folders_of_tests_are_those_of_the_source() -> None:
    folders = {path.parent.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    assert [name for name in folders - SUBJECTS if not (ROOT / name).is_dir()] == []


def test_no_test_file_is_imported_and_each_says_what_it_holds() -> None:
    names = {path.stem for path in TESTS.rglob("test_*.py")}
    for path in TESTS.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules = [
            alias
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        ]
        imported = {str(node.module) for node in imports} | {alias.name for alias in modules}
        assert imported.isdisjoint(names), path
