"""What a study costs on this machine, and how a budget shrinks it: network, epochs, images, then the grid."""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic

from losslab.errors import InvalidInput
from losslab.spec import Run, Stage, Study
from losslab.study.engine import LOCAL, Engine
from losslab.study.local import Ended, Task, Yielded
from losslab.study.sizes import part_sizes, training_images
from losslab.study.stages import FULL, Scale, expand
from losslab.timeline import Timeline

CALIBRATE = "losslab.study.calibrate:calibrate"
SAFETY = 0.92
"""Part of a budget that the prediction may fill; the rest is for what no prediction knows."""
COUNT_SECONDS = 0.5
"""For counting a network; a guess on the safe side, because counting is not worth a measurement."""
SMALLEST = 1e-3
"""Fraction at which every stage has reached its floor."""


@dataclass(frozen=True)
class Cost:
    """What one kind of run costs here, measured while all workers are busy.

    Attributes:
        step_seconds: (images, copies counted, and seconds of an optimizer step), for one number or, where it varies
            or copies are made, two.
        image_seconds: evaluating one image.
        start_seconds: building the network and bringing the data to the device.
        memory_bytes: resident memory of a worker that trains it.
    """

    step_seconds: tuple[tuple[int, float], ...]
    image_seconds: float
    start_seconds: float
    memory_bytes: int

    def of_step(self, images: int) -> float:
        """Seconds of a step on so many images, copies counted, on the line through what was measured."""
        (small, low), (large, high) = self.step_seconds[0], self.step_seconds[-1]
        return low if large == small else low + (high - low) * (images - small) / (large - small)


@dataclass(frozen=True)
class StagePlan:
    """The runs of a stage at the chosen scale and what they are predicted to take together."""

    stage: Stage
    runs: tuple[Run, ...]
    seconds: float


@dataclass(frozen=True)
class Plan:
    """A study laid out before anything trains."""

    study: Study
    scale: Scale
    stages: tuple[StagePlan, ...]
    costs: Mapping[str, Cost]
    workers: int
    threads: int
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """Predicted wall time of all stages."""
        return sum(stage.seconds for stage in self.stages)


Costs = Mapping[str, Cost]


def kind_of_run(run: Run) -> str:
    """What the cost of a step depends on: everything but length, data size, learning rate, seed and number of copies.

    Steps with several copies lie on the line through the cost of one and that of as many as are quickly measured.
    """
    fields = run.model_dump(mode="json")
    parts = {key: fields[key] for key in ("model", "optimizer", "batch", "augment", "max_micro_batch")}
    return json.dumps([run.data.name, parts, run.weight_decay > 0, run.repeats > 1], sort_keys=True)


def plan(
    study: Study,
    *,
    budget_seconds: float | None = None,
    workers: int | None = None,
    threads: int = 1,
    engine: Engine = LOCAL,
) -> Plan:
    """A study laid out for an engine: its steps are measured there, then the scale is chosen that fits the budget.

    Args:
        study: what to run.
        budget_seconds: wall time for measuring and running together; full scale without it.
        workers: processes that train at a time; one for each core and `threads` when absent.
        threads: torch threads of each worker.
        engine: where the steps are measured and the study is to run.
    Raises:
        InvalidInput: when a run cannot be trained at all, or the smallest scale does not fit.
    """
    if threads < 1 or (workers is not None and workers < 1):
        raise InvalidInput(f"`workers` (={workers}) and `threads` (={threads}) must be at least 1")
    began = monotonic()
    crew = workers or engine.slots(threads)
    scales = [FULL] if budget_seconds is None else [_scale(3.0, 1), FULL]
    runs = [run for scale in scales for stage in study.stages for run in expand(stage, scale=scale)]
    costs = measure_costs(runs, workers=crew, threads=threads, engine=engine)
    left = None if budget_seconds is None else SAFETY * budget_seconds - (monotonic() - began)
    return make_plan(study, costs, workers=crew, threads=threads, budget_seconds=left)


