"""Every block of code and every command in README.md and docs/ does what it is there for."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import FRAMEWORK_PAGES, PAGES, ROOT, Block, blocks

import losslab
from losslab.cli import app, run_command
from losslab.study.load import load_study

LANGUAGES = {"python", "sh", "toml", "{toctree}", "{eval-rst}", ""}
WHY_NOT = {
    "installs",
    "writes into the home folder",
    "needs the network",
    "needs a GPU",
    "needs a cluster",
    "needs several devices",
    "takes minutes",
    "takes hours to days",
    "measures every network of the study",
    "the module is a placeholder",
}
"""All reasons for which a block is parsed and not run."""
COMPLETE = """
[[stages]]
name = "completed"
[stages.base]
data = "fashion-mnist-sample"
model = "lenet5"
optimizer = "adam"
lr = 0.001
batch = 64
epochs = 1
"""


def marked(page: Path) -> Any:
    """A page, as a parameter that has the marker of what runs it."""
    if page.stem not in FRAMEWORK_PAGES:
        return pytest.param(page, marks=pytest.mark.docs, id=page.stem)
    # Other libraries warn of each other when they are imported; that is no claim of a page.
    marks = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]
    return pytest.param(page, marks=marks, id=page.stem)


@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_every_block_of_a_page_runs_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.file:
            monkeypatch.delitem(
                sys.modules, Path(block.file).stem, raising=False
            )  # of another page
            Path(block.file).write_text(block.text, encoding="utf-8")
        if block.language == "python" and not block.file:
            exec(compile(block.text, str(page), "exec"), names)
        elif block.language == "sh":
            for words in block.commands:
                carry_out(words, block)
        elif block.language == "toml":
            check_study(block.text)


def carry_out(words: list[str], block: Block) -> None:
    program, *arguments = words
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.M), words
    elif program == "losslab":
        command, _, ignored = app.parse_args(arguments, exit_on_error=False, print_error=False)
        assert callable(command)
        assert not ignored
        assert not block.runs or run_command(arguments) == 0, words
    else:
        assert not block.runs, f"{words}: only losslab and make are run; say why not"


def check_study(text: str) -> None:
    """What is a part of a study or of a run is completed first."""
    table = tomllib.loads(text)
    head = "" if "name" in table else 'name = "completed"\ntitle = "Completed"\n'
    Path("block.toml").write_text(
        head + ("" if "stages" in table else COMPLETE) + text, encoding="utf-8"
    )
    assert load_study("block.toml").stages


def test_no_block_escapes() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language in LANGUAGES, (page.name, block.language)
            assert block.runs or block.note.removeprefix("parsed only: ") in WHY_NOT, (
                page.name,
                block.note,
            )
            assert block.language or not re.search(r"^(losslab|make|\$) ", block.text, re.M), (
                page.name,
                block.text,
            )
        outside = re.sub(r"```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        assert not re.search(r"^    (losslab|make|\$) ", outside, re.M), (
            f"{page.name}: an indented command"
        )


def test_most_commands_run() -> None:
    commands = [
        (block.runs, words)
        for page in PAGES
        for block in blocks(page)
        for words in block.commands
    ]
    commands = [(runs, words) for runs, words in commands if words[0] == "losslab"]
    assert sum(runs for runs, _ in commands) > len(commands) / 2


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(
            r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")
        ):
            assert (page.parent / target).exists(), (page.name, target)


def test_messages_in_troubleshooting_are_those_of_the_code() -> None:
    said = "\n".join(
        node.value
        for path in Path(losslab.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    cells = re.findall(
        r"^\| (?:``(.+?)``|`(.+?)`) +\|", page.partition("## What is no error")[0], re.M
    )
    parts = [part.strip() for cell in cells for part in "".join(cell).split("…")]
    assert len(cells) > 30
    assert [part for part in parts if part not in said] == []
