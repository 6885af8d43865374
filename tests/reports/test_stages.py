"""What a page says of any stage of a study: answer, scale, and a table of its runs or networks."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fake_study import part_one, with_loss, write_run

from losslab.accounting import count
from losslab.files import write_json
from losslab.reports.stages import StageView, stage_views
from losslab.spec import Count
from losslab.study.results import read_results
from losslab.study.store import StudyFolder


def views(folder: StudyFolder) -> dict[str, StageView]:
    return stage_views(read_results(folder))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return part_one(tmp_path_factory.mktemp("study"), epochs=3)


def test_the_answer_is_who_reached_the_lowest_loss_and_follows_from_the_records(
    study: StudyFolder, tmp_path: Path
) -> None:
    def adagrad_wins(run, records):  # type: ignore[no-untyped-def]
        wins = run.optimizer.name == "adagrad" and not run.model.options.get("hidden_dropout")
        return with_loss(0.001)(run, records) if wins else records

    before, after = views(study)["compare"], views(part_one(tmp_path, epochs=3, change=adagrad_wins))["compare"]
    assert re.match("input_dropout 0.0, hidden_dropout 0.0, Adam, lr .* reached the lowest", before.answer)
    assert re.match("input_dropout 0.0, hidden_dropout 0.0, AdaGrad, lr .* reached the lowest", after.answer)
    assert after.certainty.startswith("One seed each")


def test_the_scale_is_what_was_done_of_what_was_asked(study: StudyFolder, tmp_path: Path) -> None:
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
    assert table.rows[0][-5:] == ("failed", "–", "–", "–", "–")


def test_few_groups_are_drawn_as_curves_and_many_as_points(study: StudyFolder, tmp_path: Path) -> None:
    few = part_one(tmp_path, epochs=3, skip=lambda run: run.optimizer.name not in ("adam", "adagrad"))
    assert len(views(study)["compare"].losses) == 10
    assert views(study)["compare"].course == {}
    adam_and_adagrad = replace(read_results(few), stages={"compare": read_results(few).stages["compare"][:2]})
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
    facts = {"count": networks[0].model_dump(mode="json"), "environment": {}, "ledger": count("lenet5").to_dict()}
    write_json(path, facts)
    after = views(folder)["sizes"]
    assert (before.table, before.noun, before.counted) == (None, "run", True)
    assert before.scale == "0 of 2 networks counted, in evaluation mode; nothing was trained."
    assert after.table is not None
    assert after.scale.startswith("1 of 2 networks")
    assert after.table.rows[0][:2] == (ids[0], "lenet5")
    assert after.table.rows[0][5] == "61,706"
    assert after.table.links == {ids[0]: f"counts/{ids[0]}.json"}
