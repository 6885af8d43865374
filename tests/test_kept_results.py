"""What is said of the results that are kept follows from their records."""

import json
import re
import runpy
import shlex
import shutil
from dataclasses import replace
from itertools import pairwise
from math import log10, sqrt
from pathlib import Path
from typing import Any

import pytest
from fake_study import part_one

import losslab
from losslab.records import Evaluation, Record, is_finite
from losslab.spec import Run, make_run
from losslab.studies.adaptive_optimizers.findings import findings as found_in
from losslab.studies.learning_rate_and_batch_size.findings import findings
from losslab.study.results import read_results, read_run
from losslab.study.store import RunFolder, StudyFolder
from losslab.text import number as written

RESULTS = Path(__file__).parents[1] / "results"
PACKED = sorted(path.parent.name for path in RESULTS.glob("*/pack.json"))
PATCHNETS = sorted(RESULTS.glob("patchnet-*"))
TEXT = (RESULTS / "README.md").read_text(encoding="utf-8")
CHANGES = (RESULTS.parent / "CHANGELOG.md").read_text(encoding="utf-8")


def wilson(part: float, count: int) -> tuple[float, float]:
    """The interval as its textbook has it."""
    z = 1.959964
    middle, half = (
        part + z * z / (2 * count),
        z * sqrt(part * (1 - part) / count + z * z / (4 * count * count)),
    )
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


