"""Measure what the runs of a study cost here, in the workers that will train them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from math import inf

from losslab.errors import InvalidInput
from losslab.spec import Layout, Run
from losslab.study.costs import (
    MARGIN,
    USUAL,
    Cost,
    Layouts,
    kind_of_run,
    network_of,
    run_seconds,
)
from losslab.study.engines import LOCAL, Engine
from losslab.study.engines.local import Ended, Task, Yielded

CALIBRATE = "losslab.study.calibrate:calibrate"
OPERATIONS = "losslab.study.flops:yield_operations"
Measured = Mapping[str, Mapping[Layout, Cost]]
"""Kind of run -> what it costs in each layout that was measured, the usual one first."""


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
