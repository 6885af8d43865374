"""What runs cost on this machine: measured for each kind of run in each layout, then added up."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from math import inf
from types import MappingProxyType
from typing import Any

from losslab.errors import InvalidInput
from losslab.optimizers import Method, choose
from losslab.spec import Layout, Run
from losslab.study.engines import LOCAL, Engine
from losslab.study.engines.local import Ended, Task, Yielded
from losslab.study.sizes import part_sizes, training_images
from losslab.training.timeline import Timeline, fit_stride

CALIBRATE = "losslab.study.calibrate:calibrate"
OPERATIONS = "losslab.study.flops:yield_operations"
MARGIN = 0.1
"""Least relative saving for which a layout or a number of threads that is not the default is used; less is noise."""
STEP_FIELDS = (
    "model",
    "batch",
    "augment",
    "max_micro_batch",
    "parameter_groups",
    "loss",
    "metrics",
    "precision",
    "clip_norm",
    "average",
)
"""Fields of a run, beside its optimizer, that the cost of a step depends on."""


@dataclass(frozen=True)
class Cost:
    """What one kind of run costs here, measured while all workers are busy.

    Attributes:
        step_seconds: points (images, copies included; seconds) of an optimizer step: one where the batch size is
            constant, two where it varies or images are copied.
        image_seconds: evaluating one image.
        start_seconds: building the network and bringing the data to the device.
        memory_bytes: resident memory of a worker that trains it, with one copy of each image.
        image_bytes: what each further image that is in memory with those of one copy adds to that.
        worker_seconds: from the start of the worker until it began with this kind, data loaded: the least of several
            kinds is what starting a worker takes; 0 where it was not measured.
    """

    step_seconds: tuple[tuple[int, float], ...]
    image_seconds: float
    start_seconds: float
    memory_bytes: int
    image_bytes: float = 0.0
    worker_seconds: float = 0.0

    def of_step(self, images: int) -> float:
        """Seconds of a step on so many images, copies counted.

        On the line through the two measured points. With one point, in proportion to the images; only the last step
        of an epoch has another number.
        """
        (small, low), (large, high) = self.step_seconds[0], self.step_seconds[-1]
        if large == small:
            return low * images / small
        # A step costs something whatever its size (calls, the update) and something more for each image.
        return low + (high - low) * (images - small) / (large - small)


Costs = Mapping[str, Cost]
Measured = Mapping[str, Mapping[Layout, Cost]]
"""Kind of run -> what it costs in each layout that was measured, the usual one first."""
Layouts = Mapping[str, Layout]
"""Network and data -> the layout of its images and weights."""
USUAL: Layouts = MappingProxyType({})
"""Every network in the layout that is usual for it."""


def network_of(run: Run) -> str:
    """The key of a layout: all runs of a network on the same data have the same one, so that their times compare.

    A precision beside fp32 has a layout of its own: the processor's 16-bit convolutions want channels last.
    """
    network = f"{run.model} on {run.data.name}"
    return network if run.precision == "fp32" else f"{network} in {run.precision}"


def kind_of_run(run: Run) -> str:
    """The fields that decide a step's cost: all but length, data size, learning rate, seed and number of copies.

    Steps with several copies lie on the line through the cost of one and that of as many as are quickly measured, so
    that the run of a kind with most copies tells what all of them cost.
    """
    fields = run.model_dump(mode="json", exclude_defaults=True)
    parts = {key: fields[key] for key in STEP_FIELDS if key in fields}
    parts["optimizer"] = _beyond_defaults(run.optimizer)
    return _kind(run.data.name, parts, run.weight_decay > 0)


def read_kind(kind: str) -> str:
    """The kind that a study.json names, as this version writes it.

    Earlier ones wrote defaults, too, and told runs with copies apart.

    Raises:
        ValueError: when it is none.
    """
    data_name, parts, decays, *_ = json.loads(kind)
    # An empty list is what is usual, but of metrics, whose usual ones are those of the loss.
    parts = {
        key: value
        for key, value in parts.items()
        if value is not None and (value != [] or key == "metrics")
    }
    parts["optimizer"] = _beyond_defaults(choose(parts["optimizer"]))
    return _kind(data_name, parts, decays)


def _kind(data_name: str, parts: Mapping[str, Any], decays: bool) -> str:
    return json.dumps([data_name, parts, decays], sort_keys=True)


def _beyond_defaults(optimizer: Method) -> dict[str, Any]:
    """What a spec says of an optimizer: an option that a later version adds is then no other kind of run."""
    return {**optimizer.model_dump(mode="json", exclude_defaults=True), "name": optimizer.name}


def run_seconds(run: Run, costs: Costs) -> float:
    """Predicted seconds of one run, evaluation and start included."""
    cost = costs[kind_of_run(run)]
    sizes = Counter(Timeline(run, training_images(run)).batch_sizes)
    steps = sum(count * cost.of_step(size * run.repeats) for size, count in sizes.items())
    return cost.start_seconds + steps + evaluated_images(run) * cost.image_seconds


def worker_seconds(costs: Costs) -> float:
    """Predicted seconds until a new worker begins with its first run: data loaded, and torch where it is not forked."""
    return min((cost.worker_seconds for cost in costs.values()), default=0.0)


def run_memory(run: Run, costs: Costs) -> int:
    """Predicted resident memory of a worker that trains a run, bytes."""
    cost = costs[kind_of_run(run)]
    if not cost.image_bytes:
        return cost.memory_bytes
    images = max(Timeline(run, training_images(run)).batch_sizes)
    more = at_a_time(run, images * run.repeats) - at_a_time(run, images)
    return cost.memory_bytes + round(cost.image_bytes * more)


def at_a_time(run: Run, images: int) -> int:
    """How many images of a step are in memory together."""
    return min(images, run.max_micro_batch or images)


def evaluated_images(run: Run) -> int:
    """How many images all evaluations of a run take together."""
    training, validation, test = part_sizes(run)
    fit = len(range(0, training, fit_stride(training, validation)))
    tested = test if run.test else 0
    # The average of the weights is evaluated beside them.
    passes = 1 if run.average is None else 2
    each = fit + passes * validation
    return Timeline(run, training).evaluations * each + passes * tested


def longest_first(runs: Iterable[Run], costs: Costs) -> list[Run]:
    """Order runs so that all workers are busy to the end; those of unknown cost keep their order, in front."""
    # The sort is stable, and infinity is longer than any known time: a long run begun last would leave workers idle.
    known = {run.id: run_seconds(run, costs) for run in runs if kind_of_run(run) in costs}
    return sorted(runs, key=lambda run: -known.get(run.id, inf))


def fastest_layouts(runs: Iterable[Run], measured: Measured) -> dict[str, Layout]:
    """Choose for each network the layout in which a run of it takes the least time.

    The first one measured, the usual one, stays unless the other saves the `MARGIN`.
    """
    layouts: dict[str, Layout] = {}
    for run in runs:
        kind, network = kind_of_run(run), network_of(run)
        seconds = {
            layout: run_seconds(run, {kind: cost}) for layout, cost in measured[kind].items()
        }
        usual, best = next(iter(seconds)), min(seconds, key=seconds.__getitem__)
        # Kinds measured in one layout compare nothing: they decide only while none measured in both has come.
        if network not in layouts or len(seconds) > 1:
            layouts[network] = best if seconds[best] < (1 - MARGIN) * seconds[usual] else usual
    return layouts


def measure_costs(
    runs: Sequence[Run],
    *,
    workers: int,
    threads: int,
    engine: Engine = LOCAL,
    layouts: Layouts = USUAL,
    compile_step: bool = False,
) -> tuple[dict[str, Cost], dict[str, Layout]]:
    """Measure the cost of each kind of run among ``runs``, and the layout that it holds for.

    Args:
        runs: to be carried out; of each kind the one with most copies is measured.
        workers: processes at a time; some kinds are measured more than once, so that all are busy to the end.
        threads: torch threads of each.
        engine: where they are.
        layouts: of images and weights; a network that is not among them gets the faster one.
        compile_step: whether to compile the steps of methods that can be.
    Raises:
        InvalidInput: when a kind of run cannot be trained at all, with its error.
    """
    measure = partial(
        _measure, workers=workers, threads=threads, engine=engine, compile_step=compile_step
    )
    measured = measure(runs, layouts)
    faster = fastest_layouts(runs, measured)
    layout_of_kind = {kind_of_run(run): faster[network_of(run)] for run in runs}
    # Both layouts are measured for one kind of each network; its other kinds may lack the one that turned out faster.
    unmeasured = [
        run for run in runs if faster[network_of(run)] not in measured[kind_of_run(run)]
    ]
    measured |= measure(unmeasured, faster)
    return {kind: measured[kind][layout] for kind, layout in layout_of_kind.items()}, faster


def _measure(
    runs: Sequence[Run],
    layouts: Layouts,
    *,
    workers: int,
    threads: int,
    engine: Engine,
    compile_step: bool,
) -> dict[str, dict[Layout, Cost]]:
    """Measure the cost of each kind.

    Of each network that has no layout yet, the kind with the fewest copies is measured in both.
    """
    # By rising copies, and the last of a key stays: of each kind the run with the most, which has the largest peak.
    kinds = {kind_of_run(run): run for run in sorted(runs, key=lambda run: run.repeats)}
    compared = {network_of(run): kind for kind, run in reversed(kinds.items())}
    tasks = []
    for kind, run in kinds.items():
        layout = layouts.get(network_of(run))
        # Convolutions in 16 bits want channels last, which is the usual layout.
        open_to_both = layout is None and run.precision == "fp32"
        compare = open_to_both and compared[network_of(run)] == kind
        compiles = compile_step and run.optimizer.compiles
        tasks.append(Task(kind, CALIBRATE, (run, layout, compare, compiles)))
    # Those that take longest first, so that no worker waits long for another.
    tasks.sort(key=lambda task: -_images_of_step(kinds[task.key]))
    # In whole rounds of the workers: beside an idle one the last kinds would be measured too fast.
    busy = min(workers, len(runs))
    rounds = -(-len(kinds) // max(busy, 1))
    again = cycle(reversed(tasks))
    tasks += islice(again, rounds * busy - len(tasks))
    costs: dict[str, dict[Layout, Cost]] = {}
    for event in engine.run_tasks(tasks, workers=workers, threads=threads) if tasks else ():
        if isinstance(event, Yielded):
            costs[event.key] = _merged(costs.get(event.key), event.value)
        elif isinstance(event, Ended) and event.error:
            run = kinds[event.key]
            raise InvalidInput(
                f"{run.model} with {run.optimizer.name} on {run.data.name}: {event.error}"
            )
    return costs


def _images_of_step(run: Run) -> float:
    """The images of a step, copies included; infinite where the batch size varies: that is measured at many sizes."""
    return run.batch * run.repeats if isinstance(run.batch, int) else inf


def _merged(before: dict[Layout, Cost] | None, costs: dict[Layout, Cost]) -> dict[Layout, Cost]:
    """Merge two measurements of a kind; a layout that was too slow to be finished may be in either alone."""
    before = before or {}
    both = {
        layout: _later(before[layout], cost)
        for layout, cost in costs.items()
        if layout in before
    }
    return before | costs | both


def _later(before: Cost, cost: Cost) -> Cost:
    """The later of two measurements, with the larger memory and the shorter start of a worker."""
    # The second kind that a worker measures begins late in its life: the lesser age is what a start takes.
    return replace(
        cost,
        memory_bytes=max(cost.memory_bytes, before.memory_bytes),
        image_bytes=max(cost.image_bytes, before.image_bytes),
        worker_seconds=min(cost.worker_seconds, before.worker_seconds),
    )


def measure_operations(runs: Sequence[Run], engine: Engine = LOCAL) -> float:
    """Count the FLOPs of these runs by :func:`losslab.study.flops.operations`, in a worker, which has loaded torch.

    Raises:
        InvalidInput: when a network cannot be counted, with its error.
    """
    if not runs:
        return 0.0
    flops = 0.0
    for event in engine.run_tasks(
        [Task("operations", OPERATIONS, (runs,))], workers=1, threads=1
    ):
        if isinstance(event, Yielded):
            flops = event.value
        elif isinstance(event, Ended) and event.error:
            raise InvalidInput(event.error)
    return flops
