"""What a page says of any stage of a study: answer, scale, and a table of its runs or networks."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fake_ranges import part_two
from fake_study import part_one, write_run

from losslab.accounting import count
from losslab.analysis.runs import failed_runs
from losslab.analysis.sentences import NO_ANSWER
from losslab.files import write_json
from losslab.plots.figures import Figure
from losslab.records import Evaluation, Final, Record, Start, Steps
from losslab.reports.render import render, report
from losslab.reports.stages import StageView, stage_views
from losslab.spec import Count, Run, make_run
from losslab.study.findings import batch_range_of, lr_range_of
from losslab.study.results import read_results
from losslab.study.store import StudyFolder
from losslab.text import cell


def views(folder: StudyFolder) -> dict[str, StageView]:
    return stage_views(read_results(folder))


def validated_with(loss: float | None, records: list[Record]) -> list[Record]:
    """The records with this validation loss throughout."""
    return [
        replace(row, validation_loss=loss) if isinstance(row, Evaluation) else row
        for row in records
    ]


def regression(
    path: Path, losses: dict[float, float], *, loss: str = "mse", seeds: int = 1
) -> StudyFolder:
    """A study of a table of numbers, a run for each learning rate; lr -> its validation loss."""
    folder = StudyFolder(path)
    folder.prepare()
    ids = []
    for seed in range(seeds):
        for lr, validation_loss in losses.items():
            fields = {
                "data": "table:rows",
                "model": "mlp",
                "optimizer": "adam",
                "batch": 8,
                "epochs": 1,
                "loss": loss,
            }
            run = make_run({**fields, "lr": lr, "metrics": ["mae"], "seed": seed})
            mae = validation_loss / 2 + 0.25 * seed
            evaluation = Evaluation(
                9, 1.0, 72, 1 / lr, None, 0.0, 1 / lr, None, validation_loss, None, 1.0, 0.1,
                metrics={"validation_mae": mae, "averaged_validation_mae": 9.0},
            )  # fmt: skip
            final = Final(9, "1" * 64, 0.75, None, 1.0, 0.1, metrics={"test_mae": 0.0625})
            write_run(folder, run, [Start(10, "0" * 64, 72, 8, 8, 9), evaluation, final])
            ids.append(run.id)
    stage = {"name": "fit", "question": "Which rate fits best?", "runs": ids}
    folder.write_plan({"study": {"name": "table", "title": "A table"}, "stages": [stage]})
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return part_one(tmp_path_factory.mktemp("study"), epochs=3)


def test_the_answer_is_who_reached_the_lowest_loss_and_follows_from_the_records(
    study: StudyFolder, tmp_path: Path
) -> None:
    def adagrad_wins(run, records):  # type: ignore[no-untyped-def]
        wins = run.optimizer.name == "adagrad" and not run.model.options.get("hidden_dropout")
        return validated_with(0.001, records) if wins else records

    before, after = (
        views(study)["compare"],
        views(part_one(tmp_path, epochs=3, change=adagrad_wins))["compare"],
    )
    assert re.match(
        "input_dropout 0.0, hidden_dropout 0.0, Adam, lr .* reached the lowest", before.answer
    )
    assert re.match(
        "input_dropout 0.0, hidden_dropout 0.0, AdaGrad, lr .* reached the lowest", after.answer
    )
    assert after.certainty.startswith("One seed each")


def test_a_stage_is_judged_on_validation_loss_although_another_run_has_the_lower_training_loss(
    tmp_path: Path,
) -> None:
    view = views(regression(tmp_path, {0.1: 0.5, 1.0: 0.75}))["fit"]
    assert (
        view.answer
        == "lr 0.1 reached the lowest final validation loss, 0.5000, ahead of lr 1.0 with 0.7500."
    )
    assert {label: estimate.mean for label, estimate in view.losses.items()} == {
        "lr 0.1": 0.5,
        "lr 1.0": 0.75,
    }


def test_one_run_without_validation_leaves_the_training_loss_for_all(tmp_path: Path) -> None:
    def unvalidated(run, records):  # type: ignore[no-untyped-def]
        return validated_with(None, records) if run.optimizer.name == "adam" else records

    view = views(part_one(tmp_path, epochs=3, change=unvalidated))["compare"]
    assert "Adam, lr 0.0001 reached the lowest final training loss" in view.answer
    assert view.quantity == "training loss"


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("mse", "mean squared error"),
        ("cross_entropy", "cross-entropy"),
        ("table:huber", "huber"),
    ],
)
def test_the_axis_names_the_loss_of_the_runs(tmp_path: Path, loss: str, name: str) -> None:
    shown: dict[str, Figure] = {}
    render(read_results(regression(tmp_path, {0.1: 0.5, 1.0: 0.75}, loss=loss)), shown)
    (figure,) = shown.values()
    assert (figure.title, figure.y_label) == ("Final validation loss", name)


def test_the_metrics_of_the_task_are_in_a_line_and_in_the_table_and_no_accuracy_is_named(
    tmp_path: Path,
) -> None:
    folder = regression(tmp_path, {0.1: 0.5, 1.0: 0.75}, seeds=2)
    view = views(folder)["fit"]
    # The mean of 0.25 and 0.5, the scores of two seeds.
    assert view.scores == "lr 0.1: validation mae 0.3750; test loss 0.7500, mae 0.0625."
    assert view.table is not None
    metrics = (
        "training loss",
        "validation loss",
        "validation mae",
        "test loss",
        "test mae",
        "training time",
    )
    assert view.table.headings[-6:] == metrics
    assert view.table.rows[0][-6:] == ("10.00", "0.5000", "0.2500", "0.7500", "0.0625", "1.0 s")
    page = render(read_results(folder), {})
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    assert view.scores in body
    assert "accuracy" not in body.lower()
    assert "cross-entropy" not in body.lower()


def test_a_task_of_classes_shows_its_accuracy(study: StudyFolder) -> None:
    view = views(study)["compare"]
    assert view.table is not None
    assert {"validation accuracy", "test loss", "test accuracy"} <= set(view.table.headings)
    assert "validation accuracy 50.00%; test loss 1.4000, accuracy 52.80%" in view.scores


def test_the_scale_is_what_was_done_of_what_was_asked(
    study: StudyFolder, tmp_path: Path
) -> None:
    assert views(study)["compare"].scale == (
        "3 of 200 epochs, 45,000 training images, 1 seed, 10 of 10 runs ended well."
    )
    half = part_one(tmp_path, epochs=3, seeds=2, skip=lambda run: run.seed == 1)
    assert views(half)["compare"].scale.endswith("2 seeds, 10 of 20 runs ended well.")


def test_a_skipped_stage_says_why(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2, skip=lambda run: True)
    stages = [{**stage, "skipped": "nothing was found"} for stage in folder.plan["stages"]]
    folder.write_plan({**folder.plan, "stages": stages})
    view = views(folder)["compare"]
    assert view.scale == "Skipped, because nothing was found."
    assert view.table is None


def test_every_run_is_in_the_table_with_the_fields_that_differ(study: StudyFolder) -> None:
    table = views(study)["compare"].table
    assert table is not None
    assert table.headings[0] == "run"
    assert {"optimizer.name", "model.hidden_dropout", "lr"} <= set(table.headings)
    runs = read_results(study).stages["compare"]
    assert [row[0] for row in table.rows] == [result.run.id for result in runs]
    assert set(table.links) == {result.run.id for result in runs}


def test_a_run_without_an_evaluation_has_dashes(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    result = read_results(folder).stages["compare"][0]
    write_run(folder, result.run, [], "failed", "x")
    table = views(folder)["compare"].table
    assert table is not None
    assert table.rows[0][-5:] == ("–", "–", "–", "–", "–")
    assert table.rows[0][table.headings.index("status")] == "failed"


def test_few_groups_are_drawn_as_curves_and_many_as_points(
    study: StudyFolder, tmp_path: Path
) -> None:
    few = part_one(
        tmp_path, epochs=3, skip=lambda run: run.optimizer.name not in ("adam", "adagrad")
    )
    assert len(views(study)["compare"].losses) == 10
    assert views(study)["compare"].course == {}
    adam_and_adagrad = replace(
        read_results(few), stages={"compare": read_results(few).stages["compare"][:2]}
    )
    assert len(stage_views(adam_and_adagrad)["compare"].course) == 2


def test_networks_are_counted_and_linked(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.prepare()
    networks = [Count.model_validate({"model": name}) for name in ("lenet5", "alexnet")]
    ids = [network.id for network in networks]
    folder.write_plan({"study": {}, "stages": [{"name": "sizes", "runs": [], "counts": ids}]})
    before = views(folder)["sizes"]
    path = folder.count_path(ids[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "count": networks[0].model_dump(mode="json"),
        "environment": {},
        "ledger": count("lenet5").to_dict(),
    }
    write_json(path, facts)
    after = views(folder)["sizes"]
    assert (before.table, before.noun, before.counted) == (None, "run", True)
    assert before.scale == "0 of 2 networks counted, in evaluation mode; nothing was trained."
    assert after.table is not None
    assert after.scale.startswith("1 of 2 networks")
    assert after.table.rows[0][:2] == (ids[0], "lenet5")
    assert after.table.rows[0][5] == "61,706"
    assert after.table.links == {ids[0]: f"counts/{ids[0]}.json"}


def test_a_stage_of_which_a_part_was_skipped_states_its_scale(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    stages = [
        {**stage, "skipped": "nothing was found for one"} for stage in folder.plan["stages"]
    ]
    folder.write_plan({**folder.plan, "stages": stages})
    assert "2 of 200 epochs" in views(folder)["compare"].scale
    assert failed_runs(read_results(folder)) == []


@pytest.mark.usefixtures("no_drawing")
def test_a_run_without_a_readable_spec_costs_no_other(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    damaged = next(folder.path.glob("runs/*/run.json"))
    damaged.write_text("{", encoding="utf-8")
    results = read_results(folder)
    assert sum(map(len, results.stages.values())) == len(list(folder.path.glob("runs/*"))) - 1
    assert list(results.damaged) == [f"runs/{damaged.parent.name}/run.json"]
    report(folder.path)


@pytest.mark.usefixtures("no_drawing")
def test_any_name_of_a_folder_is_reported(tmp_path: Path) -> None:
    for name in ("Exp_1", "2024 runs", "one"):
        part_one(tmp_path / name, epochs=2)
    page = report(tmp_path).read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    # A name that begins with a digit is no id.
    assert all(f"{prefix}-summary" in ids for prefix in ("study-1", "study-2", "one"))


def test_a_length_that_the_study_leaves_open_is_said_as_it_was_planned(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    plan = folder.plan
    plan["stages"][1] |= {"skipped": "stage 'search' found no lr for adam"}
    plan["stages"][1]["asked"] |= {"epochs": "@search.epochs~5", "seeds": 1}
    plan["stages"][1]["planned"] |= {"seeds": 3}
    folder.write_plan(plan)
    assert views(folder)["compare"].scale == (
        "2 epochs, 45,000 training images, 3 seeds, 10 of 10 runs ended well. Others were skipped, because stage "
        "'search' found no lr for adam."
    )


def test_a_range_test_is_answered_by_its_range_and_not_by_a_ranking(tmp_path: Path) -> None:
    folder = part_two(tmp_path)
    results = read_results(folder)
    lr_range = lr_range_of(results.stages["lr-ramp"])
    batch_range = batch_range_of(results.stages["batch-sizes"])
    assert lr_range is not None
    assert batch_range is not None
    ramp, sizes = views(folder)["lr-ramp"], views(folder)["batch-sizes"]
    assert ramp.answer.startswith(f"All runs: lr_min {cell(lr_range.lr_min)}, lr_max ")
    assert f"suggestion {cell(lr_range.suggestion)} by rule valley" in ramp.answer
    assert sizes.answer.startswith(f"All runs: b_min {batch_range.b_min}, b_max ")
    assert "noise scale" not in sizes.answer
    assert (ramp.losses, ramp.scores, ramp.certainty) == ({}, "", "")
    # Of a study that ships no page of its own.
    mine = replace(results, plan={**results.plan, "study": {"name": "mine", "title": "Mine"}})
    shown: dict[str, Figure] = {}
    page = render(mine, shown)
    assert ramp.answer in page
    assert {"lr-ramp-range-1", "batch-sizes-range-1"} <= shown.keys()
    assert [mark.label.split()[0] for mark in shown["lr-ramp-range-1"].marks] == [
        "lr_min",
        "suggestion",
        "lr_max",
    ]


def test_each_group_of_a_range_test_has_its_range_or_the_reason_why_not(tmp_path: Path) -> None:
    def flat_at_first(run: Run, records: list[Record]) -> list[Record]:
        if run.seed:
            return records
        return [
            replace(row, loss=[2.0] * len(row.loss)) if isinstance(row, Steps) else row
            for row in records
        ]

    folder = part_two(tmp_path, change=flat_at_first, skip=lambda run: run.seed == 2)
    plan = folder.plan
    for stage in plan["stages"]:
        if stage["name"] == "lr-ramp":
            stage["group"] = ["seed"]
    folder.write_plan(plan)
    view = views(folder)["lr-ramp"]
    assert re.match("seed 0: no range found, because .* seed 1: lr_min ", view.answer)
    assert len(view.ranges) == 2
    none = views(part_two(tmp_path / "none", skip=lambda run: True))["lr-ramp"]
    assert (none.answer, none.ranges) == (NO_ANSWER, ())


def test_runs_that_differ_in_their_seed_alone_are_one_setting(tmp_path: Path) -> None:
    view = views(regression(tmp_path, {0.1: 0.5}, seeds=2))["fit"]
    assert view.answer.startswith("The only setting has a final validation loss of 0.5000")
