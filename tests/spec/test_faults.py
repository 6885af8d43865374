"""A slip in a study's TOML is told by its key, its value, the rule and what to write, in the words of TOML."""

from pathlib import Path

import pytest

from losslab.errors import InvalidInput
from losslab.study.load import load_study

HEAD = 'name = "mine"\ntitle = "Mine"\n'
STAGE = '[[stages]]\nname = "one"\n'
BASE = """[stages.base]
data = "fashion-mnist-sample"
model = "lenet5"
optimizer = "adam"
lr = 0.1
batch = 16
epochs = 1
"""


def faults_of(text: str, folder: Path) -> str:
    """What is said of a study in a file."""
    path = folder / "study.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as error:
        load_study(str(path))
    return str(error.value).rpartition("study.toml: ")[2].removeprefix("stage 'one': ")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('metrics = "mae"', "`metrics` (='mae'): must be a list: metrics = [\"mae\"]"),
        ("augment = 3", "`augment` (=3): must be a list: augment = [...]"),
        ("seed = [0, 1]", "`seed` (=[0, 1]): must be a whole number; several values go into the grid of a study"),
        ("seed = 1.5", "`seed` (=1.5): must be a whole number"),
        ("weight_decay = '1'", "`weight_decay` (='1'): must be a number"),
        ("repeats = 0", "`repeats` (=0): must be greater than 0"),
        ("test = 'maybe'", "`test` (='maybe'): must be true or false"),
        ("parameter_groups = 3", "`parameter_groups` (=3): must be a text, in quotes"),
        ("evaluate = 'never'", "`evaluate` (='never'): must be 'epoch' or 'end'"),
        ("loss = 3", "`loss` (=3): must be a name, or a table with a `name`"),
        ("loss = {label_smoothing = 0.1}", "`loss.name`: must be given"),
    ],
)  # fmt: skip
def test_a_slip_in_a_field_of_a_run(lines: str, message: str, tmp_path: Path) -> None:
    assert faults_of(f"{HEAD}{STAGE}{BASE}{lines}\n", tmp_path) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEAD}[stages]\n{BASE}", "`stages`: must be a list of tables; write [[stages]]"),
        (HEAD, "`stages`: is missing; write [[stages]]"),
        (f"{HEAD}stages = []", "`stages` (=[]): must have at least 1"),
        (
            f"{HEAD}{STAGE}{BASE}[stages.grid]\nlr = [0.1, 0.2]",
            "`stages[0].grid`: must be a list of tables; write [[stages.grid]]",
        ),
        (
            f"{HEAD}{STAGE}seeds = [0, 1, 2]\n{BASE}",
            "`stages[0].seeds` (=[0, 1, 2]): must be a whole number, how many: seeds = 3",
        ),
        (
            f'{HEAD}{STAGE}group = "optimizer.name"\n{BASE}',
            "`stages[0].group` (='optimizer.name'): must be a list: group = [\"optimizer.name\"]",
        ),
        (f"{HEAD}{STAGE}floor = 3\n{BASE}", "`stages[0].floor` (=3): must be a table"),
        (
            f"{HEAD}[[stages]]\n{BASE}",
            "`stages[0].name`: is missing; write name = ... in [[stages]]",
        ),
        (
            f'name = "mine"\n{STAGE}{BASE}',
            "`title`: is missing; write title = ... in the first lines",
        ),
        (
            f'name = "My Study"\ntitle = "Mine"\n{STAGE}{BASE}',
            "`name` (='My Study'): must have small letters, digits and hyphens, a letter first",
        ),
    ],
)
def test_a_slip_in_a_study_is_one_fault(text: str, message: str, tmp_path: Path) -> None:
    assert faults_of(text, tmp_path) == message


@pytest.mark.parametrize("key", ["data", "model", "optimizer", "lr", "batch"])
def test_a_field_that_is_missing_is_told_where_to_write_it(key: str, tmp_path: Path) -> None:
    base = "\n".join(line for line in BASE.splitlines() if not line.startswith(key))
    message = f"`{key}`: must be given, in a study in [stages.base]"
    assert faults_of(f"{HEAD}{STAGE}{base}", tmp_path) == message


def test_the_faults_of_an_optimizer_name_no_file(tmp_path: Path) -> None:
    text = f"{HEAD}{STAGE}{BASE}".replace('"adam"', "\"adam(betas=3, eps='x')\"")
    assert faults_of(text, tmp_path) == (
        "`optimizer.betas` (=3): must be a list: betas = [...]; `optimizer.eps` (='x'): must be a number"
    )
