"""A plan: a study laid out at a scale, with the time and memory that it is predicted to take."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from losslab.errors import BudgetTooSmall
from losslab.spec import Layout, Run, Stage, Study
from losslab.study.costs import (
    USUAL,
    Cost,
    Costs,
    Layouts,
    network_of,
    run_memory,
    run_seconds,
    worker_seconds,
)
from losslab.study.sizes import training_images
from losslab.study.stages import FULL, Scale, expand, runs_of
from losslab.text import duration

SAFETY = 0.92
"""Part of a budget that the prediction may fill; the rest is for what no prediction knows."""
COUNT_SECONDS = 0.25
"""For counting a network and its share of loading torch; a constant, because counting is not worth a measurement."""
SMALLEST = 1e-3
"""Fraction at which every stage has reached its floor."""
# Each halves the range of shrink, 3: the scale is then exact to less than a thousandth of a unit.
BISECTIONS = 14


@dataclass(frozen=True)
class StagePlan:
    """The runs of a stage at its scale, and the predicted seconds of all."""

    stage: Stage
    runs: tuple[Run, ...]
    seconds: float
    scale: Scale


@dataclass(frozen=True)
class Change:
    """What is left of a study made smaller, because the stages before took longer than predicted.

    Attributes:
        stage: the first that was still to begin.
        rung: of the ladder, where the scale alone did not suffice.
        scale: of this stage and all later ones.
        pace: seconds that the runs before took, as a multiple of those predicted.
        seconds_left: of the budget.
        predicted_seconds: for what was left, at that pace, before it was made smaller.
    """

    stage: str
    rung: str | None
    scale: Scale
    pace: float
    seconds_left: float
    predicted_seconds: float


@dataclass(frozen=True)
class Plan:
    """A study laid out before anything trains.

    Attributes:
        scale: that it began with; later stages may have a smaller one, see `changes`.
        budget_seconds: wall time for measuring and running together; None for any.
        measuring_seconds: of them, what planning took.
        changes: in the order in which they were made.
        compile_step: whether the steps of methods that can be compiled are.
    """

    study: Study
    scale: Scale
    stages: tuple[StagePlan, ...]
    costs: Mapping[str, Cost]
    workers: int
    threads: int
    layouts: Layouts
    memory_bytes: int
    budget_seconds: float | None = None
    measuring_seconds: float = 0.0
    changes: tuple[Change, ...] = ()
    compile_step: bool = False

    @property
    def seconds(self) -> float:
        """Predicted wall time of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def runs(self) -> list[Run]:
        """The runs of all stages, in order."""
        return list(chain.from_iterable(stage.runs for stage in self.stages))

    @property
    def used_layouts(self) -> dict[str, Layout]:
        """The layouts of the networks that are trained at this scale."""
        networks = dict.fromkeys(map(network_of, self.runs))
        return {
            network: self.layouts[network] for network in networks if network in self.layouts
        }


def make_plan(
    study: Study,
    costs: Costs,
    *,
    workers: int,
    threads: int,
    layouts: Layouts = USUAL,
    budget_seconds: float | None = None,
) -> Plan:
    """Lay out a study at the largest scale whose predicted wall time fits the budget; at full scale without one.

    Raises:
        BudgetTooSmall: when even the smallest scale that the study allows does not fit.
    """
    full = plan_at(study, FULL, costs, workers, threads, layouts)
    if budget_seconds is None or full.seconds <= budget_seconds:
        return full
    least = smallest_plan(study, costs, workers, threads, layouts)
    if not least.stages:
        raise BudgetTooSmall(
            f"the budget (={duration(max(0.0, budget_seconds))} left) is too small for {study.name}: all its stages "
            f"are for the full scale alone, which takes about {duration(full.seconds)} here"
        )
    if least.seconds > budget_seconds:
        raise BudgetTooSmall(
            f"the budget (={duration(max(0.0, budget_seconds))} left) is too small for {study.name}: "
            f"its smallest scale takes about {duration(least.seconds)} here; give it more time or lower its floors"
        )
    images = _most_images(full.runs)
    # The less of a study is run the less time it takes, so that bisection finds the least shrink that fits.
    fits, exceeds = 3.0, 0.0
    for _ in range(BISECTIONS):
        middle = (fits + exceeds) / 2
        candidate = plan_at(
            study, _scale(middle, images, study), costs, workers, threads, layouts
        )
        if candidate.seconds <= budget_seconds:
            fits = middle
        else:
            exceeds = middle
    return plan_at(study, _scale(fits, images, study), costs, workers, threads, layouts)


def smallest_plan(
    study: Study, costs: Costs, workers: int, threads: int, layouts: Layouts = USUAL
) -> Plan:
    """Lay out a study with everything at its floor."""
    images = _most_images(runs_of(study))
    return plan_at(study, _scale(3.0, images, study), costs, workers, threads, layouts)


def _most_images(runs: Iterable[Run]) -> int:
    """The training images of the run that has most; 1 where nothing trains."""
    return max(map(training_images, runs), default=1)


def _scale(shrink: float, images: int, study: Study) -> Scale:
    """The scale after shrinking by 0 (full) to 3 (smallest): a unit each for what the study shrinks, in its order."""
    # As powers, so that a step of the bisection is a factor at every length; floors stop each before SMALLEST does.
    part = {
        name: SMALLEST ** min(1.0, max(0.0, shrink - unit))
        for unit, name in enumerate(study.shrink)
    }
    most = None if part["images"] == 1 else max(1, round(images * part["images"]))
    return Scale(length=part["epochs"], images=most, grid=part["grid"])


def plan_at(
    study: Study,
    scale: Scale,
    costs: Costs,
    workers: int,
    threads: int,
    layouts: Layouts = USUAL,
) -> Plan:
    """Lay out a study at a given scale."""
    stages = []
    for stage in study.stages:
        if stage.full_only and scale != FULL:
            continue
        runs = tuple(expand(stage, scale=scale))
        if stage.count:
            seconds = COUNT_SECONDS * len(stage.count)
        else:
            durations = sorted((run_seconds(run, costs) for run in runs), reverse=True)
            # Each stage starts its workers anew.
            seconds = worker_seconds(costs) + makespan(durations, workers)
        stages.append(StagePlan(stage, runs, seconds, scale))
    trained = chain.from_iterable(stage.runs for stage in stages)
    # The largest run on every worker at once: no order of the runs can then exceed the prediction.
    memory = workers * max((run_memory(run, costs) for run in trained), default=0)
    return Plan(study, scale, tuple(stages), costs, workers, threads, layouts, memory)


def makespan(seconds: Iterable[float], workers: int) -> float:
    """The time until the last of these ends, each started in order on the first worker that is free."""
    free = [0.0] * workers
    for length in seconds:
        heapq.heappush(free, heapq.heappop(free) + length)
    return max(free)
