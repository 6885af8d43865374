"""The study learning-rate-and-batch-size: what is found in its records, and that its page shows all of it."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_ranges import part_two
from fake_study import Change
from page_text import sections

from losslab.choice import Choice
from losslab.records import Evaluation, Record, Steps
from losslab.spec import Run
from losslab.studies.learning_rate_and_batch_size.data_set import data_findings
from losslab.studies.learning_rate_and_batch_size.findings import Findings, findings
from losslab.study.results import read_results
from losslab.study.store import StudyFolder

SAMPLE = "fashion-mnist-sample"
"""A data set that is on every machine."""


def found_in(folder: StudyFolder) -> Findings:
    return findings(read_results(folder))


def plain(text: str) -> str:
    """A sentence in single spaces, as a reader compares it."""
    return " ".join(text.split())


def is_ramp(run: Run) -> bool:
    return isinstance(run.lr, Choice) and run.lr.name == "exponential_ramp"


def of_sizes(run: Run) -> bool:
    return run.steps is not None


def with_loss(loss: Callable[[Run], float], *, where: Callable[[Run], bool]) -> Change:
    """Records of some runs with one loss at every step, apart from what batches add."""

    def change(run: Run, records: list[Record]) -> list[Record]:
        if not where(run):
            return records
        return [
            replace(
                record,
                loss=[loss(run) + 0.002 * (-1) ** step for step in range(len(record.loss))],
            )
            if isinstance(record, Steps)
            else record
            for record in records
        ]

    return change


def with_accuracy(accuracy: Callable[[Run], float]) -> Change:
    """Records whose validation accuracy is a function of the run."""

    def change(run: Run, records: list[Record]) -> list[Record]:
        return [
            replace(record, validation_accuracy=accuracy(run))
            if isinstance(record, Evaluation)
            else record
            for record in records
        ]

    return change


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return part_two(tmp_path_factory.mktemp("whole"), data=SAMPLE)


def test_both_readings_of_the_learning_rate_are_given(whole: StudyFolder) -> None:
    lr = found_in(whole).lr
    assert lr.answer.startswith("By the ramp, the loss begins to fall at lr_min = 0.0")
    assert " By the ten separate runs, the loss begins to fall at lr_min = " in lr.answer
    assert lr.table is not None
    assert [(row[0], row[-1]) for row in lr.table.rows] == [("ramp", "3"), ("ten runs", "1")]
    assert lr.table.rows[0][4].startswith(
        "Four fifths of the way, in decades, from where the loss begins to fall"
    )
    assert lr.notes[0].count(" to ") == 4  # of three seeds and of the band
    assert lr.notes[1].startswith("The separate runs lie 12.9 times apart")


def test_a_ramp_that_never_falls_gives_no_range(tmp_path: Path) -> None:
    lr = found_in(part_two(tmp_path, change=with_loss(lambda run: 2.3, where=is_ramp))).lr
    assert lr.answer.startswith(
        "By the ramp, no range found, because the loss never falls below its first value"
    )
    assert "Later stages train by the ramp" not in lr.answer


def test_a_test_that_never_ran_gives_no_range(tmp_path: Path) -> None:
    lr = found_in(part_two(tmp_path, skip=is_ramp)).lr
    assert lr.answer.startswith(
        "The ramp gives no range. Too few of its runs have ended well: the list of failed runs says why. By the ten "
    )
    assert lr.ramp is None


@pytest.mark.parametrize(
    ("loss", "lowest", "shape", "alike"),
    [
        (
            lambda run: 2.0 - run.batch / 8192,
            "lowest with 8192: ",
            "falls and stays low",
            False,
        ),
        (
            lambda run: abs(run.batch - 512) / 5000,
            "lowest with 512: ",
            "falls, then rises again or diverges",
            True,
        ),
        (
            lambda run: run.batch / 10_000,
            "lowest there",
            "does not fall by more than its noise",
            False,
        ),
    ],
    ids=["falling", "valley", "rising"],
)
def test_loss_by_batch_size_follows_from_the_records(
    tmp_path: Path, loss: Callable[[Run], float], lowest: str, shape: str, alike: bool
) -> None:
    batch = found_in(
        part_two(tmp_path, change=with_loss(lambda run: 0.5 + loss(run), where=of_sizes))
    ).batch
    assert lowest in batch.answer
    assert f"loss against batch size {shape}" in batch.answer
    assert batch.answer.endswith(
        "the two behave alike." if alike else "the two do not behave alike."
    )
    assert batch.found is not None
    assert batch.table is not None
    assert batch.range.limits.startswith(
        "b_min = " if batch.found.found else "No range found, because "
    )
    assert (
        bool(batch.table.bold)
        == batch.found.found
        == (shape != "does not fall by more than its noise")
    )


def test_runs_that_shared_the_machine_are_compared_by_processor_time(tmp_path: Path) -> None:
    def stretched(run: Run, records: list[Record]) -> list[Record]:
        """Wall time as it is; processor time that makes the largest batches the cheapest."""
        share = 0.01 if run.batch in (4096, 8192) else 0.9
        return [
            replace(record, train_processor_seconds=share * record.train_seconds)
            if isinstance(record, Steps | Evaluation)
            else record
            for record in records
        ]

    results = read_results(part_two(tmp_path, change=stretched))
    alone = findings(results)
    shared = findings(replace(results, plan={**results.plan, "workers": 2}))
    assert "took the least training time with batch size 128: 1.3 s" in alone.batch.range.cost
    assert (
        "took the least processor time with batch size 4096: 0.4 s" in shared.batch.range.cost
    )
    assert shared.batch.range.limits == alone.batch.range.limits
    assert [found.winner.table.headings[-2] for found in (alone, shared)] == [
        "training time, s",
        "processor time, s",
    ]
    assert [found.winner.table.rows[0][-2] for found in (alone, shared)] == ["18.0", "16.2"]
    assert (alone.winner.clock, shared.winner.clock[:28]) == (
        "",
        "Times are processor times: w",
    )


def test_sizes_that_diverged_are_named(tmp_path: Path) -> None:
    change = with_loss(
        lambda run: float("nan"), where=lambda run: of_sizes(run) and run.batch in (4096, 8192)
    )
    batch = found_in(part_two(tmp_path, change=change)).batch
    assert "Training diverged with 4096 and 8192." in batch.answer
    assert batch.table is not None
    assert [row[1] == "diverged" for row in batch.table.rows] == [False] * 6 + [True] * 2


@pytest.mark.parametrize(
    ("lost", "answer"),
    [
        (
            lambda run: run.batch == 64,
            "Training diverged at the smallest batch size already; the lowest loss, ",
        ),
        (lambda run: True, "Training diverged at every batch size."),
    ],
    ids=["smallest", "all"],
)
def test_without_the_smallest_size_there_is_no_range(
    tmp_path: Path, lost: Callable[[Run], bool], answer: str
) -> None:
    change = with_loss(lambda run: float("nan"), where=lambda run: of_sizes(run) and lost(run))
    batch = found_in(part_two(tmp_path, change=change)).batch
    assert batch.answer.startswith(answer)
    assert batch.range.limits.startswith("No range found, because training diverges at ")


def test_a_cycle_still_falling_does_not_show_convergence(
    tmp_path: Path, whole: StudyFolder
) -> None:
    def ends_high(run: Run, records: list[Record]) -> list[Record]:
        return [
            replace(record, validation_loss=0.3 if record.epoch == 1 else 0.5)
            if isinstance(record, Evaluation)
            else record
            for record in records
        ]

    before, after = found_in(whole), found_in(part_two(tmp_path, change=ends_high))
    assert "this length does not show convergence" in before.cyclical_lr.answer
    assert "lowest at epoch 1 of 2, 0.3000, and 0.5000 at the end" in after.cyclical_lr.answer
    assert "it rose after that" in after.cyclical_batch.answer


def test_how_the_batch_size_grew_follows_from_the_steps(whole: StudyFolder) -> None:
    cycle = found_in(whole).cyclical_batch
    assert cycle.policy == "exp_range(b_min=128, b_max=1024, cycles=3)"
    # 200 steps from 1024 down by 2: the first 66 and the last 66.
    assert cycle.setting.endswith(
        "a mean of 959 images over the first third of the steps, 691 over the last"
    )


def test_the_winner_follows_from_the_records(tmp_path: Path, whole: StudyFolder) -> None:
    batch_wins = with_accuracy(lambda run: 0.97 if isinstance(run.batch, Choice) else 0.9)
    before, after = (
        found_in(whole).winner,
        found_in(part_two(tmp_path, change=batch_wins)).winner,
    )
    assert before.answer.startswith(
        "Cyclical lr reached the highest validation accuracy of any epoch, 91.1"
    )
    assert after.answer.startswith(
        "Cyclical batch size reached the highest validation accuracy"
    )
    assert (before.table.rows[0][0], after.table.rows[0][0]) == (
        "cyclical lr",
        "cyclical batch size",
    )
    assert (before.table.bold, after.table.bold) == ((0,), (0,))
    assert "Means over 3 seeds" in before.certainty


def test_a_constant_policy_may_lead_without_winning_the_duel(tmp_path: Path) -> None:
    constant_wins = with_accuracy(lambda run: 0.9 if isinstance(run.lr, Choice) else 0.97)
    winner = found_in(part_two(tmp_path, change=constant_wins)).winner
    assert winner.answer.startswith("Cyclical batch size reached")
    assert "share the highest validation accuracy" in winner.beside_constants


def test_with_one_seed_no_interval_over_seeds_is_claimed(tmp_path: Path) -> None:
    found = found_in(part_two(tmp_path, skip=lambda run: run.seed > 0))
    assert found.winner.certainty.startswith("One seed each (n = 1)")
    caution = dict(found.summary)["Caution."]
    assert caution.startswith("One seed was run of the ramp, the ten rates, the batch sizes, ")
    assert [len(found.lr.notes), found.winner.table.rows[0][-1]] == [1, "1"]


def test_a_stage_without_its_range_says_why(tmp_path: Path) -> None:
    why = "stage 'batch-sizes' found no b_min for this run"
    found = found_in(part_two(tmp_path, skipped={"cyclical-batch": why}))
    assert (
        found.cyclical_batch.answer
        == f"There is no cyclical batch size to tell of. It was skipped, because {why}."
    )
    assert found.winner.answer.startswith("Cyclical lr has a validation accuracy")
    assert "nothing else has ended to compare it with" in found.winner.answer
    assert (found.cyclical_batch.policy, found.cyclical_batch.first) == ("", {})


def test_before_a_run_has_begun_every_question_says_so(tmp_path: Path) -> None:
    found = found_in(part_two(tmp_path, skip=lambda run: True, ended=None))
    assert (
        found.data.answer
        == "No run has begun and no data set is on this machine, so there is nothing to summarise."
    )
    assert "gives no range" in found.lr.answer
    assert "None of its runs has ended yet" in found.batch.answer
    assert (
        found.batch.range.answer
        == "There is no batch-size range. None of its runs has ended yet."
    )
    assert (found.network, found.winner.table.rows, found.lr.table, found.batch.table) == (
        "",
        (),
        None,
        None,
    )


def test_a_data_set_that_is_here_is_counted(whole: StudyFolder) -> None:
    data = found_in(whole).data
    assert (
        "5,000 training images, of which 500 are held out for validation, and 1,000 test images, in 10"
        in data.answer
    )
    assert data.table is not None
    assert data.table.rows[-1] == ("all", "4,500", "500", "1,000")
    assert data.table.rows[0][1:] == ("450", "50", "100")


def test_validation_images_are_told_as_the_runs_hold_them_out(whole: StudyFolder) -> None:
    results = read_results(whole).stages
    result = next(result for stage in results.values() for result in stage if result.start)
    fifth = result.run.data.model_copy(update={"validation_fraction": 0.2})
    run = result.run.model_copy(update={"data": fifth})
    found = data_findings([replace(result, run=run)])
    assert "of which 1,000 are held out" in found.answer
    assert "20 % of each class" in found.note


def test_a_data_set_that_is_not_here_is_told_by_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    data = found_in(part_two(tmp_path / "study")).data
    assert (
        data.answer
        == "The runs trained on 54,000 images, validated on 6,000 and were tested on 10,000."
    )
    assert (data.name, data.table) == ("fashion-mnist", None)


def test_the_page_says_what_was_found(whole: StudyFolder) -> None:
    text, found = sections(whole), found_in(whole)
    assert [
        subject
        for subject, sentences in found.summary
        if plain(sentences) not in text["summary"]
    ] == []
    answers = {
        "lr": found.lr.answer,
        "sizes": found.batch.answer,
        "winner": found.winner.answer,
    }
    assert [
        section for section, answer in answers.items() if plain(answer) not in text[section]
    ] == []


def test_some_of_the_sizes_decide_nothing(tmp_path: Path) -> None:
    text = sections(part_two(tmp_path, skip=lambda run: of_sizes(run) and int(run.batch) > 256))
    so_far = "sizes 3 have ended so far, and the others may change this."
    assert so_far in text["sizes"]
    assert so_far in text["range"]
    assert "alike" not in text["sizes"].split("cannot be told")[0]


@pytest.mark.parametrize(
    ("skip", "section", "reason"),
    [
        (lambda run: True, "winner", "there is no answer"),
        (is_ramp, "lr", "The ramp gives no range. None of its runs has ended yet."),
        (of_sizes, "sizes", "None of its runs has ended yet"),
    ],
    ids=["all", "ramps", "sizes"],
)
def test_a_study_in_which_little_ran_renders(
    tmp_path: Path, skip: Callable[[Run], bool], section: str, reason: str
) -> None:
    assert reason in sections(part_two(tmp_path, skip=skip, ended=None))[section]


def test_policies_that_saw_other_amounts_of_images_are_said_to(tmp_path: Path) -> None:
    def change(run: Run, records: list[Record]) -> list[Record]:
        share = 0.5 if isinstance(run.batch, Choice) else 1
        return [
            replace(record, samples=round(share * record.samples))
            if isinstance(record, Evaluation)
            else record
            for record in records
        ]

    assert found_in(part_two(tmp_path / "same")).winner.images.startswith("All saw the same")
    other = found_in(part_two(tmp_path / "other", change=change)).winner.images
    assert other.startswith("They did not see as many images, ")
    assert "with cyclical batch size, so that a longer training may be" in other


def test_a_range_of_runs_that_are_still_to_end_is_provisional(tmp_path: Path) -> None:
    def is_to_run(run: Run) -> bool:
        is_of_grid = run.evaluate == "end" and isinstance(run.lr, float) and run.steps is None
        return is_of_grid and float(str(run.lr)) > 1e-4

    answer = found_in(part_two(tmp_path, skip=is_to_run, ended=None)).lr.answer
    assert re.search(r"Of 10 separate runs \d have ended so far, and the others may", answer)
    assert "have ended so far" not in found_in(part_two(tmp_path / "whole")).lr.answer
