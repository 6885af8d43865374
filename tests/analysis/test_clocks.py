"""The clock by which training times are compared."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from fake_study import part_one

from losslab.analysis.clocks import PROCESSOR, WALL, clock_for, of_one_machine, times_compare
from losslab.records import Evaluation
from losslab.study.results import RunResult, read_results


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, ...]:
    return read_results(part_one(tmp_path_factory.mktemp("study"), epochs=4)).stages["compare"]


def changed(result: RunResult, change: Callable[[Evaluation], Evaluation]) -> RunResult:
    """The run with other evaluations."""
    records = [
        change(record) if isinstance(record, Evaluation) else record
        for record in result.records
    ]
    return replace(result, records=tuple(records))


def with_processor_time(runs: Sequence[RunResult]) -> list[RunResult]:
    """Runs that needed half of their time."""
    return [
        changed(run, lambda each: replace(each, train_processor_seconds=each.train_seconds / 2))
        for run in runs
    ]


def slowed(runs: Sequence[RunResult]) -> list[RunResult]:
    """Runs beside which other work began after two epochs: it doubles the time of each epoch, and no processor time."""

    def change(each: Evaluation) -> Evaluation:
        return replace(
            each,
            train_seconds=each.train_seconds * (1.0 if each.epoch <= 2 else 2 - 2 / each.epoch),
        )

    return [changed(run, change) for run in runs]


def test_runs_beside_each_other_are_compared_by_processor_time_where_all_have_it(
    runs: Sequence[RunResult],
) -> None:
    measured = with_processor_time(runs)
    assert clock_for(measured, workers=2) is PROCESSOR
    assert clock_for([*measured[1:], runs[0]], workers=2) is WALL
    assert clock_for(runs, workers=2) is WALL


def test_a_run_alone_on_a_quiet_machine_is_timed_by_the_wall(runs: Sequence[RunResult]) -> None:
    assert clock_for(with_processor_time(runs), workers=1) is WALL


def test_other_work_shows_in_the_pace_and_then_processor_time_counts(
    runs: Sequence[RunResult],
) -> None:
    measured = slowed(with_processor_time(runs))
    assert WALL.drift(measured[0]) == pytest.approx(1.0)
    assert PROCESSOR.drift(measured[0]) == pytest.approx(0.0)
    assert clock_for(measured, workers=1) is PROCESSOR


def test_runs_that_failed_do_not_decide(runs: Sequence[RunResult]) -> None:
    failed = replace(runs[0], status="failed")
    assert clock_for([failed, *with_processor_time(runs[1:])], workers=2) is PROCESSOR
    assert clock_for([failed], workers=2) is WALL


def test_one_evaluation_tells_nothing_of_the_pace(runs: Sequence[RunResult]) -> None:
    first = next(record for record in runs[0].records if isinstance(record, Evaluation))
    assert WALL.drift(replace(runs[0], records=(first,))) is None


def test_a_clock_that_was_not_read_has_no_seconds(runs: Sequence[RunResult]) -> None:
    assert PROCESSOR.seconds(runs[0]) is None
    assert PROCESSOR.drift(runs[0]) is None
    assert WALL.seconds(runs[0]) == runs[0].evaluations[-1].train_seconds


@pytest.mark.parametrize(
    ("environment", "alike"),
    [
        ({}, True),
        ({"device": "cpu:0"}, True),
        ({"processor": "another"}, False),
        ({"threads": 7}, False),
        ({"earlier": [{"torch": "2.6.0"}]}, True),
        ({"earlier": [{"processor": "another"}]}, False),
    ],
    ids=["same", "device", "processor", "threads", "torch before", "processor before"],
)
def test_times_of_one_machine_alone_compare(
    runs: Sequence[RunResult], environment: dict[str, object], alike: bool
) -> None:
    first, second = (
        replace(run, environment={"device": "cpu", **run.environment}) for run in runs[:2]
    )
    second = replace(second, environment={**second.environment, **environment})
    assert times_compare([first, second]) is alike
    assert (of_one_machine(first)[1] == of_one_machine(second)[1]) is alike
