"""Plan a study: measure its runs, and choose workers, layouts and the largest scale that fits the budget."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from time import monotonic

from losslab.errors import InvalidInput
from losslab.machine.memory import available_memory
from losslab.spec import Layout, Run, Study
from losslab.study.costs import MARGIN, USUAL, Cost, Costs, Layouts, kind_of_run, network_of
from losslab.study.engines import LOCAL, Engine
from losslab.study.ladder import rungs
from losslab.study.measure import measure_costs
from losslab.study.plan import SAFETY, Plan, make_plan, plan_at
from losslab.study.sizes import check_batch
from losslab.study.stages import FULL, expand, runs_of

MEMORY_USE = 0.9
"""Part of the available memory that the workers may be predicted to hold."""
MeasureCosts = Callable[..., tuple[dict[str, Cost], dict[str, Layout]]]
"""As :func:`losslab.study.measure.measure_costs`, with some of its arguments given."""


def plan(
    study: Study,
    *,
    budget_seconds: float | None = None,
    workers: int | None = None,
    threads: int | None = None,
    layout: Layout | None = None,
    compile_step: bool = False,
    engine: Engine = LOCAL,
) -> Plan:
    """Lay out a study for an engine: measure what runs fastest there, then take the largest scale that fits.

    Args:
        study: what to run.
        budget_seconds: wall time for measuring and running together; full scale without it.
        workers: processes that train at a time; as many as there are cores and memory for when absent.
        threads: torch threads of each worker; when absent, as many as make the study fastest, and one where `workers`
            is given, whose number changes no bit of a result.
        layout: of images and weights in memory; for each network the fastest when absent.
        compile_step: whether to compile the optimizer's step, where its method can be: those that torch has no fused
            step of.
        engine: where the steps are measured and the study is to run.
    Raises:
        TypeError: when it is no Study.
        InvalidInput: when a run cannot be trained, its batch exceeds its data, or the smallest scale does not fit.
    """
    if not isinstance(study, Study):
        raise TypeError(
            f"`study` is a {type(study).__name__}; give a Study: losslab.load_study(name or file)"
        )
    for name, number in (("workers", workers), ("threads", threads)):
        if number is not None and number < 1:
            raise InvalidInput(f"`{name}` (={number}) must be at least 1")
    # At full scale: where a budget leaves fewer images than a batch wants, the report states that scale.
    for run in runs_of(study):
        check_batch(run)
    began = monotonic()
    measure = partial(measure_costs, engine=engine, compile_step=compile_step)
    crews = _crews(study, workers, threads, engine)
    full = _fastest_plan(study, budget_seconds, layout, crews, measure)
    measuring_seconds = monotonic() - began
    seconds_left = None
    if budget_seconds is not None:
        seconds_left = SAFETY * budget_seconds - measuring_seconds
    fit_plan = partial(
        make_plan,
        costs=full.costs,
        threads=full.threads,
        layouts=full.layouts,
        budget_seconds=seconds_left,
    )
    # A user's number of workers stands, and a cluster's machines have memory that this process cannot see.
    memory_counts = workers is None and engine.name == LOCAL.name

    def held_plan(version: Study) -> Plan:
        """Lay out a study with no more workers than the memory holds."""
        planned = fit_plan(version, workers=full.workers)
        fit = workers_that_fit(planned, engine.devices) if memory_counts else full.workers
        return fit_plan(version, workers=fit) if fit < full.workers else planned

    planned = largest_plan(study, full.costs, held_plan)
    return replace(
        planned,
        budget_seconds=budget_seconds,
        measuring_seconds=measuring_seconds,
        compile_step=compile_step,
    )


def largest_plan(study: Study, costs: Costs, fit_plan: Callable[[Study], Plan]) -> Plan:
    """Lay out the largest question of a study's ladder that fits, of those whose costs are known.

    Raises:
        InvalidInput: of the smallest, when that does not fit either.
    """
    *larger, smallest = rungs(study)
    for version in larger:
        if not _is_measured(version, costs):
            continue
        with suppress(InvalidInput):
            return fit_plan(version)
    return fit_plan(smallest)


def _is_measured(study: Study, costs: Costs) -> bool:
    return all(kind_of_run(run) in costs for run in runs_of(study))


def _fastest_plan(
    study: Study,
    budget_seconds: float | None,
    layout: Layout | None,
    crews: Sequence[tuple[int, int]],
    measure_costs: MeasureCosts,
) -> Plan:
    """Measure the ways to carry out a study and plan it at full scale in the fastest.

    Args:
        crews: numbers of workers and of their threads to try, the usual one first.
        measure_costs: of runs, carried out by a crew.
    """
    layouts = {network_of(run): layout for run in _ladder_runs(study)} if layout else USUAL
    candidates: list[Plan] = []
    for crew, crew_threads in crews:
        fit_plan = partial(make_plan, workers=crew, threads=crew_threads)
        measure = partial(measure_costs, workers=crew, threads=crew_threads)
        try:
            costs, crew_layouts = _measure_versions(
                study, budget_seconds, layouts, measure, fit_plan
            )
        except InvalidInput:
            # The usual crew must do; two workers on a GPU may be more than its memory holds.
            if not candidates:
                raise
            continue
        candidates.append(plan_at(study, FULL, costs, crew, crew_threads, crew_layouts))
    best = min(candidates, key=lambda candidate: candidate.seconds)
    # One thread a worker comes first, and stays unless another number saves more than measuring errs by.
    usual = candidates[0]
    return best if best.seconds < (1 - MARGIN) * usual.seconds else usual


def _ladder_runs(study: Study) -> list[Run]:
    return list(chain.from_iterable(map(runs_of, rungs(study))))


def _measure_versions(
    study: Study,
    budget_seconds: float | None,
    layouts: Layouts,
    measure: MeasureCosts,
    fit_plan: Callable[..., Plan],
) -> tuple[dict[str, Cost], Layouts]:
    """Measure a study and, with a budget, the rungs of its ladder, from the smallest up to the first that is too large.

    Args:
        layouts: of the networks that have one already.
        measure: of the runs that it is given.
        fit_plan: lays out a version, or raises InvalidInput.
    """
    upward = [] if budget_seconds is None else rungs(study)[:0:-1]
    # The two smallest in one go, so that no worker waits for another.
    versions = [study, *upward[:2]]
    costs, found = measure(list(chain.from_iterable(map(runs_of, versions))), layouts=layouts)
    layouts = {**layouts, **found}
    for version in upward[2:]:
        try:
            fit_plan(versions[-1], costs, layouts=layouts, budget_seconds=budget_seconds)
        except InvalidInput:
            break
        unknown = [run for run in runs_of(version) if kind_of_run(run) not in costs]
        more, found = measure(unknown, layouts=layouts)
        costs, layouts = costs | more, {**layouts, **found}
        versions.append(version)
    return costs, layouts


def _crews(
    study: Study, workers: int | None, threads: int | None, engine: Engine
) -> list[tuple[int, int]]:
    """The numbers of workers and of their threads to try: one thread each, and what leaves no core without work.

    A core does more by itself than as one of several in a step, so that more threads are tried only where a stage has
    fewer runs than there are cores.
    """
    if workers or threads:
        return [(workers or max(1, engine.slots(threads or 1)), threads or 1)]
    if engine.device != "cpu":
        # A small network leaves most of a GPU idle: two on each may take less than twice the time.
        return [(engine.slots(1), 1), (2 * engine.slots(1), 1)]
    cores = engine.slots(1)
    stages = [len(expand(stage)) for stage in study.stages if not stage.count]
    wanted = sorted({cores // min(cores, count) for count in stages if count and cores} - {1})
    # No machine of a cluster may have so many cores, whatever all have together.
    crews = [(engine.slots(count), count) for count in wanted if engine.slots(count)]
    return [(max(1, cores), 1), *crews]


def workers_that_fit(planned: Plan, devices: Sequence[str] = ("cpu",)) -> int:
    """How many of a plan's workers the available memory of their devices is predicted to hold; at least one."""
    worker_bytes = planned.memory_bytes // planned.workers
    # Devices are shared out evenly, so that the fullest one decides for all.
    least_bytes = min(map(available_memory, devices))
    usable_bytes = int(MEMORY_USE * least_bytes)
    fit = len(devices) * (usable_bytes // max(worker_bytes, 1))
    return max(1, min(planned.workers, fit))
