"""Range tests and policies of what Accelerate has prepared, alone and in two processes."""

import copy
import multiprocessing
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import losslab

pytest.importorskip("accelerate")
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState, GradientState
from accelerate_samples import SAMPLES, parts, train, train_one_of_two
from torch.utils.data import DataLoader, Dataset, IterableDataset, WeightedRandomSampler

from losslab.integrations.accelerate import find_batch, find_lr, lay_out

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(autouse=True)
def _own_state() -> Iterator[None]:
    """Accelerate keeps one state a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.mark.parametrize("finder", ["lr", "batch"])
def test_a_finder_leaves_what_is_prepared_as_it_was(finder: str) -> None:
    accelerator = Accelerator(cpu=True)
    model, optimizer, loader = parts(accelerator)
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    drawn = torch.get_rng_state()
    iteration = loader.iteration
    if finder == "lr":
        assert find_lr(accelerator, model, loader, optimizer, steps=20, seeds=1).curve
    else:
        find_batch(accelerator, model, loader, optimizer, sizes=[16, 32], steps=5, seeds=1)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert optimizer.state_dict() == state
    assert torch.equal(torch.get_rng_state(), drawn)
    assert loader.iteration == iteration
    assert not accelerator.gradient_state.in_dataloader
    assert accelerator._dataloaders == [loader]


def test_seeds_of_a_test_have_orders_of_their_own_and_accuracies() -> None:
    accelerator = Accelerator(
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True), cpu=True
    )
    network, optimizer, loader = parts(accelerator)
    network[1].p = 0.0
    curve = find_lr(accelerator, network, loader, optimizer, steps=20, seeds=2).curve
    assert curve.loss_low != curve.loss_high
    assert len(curve.accuracy) == len(curve.loss)


def test_accumulation_and_precision_are_the_accelerators() -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3, mixed_precision="bf16")
    model, optimizer, loader = parts(accelerator)
    seen: list[bool] = []
    model.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    found = find_lr(accelerator, model, loader, optimizer, steps=10, seeds=1)
    assert found.setting.batch_sizes == [48]
    assert seen
    assert all(seen)


class Stream(IterableDataset[Any]):
    """Samples without a length."""

    def __iter__(self) -> Iterator[Any]:
        for index in range(64):
            yield torch.full((20,), index / 64), torch.tensor(index % 5)


class OfBatches(Dataset[Any]):
    """Samples that are batches already."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return torch.full((8, 20), index / 8), torch.arange(8) % 5


@pytest.mark.parametrize("dispatch_batches", [None, False])
@pytest.mark.parametrize(
    "loader", [DataLoader(Stream(), 8), DataLoader(OfBatches(), batch_size=None)]
)
def test_samples_that_no_sampler_chooses_are_tested_as_they_come(
    loader: DataLoader[Any], dispatch_batches: bool | None
) -> None:
    settings = DataLoaderConfiguration(dispatch_batches=dispatch_batches)
    accelerator = Accelerator(cpu=True, dataloader_config=settings)
    network = torch.nn.Linear(20, 5)
    network, optimizer, prepared = accelerator.prepare(
        network, torch.optim.Adam(network.parameters()), loader
    )
    found = find_lr(accelerator, network, prepared, optimizer, steps=5, seeds=1)
    plain = losslab.find_lr(network, loader, optimizer.optimizer, steps=5, seeds=1)
    assert found.setting.batch_sizes == [8]
    assert found.curve == plain.curve


class Slow(torch.optim.Optimizer):
    """Wraps another optimizer and steps in its own way, as Lookahead does."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        super().__init__(optimizer.param_groups, optimizer.defaults)

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data -= 1e-3 * group["lr"] * weight.grad


def test_an_optimizer_that_wraps_another_is_the_one_that_is_tested() -> None:
    accelerator = Accelerator(cpu=True)
    network, _, loader = parts(accelerator)
    slow = Slow(torch.optim.SGD(network.parameters(), lr=0.1))
    for optimizer in (slow, accelerator.prepare(slow)):
        found = find_lr(accelerator, network, loader, optimizer, steps=5, seeds=1)
        assert found.setting.optimizer == "Slow"


@pytest.mark.parametrize("workers", [0, 2])
def test_sizes_and_rates_are_those_laid_out(workers: int) -> None:
    trained = train(Accelerator(cpu=True), workers, 3)
    expected = course(3)
    assert tuple(trained["sizes"]) == trained["scheduled"] == expected.batch_sizes
    assert trained["rates"] == pytest.approx(rates(expected), rel=1e-12)


@pytest.mark.parametrize(("workers", "epochs"), [(0, 3), (2, 1)])
def test_two_processes_split_each_batch_evenly_and_test_ranges_together(
    workers: int, epochs: int
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    running = [
        context.Process(target=train_one_of_two, args=(rank, port, workers, epochs, results))
        for rank in range(2)
    ]
    for process in running:
        process.start()
    answers = sorted((results.get(timeout=600) for _ in running), key=lambda answer: answer[0])
    for process in running:
        process.join()
    (_, first), (_, second) = answers
    expected = course(epochs)
    together = [a + b for a, b in zip(first["sizes"], second["sizes"], strict=True)]
    assert together == list(expected.batch_sizes) == list(first["scheduled"])
    assert all(abs(a - b) <= 1 for a, b in zip(first["sizes"], second["sizes"], strict=True))
    assert first["rates"] == pytest.approx(rates(expected), rel=1e-12)
    assert first["weight"] == second["weight"]
    assert first["curve"] == second["curve"]


def course(epochs: int) -> losslab.integrations.torch.Course:
    return losslab.lay_out(
        lr="exp_range(1e-3, 1e-1)",
        batch="exp_range(8, 32, multiple=2)",
        dataset_size=SAMPLES,
        epochs=epochs,
        seed=3,
    )


def rates(course: losslab.integrations.torch.Course) -> list[float]:
    return [course.lr(step) for step in range(course.total_steps)]


def test_what_cannot_be_laid_out_is_refused() -> None:
    options = {"lr": 0.1, "batch": 8, "epochs": 1}
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    _, _, loader = parts(accelerator)
    with pytest.raises(ValueError, match="the Accelerator accumulates 2 batches a step"):
        lay_out(accelerator, loader, **options)
    accelerator.gradient_accumulation_steps = 1
    sampler = WeightedRandomSampler([1.0] * SAMPLES, SAMPLES)
    weighted = DataLoader(loader.dataset, batch_size=4, sampler=sampler)
    with pytest.raises(TypeError, match="draws its samples by a WeightedRandomSampler"):
        lay_out(accelerator, weighted, **options)
