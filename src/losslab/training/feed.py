"""The samples of each step of a run, in parts: which they are is a function of the seed, the epoch and the step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice

import torch

from losslab import augment
from losslab.data.batches import Images
from losslab.devices import sent
from losslab.randomness import epoch_order, generator
from losslab.spec import Run
from losslab.tasks.samples import Selection, SomeSamples
from losslab.training import distributed
from losslab.training.step import Part
from losslab.training.timeline import Step, Timeline


@dataclass
class Orders:
    """The shuffled order of the current epoch; each epoch's is its own function of the seed."""

    seed: int
    count: int
    device: torch.device
    epoch: int = -1
    order: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    @cached_property
    def _first_turns(self) -> torch.Tensor:
        drawn = torch.randint(2, (self.count,), generator=generator(self.seed, "turns"))
        return sent(drawn, self.device)

    def turns(self, step: Step, positions: torch.Tensor) -> torch.Tensor:
        """0 or 1 for each of a step's samples: drawn in the first epoch, and the other one in each next."""
        return (self._first_turns[positions] + step.epoch) % 2

    def positions(self, step: Step) -> torch.Tensor:
        """The positions, in the training part, of a step's samples."""
        if step.epoch != self.epoch:
            self.order = sent(epoch_order(self.count, self.seed, step.epoch), self.device)
            self.epoch = step.epoch
        return self.order[step.offset : step.offset + step.batch_size]


def feed(
    run: Run, samples: SomeSamples, timeline: Timeline, first: int, device: torch.device
) -> Iterator[tuple[Step, Iterator[Part]]]:
    """The steps from ``first`` on, each with the parts of its batch in this process, which are built as they are taken.

    Args:
        run: what is trained.
        samples: the training part.
        timeline: of the run.
        first: index of the first step.
        device: where positions are wanted.
    """
    orders = Orders(run.seed, len(samples), device)
    if isinstance(samples, Images):
        for step in timeline.steps(first):
            positions = orders.positions(step)
            turns = partial(orders.turns, step, positions)
            yield step, image_parts(run, samples, positions, turns, step.index)
        return
    # One iterator over all steps, so that workers read across the border between two of them.
    batches = samples.batches(_selections(run, timeline.steps(first), orders))
    for step in timeline.steps(first):
        counts = _counts(run, step)
        yield (
            step,
            (
                Part(batch, count)
                for batch, count in zip(islice(batches, len(counts)), counts, strict=True)
            ),
        )


def image_parts(
    run: Run,
    images: Images,
    positions: torch.Tensor,
    turns: Callable[[], torch.Tensor],
    step: int,
) -> Iterator[Part]:
    """The images of a step in parts of at most `max_micro_batch`: all of them, then the second copy of all, and so on.

    Every copy is augmented by its own random numbers, drawn for the step as a whole: the parts' size changes no image.
    Where torchrun started several processes, the parts are those of this one's share.

    Args:
        run: what is trained.
        images: of the training part.
        positions: of the step's images.
        turns: 0 or 1 for each of these, called where flips alternate; the next copy has the other one.
        step: its index.
    """
    pipeline = augment.pipeline(run.augment, images.normalization)
    copies = positions.repeat(run.repeats)
    drawn = pipeline.draw(len(copies), images.pixels, generator(run.seed, "augment", step))
    if pipeline.alternates:
        first = turns()
        turns_of_copies = torch.cat([(first + copy) % 2 for copy in range(run.repeats)])
        drawn = pipeline.in_turn(drawn, turns_of_copies, images.pixels)
    share = distributed.share(len(copies))
    # A process without images of its own works on one that does not count.
    here = share or range(1)
    selected = slice(here.start, here.stop)
    size = run.max_micro_batch or len(copies)
    for indices, numbers in zip(
        torch.split(copies[selected], size), torch.split(drawn[selected], size), strict=True
    ):
        batch = images.augmented(indices, pipeline, numbers)
        yield Part(batch, min(len(indices), len(share)))


def _selections(run: Run, steps: Iterator[Step], orders: Orders) -> Iterator[Selection]:
    """The positions of every part of every step; workers read them ahead of the step that trains."""
    for step in steps:
        samples = orders.positions(step)
        copies = samples.repeat(run.repeats)
        share = distributed.share(len(copies)) or range(1)
        places = torch.arange(share.start, share.stop, device=copies.device)
        for part in torch.split(places, run.max_micro_batch or len(copies)):
            yield Selection(step.epoch, copies[part], part // len(samples))


def _counts(run: Run, step: Step) -> list[int]:
    """How many samples count in each part of a step; one part of none in a process that has none."""
    samples = len(distributed.share(step.batch_size * run.repeats))
    size = run.max_micro_batch or max(1, samples)
    return [min(size, samples - first) for first in range(0, samples, size)] or [0]
