"""A step on a device: every tensor that it makes lies there, and nothing in it waits for one's value.

The meta device stands for a GPU: its tensors have no values, so that reading one raises.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from losslab import data
from losslab.data.task_data import TaskData
from losslab.spec import Run, make_run
from losslab.tasks.losses import Judged
from losslab.training.evaluation import sums_of
from losslab.training.feed import feed
from losslab.training.parts import prepare
from losslab.training.state import make_task, new_state
from losslab.training.step import Stepper
from losslab.training.timeline import Timeline

DEVICE = torch.device("meta")
DRAWING = {"rand", "mul_", "_to_copy", "randperm", "empty"}
"""What happens on the CPU, whatever the device: random numbers are drawn there, the same for all devices."""


class Elsewhere(TorchDispatchMode):
    """Collects the operations whose results lie on another device: (name, axes of the result)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, int]] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor) and value.device != DEVICE:
                self.found.add((function._opname, value.ndim))
        return result


def images(optimizer: str = "sgd(momentum=0.9)", **fields: Any) -> Run:
    augment = ["pad_crop(padding=4)", "flip", "cutout(size=8)"]
    spec = {"data": "fashion-mnist-sample", "model": "resnet-8", "optimizer": optimizer}
    spec |= {"lr": 0.1, "batch": 32, "steps": 2, "augment": augment, "repeats": 2}
    return make_run({**spec, "weight_decay": 1e-4, **fields})


def steps(
    run: Run, dataset: Any
) -> Iterator[tuple[set[tuple[str, int]], set[tuple[str, int]]]]:
    """What lies elsewhere after bringing the parts of each step, and after each step."""
    state = new_state(run, dataset, DEVICE)
    parts = prepare(run, dataset, state.layout, DEVICE)
    task = make_task(run)

    def measure(judged: Judged, samples: int) -> dict[str, torch.Tensor]:
        return sums_of(task.metrics, judged, samples)

    stepper = Stepper(
        state.model, state.optimizer, task.loss, measure, run.precision, run.clip_norm
    )
    timeline = Timeline(run, len(parts.training))
    steps = feed(run, parts.training, timeline, 0, DEVICE)
    for _ in range(timeline.total_steps):
        with Elsewhere() as feeding:
            step, batch = next(steps)
            taken = list(batch)
        with Elsewhere() as stepping:
            stepper.step(taken, step.batch_size * run.repeats, with_norm=True)
        yield feeding.found, stepping.found


@pytest.mark.parametrize(
    "optimizer",
    ["sgd(momentum=0.9)", "adam", "nadam", "adagrad", "adadelta", "rmsprop-nesterov"],
)
def test_all_that_a_step_makes_lies_on_its_device(optimizer: str) -> None:
    run = images(optimizer, clip_norm=1.0, max_micro_batch=24)
    for feeding, stepping in steps(run, data.load(run.data.name)):
        assert {name for name, _ in feeding} <= DRAWING
        # Torch itself keeps an optimizer's count of steps on the CPU, one number without axes.
        assert {axes for _, axes in stepping} <= {0}


METRICS = {
    "cross_entropy": ["accuracy", "f1"],
    "mse": ["mae", "r2"],
    "bce": ["label_accuracy", "f1"],
}


@pytest.mark.parametrize("loss", METRICS)
def test_losses_and_metrics_stay_on_the_device(loss: str) -> None:
    features = torch.randn(40, 108, generator=torch.Generator().manual_seed(0))
    targets = {
        "cross_entropy": torch.arange(40) % 3,
        "mse": features[:, :3].contiguous(),
        "bce": (features[:, :3] > 0).float(),
    }
    task_data = TaskData(train=(features, targets[loss]))
    spec = {"data": "samples:tiny_data", "model": "own_network:plain", "optimizer": "adam"}
    spec |= {"lr": 0.1, "batch": 8, "steps": 2, "loss": loss, "metrics": METRICS[loss]}
    for feeding, stepping in steps(make_run(spec), task_data):
        assert {name for name, _ in feeding} <= DRAWING
        assert {axes for _, axes in stepping} <= {0}


def test_a_tensor_of_another_device_is_found() -> None:
    with Elsewhere() as mode:
        torch.ones(2).add(1)
        torch.ones(2, device=DEVICE).add(1)
    assert mode.found == {("ones", 1), ("add", 1)}
