"""How runs are carried out here: layout, threads and workers, and how they are chosen."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from samples import tiny_data

from losslab.errors import Interrupted, InvalidInput
from losslab.machine.memory import available_memory
from losslab.machine.process import cores
from losslab.records import Final, Start, Steps
from losslab.spec import Layout, Run, Study, make_run
from losslab.study.costs import Cost, kind_of_run, network_of
from losslab.study.engines import Engine
from losslab.study.engines.local import Ended, Event, Task, Yielded
from losslab.study.measure import fastest_layouts, measure_costs
from losslab.study.plan import Plan
from losslab.study.planning import plan
from losslab.study.store import RunFolder
from losslab.study.worker import run_in_folder
from losslab.training.loop import train
from losslab.training.state import memory_format, new_state

pytestmark = pytest.mark.usefixtures("instant_planning")

DATA = tiny_data()
BASE = {
    "data": "samples:tiny_data",
    "model": "samples:conv_net",
    "optimizer": "adam",
    "lr": 0.01,
    "batch": 50,
    "epochs": 2,
}


def run(**changes: Any) -> Run:
    return make_run({**BASE, **changes})


def losses(layout: Layout | None) -> list[float]:
    records = train(run(), dataset=DATA, layout=layout)
    return [loss for record in records if isinstance(record, Steps) for loss in record.loss]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_the_layout_is_that_of_the_weights(layout: Layout) -> None:
    kernel = next(
        p for p in new_state(run(), DATA, layout=layout).model.parameters() if p.ndim == 4
    )
    assert kernel.is_contiguous(memory_format=memory_format(layout))
    assert memory_format("channels_last") is torch.channels_last


def test_layouts_agree_but_for_rounding() -> None:
    assert losses(None) == losses("channels_last")
    assert losses("contiguous") == pytest.approx(losses("channels_last"), rel=1e-4)


@pytest.mark.parametrize("saved", [True, False])
def test_a_run_goes_on_in_the_layout_that_its_checkpoint_was_made_in(
    tmp_path: Path, saved: bool
) -> None:
    folder, spec = RunFolder(tmp_path / "run"), run()
    records = run_in_folder(spec, folder, "contiguous")
    assert isinstance(next(records), Start)
    next(records)
    if saved:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            list(records)
    records.close()  # type: ignore[attr-defined]
    assert folder.environment["layout"] == "contiguous"
    *_, final = run_in_folder(spec, folder, "channels_last")
    used: Layout = "contiguous" if saved else "channels_last"
    assert folder.environment["layout"] == used
    *_, expected = train(spec, dataset=DATA, layout=used)
    assert isinstance(final, Final)
    assert isinstance(expected, Final)
    assert final.weights_sha256 == expected.weights_sha256


def cost(seconds: float) -> Cost:
    return Cost(((50, seconds),), 0.0, 0.0, 10**8)


def test_another_layout_must_save_more_than_measuring_errs_by() -> None:
    kind = kind_of_run(run())

    def chosen(seconds: dict[Layout, float]) -> str:
        (layout,) = fastest_layouts(
            [run()], {kind: {name: cost(each) for name, each in seconds.items()}}
        ).values()
        return layout

    assert chosen({"channels_last": 1.0, "contiguous": 0.95}) == "channels_last"
    assert chosen({"channels_last": 1.0, "contiguous": 0.85}) == "contiguous"
    assert chosen({"contiguous": 1.0}) == "contiguous"


def test_all_runs_of_a_network_have_the_layout_that_one_kind_of_them_was_compared_by() -> None:
    faster, asked = engine(lambda threads, layout: cost(0.5 if layout == "contiguous" else 1.0))
    runs = [run(repeats=2), run(), run(optimizer="sgd"), run(model="mlp")]
    costs, layouts = measure_costs(runs, workers=2, threads=1, engine=faster)
    assert layouts == {network_of(each): "contiguous" for each in runs}
    assert {each.step_seconds for each in costs.values()} == {((50, 0.5),)}
    assert [tasks for tasks, *_ in asked] == [
        4,
        1,
    ]  # sgd was not compared, and is measured once more
    same, asked = engine(lambda threads, layout: cost(1.0))
    assert set(measure_costs(runs, workers=2, threads=1, engine=same)[1].values()) == {
        "channels_last"
    }
    assert len(asked) == 1


def study(runs: int, **changes: Any) -> Study:
    grid = [{"lr": [0.1 / (1 + place) for place in range(runs)]}]
    stages = [{"name": "only", "base": {**BASE, **changes}, "grid": grid}]
    return Study.model_validate({"name": "mine", "title": "Mine", "stages": stages})


def engine(
    measure: Callable[[int, Layout], Cost], cores: int = 4
) -> tuple[Engine, list[tuple[int, int, int]]]:
    """An engine that measures nothing, and the tasks, workers and threads that it was asked for."""
    asked: list[tuple[int, int, int]] = []

    def run_tasks(tasks: Iterable[Task], *, workers: int, threads: int) -> Iterator[Event]:
        tasks = list(tasks)
        asked.append((len(tasks), workers, threads))
        for task in tasks:
            _, layout, compare, _ = task.arguments
            layouts: list[Layout] = [
                layout or "channels_last",
                *(["contiguous"] if compare else []),
            ]  # type: ignore[list-item]
            yield Yielded(task.key, {layout: measure(threads, layout) for layout in layouts})

    return Engine("local", run_tasks, lambda threads: cores // threads), asked


def test_cores_that_would_be_idle_are_given_to_the_runs_there_are() -> None:
    fast, asked = engine(lambda threads, layout: cost(1 / threads))
    made = plan(study(1), engine=fast)
    steps = 2 * 207 / 50  # two epochs; the last step of each has 7 images
    assert asked == [(1, 4, 1), (1, 1, 4)]
    assert (made.workers, made.threads, made.seconds) == (1, 4, pytest.approx(steps / 4))
    slow, _ = engine(lambda threads, layout: cost(1.0))
    assert plan(study(1), engine=slow).threads == 1


@pytest.mark.parametrize(("runs", "given"), [(4, {}), (1, {"workers": 4}), (1, {"threads": 1})])
def test_threads_are_not_tried_where_every_core_has_a_run_or_they_are_given(
    runs: int, given: dict[str, int]
) -> None:
    same, asked = engine(lambda threads, layout: cost(1.0))
    plan(study(runs), engine=same, **given)  # type: ignore[arg-type]
    assert [crew for _, *crew in asked] == [[4, 1]]


def test_the_faster_layout_is_taken_unless_one_is_asked_for() -> None:
    faster, _ = engine(lambda threads, layout: cost(0.5 if layout == "contiguous" else 1.0))
    assert set(plan(study(4), engine=faster).layouts.values()) == {"contiguous"}
    assert set(plan(study(4), layout="channels_last", engine=faster).layouts.values()) == {
        "channels_last"
    }


def test_no_more_workers_than_the_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    same, _ = engine(lambda *_: cost(1.0))
    for available, workers in ((10**9, 4), (25 * 10**7, 2), (10**6, 1)):
        monkeypatch.setattr(
            psutil, "virtual_memory", partial(SimpleNamespace, available=available)
        )
        assert plan(study(4), engine=same).workers == workers
        assert plan(study(4), workers=4, engine=same).workers == 4


def test_memory_limits_the_workers_by_what_the_chosen_scale_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_tasks(tasks: Iterable[Task], **_: int) -> Iterator[Event]:
        for task in tasks:
            memory = 10**9 if task.arguments[0].model.name == "lenet5" else 10**8
            yield Yielded(task.key, {"contiguous": replace(cost(1.0), memory_bytes=memory)})

    monkeypatch.setattr(
        psutil, "virtual_memory", partial(SimpleNamespace, available=15 * 10**8)
    )
    stage = study(4, model="lenet5").stages[0].model_dump(mode="json") | {
        "floor": {"steps": 1000},
        "ladder": [
            {"name": "small", "base": {"model": "mlp(hidden=[4])"}, "floor": {"steps": 1}}
        ],
    }
    shrinking = Study.model_validate({"name": "mine", "title": "Mine", "stages": [stage]})
    here = Engine("local", run_tasks, lambda threads: 4 // threads)
    assert plan(shrinking, engine=here).workers == 1
    assert plan(shrinking, engine=here, budget_seconds=8).workers == 4


def test_a_cluster_without_cores_for_so_many_threads_is_asked_all_the_same() -> None:
    none, asked = engine(lambda *_: cost(1.0), cores=0)
    plan(study(4), engine=none)
    plan(study(4), threads=2, engine=none)
    assert asked == [(1, 1, 1), (1, 1, 2)]  # which the engine refuses in its own words


def test_where_another_crew_cannot_be_measured_the_usual_one_does() -> None:
    assert plan_of_gpu(1).workers == 1
    with pytest.raises(InvalidInput, match="out of memory"):
        plan_of_gpu(0)


def plan_of_gpu(most_workers: int) -> Plan:
    """A plan on a GPU that holds so many workers; two are tried."""

    def run_tasks(tasks: Iterable[Task], *, workers: int, threads: int) -> Iterator[Event]:
        for task in tasks:
            if workers > most_workers:
                yield Ended(task.key, "out of memory")
            else:
                yield Yielded(task.key, {"contiguous": cost(1.0)})

    return plan(
        study(4), engine=Engine("local", run_tasks, lambda threads: 1 // threads, device="cuda")
    )


@pytest.mark.parametrize(
    ("runs", "workers", "tasks"), [(24, 4, 4), (2, 4, 2), (24, 1, 1), (0, 2, 0)]
)
def test_every_worker_measures_unless_there_are_fewer_runs(
    runs: int, workers: int, tasks: int
) -> None:
    same, asked = engine(lambda *_: cost(1.0))
    measure_costs(
        [run(seed=seed) for seed in range(runs)], workers=workers, threads=1, engine=same
    )
    assert asked == [(tasks, workers, 1)] * bool(tasks)


def test_of_two_measurements_the_larger_memory_counts() -> None:
    sizes = iter([3 * 10**8, 10**8])

    def run_tasks(tasks: Iterable[Task], **_: int) -> Iterator[Event]:
        for task in tasks:
            yield Yielded(
                task.key, {"contiguous": replace(cost(1.0), memory_bytes=next(sizes))}
            )

    same = Engine("local", run_tasks, lambda threads: 2)
    costs, _ = measure_costs([run(), run(seed=1)], workers=2, threads=1, engine=same)
    assert [each.memory_bytes for each in costs.values()] == [3 * 10**8]


def test_of_a_ladder_what_is_above_the_first_rung_that_does_not_fit_is_not_measured() -> None:
    seconds = {"mlp(hidden=[8])": 2.0, "mlp(hidden=[4])": 1.0}
    asked: list[list[str]] = []

    def run_tasks(tasks: Iterable[Task], **_: int) -> Iterator[Event]:
        models = {task.key: str(task.arguments[0].model) for task in tasks}
        asked.append(list(models.values()))
        for key, model in models.items():
            yield Yielded(key, {"contiguous": cost(seconds.get(model, 100.0))})

    names = ("mlp(hidden=[64])", "mlp(hidden=[8])", "mlp(hidden=[4])")
    rungs = [
        {"name": f"rung-{place}", "base": {"model": name}, "floor": {"epochs": 2}}
        for place, name in enumerate(names)
    ]
    base = {**BASE, "model": "mlp(hidden=[99])"}
    stage = {"name": "only", "base": base, "floor": {"epochs": 2}, "ladder": rungs}
    shrinking = Study.model_validate({"name": "mine", "title": "Mine", "stages": [stage]})
    here = Engine("local", run_tasks, lambda threads: 1 // threads)
    first = ["mlp(hidden=[99])", "mlp(hidden=[4])", "mlp(hidden=[8])"]
    # The second takes 17 seconds at its floor.
    assert plan(shrinking, engine=here, budget_seconds=15).study.rung == "rung-2"
    assert asked == [first]
    asked.clear()
    assert plan(shrinking, engine=here, budget_seconds=25).study.rung == "rung-1"
    assert asked == [first, ["mlp(hidden=[64])"]]
    asked.clear()
    plan(shrinking, engine=here)
    assert asked == [["mlp(hidden=[99])"]]


def test_layouts_are_not_compared_in_16_bits() -> None:
    faster, _ = engine(lambda threads, layout: cost(0.5 if layout == "contiguous" else 1.0))
    runs = [run(precision="bf16")]
    costs, layouts = measure_costs(runs, workers=1, threads=1, engine=faster)
    assert set(layouts.values()) == {"channels_last"}
    assert {each.step_seconds for each in costs.values()} == {((50, 1.0),)}


def test_a_container_has_no_more_memory_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("losslab.machine.memory.CONTAINER", tmp_path)
    whole = available_memory()
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 2000000\ninactive_file 500000\n")
    assert available_memory() == 2_500_000 < whole
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() > 2_500_000


@pytest.mark.parametrize(
    ("quota", "expected"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None)]
)
def test_a_container_has_no_more_cores_than_its_quota(
    quota: str, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cores()
    monkeypatch.setattr("losslab.machine.memory.CONTAINER", tmp_path)
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores() == (whole if expected is None else expected)
