"""The command `losslab` in a process of its own, and what a study leaves, without times."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import losslab as package
from losslab.records import deterministic
from losslab.study.results import read_results
from losslab.study.store import StudyFolder

FOLDERS = (Path(__file__).parent, Path(package.__file__).parents[1])
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, FOLDERS)),
    "OMP_NUM_THREADS": "1",
}


def losslab(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "losslab", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=240
    )


def rows(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Run -> its records, without times."""
    results = read_results(StudyFolder(out))
    return {
        result.run.id: [deterministic(record) for record in result.records]
        for stage in results.stages.values()
        for result in stage
    }
