"""One optimizer step: the images of a batch in parts, their gradients added up with exact weights, the update."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from losslab import augment
from losslab.data.batches import Images
from losslab.data.dataset import Dataset
from losslab.errors import InvalidInput
from losslab.optimizers.groups import set_lr
from losslab.randomness import epoch_order, generator, seeded
from losslab.spec import Run
from losslab.training import distributed
from losslab.training.state import TrainState, memory_at
from losslab.training.timeline import Step


@dataclass
class Orders:
    """The shuffled order of the current epoch; each epoch's is its own function of the seed."""

    seed: int
    count: int
    device: torch.device
    epoch: int = -1
    order: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def indices(self, step: Step) -> torch.Tensor:
        """The positions, in the training part, of a step's images."""
        if step.epoch != self.epoch:
            self.order = epoch_order(self.count, self.seed, step.epoch).to(self.device)
            self.epoch = step.epoch
        return self.order[step.offset : step.offset + step.batch_size]


def update(
    run: Run, state: TrainState, step: Step, images: Images, indices: torch.Tensor, *, network: nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do one optimizer step.

    A batch above `max_micro_batch` is accumulated: loss and gradient are those of the whole batch (batch-norm
    statistics aside, which are each part's own). The same holds for processes, each of which has its share.

    Args:
        run: what is trained.
        state: its model and optimizer are updated in place.
        step: which step of the timeline.
        images: the training part.
        indices: positions of the step's images in it.
        network: the model, or what torch wraps around it for several processes.
    Returns:
        The mean loss of the batch, and how many of its images, copies counted, were classified correctly: tensors on
        the device; of this process's share where there are several.
    """
    images_in_step = step.batch_size * run.repeats
    images_here = len(distributed.share(images_in_step))
    images_left = max(images_here, 1)
    losses: list[torch.Tensor] = []
    correct: list[torch.Tensor] = []
    state.model.train()
    state.optimizer.zero_grad()
    with memory_at(step.index), _drawn_for(run, step, indices.device):
        for pixels, labels in micro_batches(run, images, indices, step.index):
            images_left -= len(labels)
            # A process without images of its own works on one that does not count: the others wait for its gradient.
            images_counted = min(len(labels), images_here)
            # The mean over a part counts by the part's fraction of the step. Processes average their gradients, which
            # divides by their number; multiplying by it first makes that average the mean over the whole batch.
            weight = distributed.processes() * images_counted / images_in_step
            # Gradients are exchanged once, with the last part.
            with distributed.accumulating(network) if images_left else nullcontext():
                logits = network(pixels)
                scaled_loss = F.cross_entropy(logits, labels) * weight
                scaled_loss.backward()  # type: ignore[no-untyped-call]
            losses.append(scaled_loss.detach())
            correct.append((logits.detach().argmax(1) == labels)[:images_counted].sum())
        set_lr(state.optimizer, step.lr)
        state.optimizer.step()
    return torch.stack(losses).sum(), torch.stack(correct).sum()


def _drawn_for(run: Run, step: Step, device: torch.device) -> AbstractContextManager[None]:
    """Within, what layers such as dropout draw is a function of seed, step and process."""
    rank = distributed.rank()
    purpose = f"step of process {rank}" if rank else "step"
    return seeded(run.seed, purpose, step.index, device=device)


def micro_batches(
    run: Run, images: Images, indices: torch.Tensor, step: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The images of a step in parts of at most `max_micro_batch`: all of them, then the second copy of all, and so on.

    Every copy is augmented by its own random numbers, drawn for the step as a whole: the parts' size changes no image.
    Where torchrun started several processes, the parts are those of this one's share.
    """
    pipeline = augment.pipeline(run.augment, images.normalization)
    copies = indices.repeat(run.repeats)
    drawn = pipeline.draw(len(copies), images.pixels, generator(run.seed, "augment", step))
    part = distributed.share(len(copies)) or range(1)
    mine = slice(part.start, part.stop)
    most = run.max_micro_batch or len(copies)
    for some, numbers in zip(torch.split(copies[mine], most), torch.split(drawn[mine], most), strict=True):
        yield images.augmented(some, pipeline, numbers)


@contextmanager
def explained_at_first(step: Step, run: Run, dataset: Dataset) -> Iterator[None]:
    """Turn an error in the first step into InvalidInput: the model and the data do not fit."""
    try:
        yield
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        if step.index:
            raise
        shape, classes = "x".join(map(str, dataset.train_images.shape[1:])), len(dataset.classes)
        raise InvalidInput(
            f"`model` (={run.model}) cannot be trained on `data` (={run.data.name}), whose images are {shape} "
            f"(channels x height x width) in {classes} classes: {type(error).__name__}: {error}"
        ) from error
