"""Drawn models, loaders and optimizers through both finders, some interrupted: all is put back. Row 21."""

import gc
import itertools
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, Sampler, TensorDataset

import losslab
from losslab.integrations.torch import PolicyBatchSampler

Trials = Callable[[int, int], int]
FEATURES, CLASSES, SAMPLES, BATCH = 6, 3, 36, 4


class Late(nn.Module):
    """A buffer, a layer and attributes of the first use, a counter, and a buffer that grows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, CLASSES)
        self.register_buffer("history", torch.zeros(1))
        self.cache: dict[int, list[int]] = {}
        self.calls = 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.calls == 0:
            self.register_buffer("table", torch.ones(FEATURES) * 2, persistent=False)
            self.extra = nn.Identity()
        self.calls += 1
        self.cache.setdefault(self.calls % 3, []).append(self.calls)
        self.history.resize_(1 + self.calls).fill_(self.calls)
        return self.extra(self.linear(inputs * (1 + 0.01 * (self.calls % 5))))


class Branches(nn.Module):
    """Two branches, of which each batch uses one; a third that none does."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.unused = (nn.Linear(FEATURES, CLASSES) for _ in range(3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.left(inputs) if inputs[0, 0] > 0 else self.right(inputs)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES)
        self.outer.weight = self.inner.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.outer(self.inner(inputs).relu())[:, :CLASSES]


def deep() -> nn.Sequential:
    layers = [
        nn.Linear(FEATURES, 5),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(5, CLASSES),
    ]
    return nn.Sequential(*layers)


def partly_frozen() -> nn.Module:
    model = deep()
    model[0].requires_grad_(False)
    model[1].eval()
    return model


def lazy() -> nn.Module:
    return nn.Sequential(
        nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(CLASSES)
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "deep": deep,
    "evaluated": lambda: deep().eval(),
    "frozen": partly_frozen,
    "late": Late,
    "branches": Branches,
    "tied": Tied,
    "lazy": lazy,
}


class Growing(Sampler[list[int]]):
    """Counts its batches, shuffles in place, and draws from generators of its own."""

    def __init__(self) -> None:
        self.given, self.order = 0, np.arange(SAMPLES)
        self.tickets, self.own = itertools.count(), np.random.default_rng(3)

    def __iter__(self) -> Iterator[list[int]]:
        self.own.shuffle(self.order)
        for start in range(0, SAMPLES, BATCH):
            self.given += next(self.tickets) % 2
            yield [
                int(self.order[(start + offset + self.given) % SAMPLES])
                for offset in range(BATCH)
            ]


class Stream(IterableDataset[Any]):
    """Goes on where it was left, with noise from Python and numpy."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Iterator[Any]:
        for _ in range(SAMPLES):
            self.position += 1
            noise = random.random() + float(np.random.rand())
            yield torch.randn(FEATURES) + noise, torch.tensor(self.position % CLASSES)


class Restarting:
    """Batches of a form of their own, with a position that an epoch moves."""

    def __init__(self, form: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        self.form, self.epoch = form, 0

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1
        inputs, labels = dataset().tensors
        order = torch.randperm(SAMPLES)
        for part in order.split(BATCH):
            yield self.form(inputs[part] + self.epoch, labels[part])


def dataset() -> TensorDataset:
    numbers = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, FEATURES, generator=numbers)
    return TensorDataset(inputs, torch.randint(CLASSES, (SAMPLES,), generator=numbers))


LOADERS: dict[str, Callable[[], Any]] = {
    "shuffled": lambda: DataLoader(dataset(), batch_size=BATCH, shuffle=True),
    "own generator": lambda: DataLoader(
        dataset(), BATCH, shuffle=True, generator=torch.Generator().manual_seed(9)
    ),
    "policy": lambda: DataLoader(
        dataset(), batch_sampler=PolicyBatchSampler(SAMPLES, lambda step: BATCH)
    ),
    "growing": lambda: DataLoader(dataset(), batch_sampler=Growing()),
    "stream": lambda: DataLoader(Stream(), batch_size=BATCH),
    "list": lambda: [[x, y] for x, y in DataLoader(dataset(), batch_size=BATCH)],
    "tuple": lambda: Restarting(lambda x, y: (x, y)),
    "dict": lambda: Restarting(lambda x, y: {"scalar": torch.tensor(1.0), "x": x, "y": y}),
    "object": lambda: Restarting(lambda x, y: SimpleNamespace(x=x, y=y, name="batch")),
}


def two_groups(model: nn.Module) -> list[dict[str, Any]]:
    first, *rest = [p for p in model.parameters() if p.requires_grad]
    return [{"params": [first], "lr": 0.02}, {"params": rest, "lr": 0.01}]


def warmed_up(model: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(two_groups(model), momentum=0.9)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10)
    return optimizer


OPTIMIZERS: dict[str, Callable[[nn.Module], Any]] = {
    "named": lambda model: "adam",
    "sgd": lambda model: torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True
    ),
    "adam": lambda model: torch.optim.Adam(two_groups(model), amsgrad=True),
    "rate in a tensor": lambda model: torch.optim.Adam(
        model.parameters(), lr=torch.tensor(0.01), foreach=False
    ),
    "rmsprop": lambda model: torch.optim.RMSprop(model.parameters(), lr=0.01, centered=True),
    "warm-up": warmed_up,
}


class Criterion(nn.Module):
    """A loss with a history and a moving average."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[float] = []
        self.register_buffer("average", torch.zeros(CLASSES))

    def forward(self, model: nn.Module, batch: Any) -> torch.Tensor:
        inputs, labels = (
            (batch[0], batch[1]) if isinstance(batch, list | tuple) else fields(batch)
        )
        outputs = model(inputs)
        self.average = 0.9 * self.average + 0.1 * outputs.detach().mean(0)
        loss = F.cross_entropy(outputs - self.average, labels)
        self.history.append(float(loss.detach()))
        return loss


