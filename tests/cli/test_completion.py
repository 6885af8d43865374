"""Completion of commands and options in bash."""

import shutil
import subprocess
from pathlib import Path

import pytest

from losslab.cli import app, run_command

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(scope="module")
def script() -> str:
    return app.generate_completion(shell="bash")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("losslab stu", "study"),
        ("losslab study re", "resume"),
        ("losslab count --show", "--show-work"),
        ("losslab find lr --cand", "--candidates"),
    ],
)
def test_bash_completes(script: str, typed: str, offered: str) -> None:
    words = " ".join(f"'{word}'" for word in typed.split(" "))
    ask = f'COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _losslab; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [offered]


def test_it_is_installed_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        run_command(
            [
                "--install-completion",
                "--shell",
                "bash",
                "--output",
                str(tmp_path / "losslab.bash"),
            ]
        )
        == 0
    )
    assert (tmp_path / "losslab.bash").read_text() == script
    assert "losslab.bash" in (tmp_path / ".bashrc").read_text()
