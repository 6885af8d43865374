"""The tests of durability can fail: a copy of the code without a safeguard does not pass them."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import losslab

SOURCE, TESTS = Path(losslab.__file__).parent, Path(__file__).parents[1]
CHECKPOINT, FILES = "training/checkpoint.py", "files.py"
SYNC = "            os.fsync(file.fileno())\n"
MUTATIONS = {
    "nothing": (CHECKPOINT, "KEPT = 2\n", "KEPT = 1 + 1\n"),
    "content not synced": (FILES, SYNC, ""),
    "folder not synced": (CHECKPOINT, "    sync_folder(folder)\n", ""),
    "parent not synced": (CHECKPOINT, "    sync_folder(folder.parent)", "    #"),
    "copied in place": (
        CHECKPOINT,
        "temporary.rename(checkpoint)",
        "shutil.copytree(temporary, checkpoint); shutil.rmtree(temporary)",
    ),
    "sha256 not checked": (
        CHECKPOINT,
        'if sha256(content).hexdigest() != manifest["sha256"]',
        "if False",
    ),
    "not read back": (CHECKPOINT, "    _verified(checkpoint)\n    found", "    found"),
    "old removed first": (
        CHECKPOINT,
        "    temporary.mkdir()\n",
        "    [shutil.rmtree(old) for old in checkpoints(folder)]\n    temporary.mkdir()\n",
    ),
    "its folder not synced": (FILES, "    sync_folder(path.parent)\n", ""),
    "written in place": (
        FILES,
        "        temporary.replace(path)\n",
        "        path.write_bytes(temporary.read_bytes()); temporary.unlink()\n",
    ),
    "torn line kept": (FILES, ' if line.endswith(b"\\n")', ""),
}
"""What is done to the code: file, what stands there, what takes its place. The first changes nothing that matters."""


@pytest.mark.row(2)
@pytest.mark.parametrize("name", MUTATIONS)
def test_without_a_safeguard_a_test_fails(
    tmp_path: Path,
    trials: Callable[[int, int], int],
    measured: Callable[[str], None],
    name: str,
) -> None:
    file, before, after = MUTATIONS[name]
    text = (SOURCE / file).read_text()
    assert text.count(before) == 1
    if not trials(0, 1):
        pytest.skip("part of `make faults`")
    shutil.copytree(SOURCE, tmp_path / "losslab", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "losslab" / file).write_text(text.replace(before, after))
    wanted = pytest.ExitCode.OK if name == "nothing" else pytest.ExitCode.TESTS_FAILED
    # A process that has not imported losslab.
    folders = f"Path({str(TESTS)!r}), Path({str(tmp_path)!r})"
    call = f"from pathlib import Path; from mutated import run_tests; run_tests({folders})"
    found = subprocess.run([sys.executable, "-c", call], cwd=TESTS, check=False).returncode
    assert found == wanted
    if name != "nothing":
        measured(f"{name}: a test fails")
