"""How runs are carried out here: layouts, compiling, threads, and how they are chosen."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from samples import tiny_data

from losslab.errors import InvalidInput
from losslab.records import Final, Start, Steps, deterministic
from losslab.spec import Run, Study, make_run
from losslab.study import budget
from losslab.study.budget import plan, workers_that_fit
from losslab.study.costs import Cost, fastest_variants, kind_of_run, network_of
from losslab.study.engine import Engine
from losslab.study.local import Ended, Event, Task, Yielded
from losslab.study.store import RunFolder
from losslab.study.worker import run_in_folder
from losslab.training import new_state, train
from losslab.variant import Variant, compiled, other_layout

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
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


def losses(spec: Run, variant: Variant | None) -> list[float]:
    records = train(spec, dataset=DATA, variant=variant)
    return [loss for record in records if isinstance(record, Steps) for loss in record.loss]


def test_names_of_variants() -> None:
    assert other_layout("channels_last") == "contiguous"
    assert other_layout("contiguous") == "channels_last"
    assert compiled("channels_last") == "channels_last+compile"


@pytest.mark.parametrize("variant", ["contiguous", "channels_last"])
def test_the_layout_is_that_of_weights_and_images(variant: Variant) -> None:
    weights = next(p for p in new_state(run(), DATA, variant=variant).model.parameters() if p.ndim == 4)
    assert weights.is_contiguous(
        memory_format=torch.channels_last if variant == "channels_last" else torch.contiguous_format
    )


def test_layouts_agree_but_for_rounding() -> None:
    assert losses(run(), None) == losses(run(), "channels_last")
    assert losses(run(), "contiguous") == pytest.approx(losses(run(), "channels_last"), rel=1e-4)


@needs_compiler
@pytest.mark.parametrize("changes", [{}, {"model": "mlp(hidden=[9], hidden_dropout=0.5)"}])
def test_a_compiled_run_learns_the_same_and_resumes_to_the_bit(changes: dict[str, Any]) -> None:
    spec = run(**changes)
    whole = list(train(spec, dataset=DATA, variant="channels_last+compile", flush_steps=1))
    state = new_state(spec, DATA, variant="channels_last+compile")
    parts: list[Any] = []
    for stop in (4, 5, None):  # step 4 is an epoch's short last batch
        for record in train(spec, dataset=DATA, state=state, flush_steps=1):
            parts.append(record)
            if state.step == stop and isinstance(record, Steps):
                break
    steps = [deterministic(record) for record in parts if isinstance(record, Steps | Final)]
    assert steps == [deterministic(record) for record in whole if isinstance(record, Steps | Final)]
    if not changes:  # dropout draws other numbers
        found = [record.loss[0] for record in whole if isinstance(record, Steps)]
        assert found == pytest.approx(losses(spec, "channels_last"), rel=1e-4)


def test_a_run_of_many_batch_sizes_is_not_compiled() -> None:
    spec = run(batch="exp_range(b_min=10, b_max=80)", epochs=20)
    with pytest.raises(InvalidInput, match=r"compiled for each of \d+ sizes of batch.*choose contiguous"):
        list(train(spec, dataset=DATA, variant="contiguous+compile"))


def test_what_a_run_was_begun_with_is_recorded_and_kept(tmp_path: Path) -> None:
    folder, spec = RunFolder(tmp_path / "run"), run()
    records = run_in_folder(spec, folder, "contiguous")
    assert isinstance(next(records), Start)
    records.close()  # type: ignore[attr-defined]
    assert folder.status["status"] == "interrupted"
    rest = list(run_in_folder(spec, folder, "channels_last"))
    assert folder.environment["variant"] == "contiguous"
    assert isinstance(rest[-1], Final)
    assert rest[-1].weights_sha256 == list(train(spec, dataset=DATA, variant="contiguous"))[-1].weights_sha256  # type: ignore[union-attr]


def cost(seconds: float, start_seconds: float = 0.0) -> Cost:
    return Cost(((50, seconds),), 0.0, start_seconds, 10**8)


def test_a_variant_must_save_more_than_measuring_errs_by() -> None:
    kind = kind_of_run(run())

    def chosen(**seconds: float) -> str:
        (variant,) = fastest_variants([run()], {kind: {name: cost(each) for name, each in seconds.items()}}).values()  # type: ignore[misc]
        return variant

    assert chosen(channels_last=1.0, contiguous=0.97) == "channels_last"
    assert chosen(channels_last=1.0, contiguous=0.9) == "contiguous"
    assert chosen(contiguous=1.0) == "contiguous"


def test_all_runs_of_a_network_are_carried_out_alike() -> None:
    adam, sgd = run(), run(optimizer="sgd", epochs=20)
    measured = {
        kind_of_run(adam): {"channels_last": cost(1.0), "contiguous": cost(3.0)},
        kind_of_run(sgd): {"channels_last": cost(1.0), "contiguous": cost(0.5), "contiguous+compile": cost(0.1)},
    }
    assert fastest_variants([adam, sgd], measured) == {network_of(adam): "contiguous"}  # type: ignore[arg-type]


def study(runs: int, **changes: Any) -> Study:
    grid = [{"lr": [0.1 / (1 + place) for place in range(runs)]}]
    stages = [{"name": "only", "base": {**BASE, **changes}, "grid": grid}]
    return Study.model_validate({"name": "mine", "title": "Mine", "stages": stages})


Measure = Callable[[int, Variant], Cost]


def engine(measure: Measure, cores: int = 4) -> tuple[Engine, list[tuple[int, int]]]:
    """An engine that measures nothing, and the (workers, threads) that it was asked for."""
    asked: list[tuple[int, int]] = []

    def run_tasks(tasks: Iterable[Task], *, workers: int, threads: int) -> Iterator[Event]:
        tasks = list(tasks)
        asked.extend([(workers, threads)] * bool(tasks))
        for task in tasks:
            variants: Sequence[Variant] = task.arguments[1] or ("channels_last", "contiguous")
            try:
                yield Yielded(task.key, {variant: measure(threads, variant) for variant in variants})
            except OSError as error:
                yield Ended(task.key, str(error))

    return Engine("local", run_tasks, lambda threads: cores // threads), asked


def test_cores_that_would_be_idle_are_given_to_the_runs_there_are() -> None:
    fast, asked = engine(lambda threads, variant: cost(1 / threads))
    made = plan(study(1), engine=fast)
    assert asked == [(4, 1), (1, 4)]
    assert (made.workers, made.threads, made.seconds) == (1, 4, pytest.approx(10 / 4))
    slow, _ = engine(lambda threads, variant: cost(1.0))
    assert plan(study(1), engine=slow).threads == 1


def test_threads_are_not_tried_where_every_core_has_a_run_or_they_are_given() -> None:
    for arguments in ({"study": study(4)}, {"study": study(1), "workers": 4}, {"study": study(1), "threads": 1}):
        same, asked = engine(lambda threads, variant: cost(1.0))
        plan(**arguments, engine=same)  # type: ignore[arg-type]
        assert asked == [(4, 1)]


def test_the_faster_layout_is_taken_unless_one_is_asked_for() -> None:
    faster, _ = engine(lambda threads, variant: cost(0.5 if variant == "contiguous" else 1.0))
    assert set(plan(study(4), engine=faster).variants.values()) == {"contiguous"}
    assert set(plan(study(4), variant="channels_last", engine=faster).variants.values()) == {"channels_last"}


@pytest.mark.parametrize(
    ("first_step", "seconds", "chosen"),
    [(60.0, 300.0, "channels_last+compile"), (60.0, 390.0, "channels_last"), (1500.0, 300.0, "channels_last")],
)
def test_compiling_long_runs_must_pay_for_itself(first_step: float, seconds: float, chosen: str) -> None:
    def measure(threads: int, variant: Variant) -> Cost:
        return cost(seconds, first_step) if variant == "channels_last+compile" else cost(400.0)

    made = plan(study(4), engine=engine(measure)[0])
    assert set(made.variants.values()) == {chosen}
    assert made.seconds == pytest.approx(10 * seconds + first_step if "compile" in chosen else 10 * 400.0)


def test_short_runs_and_short_budgets_are_not_compiled() -> None:
    def measure(threads: int, variant: Variant) -> Cost:
        assert "compile" not in variant
        return cost(seconds)

    seconds = 1.0
    plan(study(4), engine=engine(measure)[0])
    seconds = 400.0
    with pytest.raises(AssertionError):
        plan(study(4), engine=engine(measure)[0])
    plan(study(4, epochs=1), budget_seconds=budget.COMPILE_FROM - 1, engine=engine(lambda *_: cost(1.0))[0])


def test_a_machine_without_a_compiler_does_without() -> None:
    def measure(threads: int, variant: Variant) -> Cost:
        if "compile" in variant:
            raise OSError("no C++ compiler")
        return cost(400.0)

    assert set(plan(study(4), engine=engine(measure)[0]).variants.values()) == {"channels_last"}


def test_no_more_workers_than_the_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(study(4), engine=engine(lambda *_: cost(1.0))[0])
    for available, workers in ((10**9, 4), (25 * 10**7, 2), (10**6, 1)):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))  # noqa: B023
        assert workers_that_fit(made) == workers
