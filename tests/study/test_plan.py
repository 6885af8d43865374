"""A plan: its predicted time and memory, and how it shrinks to a budget."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.errors import InvalidInput
from losslab.spec import Stage, Study
from losslab.study.costs import Cost, kind_of_run, longest_first, run_seconds
from losslab.study.plan import Plan, make_plan, makespan
from losslab.study.planning import plan
from losslab.study.stages import expand

STUDY = Study.model_validate(
    {
        "name": "mine",
        "title": "Mine",
        "stages": [
            {
                "name": "only",
                "seeds": 2,
                "floor": {"epochs": 2, "train_images": 500, "grid": {"lr": 2}},
                "base": {
                    "data": "fashion-mnist-sample",
                    "model": "mlp",
                    "optimizer": "sgd",
                    "batch": 64,
                    "epochs": 20,
                },
                "grid": [{"lr": [0.1, 0.2, 0.4, 0.8]}],
            }
        ],
    }
)
COSTS = {
    kind_of_run(run): Cost(((64, 0.01),), 1e-4, 0.5, 10**8) for run in expand(STUDY.stages[0])
}


def planned(budget_seconds: float | None, **changes: Any) -> Plan:
    return make_plan(
        STUDY,
        COSTS,
        **{"workers": 2, "threads": 1, "budget_seconds": budget_seconds, **changes},
    )


FULL_SECONDS, LEAST_SECONDS = planned(None).seconds, 1.0


def test_the_predicted_time_is_the_sum_of_what_a_run_does() -> None:
    (run, *_) = expand(STUDY.stages[0])
    steps, evaluated = (
        20 * (70 + 20 / 64),  # the last of an epoch has 20 images
        20 * (500 + 500) + 1000,
    )  # 4,500 of 5,000 images train; 500 sampled, 500 validate, 1,000 test
    assert run_seconds(run, COSTS) == pytest.approx(0.5 + 0.01 * steps + 1e-4 * evaluated)
    assert planned(None).seconds == pytest.approx(
        4 * run_seconds(run, COSTS)
    )  # 8 runs on 2 workers


@settings(max_examples=25, deadline=None)
@given(st.floats(LEAST_SECONDS, 100))
def test_a_plan_fits_its_budget(budget_seconds: float) -> None:
    made = planned(budget_seconds)
    assert made.seconds <= budget_seconds
    assert made.seconds >= min(FULL_SECONDS, 0.4 * budget_seconds)


def test_epochs_shrink_first_then_images_then_the_grid() -> None:
    def scale(budget_seconds: float) -> tuple[float, int, int]:
        runs = planned(budget_seconds).stages[0].runs
        return (
            max(run.epochs or 0 for run in runs),
            max(run.data.train_images or 4500 for run in runs),
            len(runs),
        )

    assert scale(FULL_SECONDS + 1) == (20, 4500, 8)
    epochs, images, runs = scale(FULL_SECONDS / 2)
    assert (2 < epochs < 20, images, runs) == (True, 4500, 8)
    epochs, images, runs = scale(7)
    assert (epochs, 500 < images < 4500, runs) == (2, True, 8)
    epochs, images, runs = scale(LEAST_SECONDS)
    assert (epochs, images, runs < 8) == (2, 500, True)


def test_a_budget_below_the_smallest_scale_says_what_that_takes() -> None:
    with pytest.raises(
        InvalidInput,
        match=r"the budget \(=0\.5 s left\) is too small for mine: its smallest scale takes",
    ):
        planned(0.5)


def test_each_stage_that_trains_starts_its_workers() -> None:
    """The least of several measurements is the start: the others had worked before."""
    (stage,) = STUDY.stages
    study = STUDY.model_copy(
        update={"stages": (stage, stage.model_copy(update={"name": "again"}))}
    )
    costs = {kind: replace(cost, worker_seconds=3.0) for kind, cost in COSTS.items()}
    costs |= {"another": replace(next(iter(costs.values())), worker_seconds=9.0)}
    with_start = make_plan(study, costs, workers=2, threads=1)
    assert [part.seconds for part in with_start.stages] == pytest.approx(
        [FULL_SECONDS + 3.0] * 2
    )


def test_more_workers_need_more_memory_and_less_time() -> None:
    one, two = planned(None, workers=1), planned(None, workers=2)
    assert (one.memory_bytes, two.memory_bytes) == (10**8, 2 * 10**8)
    assert one.seconds == pytest.approx(2 * two.seconds)


def test_runs_start_in_order_on_the_first_free_worker() -> None:
    assert makespan([3, 1, 1, 2], 2) == 4
    assert makespan([], 3) == 0


def test_a_step_between_two_measured_sizes_lies_on_their_line() -> None:
    cost = Cost(((10, 1.0), (30, 2.0)), 0, 0, 0)
    assert [cost.of_step(size) for size in (10, 20, 30)] == [1.0, 1.5, 2.0]


def test_the_longest_runs_start_first_and_unknown_ones_before_them() -> None:
    numbered = zip(expand(STUDY.stages[0]), range(1, 9), strict=True)
    runs = [run.model_copy(update={"epochs": epochs}) for run, epochs in numbered]
    other = runs[0].model_copy(update={"batch": 32})
    assert [run.epochs for run in longest_first(runs, COSTS)] == list(range(8, 0, -1))
    assert longest_first([*runs, other], COSTS)[0] == other


def test_a_batch_of_more_images_than_are_trained_on_is_refused() -> None:
    base = {
        "data": "samples:tiny_data",
        "model": "mlp(hidden=[8])",
        "optimizer": "adam",
        "lr": 0.01,
        "epochs": 1,
    }
    stage = Stage(name="one", base=base, grid=({"batch": [32, 2000]},))
    with pytest.raises(
        InvalidInput, match=r"`batch` \(=2000\) exceeds the 207 training samples"
    ):
        plan(Study(name="mine", title="Mine", stages=(stage,)))
