"""What reads ranges needs no torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["losslab", "losslab.ranges", "losslab.analysis.measures", "losslab.cli.find"]
)
def test_reading_ranges_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_first_use_of_a_finder_draws_no_random_number() -> None:
    code = """
import random, sys, numpy, torch, losslab
random.seed(0)
numpy.random.seed(0)
before = random.getstate(), str(numpy.random.get_state())
losslab.find_lr
sys.exit((random.getstate(), str(numpy.random.get_state())) != before)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
