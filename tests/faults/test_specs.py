"""Bad specs: row 14."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import losslab

PLAN = """
import contextlib, io, json, sys
from losslab.cli import run_command
for path in sys.argv[1:]:
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        code = run_command(["study", "plan", path])
    print(json.dumps([code, said.getvalue(), "torch" in sys.modules]))
"""
NAMES = {"data": "fashion-mnist-sample", "model": "lenet5", "optimizer": "adam"}
NUMBERS = {
    "lr": 0.01,
    "batch": 32,
    "epochs": 2,
    "weight_decay": 0.1,
    "repeats": 2,
    "seed": 1,
    "max_micro_batch": 8,
}
WRONG = {
    "not a number": ["nan", "inf", "-inf", "-1", "'many'", "[]", "{}", "true"],
    "path": ["'../../etc/passwd'", "'/etc/passwd:x'", "'../up:net'", "'~/x'", "'a/../../b'"],
    "word": ["12", "[]", "true", "nan", "''", "'no such thing'"],
}


def changed(text: str, random: Random) -> str:
    """A key with a letter too few, too many or other than it was."""
    at, letter = random.randrange(1, len(text)), random.choice("aeiqxz")
    return random.choice(
        [
            text[:at] + text[at + 1 :],
            text[:at] + letter + text[at:],
            text[:at] + letter + text[at + 1 :],
        ]
    )


def bad_spec(random: Random) -> tuple[str, str, str]:
    """The text of a study with one fault, its key, and what the message must suggest."""
    fields = {key: repr(value) for key, value in {**NAMES, **NUMBERS}.items()}
    head = {"name": "'bad'", "title": "'Bad'"}
    kind, hint = (
        random.choice(["unknown key", "unknown name", "not a number", "path", "word", "name"]),
        "",
    )
    if kind == "unknown key":
        right = random.choice([key for key in fields if len(key) > 4])
        while (key := changed(right, random)) in fields:
            pass
        fields[key] = fields.pop(right)
        hint = f"did you mean '{right}'"
    elif kind == "unknown name":
        key = random.choice(list(NAMES))
        while (name := changed(NAMES[key], random)) == NAMES[key]:
            pass
        fields[key] = repr(name)
        hint = f"did you mean '{NAMES[key]}'"
    elif kind == "name":
        key = "name"
        head["name"] = random.choice(
            ["'../up'", "'/tmp/x'", "'a/b'", "''", "'A b'", "3", "nan", "'.'"]
        )
    else:
        key = random.choice(list(NUMBERS if kind == "not a number" else NAMES))
        fields[key] = random.choice(WRONG[kind])
    lines = [f"{name} = {value}" for name, value in head.items()]
    lines += [
        "[[stages]]",
        "name = 'all'",
        "[stages.base]",
        *(f"{name} = {value}" for name, value in fields.items()),
    ]
    return "\n".join(lines), f"`{key}", hint


@pytest.mark.row(14)
def test_bad_specs_are_refused_before_torch_with_key_and_suggestion(
    tmp_path: Path, trials: Callable[[int, int], int], measured: Callable[[str], None]
) -> None:
    random, number = Random(0), trials(60, 300)
    specs = [bad_spec(random) for _ in range(number - 2)]
    specs += [
        ("#" * 10_000_000, "larger than 1,000,000 bytes", ""),
        ("name = '\0'", "not valid TOML", ""),
    ]
    paths = [tmp_path / f"{place}.toml" for place in range(number)]
    for path, (text, _, _) in zip(paths, specs, strict=True):
        path.write_text(text)
    source = str(Path(losslab.__file__).parents[1])
    answers = subprocess.run(
        [sys.executable, "-c", PLAN, *map(str, paths)],
        env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout.splitlines()  # fmt: skip
    assert len(answers) == number
    refused = 0
    for (text, key, hint), answer in zip(specs, answers, strict=True):
        code, said, has_torch = json.loads(answer)
        assert (code, has_torch, said.count("\n")) == (2, False, 1), (text, said)
        assert key in said, (text, said)
        assert hint in said, (text, said)
        refused += 1
    measured(f"{refused} of {number} refused, torch imported by none")
