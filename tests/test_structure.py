"""What holds the code together: public names, the direction of imports, torch only where training is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import losslab

ROOT = Path(losslab.__file__).parent
LOWER_THAN = {
    "choice": {"errors"},
    "schedules": set(),
    "records": set(),
    "optimizers": {"choice", "errors"},
    "models": {"choice", "errors"},
    "policies": {"schedules", "choice", "errors"},
    "spec": {"choice", "errors", "data", "models", "optimizers", "policies", "augment", "accounting"},
    "timeline": {"choice", "policies", "spec"},
    "accounting": {"choice", "errors", "models", "notebook"},
    "notebook": set(),
}
"""Part -> the other parts of losslab that it may import."""


def imported(path: Path) -> set[str]:
    """The parts of losslab that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("losslab"):
            below = (node.module or "").split(".")[1:2]
            names |= set(below) or {alias.name for alias in node.names}
    return names


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("part", LOWER_THAN)
def test_imports_point_one_way(part: str) -> None:
    files = [path for path in ROOT.rglob("*.py") if part_of(path) == part]
    assert files
    for path in files:
        assert imported(path) <= LOWER_THAN[part] | {part}, path


def test_public_names_are_sorted_and_documented() -> None:
    assert losslab.__all__ == sorted(losslab.__all__) == sorted(losslab._HOME)
    for name in losslab.__all__:
        assert getattr(losslab, name).__doc__, name


@pytest.mark.parametrize(
    "module",
    ["losslab", "losslab.cli", "losslab.cli.study", "losslab.cli.report", "losslab.cli.export", "losslab.report"],
)
def test_torch_is_not_imported_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