def fields(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return (batch["x"], batch["y"]) if isinstance(batch, dict) else (batch.x, batch.y)


@dataclass
class World:
    """All that a test is given, in the middle of a training."""

    model: nn.Module
    optimizer: Any
    data: Any
    criterion: Criterion

    def train(self, steps: int) -> list[float]:
        """The losses of so many steps of the user's own loop, from the beginning of an epoch."""
        losses: list[float] = []
        optimizer = self.optimizer
        if isinstance(optimizer, str):
            optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        for batch in itertools.islice(
            itertools.chain.from_iterable(itertools.repeat(self.data)), steps
        ):
            optimizer.zero_grad()
            loss = self.criterion(self.model, batch)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses


def world(names: tuple[str, str, str], warm: int, seed: int) -> World:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    model = MODELS[names[0]]()
    made = World(model, OPTIMIZERS[names[2]](model), LOADERS[names[1]](), Criterion())
    made.train(warm)
    return made


def fingerprint(here: World) -> list[Any]:
    """Bits of everything, read without losslab."""
    seen: list[Any] = []
    for module in here.model.modules():
        attributes = {
            key: str(value) for key, value in vars(module).items() if not key.startswith("_")
        }
        seen.append((type(module).__name__, module.training, sorted(attributes.items())))
    for name, tensor in [*here.model.named_parameters(), *here.model.named_buffers()]:
        is_lazy = torch.nn.parameter.is_lazy(tensor)
        seen.append((name, tensor.requires_grad, "lazy" if is_lazy else bits(tensor)))
        seen.append(None if is_lazy or tensor.grad is None else bits(tensor.grad))
    if not isinstance(here.optimizer, str):
        states = list(here.optimizer.state.values())
        seen += [
            sorted((key, bits(torch.as_tensor(value))) for key, value in state.items())
            for state in states
        ]
        seen += [
            sorted((key, str(value)) for key, value in group.items() if key != "params")
            for group in here.optimizer.param_groups
        ]
    seen += [bits(here.criterion.average), list(here.criterion.history)]
    seen += [bits(torch.get_rng_state()), str(np.random.get_state()), str(random.getstate())]
    return seen


def bits(tensor: torch.Tensor) -> tuple[Any, ...]:
    return (
        tuple(tensor.shape),
        tuple(tensor.stride()),
        tensor.detach().clone().numpy().tobytes(),
    )


class Stop(Exception):  # noqa: N818
    """What ends a test early."""


@dataclass
class Interruption:
    """Ends a test: at a step by an error or by Ctrl-C, or by a signal at a call of any function, wherever it stands."""

    kind: str
    at: int
    steps: int = 0
    calls: int = 0

    def after_step(self) -> None:
        self.steps += 1
        if self.steps == self.at and self.kind == "error":
            raise Stop
        if self.steps == self.at and self.kind == "^C":
            raise KeyboardInterrupt

    def watch(self, _frame: FrameType, event: str, _value: object) -> None:
        if event == "call":
            self.calls += 1
            if self.calls == self.at:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)


