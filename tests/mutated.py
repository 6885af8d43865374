"""Tests of durability on another copy of losslab, which nothing here may have imported before."""

import os
import sys
from pathlib import Path

import pytest


def run_tests(tests: Path, package: Path) -> None:
    """Run the tests of durability on another copy of losslab."""
    sys.path.insert(0, str(package))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    files = ["training/test_checkpoint.py", "study/test_store.py", "faults/test_kill.py"]
    names = "power_cut or flipped or not_written_as_meant or torn or writer_is_killed or save_killed"
    options = [
        "-q",
        "-x",
        "-k",
        names,
        f"--rootdir={tests.parent}",
        "-c",
        f"{tests.parent}/pyproject.toml",
    ]
    code = pytest.main(
        [*options, f"--basetemp={package}/tests", *(str(tests / name) for name in files)]
    )
    assert Path(sys.modules["losslab"].__file__ or "").is_relative_to(package)
    sys.exit(code)
