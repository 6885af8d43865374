"""The site builds without a warning, and its reference holds every public name."""

import importlib
import subprocess
import sys
import zlib
from inspect import isclass, isroutine

import pytest
from doc_blocks import ROOT

import losslab

pytestmark = pytest.mark.docs
MODULES = ["accounting", "augment", "data", "optimizers", "policies", "ranges", "schedules"]
"""The parts whose ``__all__`` is public."""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the inventory of the built site."""
    site = tmp_path_factory.mktemp("site")
    build = [
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        str(site / "trees"),
        str(ROOT / "docs"),
        str(site),
    ]
    code = f"import sys; from sphinx.cmd.build import main; sys.exit(main({build!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    head, _, body = (site / "objects.inv").read_bytes().partition(b"zlib.\n")
    assert head.startswith(b"# Sphinx inventory version 2")
    assert "losslab study run" in (site / "command-line.html").read_text(encoding="utf-8")
    return {line.split(" ", 1)[0] for line in zlib.decompress(body).decode().splitlines()}


def test_every_public_name_is_in_the_reference(names: set[str]) -> None:
    assert {f"losslab.{name}" for name in losslab.__all__} <= names


@pytest.mark.parametrize("part", MODULES)
def test_functions_and_classes_of_the_parts_are_documented_and_in_the_reference(
    names: set[str], part: str
) -> None:
    module = importlib.import_module(f"losslab.{part}")
    public = {
        name: getattr(module, name) for name in module.__all__ if name not in losslab.__all__
    }
    public = {
        name: value for name, value in public.items() if isroutine(value) or isclass(value)
    }
    assert public
    assert [name for name, value in public.items() if not value.__doc__] == []
    assert {f"losslab.{part}.{name}" for name in public} <= names
