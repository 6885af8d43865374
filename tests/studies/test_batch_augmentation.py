"""The study batch-augmentation: what it runs, what is found in its records, and that its page shows all of it."""

import io
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_copies import COPIES, LITERAL, STUDY, part_four, with_errors
from fake_study import Change
from page_text import sections
from PIL import Image

from losslab.errors import InvalidInput
from losslab.policies import LR_POLICIES
from losslab.policies.horizon import Horizon
from losslab.records import Evaluation, Record
from losslab.reports.render import render, report
from losslab.spec import Run
from losslab.studies.batch_augmentation.findings import Findings, findings
from losslab.studies.batch_augmentation.pictures import pictures
from losslab.study.costs import Cost
from losslab.study.engines import Engine
from losslab.study.engines.local import Event, Task, Yielded
from losslab.study.facts import describe_scale
from losslab.study.ladder import at_rung
from losslab.study.load import load_study, study_home
from losslab.study.plan import Plan
from losslab.study.planning import plan
from losslab.study.results import read_results
from losslab.study.stages import Scale, expand
from losslab.study.store import StudyFolder

pytestmark = pytest.mark.usefixtures("instant_planning")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = part_four(tmp_path_factory.mktemp("small"))
    report(folder.path)
    return folder


@pytest.mark.parametrize("stage", STUDY.stages, ids=lambda stage: stage.name)
def test_each_stage_trains_both_baselines_and_every_number_of_copies(stage: Any) -> None:
    runs = expand(stage)
    cutout = [
        run.repeats
        for run in runs
        if [each.name for each in run.augment] == ["pad_crop", "flip", "cutout"]
    ]
    simple = [
        run.repeats
        for run in runs
        if [each.name for each in run.augment] == ["pad_crop", "flip"]
    ]
    assert (cutout, simple) == ([32, 16, 8, 4, 2, 1], [1])
    assert {(run.model.name, run.batch, run.epochs, run.weight_decay) for run in runs} == {
        ("resnet-44", 64, 100, 1e-4)
    }
    assert {(run.optimizer.name, run.optimizer.momentum, run.test) for run in runs} == {
        ("sgd", 0.9, True)
    }  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("stage", "drops"),
    [(LITERAL, [81, None]), (COPIES, [49, 74])],
    ids=["literal", "compressed"],
)
def test_the_learning_rate_drops_where_it_should(stage: Any, drops: list[int | None]) -> None:
    policy = expand(stage)[0].lr
    steps = 704  # of 45,000 images in 64s
    seen = tuple(
        min(step * 64, 45_000) if step <= steps else step // steps * 45_000
        for step in range(100 * steps + 1)
    )
    horizon = Horizon(100 * steps, images=45_000, epochs=100.0, seen=sorted(seen))
    schedule = LR_POLICIES["piecewise"](horizon, **policy.options)
    lrs = [schedule(epoch * steps + steps // 2) for epoch in range(100)]
    assert [lrs.index(lr) if lr in lrs else None for lr in (0.01, 0.001)] == drops


SECONDS = {"resnet-44": 0.4, "patchnet": 0.1, "resnet-8": 0.05}
"""Of a step, by network."""


def plan_within(budget_seconds: float | None) -> Plan:
    def run_tasks(tasks: Iterable[Task], **_: int) -> Iterator[Event]:
        for task in tasks:
            seconds = SECONDS[task.arguments[0].model.name]
            level = ((64, seconds), (65, seconds))  # whatever the number of images
            yield Yielded(task.key, {"contiguous": Cost(level, 1e-4, 1.0, 10**6)})

    here = Engine("local", run_tasks, lambda threads: 2 // threads)
    return plan(STUDY, engine=here, budget_seconds=budget_seconds)


def test_at_full_scale_both_stages_train_the_network_of_the_question() -> None:
    full = plan_within(None)
    assert [(stage.stage.name, len(stage.runs)) for stage in full.stages] == [
        ("literal", 7),
        ("copies", 7),
    ]
    assert {run.model.name for run in full.runs} == {"resnet-44"}


@pytest.mark.parametrize(
    ("hours", "network", "copies", "least_epochs"),
    [
        (30.0, "resnet-44", [16, 8, 4, 2, 1], 100),
        (10.0, "resnet-44", [2, 1], 40),
        (0.6, "patchnet", [8, 4, 2, 1], 5),
        (0.015, "patchnet", [2, 1], 2),
        (0.007, "resnet-8", [2, 1], 4),
    ],
)
def test_a_smaller_budget_asks_a_smaller_question(
    hours: float, network: str, copies: list[int], least_epochs: int
) -> None:
    short = plan_within(hours * 3600)
    assert [stage.stage.name for stage in short.stages] == ["copies"]
    assert {run.model.name for run in short.runs} == {network}
    assert list(dict.fromkeys(run.repeats for run in short.runs)) == copies
    assert (short.runs[0].epochs or 0) >= least_epochs
    assert short.seconds <= hours * 3600
    if network != "resnet-44":
        assert f"rung {network} of the ladder" in describe_scale(short)


def test_no_later_stage_may_rest_on_one_that_a_budget_leaves_out(tmp_path: Path) -> None:
    text = (study_home(STUDY.name) / "study.toml").read_text()
    text = text.replace("full_only = true", 'full_only = true\nfinding = "best"')
    lr = 'lr = "piecewise(values=[0.1, 0.01, 0.001], fractions=[0.494, 0.744])"'
    (tmp_path / "study.toml").write_text(text.replace(lr, 'lr = "@literal.lr~0.1"'))
    with pytest.raises(InvalidInput, match="unknown earlier stage with a finding"):
        load_study(str(tmp_path / "study.toml"))


@pytest.mark.parametrize("question", ["cutout", "simple", "copies", "equal", "scale"])
def test_every_section_has_answer_scale_command_and_records(
    small: StudyFolder, question: str
) -> None:
    page = (small.path / "report.html").read_text(encoding="utf-8")
    text = re.search(rf'<section id="{question}".*?</section>', page, re.DOTALL)
    assert text is not None
    wanted = [
        'class="answer"',
        "losslab study run batch-augmentation --budget 15m",
        'href="#runs-copies"',
        "7 runs",
    ]
    assert [part for part in wanted if part not in text[0]] == []


def test_every_figure_has_its_files_and_every_picture_its_words(small: StudyFolder) -> None:
    page = (small.path / "report.html").read_text(encoding="utf-8")
    names = re.findall(r'<figure class="figure" id="([a-z0-9-]+)"', page)
    assert names == ["baselines", "error-epoch", "error-update", "error-time", "equal-means"]
    assert {path.name for path in (small.path / "figures").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    }
    shown = re.findall(
        r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)" width="96" height="96">', page
    )
    assert len(shown) == page.count("<img") == 12
    assert all(words.startswith(("A horse", "A ship")) for words, _ in shown)


def test_the_pictures_differ_by_an_erased_square_alone() -> None:
    cutout = pictures().cutout
    pixels = [
        np.asarray(Image.open(io.BytesIO(b64decode(picture.png)))).astype(int)
        for picture in cutout
    ]
    for picture, before, after in zip(cutout[1::2], pixels[::2], pixels[1::2], strict=True):
        rows, columns = np.nonzero((before != after).any(2))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert f"{height} by {width} pixels erased" in picture.words
        assert len({tuple(pixel) for pixel in after[rows, columns]}) == 1


def test_the_erased_area_is_what_the_report_says() -> None:
    sides = [min(centre + 8, 32) - max(centre - 8, 0) for centre in range(32)]
    areas = [height * width for height in sides for width in sides]
    assert (min(areas), max(areas), sum(areas) / len(areas)) == (64, 256, 196)


def found_in(folder: StudyFolder) -> Findings:
    return findings(read_results(folder))


def plain(text: str) -> str:
    """A sentence in single spaces, as a reader compares it."""
    return " ".join(text.split())


def with_accuracy(accuracy: Callable[[Run, float], float]) -> Change:
    """Records whose validation accuracy is a function of run and epoch."""

    def change(run: Run, records: list[Record]) -> list[Record]:
        return [
            replace(record, validation_accuracy=accuracy(run, record.epoch))
            if isinstance(record, Evaluation)
            else record
            for record in records
        ]

    return change


def test_a_miss_is_a_miss(small: StudyFolder) -> None:
    race = found_in(small).race
    assert (
        "No M reached 94 % validation accuracy, so there is no time to it. The best was"
        in race.answer
    )
    assert "(M = 32, epoch 4, after 21 min 20 s of training)" in race.answer
    assert [row[:4] for row in race.table.rows] == [
        (f"M = {m}", "missed", "–", "–") for m in (1, 2, 4, 8, 16, 32)
    ]


def test_reaching_the_target_is_told_with_its_epoch_and_time(tmp_path: Path) -> None:
    race = found_in(part_four(tmp_path, change=with_errors({4: 0.055, 16: 0.05}))).race
    assert plain(race.answer) == (
        "M = 4 and M = 16 reached 94 % validation accuracy; M = 1, M = 2, M = 8 and M = 32 did not. M = 4 and M = 16 "
        "did so in the fewest epochs, 2, and M = 4 in the least training time, 1 min 20 s."
    )
    assert race.table.rows[2][:4] == ("M = 4", "2", "64", "1 min 20 s")


def test_a_target_that_some_seeds_reach_says_how_many(tmp_path: Path) -> None:
    reached = with_accuracy(lambda run, epoch: 0.95 if run.seed < 2 and epoch >= 3 else 0.9)
    table = found_in(part_four(tmp_path, seeds=3, change=reached)).race.table
    assert {row[1] for row in table.rows} == {"3 (2 of 3 seeds)"}
    assert {len(ids) for ids in table.records} == {3}


def test_where_the_target_is_missed_runs_are_compared_by_what_all_reached(
    tmp_path: Path,
) -> None:
    race = found_in(
        part_four(tmp_path, change=with_accuracy(lambda run, epoch: 0.29 * epoch / 2))
    ).common_race
    assert race is not None
    assert (race.goal, race.table.rows[0]) == ("58", ("M = 1", "4", "128", "40.0 s"))


@pytest.mark.parametrize(
    "accuracy", [0.96, 0.001], ids=["all reach the target", "none reaches a percent"]
)
def test_no_common_accuracy_is_shown_where_it_says_nothing(
    tmp_path: Path, accuracy: float
) -> None:
    assert (
        found_in(
            part_four(tmp_path, change=with_accuracy(lambda run, epoch: accuracy))
        ).common_race
        is None
    )


def test_the_leader_and_the_effect_of_cutout_follow_from_the_records(
    tmp_path: Path, small: StudyFolder
) -> None:
    def cutout_hurts(run: Run, records: list[Record]) -> list[Record]:
        return with_errors({1: 0.5 if run.augment[-1].name == "cutout" else 0.3, 2: 0.2})(
            run, records
        )

    before, after = found_in(small), found_in(part_four(tmp_path, change=cutout_hurts))
    assert "M = 32 reached the lowest validation error" in before.comparison.after_updates
    assert (
        "M = 2 reached the lowest validation error after equal updates, 20.0"
        in after.comparison.after_updates
    )
    assert [table.bold for table in (before.comparison.table, after.comparison.table)] == [
        (5,),
        (1,),
    ]
    assert "Cutout lowered the final validation error" in before.single.cutout
    assert (
        plain(after.single.cutout)
        == "Cutout raised the final validation error, to 50.0 % from 30.0 % without."
    )
    assert (
        "validation error was 30.0 % after 4 epochs (95 % interval 28.7 % to 31.3 %)"
        in plain(after.single.answer)
    )


def test_differences_within_chance_are_told_as_such(tmp_path: Path) -> None:
    errors = {1: 0.5, 2: 0.501, 4: 0.502, 8: 0.503, 16: 0.504, 32: 0.505}
    found = found_in(part_four(tmp_path, change=with_errors(errors)))
    assert " ".join(found.comparison.after_updates.split()).startswith(
        "M = 1 (50.0 %), M = 2 (50.1 %), M = 4 (50.2 %), M = 8 (50.3 %), M = 16 (50.4 %) and M = 32 (50.5 %) have "
        "the lowest"
    )
    assert found.comparison.table.bold == (0, 1, 2, 3, 4, 5)
    assert (
        "Cutout left the final validation error the same within chance" in found.single.cutout
    )


def test_equal_time_counts_only_what_ended_within_it(small: StudyFolder) -> None:
    comparison = found_in(small).comparison
    assert comparison.after_time.startswith(
        "Within 40.0 s of training, all that the shortest run took: "
    )
    assert comparison.after_time.endswith(
        "M = 8, M = 16 and M = 32 had not ended one epoch by then."
    )
    assert (
        comparison.cost
        == "Equal epochs took 2.00 times (M = 2) to 32.0 times (M = 32) as long as with M = 1."
    )
    assert [row[7] for row in comparison.table.rows] == ["4", "2", "1", "none", "none", "none"]


def with_processor_time(factor: Callable[[Run], float | None]) -> Change:
    """Records whose processor time is so many times their wall time, or was not measured."""

    def change(run: Run, records: list[Record]) -> list[Record]:
        times = factor(run)
        return [
            replace(
                record,
                train_processor_seconds=None if times is None else times * record.train_seconds,
            )
            if isinstance(record, Evaluation)
            else record
            for record in records
        ]

    return change


def test_runs_that_shared_the_machine_are_compared_by_processor_time(tmp_path: Path) -> None:
    """Other work took three quarters of the time of M = 2 and half of that of all others."""
    change = with_processor_time(lambda run: 0.25 if run.repeats == 2 else 0.5)
    found = found_in(part_four(tmp_path, change=change, workers=2))
    assert (
        found.comparison.cost
        == "Equal epochs took, in processor time, 1.00 times (M = 2) to 32.0 times (M = 32) as long as with M = 1."
    )
    assert found.comparison.after_time.startswith("Within 20.0 s of processor time, ")
    assert "(M = 32, epoch 4, after 10 min 40 s of processor time)" in found.race.answer
    assert (found.time, found.race.table.headings[3], found.comparison.table.headings[5]) == (
        "processor time",
    ) * 3
    assert found.comparison.note.startswith(
        "Processor times were measured with 2 runs at once on one machine; what"
    )
    assert found.errors_by_time["M = 2"].epochs == (5.0, 10.0, 15.0, 20.0)
    assert "Equal processor time." in dict(found.summary)


@pytest.mark.parametrize(
    ("factor", "workers"),
    [(lambda run: 0.5, 1), (lambda run: None if run.repeats == 8 else 0.5, 2)],
    ids=["alone on the machine", "one run without processor time"],
)
def test_other_runs_are_compared_by_wall_time(
    tmp_path: Path, factor: Callable[[Run], float | None], workers: int
) -> None:
    found = found_in(part_four(tmp_path, change=with_processor_time(factor), workers=workers))
    assert found.comparison.after_time.startswith("Within 40.0 s of training, ")
    assert found.time == "training time"


CAUTIONS = ("another seed", "trained to the end", "anything about ResNet-44", "all of CIFAR-10")


def test_what_may_be_concluded_depends_on_the_scale(tmp_path: Path, small: StudyFolder) -> None:
    limited, full = found_in(small), found_in(part_four(tmp_path, scale=Scale(), seeds=2))
    assert (
        "small version of the study: ResNet-8, 4 of 100 epochs, 2,000 training images"
        in limited.scope.answer
    )
    assert "full scale: ResNet-44, 100 epochs, 45,000 training images" in full.scope.answer
    assert [found.scope.limited for found in (limited, full)] == [True, False]
    assert [caution in " ".join(limited.scope.not_concluded) for caution in CAUTIONS] == [
        True
    ] * 4
    assert [caution in " ".join(full.scope.not_concluded) for caution in CAUTIONS] == [
        False
    ] * 4
    assert "Means over 2 seeds" in full.comparison.certainty


def test_the_page_tells_how_another_network_was_trained(tmp_path: Path) -> None:
    (copies,) = at_rung(STUDY, "patchnet").stages
    folder = part_four(tmp_path, asked=[copies], scale=Scale(), change=with_errors({4: 0.09}))
    text, found = sections(folder), found_in(folder)
    setting = found.single.setting
    assert "2 pixels of the image's own reflection" in setting
    assert "a flip in every other epoch and copy" in setting
    assert (
        "Nesterov's momentum 0.85, batches of 512, weight decay 0.00133 and rates by group"
        in setting
    )
    assert (
        "The loss is cross_entropy(label_smoothing=0.2). Products and convolutions are in bf16."
        in setting
    )
    assert "one_cycle(max_lr=0.75" in setting
    assert "Each step takes 512 images M times" in text["copies"]
    assert "In the comparison above the rate has no such drops" in text["copies"]
    assert "He et al.'s augmentation" not in setting
    assert any(
        "no run came that far in 5 epochs" in caution for caution in found.scope.not_concluded
    )


def test_other_images_are_named_and_are_no_full_scale(tmp_path: Path) -> None:
    copies = COPIES.model_copy(update={"base": {**COPIES.base, "data": "fashion-mnist-sample"}})
    scope = found_in(part_four(tmp_path, asked=[copies], scale=Scale())).scope
    assert scope.limited
    assert "small version of the study: ResNet-44, 100 of 100 epochs" in scope.answer
    assert "training images of fashion-mnist-sample" in scope.answer
    assert "anything about CIFAR-10" in " ".join(scope.not_concluded)


def test_literal_drops_are_shown_at_full_scale_and_their_trap_is_told(
    tmp_path: Path, small: StudyFolder
) -> None:
    at_the_drop = with_accuracy(
        lambda run, epoch: 0.95 if epoch >= (82 if run.repeats >= 4 else 99) else 0.9
    )
    assert found_in(small).literal_race is None
    literal = found_in(part_four(tmp_path, scale=Scale(), change=at_the_drop)).literal_race
    assert literal is not None
    assert (
        "M = 4, M = 8, M = 16 and M = 32 did so within two epochs of the drop at epoch 81"
        in literal.answer
    )


def test_before_a_run_has_ended_there_is_no_answer(tmp_path: Path) -> None:
    found = found_in(part_four(tmp_path, skip=lambda run: True))
    assert [
        found.single.answer.endswith("no answer."),
        found.race.answer.endswith("no answer."),
    ] == [True, True]
    assert (
        found.race.table.rows,
        found.single.table,
        found.scope.answer,
        found.single.setting,
    ) == ((), None, "", "")
    assert [subject for subject, _ in found.summary] == [
        "Simple augmentation.",
        "To 94 %.",
        "Equal epochs and updates.",
    ]


COPIES_SIMPLE = expand(COPIES)[-1]


@pytest.mark.parametrize(
    "skip", [lambda run: True, lambda run: run.repeats > 1, lambda run: run.repeats < 4]
)
def test_an_unfinished_study_renders_and_says_so(
    tmp_path: Path, skip: Callable[[Run], bool]
) -> None:
    text = sections(part_four(tmp_path, skip=skip, ended=None))
    assert "not come to its end" in text[""]
    assert ("no answer" in text["simple"]) == skip(COPIES_SIMPLE)


def test_the_page_says_what_was_found(small: StudyFolder) -> None:
    text, found = sections(small), found_in(small)
    assert [
        subject
        for subject, sentences in found.summary
        if plain(sentences) not in text["summary"]
    ] == []
    assert plain(found.race.answer) in text["copies"]
    assert "was not part of this one" in text["copies"]
    assert [
        caution for caution in found.scope.not_concluded if caution not in text["scale"]
    ] == []


def test_images_of_the_page_come_from_within_it(small: StudyFolder) -> None:
    shell = re.sub(r"<script.*?</script>", "", render(read_results(small), {}), flags=re.DOTALL)
    assert all(
        source.startswith("data:image/png;base64,")
        for source in re.findall(r'src="([^"]*)"', shell)
    )


def test_a_miss_is_not_rounded_to_the_target(tmp_path: Path) -> None:
    found = found_in(part_four(tmp_path, change=with_errors({2: 0.0604})))
    assert "The best was 93.96 % (M = 2" in found.race.answer
    assert ("M = 2", "missed", "–", "–", "93.96 %") in {
        row[:5] for row in found.race.table.rows
    }


def test_seeds_that_missed_keep_a_group_from_being_first(tmp_path: Path) -> None:
    """Of two copies one seed of three comes there, and soonest."""

    def change(run: Run, records: list[Record]) -> list[Record]:
        error = {4: 0.05, 2: 0.05 if run.seed == 0 else 0.5}.get(run.repeats, 0.5)
        return with_errors({run.repeats: error})(run, records)

    answer = found_in(part_four(tmp_path, seeds=3, change=change)).race.answer
    assert answer.startswith(
        "M = 2 (1 of 3 seeds) and M = 4 reached 94 % validation accuracy; "
    )
    assert "M = 4 did so with every seed after 2 epochs and " in answer


def test_those_that_tie_in_epochs_have_their_own_numbers(tmp_path: Path) -> None:
    """Two copies are there after an epoch with every seed, four at once, at once and late."""

    def change(run: Run, records: list[Record]) -> list[Record]:
        return [
            replace(record, **_error(run, record.epoch))
            if isinstance(record, Evaluation)
            else record
            for record in records
        ]

    def _error(run: Run, epoch: float) -> dict[str, float]:
        first = {2: 1, 4: (1, 1, 3)[run.seed]}.get(run.repeats, 99)
        return {"validation_accuracy": 0.95 if epoch >= first else 0.5}

    answer = found_in(part_four(tmp_path, seeds=3, change=change)).race.answer
    assert "M = 2 (1) and M = 4 (1.67) did so in the fewest epochs, and " in answer