@pytest.mark.parametrize("name", PACKED)
def test_a_page_says_what_its_records_say(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(
        RESULTS / name, folder, ignore=shutil.ignore_patterns("report.md", "figures")
    )
    losslab.report(folder, form=losslab.reports.MARKDOWN)
    page = (RESULTS / name / "report.md").read_text(encoding="utf-8")
    again = f"losslab report results/{name} --markdown writes it again"
    assert (folder / "report.md").read_text(encoding="utf-8") == page, again
    figures = {path.name for path in (RESULTS / name / "figures").iterdir()}
    assert figures == set(re.findall(r"\(figures/([^)]+)\)", page))
    assert f"({name}/report.md)" in TEXT


def test_the_findings_are_those_of_the_records(tmp_path: Path) -> None:
    tools = runpy.run_path(str(RESULTS.parent / "tools" / "write_findings.py"))
    tools["main"](tmp_path / "findings.md")
    page = (RESULTS.parent / "docs" / "findings.md").read_text(encoding="utf-8")
    again = "python tools/write_findings.py writes it again"
    assert (tmp_path / "findings.md").read_text(encoding="utf-8") == page, again


def test_an_early_ranking_is_compared_with_the_last(tmp_path: Path) -> None:
    tools = runpy.run_path(str(RESULTS.parent / "tools" / "write_findings.py"))

    def change(run: Run, records: list[Record]) -> list[Record]:
        # Adam is ahead at first and last in the end.
        late = {"adam": 5.0}.get(run.optimizer.name, 0.0)
        return [
            replace(record, train_loss=(record.train_loss or 0) + late * (record.epoch > 6))
            if isinstance(record, Evaluation)
            else record
            for record in records
        ]

    found = found_in(read_results(part_one(tmp_path, epochs=12, change=change)))
    text = tools["foretold"](found.plain, 6.0)
    assert "ended at 6, the order was Adam, " in text
    assert text.endswith("Adam, first at 6 epochs, was number 5 in the end.")
    assert tools["foretold"](found.plain, 12.0) == ""


def test_the_first_numbers_of_the_readme_are_those_of_the_records() -> None:
    results = read_results(StudyFolder(RESULTS / "learning-rate-and-batch-size"))
    found = findings(results)
    (ramp, *_), plan = results.stages["lr-ramp"], results.plan
    assert ramp.start is not None
    beside = found.winner.beside_constants.partition(": ")[2].rstrip(".")
    leaders, _, tie = beside.partition(" have the highest validation accuracy of any epoch, ")
    last = found.winner.answer.partition(". ")[0].partition("ahead of ")[2]
    said = [
        found.lr.answer.partition(". ")[0],
        # At their best epochs A (x %) and B (y %) were too close to rank; C reached z %
        f"At their best epochs {leaders} were {tie}; {last.replace(' with ', ' reached ')} ",
        f"{written(ramp.run.epochs)} epochs of {ramp.start.training_images:,} images",
        f"over {written(results.stages['cyclical-lr'][0].run.epochs)} epochs",
    ]
    text = " ".join((RESULTS.parent / "README.md").read_text(encoding="utf-8").split())
    assert [part for part in said if " ".join(part.split()) not in text] == []
    assert len(results.stages["lr-ramp"]) == 3
    assert plan["ended"]


def test_what_the_readme_says_of_part_one_is_what_was_found() -> None:
    results = read_results(StudyFolder(RESULTS / "adaptive-optimizers"))
    found = found_in(results)
    best = found.plain.answer.partition(". ")[0].rstrip(".")
    changed = found.accuracy.gain.rstrip(".")
    text = " ".join((RESULTS.parent / "README.md").read_text(encoding="utf-8").split())
    assert f"200 epochs each on CIFAR-10, one seed: {best}. {changed}.*" in text
    assert results.plan["ended"]
    assert [run.status for run in results.stages["compare"]] == ["done"] * 10


def test_the_readme_says_what_reaches_94_percent() -> None:
    result = read_run(RunFolder(RESULTS / "patchnet-20-epochs"))
    final, text = result.final, (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    assert final is not None
    assert final.metrics is not None
    assert (final.metrics["averaged_test_accuracy"] or 0) > 0.94
    said = [
        f"{100 * (final.metrics['averaged_test_accuracy'] or 0):.2f} %",
        f"{100 * (final.test_accuracy or 0):.2f} %",
        f"{final.train_processor_seconds:,.0f} processor seconds",
    ]
    assert [part for part in said if part not in text] == []
    assert f"PatchNet to {said[0]}" in " ".join(CHANGES.split())
    (line,) = re.findall(r"^losslab train .*patchnet.*$", text, re.MULTILINE)
    assert make_run(fields_of(line)[0]) == result.run


def test_a_packed_study_is_small() -> None:
    assert len(PACKED) > 1
    for name in PACKED:
        files = (RESULTS / name).rglob("*")
        assert sum(path.stat().st_size for path in files if path.is_file()) <= 5e6, name


def test_resnet_20_reaches_what_is_said() -> None:
    result = read_run(RunFolder(RESULTS / "resnet-20-cifar10"))
    final, start = result.final, result.start
    assert (result.status, final is not None, start is not None) == ("done", True, True)
    assert final is not None
    assert start is not None
    assert all(map(is_finite, result.records))
    accuracy = final.test_accuracy or 0.0
    assert accuracy >= 0.88
    assert f"ResNet-20 to {100 * accuracy:.2f} %" in " ".join(CHANGES.split())
    low, high = wilson(accuracy, start.test_images)
    said = [
        f"{100 * accuracy:.2f} %",
        f"{final.train_seconds:,.0f} s",
        f"{100 * low:.1f} % to {100 * high:.1f} %",
    ]
    said += [
        f"{images:,}"
        for images in (start.training_images, start.validation_images, start.test_images)
    ]
    assert [part for part in said if part not in TEXT] == []
    steps = [
        step
        for record in result.steps
        for step in range(record.first_step, record.first_step + len(record.loss))
    ]
    assert steps == list(range(start.total_steps)) == list(range(24 * 750))
    assert all(
        before.train_seconds < after.train_seconds
        for before, after in pairwise(result.evaluations)
    )


def test_patchnet_reaches_what_is_said() -> None:
    rows = []
    for folder in PATCHNETS:
        result = read_run(RunFolder(folder))
        final, start = result.final, result.start
        assert (result.status, final is not None, start is not None) == ("done", True, True)
        assert final is not None
        assert start is not None
        assert final.metrics is not None
        averaged = final.metrics["averaged_test_accuracy"]
        assert averaged is not None
        low, high = wilson(averaged, start.test_images)
        cells = [
            written(result.run.epochs),
            f"{start.training_images:,}",
            f"{100 * averaged:.2f} % ({100 * low:.1f} % to {100 * high:.1f} %)",
            f"{100 * (final.test_accuracy or 0):.2f} %",
            f"{final.train_processor_seconds:,.0f}",
        ]
        rows.append(" | ".join(cells))
    assert len(rows) >= 2
    assert [row for row in rows if row not in TEXT] == []


def test_commands_make_the_runs_that_are_kept() -> None:
    lines = re.findall(r"^losslab train .*$", TEXT, re.MULTILINE)
    assert len(lines) == 1 + len(PATCHNETS)
    for line in lines:
        fields, folder = fields_of(line)
        assert make_run(fields) == read_run(RunFolder(RESULTS.parent / folder)).run


def fields_of(line: str) -> tuple[dict[str, Any], str]:
    """The fields of the run that a command trains, and its folder."""
    given: dict[str, list[str]] = {}
    for option, value in batched(shlex.split(line)[2:]):
        given.setdefault(option.removeprefix("--").replace("-", "_"), []).append(value)
    fields: dict[str, Any] = {key: values[0] for key, values in given.items()}
    fields["data"] = {
        "name": fields["data"],
        "validation_fraction": float(fields.pop("validation_fraction")),
    }
    fields["augment"] = given["augment"]
    folder = fields.pop("out")
    for name in ("threads", "figure"):
        fields.pop(name, None)
    numbers = {"batch": int, "epochs": float, "weight_decay": float}
    return fields | {name: number(fields[name]) for name, number in numbers.items()}, folder


def batched(options: list[str]) -> list[tuple[str, str]]:
    return list(zip(options[::2], options[1::2], strict=True))


def test_the_table_of_suggestions_by_length_is_what_was_measured() -> None:
    root = RESULTS.parent
    text = (root / "docs" / "range-tests.md").read_text(encoding="utf-8")
    kept = json.loads((root / "benchmarks" / "suggestion_lengths.json").read_text())
    rows = []
    for task, optimizers in kept.items():
        for optimizer, measured in optimizers.items():
            lengths = [length for length in measured["lengths"] if length["steps"] >= 100]
            cells = [f"{task}, {optimizer.partition('(')[0]}"]
            for rule in ("ramp", "race"):
                cells += cells_of(
                    [length["suggestion"][rule] for length in lengths],
                    [length["regret"][rule] for length in lengths],
                )
            rows.append(f"| {' | '.join(cells)} |")
    assert len(rows) >= 5
    assert [row for row in rows if row not in text.splitlines()] == []


def cells_of(suggestions: list[float | None], regrets: list[float | None]) -> list[str]:
    """Suggestions, the decades between them, the worst regret."""
    found = [lr for lr in suggestions if lr]
    written = [f"{lr:.2g}" if lr else "none" for lr in suggestions]
    if not found:
        return [", ".join(written), "none", "none"]
    worst = max(regret for regret in regrets if regret is not None)
    return [", ".join(written), f"{log10(max(found) / min(found)):.2f}", f"{worst:.3f}"]


def test_the_table_of_critical_sizes_is_what_was_measured() -> None:
    root = RESULTS.parent
    text = (root / "docs" / "range-tests.md").read_text(encoding="utf-8")
    kept = json.loads((root / "benchmarks" / "critical_batch.json").read_text())
    rows = []
    for task, optimizers in kept.items():
        for optimizer, moments in optimizers.items():
            for moment, found in moments.items():
                low, high = found["band"]
                losses = ", ".join(f"{loss:.3f}" for loss in found["curve"]["loss"])
                noise = found["noise_scale"]
                cells = [task, optimizer.partition("(")[0], moment, losses]
                cells += [str(found["critical_size"]), f"{low} to {high}"]
                cells.append("none" if noise is None else f"{noise:.0f}")
                rows.append(f"| {' | '.join(cells)} |")
    assert rows
    assert [row for row in rows if row not in text.splitlines()] == []