def run_finder(here: World, pick: random.Random, interruption: Interruption) -> str:
    """Run a drawn finder; how it ended."""

    criterion = here.criterion

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        interruption.after_step()
        return criterion(model, batch)

    options: dict[str, Any] = {"loss_fn": loss_fn, "seeds": pick.choice([1, 2])}
    if pick.random() < 0.5:
        find = losslab.find_lr
        options |= {"steps": 6, "mode": pick.choice(["ramp", "grid"]), "candidates": 2}
        options |= {"accumulate": pick.choice([1, 2]), "clip_norm": pick.choice([None, 1.0])}
    else:
        find = losslab.find_batch
        options |= {"steps": 4, "sizes": [BATCH, 2 * BATCH], "lr": 0.01}
    if interruption.kind == "signal":
        sys.setprofile(interruption.watch)
    try:
        find(here.model, here.data, here.optimizer, **options)
    except Stop:
        return "error"
    except KeyboardInterrupt:
        return "interrupted"
    finally:
        sys.setprofile(None)
    return "ended"


def check_case(case: int) -> str:
    """One case; how the finder ended."""
    pick = random.Random(case)
    names = (
        pick.choice(list(MODELS)),
        pick.choice(list(LOADERS)),
        pick.choice(list(OPTIMIZERS)),
    )
    if names[0] == "lazy" and names[2] in ("adam", "warm-up"):
        names = (names[0], names[1], "sgd")  # groups by number of axes need shapes
    warm = 0 if names[0] == "lazy" else pick.choice([0, 3])
    kind = pick.choice(["none", "error", "^C", "signal"])
    interruption = Interruption(kind, pick.randrange(1, 12 if kind != "signal" else 20_000))
    without = world(names, warm, case)
    expected = fingerprint(without), without.train(13), fingerprint(without)
    here = world(names, warm, case)
    ended = run_finder(here, pick, interruption)
    gc.collect()
    assert fingerprint(here) == expected[0], f"case {case}, {names}, {kind}: not as before"
    assert here.train(13) == expected[1], f"case {case}, {names}, {kind}: trains otherwise"
    assert fingerprint(here) == expected[2], f"case {case}, {names}, {kind}: ends otherwise"
    return ended


@pytest.mark.row(21)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Ctrl-C while a generator is cleared
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_everything_is_put_back_whatever_was_tested_and_however_it_ended(
    trials: Trials, measured: Callable[[str], None]
) -> None:
    cases = trials(20, 500)
    ends = Counter(map(check_case, range(cases)))
    assert ends["error"] > 0 < ends["interrupted"]
    figures = ", ".join(f"{count} {how}" for how, count in sorted(ends.items()))
    measured(f"{ends.total()} of {cases} put back ({figures})")


@dataclass
class Boundary:
    """Ctrl-C at one of the calls and returns of what puts things back, and of what it is built on."""

    at: int
    seen: int = 0

    def watch(self, frame: FrameType, event: str, _value: object) -> None:
        files = ("ranges/restored.py", "contextlib.py", "/signal.py", "/threading.py")
        if event in ("call", "return") and frame.f_code.co_filename.endswith(files):
            self.seen += 1
            if self.seen == self.at:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)


def interrupted_at(boundary: Boundary) -> bool:
    """Whether a test that Ctrl-C reaches there raises it; all is as before in any case."""
    here = world(("late", "own generator", "adam"), 3, 153)
    before = fingerprint(here)
    criterion = here.criterion
    is_raised = False
    sys.setprofile(boundary.watch)
    try:
        losslab.find_lr(
            here.model,
            here.data,
            here.optimizer,
            loss_fn=lambda m, b: criterion(m, b),
            steps=3,
            seeds=1,
        )
    except KeyboardInterrupt:
        is_raised = True
    finally:
        sys.setprofile(None)
    assert fingerprint(here) == before, f"Ctrl-C at boundary {boundary.at}: not as before"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return is_raised


@pytest.mark.row(21)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_every_boundary_of_putting_back_is_raised_after_it(
    trials: Trials, measured: Callable[[str], None]
) -> None:
    interrupted_at(Boundary(0))  # what the first use imports makes calls of its own
    whole = Boundary(0)
    interrupted_at(whole)
    boundaries = range(1, whole.seen + 1, trials(11, 1))
    assert all(interrupted_at(Boundary(at)) for at in boundaries)
    measured(f"Ctrl-C put back and raised at {len(boundaries)} of {len(boundaries)} boundaries")
