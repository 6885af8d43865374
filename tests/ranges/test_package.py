"""What reads ranges needs no torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["losslab", "losslab.ranges", "losslab.analysis.measures", "losslab.cli.find"])
def test_reading_ranges_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
