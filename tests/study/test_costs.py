"""What the plan of a study knows of augmentation and copies."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from losslab.records import Steps
from losslab.spec import Run, Stage, make_run
from losslab.study import calibrate
from losslab.study.costs import Cost, evaluated_images, kind_of_run, run_memory, run_seconds
from losslab.study.engines import Engine
from losslab.study.engines.local import Event, Task, Yielded
from losslab.study.fields import labels
from losslab.study.measure import measure_costs
from losslab.study.sizes import load, part_sizes, training_images
from losslab.study.stages import expand
from losslab.training.state import TrainState
from losslab.training.timeline import Timeline

BASE = {
    "data": "samples:tiny_data",
    "model": "mlp(hidden=[8])",
    "optimizer": "sgd",
    "lr": 0.1,
    "batch": 23,
    "epochs": 2,
    "augment": ["flip"],
}


def run(**changes: Any) -> Run:
    return make_run({**BASE, **changes})


def test_augmentation_tells_kinds_of_run_apart_and_the_number_of_copies_does_not() -> None:
    kinds = [
        kind_of_run(run(**changes))
        for changes in ({}, {"augment": []}, {"repeats": 2}, {"repeats": 8})
    ]
    assert len(set(kinds)) == 2
    assert kinds[0] == kinds[2] == kinds[3]


def test_a_step_with_m_copies_costs_what_m_times_the_images_cost() -> None:
    spec = run(repeats=8, evaluate="end", test=False)
    cost = Cost(((23, 0.5), (46, 0.9)), image_seconds=0.0, start_seconds=0.0, memory_bytes=0)
    assert run_seconds(spec, {kind_of_run(spec): cost}) == pytest.approx(18 * (0.1 + 0.4 * 8))


@pytest.mark.parametrize(
    ("repeats", "most", "memory"),
    [
        (2, None, 1230),
        (8, None, 1000 + 161 * 10),
        (8, 100, 1770),
        (8, 1000, 2610),
        (8, 10, 1000),
    ],
)
def test_copies_take_memory_until_a_step_is_done_in_parts(
    repeats: int, most: int | None, memory: int
) -> None:
    spec = run(repeats=repeats, max_micro_batch=most)
    cost = Cost(((23, 0.5), (46, 0.9)), 0.0, 0.0, memory_bytes=1000, image_bytes=10.0)
    assert run_memory(spec, {kind_of_run(spec): cost}) == memory


@pytest.mark.parametrize(
    "batch",
    [
        "exp_range(b_min=2, b_max=60)",
        "triangular(b_min=2, b_max=60, half_cycle_epochs=0.5)",
        "piecewise(values=[2, 9, 30, 60], epochs=[0.5, 1, 1.5])",
    ],
)
def test_a_varied_batch_size_is_measured_through_its_course(
    batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "CALIBRATION_SECONDS", 0.0)
    seen: list[int] = []
    steps = calibrate._steps
    monkeypatch.setattr(calibrate, "_steps", lambda run, *rest: _noted(seen, steps(run, *rest)))
    ((cost,),) = (
        costs.values()
        for costs in calibrate.calibrate(run(batch=batch, repeats=8), None, False)
    )
    assert len(set(seen)) > 3
    assert max(seen) <= 60
    assert cost.image_bytes >= 0


def _noted(seen: list[int], steps: Iterator[Steps]) -> Iterator[Steps]:
    for record in steps:
        seen.extend(record.batch_size)
        yield record


@pytest.mark.parametrize(
    ("repeats", "seconds", "images"),
    [(1, 9.0, [23]), (2, 1e3, [23, 46]), (8, 1e3, [23, 184]), (8, 0.0, [23])],
)
def test_as_many_copies_are_measured_as_take_little_time(
    repeats: int, seconds: float, images: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "CALIBRATION_SECONDS", 0.0)
    monkeypatch.setattr(calibrate, "COPIES_SECONDS", seconds)
    ((cost,),) = (
        costs.values() for costs in calibrate.calibrate(run(repeats=repeats), None, False)
    )
    assert [size for size, _ in cost.step_seconds] == images


@pytest.mark.parametrize(("images", "few"), [(23, 5), (7, 0)])
def test_where_a_step_is_long_a_small_one_tells_the_memory_of_an_image(
    images: int, few: int
) -> None:
    spec = run(repeats=8, batch=images)
    timed = calibrate._start(spec, load(spec.data.name), None, compile_step=False, device="cpu")
    assert timed.few_images == few
    slow = replace(timed, step_seconds=((images, 2.0),), few_bytes=9000, step_bytes=50000)
    cost = slow._with_copies(Cost(slow.step_seconds, 0.0, 0.0, memory_bytes=50000))
    assert cost.image_bytes == 41000 / (images - few)
    assert cost.of_step(8 * images) == 8 * 2.0


@pytest.mark.parametrize(("long", "steps"), [(0.0, 1), (1e3, 2)])
def test_a_long_step_is_timed_once(
    long: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "CALIBRATION_SECONDS", 0.0)
    monkeypatch.setattr(calibrate, "LONG_SECONDS", long)
    counted = []

    def count_steps(*arguments: Any) -> Iterator[Steps]:
        for record in calibrate_steps(*arguments):
            counted.append(record)
            yield record

    calibrate_steps = calibrate._steps
    monkeypatch.setattr(calibrate, "_steps", count_steps)
    spec = run(batch=7)
    timed = calibrate._start(spec, load(spec.data.name), None, compile_step=False, device="cpu")
    assert len(counted) == steps
    assert timed.longest_step > 0


def test_a_slow_network_is_evaluated_on_part_of_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluated: list[int] = []
    evaluate = calibrate.evaluate

    def noting(model: Any, samples: Any, *rest: Any) -> Any:
        evaluated.append(len(samples))
        return evaluate(model, samples, *rest)

    monkeypatch.setattr(calibrate, "CALIBRATION_SECONDS", 0.0)
    monkeypatch.setattr(calibrate, "evaluate", noting)
    next(calibrate.calibrate(run(), None, False))
    assert evaluated == [1]


def test_a_kind_of_run_is_measured_by_the_one_with_most_copies() -> None:
    costs, _ = measure_costs(
        [run(repeats=repeats) for repeats in (3, 4, 2)], workers=1, threads=1
    )
    (cost,) = costs.values()
    assert [size for size, _ in cost.step_seconds] == [23, 4 * 23]


@pytest.mark.parametrize(("seconds", "layouts"), [(0.5, 2), (0.95, 1), (2.0, 1)])
def test_a_layout_whose_steps_save_nothing_is_not_measured_to_the_end(
    seconds: float, layouts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_steps(run: Run, dataset: object, state: TrainState, *sizes: int) -> float:
        return 1.0 if state.layout == "channels_last" else seconds

    evaluated: list[int] = []
    monkeypatch.setattr(calibrate, "_time_steps", time_steps)
    monkeypatch.setattr(
        calibrate._Calibration, "_time_evaluation", lambda _: float(evaluated.append(1) or 0.0)
    )
    (costs,) = calibrate.calibrate(run(model="samples:conv_net"), None, True)
    assert list(costs) == ["channels_last", "contiguous"][:layouts]
    assert len(evaluated) == layouts


def test_a_layout_that_one_worker_did_not_finish_is_known_by_the_other() -> None:
    kinds = iter([["channels_last"], ["channels_last", "contiguous"], ["channels_last"]])

    def run_tasks(tasks: Iterable[Task], **_: int) -> Iterator[Event]:
        for task in tasks:
            cost = Cost(((23, 1.0),), 0.0, 0.0, 1)
            halved = Cost(((23, 0.5),), 0.0, 0.0, 1)
            measured = {"channels_last": cost, "contiguous": halved}
            yield Yielded(task.key, {layout: measured[layout] for layout in next(kinds)})

    engine = Engine("local", run_tasks, lambda threads: 3)
    spec = run(model="samples:conv_net")
    costs, layouts = measure_costs([spec] * 3, workers=3, threads=1, engine=engine)
    assert set(layouts.values()) == {"contiguous"}
    assert costs[kind_of_run(spec)].of_step(23) == 0.5


def test_labels_show_augmentations_as_they_are_written() -> None:
    grid = [{"augment": [[], ["pad_crop(padding=2)", "flip"]]}, {"repeats": 4}]
    runs = expand(Stage.model_validate({"name": "only", "base": BASE, "grid": grid}))
    assert list(labels(runs).values()) == [
        "augment=none repeats=1",
        "augment=pad_crop(padding=2)+flip repeats=1",
        "augment=flip repeats=4",
    ]


@pytest.mark.parametrize(
    ("images", "part", "few"),
    [(64, None, 16), (20, 4, 4), (64, 6, 12), (64, 48, 16), (7, None, 0)],
)
def test_a_small_step_leaves_no_part_that_the_run_has_not(
    images: int, part: int | None, few: int
) -> None:
    assert calibrate._few_images(run(max_micro_batch=part), images) == few


def test_a_run_that_never_comes_to_a_single_image_is_measured() -> None:
    # 207 images are two batches of 103 and one image over, which batch norm refuses and two steps never see.
    spec = run(model="norm_samples:vector_norm", batch=103, epochs=None, steps=2, augment=[])
    ((cost,),) = (costs.values() for costs in calibrate.calibrate(spec, None, False))
    assert cost.of_step(103) > 0


def test_a_run_whose_momentum_is_cycled_is_measured() -> None:
    spec = run(
        optimizer="sgd(momentum=0.9)",
        lr="triangular(0.01, 0.1)",
        momentum="cycled(base_momentum=0.8, max_momentum=0.95)",
    )
    ((cost,),) = (costs.values() for costs in calibrate.calibrate(spec, None, False))
    assert cost.of_step(23) > 0


def test_an_average_of_the_weights_is_evaluated_beside_them() -> None:
    plain, averaged = (evaluated_images(run(average=average)) for average in (None, "ema"))
    _training, validation, test = part_sizes(run())
    assert (
        averaged - plain
        == Timeline(run(), training_images(run())).evaluations * validation + test
    )


def test_groups_with_rates_of_their_own_are_measured_in_fewer_steps_than_these_need() -> None:
    groups = run(
        model="mlp(hidden=[16])", parameter_groups="optimizer_samples:own_rates", batch=16
    )
    (costs,) = calibrate.calibrate(groups, None, compare=False)
    assert all(cost.of_step(16) > 0 for cost in costs.values())
