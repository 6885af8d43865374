"""What a kind of run costs on this machine, and what runs take by that."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any

from losslab.optimizers import Method, choose
from losslab.spec import Layout, Run
from losslab.study.sizes import part_sizes, training_images
from losslab.training.timeline import Timeline, fit_stride

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
    """The key of a run's cost, JSON: its data set, `STEP_FIELDS`, its optimizer, and whether weights decay.

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
