"""What a stage finds in the runs of a range test, and how a later stage trains with it."""

import contextlib
from pathlib import Path
from typing import Any

from samples import tiny_data

from losslab.choice import Choice
from losslab.errors import Diverged
from losslab.ranges.runs import batch_runs, lr_runs
from losslab.records import Record, Start, Steps
from losslab.spec import Run, make_run
from losslab.study.findings import FINDINGS, batch_range_of, lr_range_of
from losslab.study.load import load_study
from losslab.study.results import RunResult
from losslab.study.stages import expand
from losslab.training.loop import train

DATA = tiny_data()
FIELDS = {
    "data": "samples:tiny_data",
    "model": "mlp(hidden=[16])",
    "optimizer": "adam",
    "batch": 16,
    "steps": 60,
}


def results_of(fields: dict[str, Any], seeds: int, **ramp: float) -> list[RunResult]:
    runs = (
        lr_runs(fields, seeds=seeds, **ramp)
        if ramp
        else [
            run for size in (8, 32, 128) for run in batch_runs(fields, size=size, seeds=seeds)
        ]
    )
    return [RunResult(run, "done", "", {}, tuple(train(run, dataset=DATA))) for run in runs]


def test_a_stage_finds_an_lr_range_for_each_group() -> None:
    results = [
        result
        for optimizer in ("adam", "sgd")
        for result in results_of(
            {**FIELDS, "optimizer": optimizer, "steps": 100}, 2, start=1e-7, end=1.0
        )
    ]
    found = FINDINGS["lr_range"](results, ["optimizer.name"])
    assert [fields["optimizer"]["name"] for fields in found] == ["adam", "sgd"]
    assert all(fields["lr_min"] < fields["suggestion"] <= fields["lr_max"] for fields in found)
    flat = results_of({**FIELDS, "steps": 40}, 1, start=1e-12, end=1e-10)
    assert FINDINGS["lr_range"](flat, []) == []


def test_a_stage_finds_a_batch_range() -> None:
    fields = {**FIELDS, "lr": 0.01, "steps": 20}
    # The loss falls between 16 and 64 images, by a known amount, and a little noise is on each step.
    levels = {8: 2.0, 16: 2.0, 32: 1.5, 64: 1.0, 128: 1.0}
    results = []
    for size, level in levels.items():
        for run in batch_runs(fields, size=size, seeds=2):
            losses = [level + 0.001 * (-1) ** (step + run.seed) for step in range(20)]
            steps = Steps(0, [0.01] * 20, [size] * 20, losses, [], 1.0)
            records = (Start(1, "same", 200, 0, 0, 20), steps)
            results.append(RunResult(run, "done", "", {}, records))
    found = FINDINGS["batch_range"](results, [])
    assert [(fields["b_min"], fields["b_max"]) for fields in found] == [(16, 64)]


def test_the_documented_study_feeds_its_range_to_the_training_after_it(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "range-tests.md").read_text()
    text = page.split("```toml\n")[1].split("```")[0]
    for fashion, tiny in (
        ("fashion-mnist", "samples:tiny_data"),
        ("lenet5", "mlp(hidden=[16])"),
        ("64", "8"),
    ):
        text = text.replace(f'"{fashion}"', f'"{tiny}"').replace(
            f"batch = {fashion}", f"batch = {tiny}"
        )
    (tmp_path / "study.toml").write_text(f'name = "doc"\ntitle = "Doc"\n{text}')
    ramps, after = load_study(str(tmp_path / "study.toml")).stages
    results = [RunResult(run, "diverged", "", {}, _records(run)) for run in expand(ramps)]
    found = FINDINGS["lr_range"](results, ramps.group)
    (run,) = expand(after, {"range": found}, earlier=[ramps])
    assert isinstance(run.lr, Choice)
    assert run.lr.options == {"base_lr": found[0]["lr_min"], "max_lr": found[0]["lr_max"]}
    assert (
        FINDINGS["lr_range"](results[:1], ["optimizer.name"])[0]["optimizer"]["name"] == "sgd"
    )


def _records(run: Run) -> tuple[Record, ...]:
    """What a run folder keeps of a run, whether it diverged or not."""
    records: list[Record] = []
    with contextlib.suppress(Diverged):
        for record in train(run, dataset=DATA):
            records.append(record)
    return tuple(records)


def without(results: list[RunResult], *missing: tuple[Any, int]) -> list[RunResult]:
    """The results but for those of these batch sizes or learning rates and seeds."""
    return [
        result
        for result in results
        if (result.run.batch, result.run.seed) not in missing
        and (result.run.lr, result.run.seed) not in missing
    ]


def test_sizes_that_lack_different_seeds_are_left_out_of_a_range() -> None:
    results = results_of({**FIELDS, "lr": 0.01, "steps": 20}, 2)
    found = batch_range_of(without(results, (8, 0)))
    assert found is not None
    assert found.curve.batch_size == [32, 128]
    found = batch_range_of(without(results, (8, 0), (32, 1), (128, 1)))
    assert found is not None
    assert (found.curve.batch_size, len(found.weights_sha256)) == ([32, 128], 1)
    assert batch_range_of(without(results, (8, 0), (32, 1), (128, 0), (128, 1))) is None


def test_a_seed_that_lacks_a_rate_speaks_of_the_others() -> None:
    runs = [
        make_run({**FIELDS, "epochs": None, "lr": lr, "seed": seed})
        for lr in (1e-4, 1e-3, 1e-2)
        for seed in (0, 1)
    ]
    results = [RunResult(run, "done", "", {}, tuple(train(run, dataset=DATA))) for run in runs]
    whole, part = lr_range_of(results), lr_range_of(without(results, (1e-4, 1)))
    assert whole is not None
    assert part is not None
    assert part.curve.lr == whole.curve.lr == [1e-4, 1e-3, 1e-2]
    assert part.curve.loss_high[1:] == whole.curve.loss_high[1:]
    assert part.curve.loss_high[0] == part.curve.loss_low[0]
