"""What runs cost here: measured for each kind of run by the ways to carry it out, then added up."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from math import inf
from types import MappingProxyType

from losslab.errors import InvalidInput
from losslab.spec import Run
from losslab.study.engine import LOCAL, Engine
from losslab.study.local import Ended, Task, Yielded
from losslab.study.sizes import part_sizes, training_images
from losslab.timeline import Timeline
from losslab.variant import Variant

CALIBRATE = "losslab.study.calibrate:calibrate"
MARGIN = 0.05
"""Part of the time that another way than the usual one must save to be taken: less is within what measuring errs by."""


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


Costs = Mapping[str, Cost]
Measured = Mapping[str, Mapping[Variant, Cost]]
"""Kind of run -> what it costs by each variant that was tried, the usual one first."""
Variants = Mapping[str, Variant]
"""Network and data -> how its steps are carried out."""
USUAL: Variants = MappingProxyType({})
"""Every network by the variant that is usual for it."""


def network_of(run: Run) -> str:
    """What a variant is chosen for: the same for all runs of a network on the same data, so that they compare."""
    return f"{run.model} on {run.data.name}"


def kind_of_run(run: Run) -> str:
    """What the cost of a step depends on: everything but length, data size, learning rate, seed and number of copies.

    Steps with several copies lie on the line through the cost of one and that of as many as are quickly measured.
    """
    fields = run.model_dump(mode="json")
    parts = {key: fields[key] for key in ("model", "optimizer", "batch", "augment", "max_micro_batch")}
    return json.dumps([run.data.name, parts, run.weight_decay > 0, run.repeats > 1], sort_keys=True)


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


def fastest_variants(runs: Iterable[Run], measured: Measured) -> dict[str, Variant]:
    """For each network the variant by which its runs are predicted to take the least time, compiling included.

    The first one measured stays unless another saves the `MARGIN`.
    """
    networks = defaultdict(list)
    for run in runs:
        networks[network_of(run)].append(run)
    chosen: dict[str, Variant] = {}
    for network, group in networks.items():
        kinds = [measured[kind_of_run(run)] for run in group]
        common = [variant for variant in kinds[0] if all(variant in kind for kind in kinds)]
        seconds = {
            variant: sum(
                run_seconds(run, {kind_of_run(run): kind[variant]}) for run, kind in zip(group, kinds, strict=True)
            )
            for variant in common
        }
        best = min(common, key=seconds.__getitem__)
        chosen[network] = best if seconds[best] < (1 - MARGIN) * seconds[common[0]] else common[0]
    return chosen


def measure_costs(
    runs: Sequence[Run],
    *,
    workers: int,
    threads: int,
    engine: Engine = LOCAL,
    variants: Mapping[str, tuple[Variant, ...]] = MappingProxyType({}),
) -> dict[str, dict[Variant, Cost]]:
    """The costs of each kind of run among ``runs``, measured here and now with all workers at work.

    Args:
        runs: to be carried out; the costliest of a kind is measured.
        workers: processes at a time; each has something to measure at any time, a kind twice where need be.
        threads: torch threads of each.
        engine: where they are.
        variants: the ones to try, by network; the usual one and its other layout where absent.
    Raises:
        InvalidInput: when a kind of run cannot be trained at all, with its error.
    """
    kinds = {kind_of_run(run): run for run in sorted(runs, key=lambda run: run.repeats)}  # the one with most copies
    costs: dict[str, dict[Variant, Cost]] = {}
    rounds = -(-len(kinds) // workers)
    tasks = [
        Task(kind, CALIBRATE, (run, variants.get(network_of(run), ())))
        for kind, run in islice(cycle(kinds.items()), rounds * workers)
    ]
    for event in engine.run_tasks(tasks, workers=workers, threads=threads):
        if isinstance(event, Yielded):
            costs[event.key] = event.value
        elif isinstance(event, Ended) and event.error:
            run = kinds[event.key]
            raise InvalidInput(f"{run.model} with {run.optimizer.name} on {run.data.name}: {event.error}")
    return costs