def make_plan(study: Study, costs: Costs, *, workers: int, threads: int, budget_seconds: float | None = None) -> Plan:
    """The largest scale of a study whose predicted wall time fits the budget; full scale without one.

    Raises:
        InvalidInput: when even the smallest scale that the study allows does not fit.
    """
    made = plan_at(study, FULL, costs, workers, threads)
    if budget_seconds is None or made.seconds <= budget_seconds:
        return made
    images = max((training_images(run) for stage in made.stages for run in stage.runs), default=1)
    least = plan_at(study, _scale(3.0, images), costs, workers, threads)
    if least.seconds > budget_seconds:
        raise InvalidInput(
            f"the budget (={budget_seconds:.0f} s left) is too small for {study.name}: "
            f"its smallest scale takes about {least.seconds:.0f} s here; give it more time or lower its floors"
        )
    fits, exceeds = 3.0, 0.0
    for _ in range(14):
        middle = (fits + exceeds) / 2
        made = plan_at(study, _scale(middle, images), costs, workers, threads)
        fits, exceeds = (middle, exceeds) if made.seconds <= budget_seconds else (fits, middle)
    return plan_at(study, _scale(fits, images), costs, workers, threads)


def _scale(shrink: float, images: int) -> Scale:
    """The scale after shrinking by 0 (full) to 3 (smallest): a unit each for length, images, grid."""
    length, data_part, grid = (min(1.0, max(0.0, shrink - unit)) for unit in range(3))
    return Scale(
        length=SMALLEST**length,
        images=None if data_part == 0 else max(1, round(images * SMALLEST**data_part)),
        grid=SMALLEST**grid,
    )


def plan_at(study: Study, scale: Scale, costs: Costs, workers: int, threads: int) -> Plan:
    """A study at a given scale."""
    stages = []
    for stage in study.stages:
        if stage.full_only and scale != FULL:
            continue
        runs = tuple(expand(stage, scale=scale))
        seconds = [COUNT_SECONDS * len(stage.count)] if stage.count else [run_seconds(run, costs) for run in runs]
        stages.append(StagePlan(stage, runs, makespan(sorted(seconds, reverse=True), workers)))
    used = {kind_of_run(run) for stage in stages for run in stage.runs}
    memory = sum(sorted((costs[kind].memory_bytes for kind in used), reverse=True)[:1]) * workers
    return Plan(study, scale, tuple(stages), costs, workers, threads, memory)


def run_seconds(run: Run, costs: Costs) -> float:
    """Predicted seconds of one run, evaluation and start included."""
    cost = costs[kind_of_run(run)]
    sizes = Counter(Timeline(run, training_images(run)).batch_sizes)
    steps = sum(count * cost.of_step(size * run.repeats) for size, count in sizes.items())
    return cost.start_seconds + steps + evaluated_images(run) * cost.image_seconds


def evaluated_images(run: Run) -> int:
    """How many images all evaluations of a run take together."""
    training, validation, test = part_sizes(run)
    fit = -(-training // max(1, training // (validation or 5000)))
    return Timeline(run, training).evaluations * (fit + validation) + (test if run.test else 0)


def longest_first(runs: Iterable[Run], costs: Costs) -> list[Run]:
    """The order in which runs keep all workers busy to the end; those of unknown cost keep theirs, in front."""
    known = {run.id: run_seconds(run, costs) for run in runs if kind_of_run(run) in costs}
    return sorted(runs, key=lambda run: -known.get(run.id, inf))


def makespan(seconds: Iterable[float], workers: int) -> float:
    """When the last of these is done, each started in order on the first worker that is free."""
    free = [0.0] * workers
    for duration in seconds:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def measure_costs(runs: Sequence[Run], *, workers: int, threads: int, engine: Engine = LOCAL) -> dict[str, Cost]:
    """The cost of each kind of run among ``runs``, measured here and now with all workers at work.

    Raises:
        InvalidInput: when a kind of run cannot be trained at all, with its error.
    """
    kinds = {kind_of_run(run): run for run in sorted(runs, key=lambda run: run.repeats)}  # the one with most copies
    costs: dict[str, Cost] = {}
    tasks = [Task(kind, CALIBRATE, (run,)) for kind, run in kinds.items()]
    for event in engine.run_tasks(tasks, workers=workers, threads=threads):
        if isinstance(event, Yielded):
            costs[event.key] = event.value
        elif isinstance(event, Ended) and event.error:
            run = kinds[event.key]
            raise InvalidInput(f"{run.model} with {run.optimizer.name} on {run.data.name}: {event.error}")
    return costs
