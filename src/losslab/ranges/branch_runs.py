"""Critical batch sizes of named things: a run is trained for some steps, and branches from where it is."""

from collections.abc import Iterator
from typing import Any

import torch

from losslab.data.batches import Images
from losslab.data.dataset import Dataset
from losslab.data.task_data import TaskData
from losslab.errors import InvalidInput
from losslab.ranges.branch import CriticalBatch
from losslab.ranges.find_batch import find_batch
from losslab.ranges.losses import loss_of
from losslab.ranges.progress import watched
from losslab.records import Steps
from losslab.spec import Run
from losslab.training.loop import train
from losslab.training.parts import prepare
from losslab.training.state import new_state


class ImageBatches:
    """Batches of images on their device, in a new order each epoch; a short last one is left out."""

    def __init__(self, images: Images, size: int) -> None:
        self.images = images
        self.size = size

    def __len__(self) -> int:
        return len(self.images) // self.size

    def __iter__(self) -> Iterator[Any]:
        order = torch.randperm(len(self.images)).to(self.images.labels.device)
        for part in torch.split(order[: len(self) * self.size], self.size):
            yield self.images.batch(part)


def branch_run(
    run: Run,
    dataset: Dataset | TaskData,
    *,
    after: int,
    sizes: list[int],
    steps: int,
    seeds: int,
    scaling: str | None = None,
    tolerance: float | None = None,
    device: torch.device | str = "cpu",
) -> CriticalBatch:
    """Train a run for some steps at the smallest size, and find the critical batch size from there.

    Args:
        run: at the smallest size and a constant rate; of any length.
        dataset: its data.
        after: steps to train before the sizes branch; 0 branches from the initial weights.
        sizes: increasing multiples of the first.
        steps: of each branch at the smallest size.
        seeds: how often each branch is trained.
        scaling: of the learning rate.
        tolerance: part of the smallest size's loss by which another's may be higher; as in find_batch when None.
        device: where to train.
    Raises:
        InvalidInput: when the data are no images, or an argument is impossible.
    """
    state = new_state(run, dataset, device)
    images = prepare(run, dataset, state.layout, device).training
    if not isinstance(images, Images):
        raise InvalidInput(
            "--mode branch is for images; in Python, find_batch takes any batches"
        )
    if any("lr_policy" in group for group in state.optimizer.param_groups):
        raise InvalidInput(
            f"--parameter-groups (={run.parameter_groups}): a group has a rate of its own, which --mode branch would "
            "scale with the size; leave it out, or give --mode steps"
        )
    if after:
        before = run.model_copy(update={"steps": after, "epochs": None})
        with watched() as progress:
            progress.total, progress.label = after, "training before the sizes branch"
            for record in train(before, dataset=dataset, state=state, device=device):
                if isinstance(record, Steps):
                    progress.advance(len(record.loss))
    lr = float(str(run.lr))
    for group in state.optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
    try:
        return find_batch(
            state.model,
            ImageBatches(images, sizes[0]),
            state.optimizer,
            sizes=sizes,
            lr=state.optimizer.param_groups[0]["lr"],
            loss_fn=loss_of(run),
            steps=steps,
            seeds=seeds,
            mode="branch",
            scaling=scaling,
            tolerance=tolerance,
        )
    except ValueError as error:
        raise InvalidInput(str(error)) from None
