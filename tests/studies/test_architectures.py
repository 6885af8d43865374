"""The study `architectures` and stages that count: run, resumed, reported, all through the command line's functions."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from page_text import sections
from torch import nn

from losslab.accounting import count, gradient_support
from losslab.cli import main, run_command
from losslab.errors import InvalidInput
from losslab.files import write_json
from losslab.reports.module_diagram import module_diagram
from losslab.reports.render import render, report
from losslab.reports.stack_diagram import stack_diagram
from losslab.studies.architectures.findings import Findings, findings
from losslab.studies.architectures.layers import layer_table
from losslab.study.load import load_study
from losslab.study.results import read_results
from losslab.study.store import StudyFolder

OWN = """
name = "mine"
title = "Mine"
[[stages]]
name = "sizes"
count = [{ model = "lenet5" }, { model = "samples:cannot_be_built" }, { model = "mlp", optimizer = "adam" }]
"""


def losslab(*arguments: object) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*map(str, arguments)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    out = tmp_path_factory.mktemp("architectures") / "out"
    arguments = ["study", "run", "architectures", "--out", str(out), "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["losslab", *arguments])
        losslab(*arguments)
    losslab("report", out)
    return StudyFolder(out)


@pytest.fixture
def copied(whole: StudyFolder, tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "copy")
    folder.prepare()
    folder.write_plan(whole.plan)
    (folder.path / "counts").mkdir()
    for path in (whole.path / "counts").iterdir():
        (folder.path / "counts" / path.name).write_bytes(path.read_bytes())
    return folder


def change(folder: StudyFolder, model: str, alter: Callable[[dict[str, Any]], None]) -> None:
    """Alter the stored ledger of a model."""
    (path,) = (
        path
        for path in counted(folder)
        if json.loads(path.read_text())["ledger"]["model"] == model
    )
    facts = json.loads(path.read_text())
    alter(facts["ledger"])
    write_json(path, facts)


def counted(folder: StudyFolder) -> list[Path]:
    return sorted((folder.path / "counts").glob("*.json"))


def test_every_ledger_is_what_count_prints(whole: StudyFolder) -> None:
    results = read_results(whole)
    assert {name: len(stage) for name, stage in results.counts.items()} == {
        "alexnet": 3, "vgg19": 1, "stacks": 9, "inception": 2,
    }  # fmt: skip
    for name in ("alexnet", "alexnet-ungrouped", "alexnet-torchvision"):
        stored = results.ledgers("alexnet")[name]
        assert {**stored, "memory": None} == {
            **json.loads(json.dumps(count(name).to_dict())),
            "memory": None,
        }
    assert results.ledgers("vgg19")["vgg19"]["totals"]["parameters"] == 143_652_544
    assert all(
        result.environment["torch"] for stage in results.counts.values() for result in stage
    )


def test_the_answers_are_the_ledgers_numbers(whole: StudyFolder) -> None:
    text = sections(whole)
    naive, reduced = count("inception-naive"), count("inception-reduced")
    assert (
        f"has {count('alexnet').parameters:,} parameters: 2,334,080 in the convolutions"
        in text["alexnet"]
    )
    assert "58,631,144 (96.2 %) in the fully connected layers" in text["summary"]
    assert "62,378,344; torchvision's network of that name has 61,100,840." in text["alexnet"]
    assert "1,413,120 more parameters, all in conv2, conv4 and conv5" in text["alexnet"]
    assert "Most parameters are in fc6 (102,760,448, 71.5 %)" in text["vgg19"]
    assert "conv1_1 and conv1_2 (3,211,264 each, 38.8 %)" in text["vgg19"]
    assert "three of 5×5 see 13×13" in text["stacks"]
    assert "9 of 9 stacks agree exactly" in text["stacks"]
    assert "32×32×672 (naive) and 32×32×480 (with reduction)" in text["inception"]
    assert "128 + 192 + 96 + 256 = 672" in text["inception"]
    assert (
        f"saves {naive.macs - reduced.macs:,} of them, 64.4 %, a factor of 2.81"
        in text["inception"]
    )
    assert "the 5×5 branch alone is 56.4 % of its cost" in text["inception"]


def test_alexnet_stands_there_layer_by_layer_with_its_arithmetic(whole: StudyFolder) -> None:
    text = sections(whole)["alexnet"]
    for row in count("alexnet").rows:
        assert row.work["parameters"] in text
        assert row.work.get("output_size", "").partition(";")[0] in text
    assert (
        "conv2 256 of 5×5×48 1 2 2 (27 + 2*2 - 5)//1 + 1 = 27 27×27×256 (5*5*48)*256 + 256 = 307,456"
        in text
    )


def test_the_vgg19_table_is_complete_in_the_style_of_lecture_notes(whole: StudyFolder) -> None:
    rows = layer_table(count("vgg19", include_bias=False).to_dict()).rows
    assert len(rows) == 1 + 16 + 5 + 3 + 1
    assert " ".join(" ".join(row) for row in rows) in sections(whole)["vgg19"]


@pytest.mark.parametrize("question", ["alexnet", "vgg19", "stacks", "inception"])
def test_every_question_has_answer_evidence_commands_and_records(
    whole: StudyFolder, question: str
) -> None:
    page = unescape((whole.path / "report.html").read_text(encoding="utf-8"))
    found = re.search(rf'<section id="{question}".*?</section>', page, re.DOTALL)
    assert found is not None
    wanted = [
        'class="answer"',
        "<table",
        "<figure",
        "losslab study run architectures",
        "losslab count ",
        'href="#runs-',
    ]
    assert [part for part in wanted if part not in found[0]] == []
    for command in re.findall(r"<code>losslab (count [^<]*)</code>", found[0]):
        losslab(*re.sub(r'"', "", command).replace(", ", ",").split(), "--json")


def test_links_of_the_page_lead_to_records_and_parts(whole: StudyFolder) -> None:
    page = re.sub(
        r"<script.*?</script>",
        "",
        (whole.path / "report.html").read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    ids = re.findall(r'\sid="([^"]+)"', page)
    targets = {
        target
        for target in re.findall(r'href="([^"]+)"', page)
        if not target.startswith("data:")
    }
    assert len(ids) == len(set(ids))
    assert all(target[1:] in ids for target in targets if target.startswith("#"))
    files = {target for target in targets if not target.startswith("#")}
    assert {path.name for path in counted(whole)} == {
        Path(file).name for file in files if file.endswith(".json")
    }
    assert all((whole.path / file).exists() for file in files)


def test_other_records_give_other_sentences(copied: StudyFolder) -> None:
    def larger(ledger: dict[str, Any]) -> None:
        ledger["totals"]["parameters"] += 1000

    def wrong_support(ledger: dict[str, Any]) -> None:
        ledger["gradient_support"]["positions"] -= 1

    def dearer(ledger: dict[str, Any]) -> None:
        ledger["compare"].update(macs_saved=-5, macs_saved_fraction=-0.5, macs_ratio=0.66)

    change(copied, "alexnet", larger)
    change(copied, "conv-stack(kernel=5, layers=3)", wrong_support)
    change(copied, "inception-naive", dearer)
    text = sections(copied)
    assert "has 60,966,224 parameters: 2,335,080 in the convolutions" in text["alexnet"]
    assert "8 of 9 stacks agree exactly" in text["summary"]
    assert "168 NO" in text["stacks"]
    assert "reduction costs 5 of them, 50.0 %, a factor of 0.66" in text["inception"]


@pytest.mark.row(26)
def test_a_damaged_ledger_is_named_and_counted_anew(
    copied: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(path for path in counted(copied) if "alexnet" in path.read_text())
    path.write_text("{")
    results = read_results(copied)
    assert list(results.damaged) == [f"counts/{path.name}"]
    assert sum(map(len, results.counts.values())) == 14
    arguments = ["study", "run", "architectures", "--out", str(copied.path), "--quiet"]
    assert run_command(arguments) == 0
    assert read_results(copied).damaged == {}


def found_in(folder: StudyFolder) -> Findings:
    return findings(read_results(folder))


def test_findings_are_read_from_the_ledgers(copied: StudyFolder) -> None:
    before = found_in(copied)
    assert before.alexnet is not None
    assert before.stacks is not None
    assert list(before.alexnet.ledgers) == [
        "the paper's, two groups",
        "ungrouped",
        "torchvision's",
    ]
    assert before.stacks.sides == (1, 5, 9, 13)
    assert [subject for subject, _ in before.summary] == [
        "AlexNet.",
        "VGG19.",
        "Receptive fields.",
        "Inception.",
    ]
    table = before.alexnet.comparison
    for index, (_, paper, *others) in enumerate(table.rows[:8]):
        differing = {cell for cell in others if cell != paper}
        assert {text for row, text in table.strong if row == index} == differing


def test_a_changed_ledger_changes_the_conclusion(copied: StudyFolder) -> None:
    def fewer(ledger: dict[str, Any]) -> None:
        ledger["totals"]["parameters"] = 1000

    def smaller_field(ledger: dict[str, Any]) -> None:
        ledger["gradient_support"].update(sides=[9, 9], positions=81)

    change(copied, "alexnet-torchvision", fewer)
    before = found_in(copied)
    change(copied, "conv-stack(kernel=7, layers=2)", smaller_field)
    after = found_in(copied)
    assert before.alexnet is not None
    assert "60,964,224 parameters fewer than the paper's" in before.alexnet.variants
    assert before.stacks is not None
    assert after.stacks is not None
    assert before.stacks.answer.endswith("9 of 9 stacks agree exactly.")
    assert after.stacks.answer.endswith("8 of 9 stacks agree exactly.")
    assert [row[0] for row in after.stacks.table.rows if row[5] == "NO"] == ["2 of 7×7"]


def test_reduction_that_costs_work_is_said_to_cost(copied: StudyFolder) -> None:
    def dearer(ledger: dict[str, Any]) -> None:
        compared = ledger["compare"]
        compared.update(macs_saved=-5, macs_saved_fraction=-0.5, macs_ratio=0.66)
        compared["groups"][0].update(macs=10, other_macs=25)

    change(copied, "inception-naive", dearer)
    found = found_in(copied).inception
    assert "reduction costs 5 of them" in found.cost
    assert found.comparison is not None
    assert (
        "branch costs 15 more than before, because of its 1×1 convolution;"
        in found.comparison.saved
    )


@pytest.mark.parametrize("model", ["alexnet", "vgg19"])
def test_a_part_that_was_not_counted_has_no_findings(copied: StudyFolder, model: str) -> None:
    (path,) = (
        path
        for path in counted(copied)
        if json.loads(path.read_text())["ledger"]["model"] == model
    )
    path.unlink()
    found = found_in(copied)
    assert getattr(found, model) is None
    assert found.stacks is not None
    assert len(found.stacks.networks) == 1
    assert len(found.summary) == 3


def test_half_an_inception_is_not_compared(copied: StudyFolder) -> None:
    (path,) = (path for path in counted(copied) if path.name.startswith("inception-reduced"))
    path.unlink()
    found = found_in(copied).inception
    assert found.comparison is None
    assert "(naive)" in found.sizes
    assert "with reduction" not in found.sizes


def test_what_is_missing_is_said_and_a_second_run_does_only_that(copied: StudyFolder) -> None:
    (gone,) = (path for path in counted(copied) if path.name.startswith("vgg19"))
    gone.unlink()
    text = sections(copied)
    assert f"{gone.stem} (vgg19): not counted" in text[""]
    assert "not been counted yet, so there is no answer" in text["vgg19"]
    times = {path: path.stat().st_mtime_ns for path in counted(copied)}
    losslab("study", "resume", copied.path, "--quiet")
    assert gone.exists()
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert "143,652,544" in sections(copied)["vgg19"]


def test_nothing_counted_yet_renders(copied: StudyFolder) -> None:
    for path in counted(copied):
        path.unlink()
    text = sections(copied)
    assert all(
        "no answer" in text[question]
        for question in ("alexnet", "vgg19", "stacks", "inception")
    )


def test_a_page_names_a_count_that_losslab_did_not_write(copied: StudyFolder) -> None:
    path = counted(copied)[0]
    path.write_text("{}")
    page = report(copied.path).read_text(encoding="utf-8")
    assert f"<code>counts/{path.name}</code>" in page
    assert "not what losslab writes" in page


def test_plan_and_status_know_of_counting(
    whole: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    losslab("study", "plan", "architectures", "--json")
    plan = json.loads(capsys.readouterr().out)
    assert plan["scale"].startswith("alexnet: 3 networks counted; vgg19: 1 network counted")
    assert plan["predicted_seconds"] < 15
    losslab("study", "status", whole.path, "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows] == ["done"] * 15


def test_report_does_not_import_torch(whole: StudyFolder) -> None:
    code = (
        "import sys; from losslab.cli import main, run_command\n"
        f"try: main(['report', {str(whole.path)!r}])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


def test_a_network_that_fails_is_named_and_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    assert (
        run_command(
            ["study", "run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "out")]
        )
        == 1
    )
    printed = capsys.readouterr().out
    assert "samples:cannot_be_built: failed:" in printed
    assert "lenet5: 61,706 parameters, 416,520 MACs" in printed
    text = sections(StudyFolder(tmp_path / "out"))
    assert "not counted" in text[""]
    assert "61,706" in text["sizes"]
    assert "nothing was trained" in text["sizes"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"lenet5"', '"lenet"', "did you mean 'lenet5'"),
        ('"lenet5"', '"lenet5", epochs = 3', "epochs"),
        ("count = [", "grid = [{ lr = 1 }]\ncount = [", "trains nothing; leave out grid"),
        ("count = [", 'base = { model = "mlp" }\ncount = [', "exactly one of `base`"),
        (OWN[OWN.index("count") :], "", "exactly one of `base`"),
    ],
    ids=["model", "field", "grid", "both", "neither"],
)
def test_faults_of_a_counting_stage_are_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "mine.toml").write_text(OWN.replace(old, new, 1))
    with pytest.raises(InvalidInput, match=message):
        load_study(str(tmp_path / "mine.toml"))


def test_seeds_of_a_study_that_trains_nothing_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["study", "plan", "architectures", "--seeds", "3"])
    assert "counts and trains nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (
            lambda: nn.Sequential(nn.Conv2d(2, 3, 3, dilation=2), nn.Conv2d(3, 1, 3, stride=2)),
            7,
        ),
        (
            lambda: nn.Sequential(
                nn.Conv2d(2, 2, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(2, 4, 3)
            ),
            10,
        ),
    ],
    ids=["dilated", "pooled"],
)
def test_gradient_support_is_the_ledgers_field(
    make: Callable[[], nn.Module], side: int
) -> None:
    found = gradient_support(make, (2, 30, 40))
    assert (
        found["sides"]
        == [side, side]
        == [field.size for _, field in count(make(), (2, 30, 40)).output_fields[0]]
    )


def test_the_drawn_module_carries_filters_and_costs() -> None:
    ledger = count("inception-reduced").to_dict()
    drawn = module_diagram(ledger, dearest=629_145_600)
    assert len(drawn.boxes) == 1 + 7 + 1
    assert "3×3, 192 filters: 226.5M MACs" in drawn.words
    assert drawn.boxes[-1].text == "32×32×480"
    assert max(box.share for box in drawn.boxes) == pytest.approx(226_492_416 / 629_145_600)
    assert sorted(line.maps for line in drawn.lines if line.to_x == drawn.boxes[-1].x) == [
        64,
        96,
        128,
        192,
    ]


def test_the_drawn_stack_reaches_from_one_unit_to_all_that_it_sees() -> None:
    drawn = stack_diagram((1, 5, 9, 13), 5)
    assert [row.label for row in drawn.rows] == [
        "layer 3: 1",
        "layer 2: 5",
        "layer 1: 9",
        "input: 13",
    ]
    assert [len(row.cells) for row in drawn.rows] == [1, 5, 9, 13]
    centres = {row.cells[0] + len(row.cells) * drawn.cell / 2 for row in drawn.rows}
    assert len(centres) == 1
    assert len(drawn.cones) == 1 + 2 + 2
    assert "depends on 5, 9 and 13 neighbouring units" in drawn.words


def test_users_text_in_a_count_stays_text(copied: StudyFolder) -> None:
    payload = "<script>document.title='pwned'</script>"

    def hostile(ledger: dict[str, Any]) -> None:
        ledger["convention"] = ledger["rows"][1]["name"] = ledger["rows"][1]["work"][
            "parameters"
        ] = payload

    change(copied, "alexnet", hostile)
    change(copied, "inception-naive", hostile)
    page = render(read_results(copied), {})
    assert page.count("&lt;script&gt;document.title") >= 3
    assert "<script>document.title" not in page
