"""The study adaptive-optimizers: what is found in its records, and that its page shows all of it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_study import MIDDLE, Change, part_one, with_loss
from page_text import sections

from losslab.records import Evaluation, Final, Record
from losslab.reports.render import report
from losslab.spec import Run
from losslab.studies.adaptive_optimizers.findings import Findings, findings
from losslab.study.results import read_results
from losslab.study.store import StudyFolder


def found_in(folder: StudyFolder) -> Findings:
    return findings(read_results(folder))


def is_dropped(run: Run) -> bool:
    return bool(run.model.options.get("hidden_dropout"))


def with_evaluations(change: Callable[[Run, Evaluation], Evaluation]) -> Change:
    """Records with other evaluations."""

    def changed(run: Run, records: list[Record]) -> list[Record]:
        return [
            change(run, record) if isinstance(record, Evaluation) else record
            for record in records
        ]

    return changed


def with_test_accuracy(accuracy: Callable[[Run], float]) -> Change:
    """Records with another test accuracy."""

    def changed(run: Run, records: list[Record]) -> list[Record]:
        return [
            replace(record, test_accuracy=accuracy(run))
            if isinstance(record, Final)
            else record
            for record in records
        ]

    return changed


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = part_one(tmp_path_factory.mktemp("whole"), epochs=3)
    report(folder.path)
    return folder


@pytest.fixture(scope="module")
def found(whole: StudyFolder) -> Findings:
    return found_in(whole)


def page(folder: StudyFolder) -> str:
    return (folder.path / "report.html").read_text(encoding="utf-8")


def test_the_lowest_loss_leads_and_another_lowest_loss_leads_instead(
    tmp_path: Path, found: Findings
) -> None:
    def adagrad_wins(run: Run, records: list[Record]) -> list[Record]:
        return with_loss(0.0123)(run, records) if run.optimizer.name == "adagrad" else records

    after = found_in(part_one(tmp_path, epochs=3, change=adagrad_wins))
    assert found.plain.answer.startswith("Adam reached the lowest training loss, ")
    assert after.plain.answer.startswith(
        "AdaGrad reached the lowest training loss, 0.01230, ahead of Adam"
    )
    assert found.plain.table.rows[0][0] == "Adam"
    assert (after.plain.table.rows[0][0], after.plain.table.bold) == ("AdaGrad", (0,))
    assert dict(after.summary)["Training loss."] == after.plain.answer


def test_the_reading_at_rest_has_its_own_winner(tmp_path: Path) -> None:
    def rests_low(run: Run, each: Evaluation) -> Evaluation:
        return replace(each, fit_loss=1e-4) if run.optimizer.name == "adadelta" else each

    found = found_in(part_one(tmp_path, epochs=3, change=with_evaluations(rests_low)))
    assert found.plain.answer.startswith("Adam reached the lowest training loss, ")
    assert found.plain.at_rest.startswith(
        "AdaDelta reached the lowest training loss in evaluation mode, "
    )


def test_equal_losses_share_the_lead(tmp_path: Path) -> None:
    found = found_in(part_one(tmp_path, epochs=3, change=with_loss(1.5)))
    together = (
        "AdaGrad, RMSProp, RMSProp + Nesterov, AdaDelta and Adam share the lowest training loss"
    )
    assert found.plain.answer.startswith(together)
    assert found.plain.table.bold == (0, 1, 2, 3, 4)


def test_methods_without_a_run_are_not_ranked(tmp_path: Path) -> None:
    lacking = ("adam", "adadelta")
    found = found_in(
        part_one(tmp_path, epochs=3, skip=lambda run: run.optimizer.name in lacking)
    )
    assert found.plain.answer.endswith(
        "AdaDelta and Adam have no finished run here and are not ranked."
    )
    assert [row[0] for row in found.plain.table.rows] == [
        "RMSProp + Nesterov",
        "RMSProp",
        "AdaGrad",
    ]


def test_dropout_raises_the_loss_only_where_it_does(tmp_path: Path, found: Findings) -> None:
    def easier(run: Run, each: Evaluation) -> Evaluation:
        return replace(each, train_loss=each.train_loss / 99) if is_dropped(run) else each

    after = found_in(part_one(tmp_path, epochs=3, change=with_evaluations(easier)))
    assert found.dropout.rise.startswith(
        "Dropout raised the lowest training loss of 5 of 5 methods: it is "
    )
    assert after.dropout.rise.startswith(
        "Dropout raised the lowest training loss of 0 of 5 methods: it is "
    )


def test_times_are_compared_seed_by_seed(tmp_path: Path) -> None:
    def slow(run: Run, each: Evaluation) -> Evaluation:
        return replace(each, train_seconds=(40.0 if is_dropped(run) else 10.0) * each.epoch)

    found = found_in(part_one(tmp_path, epochs=3, change=with_evaluations(slow)))
    assert "took 4.00 times as long as training without." in " ".join(
        found.dropout.time.split()
    )
    assert found.dropout.table is not None
    assert found.dropout.table.rows[0][1:] == ("30.00", "120.0", "4.000")


def test_a_ratio_within_the_drift_of_the_pace_is_doubted(
    tmp_path: Path, found: Findings
) -> None:
    def drifting(_run: Run, each: Evaluation) -> Evaluation:
        return replace(each, train_seconds=each.train_seconds * (1 + 0.3 * each.epoch))

    after = found_in(part_one(tmp_path, epochs=4, change=with_evaluations(drifting)))
    assert "cannot be told from 1" not in found.dropout.time
    assert re.search(
        r"drifted by up to \d+\.\d.% while it ran, so the ratios of AdaGrad, ",
        after.dropout.time,
    )


def test_runs_beside_each_other_are_compared_by_processor_time(tmp_path: Path) -> None:
    def measured(run: Run, each: Evaluation) -> Evaluation:
        return replace(
            each, train_processor_seconds=(3.0 if is_dropped(run) else 2.0) * each.epoch
        )

    shared = found_in(part_one(tmp_path / "two", epochs=3, change=with_evaluations(measured)))
    alone = found_in(
        part_one(tmp_path / "one", epochs=3, change=with_evaluations(measured), workers=1)
    )
    assert "took, in processor time, 1.50 times as long" in " ".join(
        shared.dropout.time.split()
    )
    assert (shared.dropout.clock, alone.dropout.clock) == ("processor time", "training time")
    assert "processor" not in alone.dropout.time + alone.dropout.note
    assert "Processor times were measured with 2 runs at once" in shared.dropout.note


@pytest.mark.usefixtures("no_drawing")
def test_times_of_different_machines_are_not_compared(tmp_path: Path) -> None:
    folder = part_one(tmp_path)
    for path in (folder.path / "runs").iterdir():
        facts = json.loads((path / "run.json").read_text())
        run = facts["run"]
        if run["optimizer"]["name"] == "adam" and run["model"].get("hidden_dropout"):
            facts["environment"]["processor"] = "a faster one"
            (path / "run.json").write_text(json.dumps(facts))
    dropout = found_in(folder).dropout
    assert "Adam" not in dropout.ratios
    assert len(dropout.ratios) == 4
    assert "Adam trained with dropout on another machine than without" in dropout.time
    assert "Times of different machines" in sections(folder)["summary"]


def test_times_of_nothing_are_not_compared(tmp_path: Path) -> None:
    found = found_in(part_one(tmp_path, epochs=3, skip=is_dropped))
    assert found.dropout.rise == ""
    assert found.dropout.table is None
    assert found.dropout.time == (
        "No method has ended both with and without dropout on one machine yet, so no times can be compared."
    )


def test_the_gain_of_dropout_is_one_sentence_with_a_clause_for_each_direction(
    tmp_path: Path,
) -> None:
    accuracies = {"adadelta": 0.9, "adam": 0.5}

    def accuracy(run: Run) -> float:
        return accuracies.get(run.optimizer.name, 0.1) if is_dropped(run) else 0.5

    found = found_in(part_one(tmp_path, epochs=3, change=with_test_accuracy(accuracy))).accuracy
    assert " ".join(found.answer.split()).startswith(
        "AdaDelta with dropout reached the highest test accuracy, 90.0 %"
    )
    assert found.gain == (
        "Dropout raised test accuracy for AdaDelta; it lowered it for AdaGrad, RMSProp and RMSProp + Nesterov; it left "
        "it the same within chance for Adam."
    )


@pytest.mark.parametrize(
    ("dropped", "gain"),
    [
        (0.9, "raised test accuracy for"),
        (0.1, "lowered test accuracy for"),
        (0.5, "left test accuracy the same within"),
    ],
    ids=["up", "down", "same"],
)
def test_the_first_clause_names_what_was_gained(
    tmp_path: Path, dropped: float, gain: str
) -> None:
    change = with_test_accuracy(lambda run: dropped if is_dropped(run) else 0.5)
    assert found_in(part_one(tmp_path, epochs=2, change=change)).accuracy.gain.startswith(
        f"Dropout {gain}"
    )


def test_a_learning_rate_at_the_edge_is_warned_of(tmp_path: Path, found: Findings) -> None:
    def higher_is_better(run: Run, each: Evaluation) -> Evaluation:
        return replace(each, validation_loss=1 / run.lr)

    after = found_in(
        part_one(tmp_path, epochs=3, change=with_evaluations(higher_is_better))
    ).search
    assert found.search.edges == ""
    assert (
        "Adam's learning rate, 0.001, is the highest of those tried, so a better one may lie beyond."
        in after.edges
    )
    assert after.table is not None
    assert after.table.rows[-1][2] == "0.001 (highest tried)"


def test_the_chosen_learning_rate_is_bold_among_those_tried(found: Findings) -> None:
    table = found.search.table
    assert table is not None
    assert len(table.strong) == 5
    for index, entry in table.strong:
        assert entry in table.rows[index][1].split("; ")
        assert entry.startswith(f"{table.rows[index][2]} → ")
    assert f"Adam {MIDDLE['adam']:g}" in found.search.answer


def test_unequal_budgets_are_said(tmp_path: Path, found: Findings) -> None:
    lacking = found_in(
        part_one(
            tmp_path, epochs=2, skip=lambda run: run.optimizer.name == "adam" and run.lr < 1e-4
        )
    )
    assert found.search.budget.startswith(
        "with the same budget for each (5 candidates a method"
    )
    assert lacking.search.budget.startswith("with budgets that are not equal")


def test_one_seed_is_said_and_several_get_a_spread(tmp_path: Path, found: Findings) -> None:
    several = found_in(part_one(tmp_path, epochs=3, seeds=2))
    assert found.plain.certainty.startswith("One seed each (n = 1)")
    assert several.plain.certainty.startswith("Means over 2 seeds")
    assert " ± " in several.plain.table.rows[0][2]
    assert "Student's t" in several.accuracy.note
    assert "Student's t" not in found.accuracy.note


def test_nothing_has_no_answer_and_no_fault(tmp_path: Path) -> None:
    found = found_in(part_one(tmp_path, epochs=3, skip=lambda run: True))
    no_answer = "No run that belongs here has ended well, so there is no answer."
    assert (found.plain.answer, found.dropped.answer, found.accuracy.answer) == (no_answer,) * 3
    assert found.search.answer == "No search has ended yet, so no learning rate is chosen."
    assert (found.search.table, found.accuracy.gain) == (None, "")


@pytest.mark.parametrize("question", ["rules", "search", "loss", "dropout", "test"])
def test_every_question_has_answer_evidence_scale_command_and_records(
    whole: StudyFolder, question: str
) -> None:
    text = re.search(rf'<section id="{question}".*?</section>', page(whole), re.DOTALL)
    assert text is not None
    wanted = ['class="answer"', "<table"]
    if question != "rules":
        wanted += ["losslab study run adaptive-optimizers", 'href="#runs-', "images", "1 seed"]
    if question not in ("rules",):
        wanted.append("<figure")
    assert [part for part in wanted if part not in text[0]] == []


def test_equations_terms_and_defaults_of_all_five_are_there(whole: StudyFolder) -> None:
    text = re.search(r'<section id="rules".*?</section>', page(whole), re.DOTALL)
    assert text is not None
    assert text[0].count('<article class="method"') == 5
    assert text[0].count("Against RMSProp") >= 2
    assert text[0].count("<math") > 40


def test_the_winner_on_the_page_follows_from_the_records(
    tmp_path: Path, whole: StudyFolder
) -> None:
    def adagrad_wins(run: Any, records: list[Any]) -> list[Any]:
        better = run.optimizer.name == "adagrad"
        return [
            replace(r, train_loss=0.0123) if better and isinstance(r, Evaluation) else r
            for r in records
        ]

    before, after = sections(whole), sections(part_one(tmp_path, epochs=3, change=adagrad_wins))
    assert "Adam reached the lowest training loss" in before["loss"]
    assert "AdaGrad reached the lowest training loss, 0.01230, ahead of Adam" in after["loss"]
    assert "AdaGrad reached the lowest training loss, 0.01230" in after["summary"]


def test_a_half_done_study_says_what_is_missing(tmp_path: Path) -> None:
    folder = part_one(
        tmp_path,
        epochs=3,
        skip=lambda run: run.optimizer.name == "adam",
        ended=None,
        measured_seconds=None,
    )
    text = sections(folder)
    assert "planned runs have no result" in text[""]
    assert "not come to its end" in text[""]
    assert "Adam has no finished run here and is not ranked" in text["loss"]
    assert "RMSProp + Nesterov reached the lowest training loss" in text["loss"]


def test_a_study_stopped_in_its_first_stage_renders(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=3, skip=lambda run: True, stages=[], ended=None)
    text = sections(folder)
    assert "no answer" in text["loss"]
    assert "had not begun" in text["dropout"]


def test_final_accuracy_counts_images_of_the_test_set(whole: StudyFolder) -> None:
    finals = [
        record
        for result in read_results(whole).stages["compare"]
        for record in result.records
        if isinstance(record, Final)
    ]
    assert len(finals) == 10
    assert "Wilson's for 10,000 test images" in sections(whole)["test"]
