"""All that a range test touches is put back, bit for bit, whatever ends the test."""

import itertools
import random
import signal
from collections.abc import Callable, Iterator
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from own_network import loader, plain, tensors
from torch import nn
from torch.nn import functional as F
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    TensorDataset,
)

import losslab
from losslab.integrations.torch import PolicyBatchSampler
from losslab.ranges.restored import restored
from losslab.ranges.snapshot import Snapshot


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01)


def mean_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def lengths(data: Any) -> list[int]:
    return [len(labels) for _, labels in data]


class Counting(Sampler[list[int]]):
    """Batches that grow with every batch it ever gave, counted in several ways."""

    def __init__(self) -> None:
        self.given = 0
        self.numbers = itertools.count()
        self.array = np.zeros(3, int)
        self.nested = {"sizes": [1]}
        self.order = list(range(60))
        self.numpy_generator = np.random.default_rng(4)
        self.python_generator = random.Random(5)

    def __iter__(self) -> Iterator[list[int]]:
        self.python_generator.shuffle(self.order)
        for start in range(0, 48, 12):
            self.given += 1
            self.array += 1
            self.nested["sizes"].append(next(self.numbers))
            size = 2 + (self.given + self.array[0] + self.nested["sizes"][-1]) % 5
            yield [
                (self.order[start] + offset) % 60
                for offset in range(size + int(self.numpy_generator.integers(3)))
            ]


class Slotted(Sampler[list[int]]):
    __slots__ = ("epoch",)

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        self.epoch += 1
        yield from ([index] * (2 + self.epoch) for index in range(4))


class Drifting(Dataset[Any]):
    """Whose samples depend on how often it was read."""

    def __init__(self) -> None:
        self.reads = 0
        self.noise = torch.Generator().manual_seed(1)

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> Any:
        self.reads += 1
        return torch.randn(108, generator=self.noise) + self.reads, torch.tensor(index % 3)


class Stream(IterableDataset[Any]):
    """A stream that goes on where it was left."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Iterator[Any]:
        for _ in range(24):
            self.position += 1
            yield torch.full((108,), float(self.position % 7)), torch.tensor(self.position % 3)


class Collate:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, samples: list[Any]) -> Any:
        self.calls += 1
        images, labels = zip(*samples, strict=True)
        return torch.stack(images) * (1 + 0.1 * (self.calls % 3)), torch.stack(labels)


LOADERS: dict[str, Callable[[], Any]] = {
    "policy sampler": lambda: DataLoader(
        tensors(), batch_sampler=PolicyBatchSampler(207, lambda step: 4 + step % 9)
    ),
    "counting sampler": lambda: DataLoader(tensors(), batch_sampler=Counting()),
    "slotted sampler": lambda: DataLoader(tensors(), batch_sampler=Slotted()),
    "drifting dataset": lambda: DataLoader(Drifting(), batch_size=8),
    "stream": lambda: DataLoader(Stream(), batch_size=8),
    "counting collate": lambda: DataLoader(tensors(), batch_size=16, collate_fn=Collate()),
    "shuffled": lambda: DataLoader(tensors(), batch_size=16, shuffle=True),
    "nested generator": lambda: DataLoader(
        tensors(),
        batch_sampler=BatchSampler(
            RandomSampler(range(200), generator=torch.Generator()), 16, False
        ),
    ),
    "workers": lambda: DataLoader(
        tensors(), batch_size=64, shuffle=True, num_workers=1, persistent_workers=True
    ),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_goes_on_as_if_there_had_been_no_test(name: str) -> None:
    seen = []
    for tested in (False, True):
        model = plain()
        torch.manual_seed(0)
        data = LOADERS[name]()
        first = list(data)
        if tested:
            losslab.find_lr(model, data, "adam", steps=9, seeds=2)
            assert (
                losslab.find_lr(model, data, "adam", steps=5, seeds=1).reason.count(
                    "cannot be put back"
                )
                == 0
            )
        seen.append([*first, *data])
    assert lengths(seen[0]) == lengths(seen[1])
    assert all(
        torch.equal(one, other)
        for pair in zip(*seen, strict=True)
        for one, other in zip(*pair, strict=True)
    )


def test_a_loader_in_the_middle_of_an_epoch_goes_on() -> None:
    ends = []
    for tested in (False, True):
        model = plain()
        torch.manual_seed(0)
        data = DataLoader(
            tensors(), batch_size=16, shuffle=True, num_workers=1, persistent_workers=True
        )
        batches = iter(data)
        seen = [next(batches)[1]]
        if tested:
            losslab.find_lr(model, data, "adam", steps=5, seeds=1)
        ends.append([*seen, *(labels for _, labels in batches)])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def test_a_loader_that_raises_when_asked_for_its_state_is_never_asked() -> None:
    class Prepared:
        """As accelerate's: it has the methods, but nothing behind them."""

        def __init__(self) -> None:
            self.base = loader()
            self.iteration = 0

        def __iter__(self) -> Iterator[Any]:
            self.iteration += 1
            return iter(self.base)

        def state_dict(self) -> Any:
            raise AttributeError("dl_state_dict")

        def load_state_dict(self, state: Any) -> None:
            raise AttributeError("dl_state_dict")

    data = Prepared()
    assert losslab.find_lr(plain(), data, "adam", steps=20, seeds=1).reason.count("cannot") == 0
    assert data.iteration == 0


class Resumable:
    """Its place is in a running generator, which only its own methods can put back."""

    def __init__(self) -> None:
        self.source = self._from(0)

    def _from(self, start: int) -> Iterator[Any]:
        self.position = start
        while True:
            self.position += 1
            yield torch.full((4, 108), float(self.position)), torch.arange(4) % 3

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(self.source, 5)

    def state_dict(self) -> Any:
        return {"position": self.position}

    def load_state_dict(self, state: Any) -> None:
        self.source = self._from(state["position"])


def test_a_position_that_only_the_data_can_put_back_is_put_back_by_it() -> None:
    data = Resumable()
    list(data)
    found = losslab.find_lr(plain(), data, "adam", steps=7, seeds=1)
    assert "cannot be put back" not in found.reason
    assert float(next(iter(data))[0][0, 0]) == 6


def test_what_cannot_be_put_back_is_said() -> None:
    data = SimpleNamespace(source=(batch for batch in loader()))

    class Lost:
        def __init__(self) -> None:
            self.source = itertools.chain.from_iterable(loader() for _ in itertools.count())
            self.drawn = (number for number in range(10**6))

        def __iter__(self) -> Iterator[Any]:
            next(self.drawn)
            return iter(loader())

    assert data
    found = losslab.find_lr(plain(), Lost(), "adam", steps=5, seeds=1)
    assert "what Lost.drawn" in found.reason
    assert "cannot be put back" in found.reason


class Late(nn.Module):
    """Makes buffers, layers and attributes at first use, and resizes a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3)
        self.cache: dict[str, torch.Tensor] = {}
        self.calls = 0
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("wide", torch.ones(1).expand(5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if "table" not in self._buffers:
            self.register_buffer("table", torch.ones(108), persistent=False)
            self.head = nn.Linear(3, 3)
        self.seen.resize_(2 + self.calls).fill_(self.calls)
        self.wide = torch.zeros(4)
        self.cache["last"] = images.detach().mean()
        return self.linear(images.flatten(1) * self.table) + self.wide.sum()


def test_buffers_layers_and_attributes_made_by_the_first_forward_pass_are_gone_again() -> None:
    model = Late()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    before = deepcopy(model.state_dict())
    losslab.find_lr(model.eval(), loader(), optimizer, steps=12, seeds=2)
    assert (model.calls, model.cache, hasattr(model, "table"), hasattr(model, "head")) == (
        0,
        {},
        False,
        False,
    )
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.wide.stride() == (0,)
    assert (model.training, optimizer.param_groups[0]["lr"], len(optimizer.state)) == (
        False,
        1e-3,
        0,
    )


def lazy() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3)
    )


@pytest.mark.parametrize("is_named", [True, False])
def test_lazy_modules_are_lazy_again_and_train_as_without_a_test(is_named: bool) -> None:
    ends = []
    for tested in (False, True):
        torch.manual_seed(2)
        model = lazy()
        optimizer = sgd(model)
        if tested:
            given = "sgd" if is_named else optimizer
            losslab.find_lr(model, loader(), given, steps=9, seeds=2)
            found = losslab.find_batch(
                model, loader(), given, sizes=[16, 32], lr=0.1, steps=4, seeds=2
            )
            assert len(set(found.weights_sha256)) == 1
            assert isinstance(model[1].weight, nn.UninitializedParameter)
            assert isinstance(model[1], nn.LazyLinear)
        for batch in list(loader())[:5]:
            optimizer.zero_grad()
            mean_loss(model, batch).backward()
            optimizer.step()
        ends.append(model.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


class Criterion:
    """A loss with a history, a module and a count of its own."""

    def __init__(self) -> None:
        self.history: list[float] = []
        self.best = None
        self.center = nn.BatchNorm1d(3)

    def __call__(self, model: nn.Module, batch: Any) -> torch.Tensor:
        loss = F.cross_entropy(self.center(model(batch[0])), batch[1])
        self.history.append(float(loss.detach()))
        self.best = min(self.history)
        return loss


def test_attributes_of_a_criterion_are_put_back() -> None:
    criterion = Criterion()
    inside = nn.BatchNorm1d(3)
    losslab.find_lr(plain(), loader(), "adam", loss_fn=criterion, steps=12, seeds=1)
    losslab.find_lr(
        plain(),
        loader(),
        "adam",
        loss_fn=lambda m, b: F.cross_entropy(inside(m(b[0])), b[1]),
        steps=12,
        seeds=1,
    )
    assert (criterion.history, criterion.best) == ([], None)
    assert int(criterion.center.num_batches_tracked) == int(inside.num_batches_tracked) == 0
    assert not criterion.center.running_mean.any()


def test_frozen_flags_gradients_and_a_scaler_are_put_back() -> None:
    model = plain()
    model[1].bias.requires_grad_(False)
    gradient = model[3].weight.grad = torch.ones_like(model[3].weight)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)

    def thawing(model: nn.Module, batch: Any) -> torch.Tensor:
        model[1].bias.requires_grad_(True)
        return mean_loss(model, batch)

    losslab.find_lr(
        model,
        loader(),
        sgd(model),
        loss_fn=thawing,
        scaler=scaler,
        clip_norm=1.0,
        steps=9,
        seeds=1,
    )
    assert not model[1].bias.requires_grad
    assert model[3].weight.grad is gradient
    assert bool((gradient == 1).all())
    assert scaler.get_scale() == 8.0


def test_weights_swapped_for_others_come_back() -> None:
    model = plain()
    weight, storage = model[1].weight, model[1].weight.data_ptr()

    def swapping(model: nn.Module, batch: Any) -> torch.Tensor:
        loss = mean_loss(model, batch)
        model[1].weight.data = torch.zeros(16, 108)
        return loss

    before = weight.detach().clone()
    losslab.find_lr(model, loader(), sgd(model), loss_fn=swapping, steps=5, seeds=1)
    assert model[1].weight is weight
    assert weight.data_ptr() == storage
    assert torch.equal(weight, before)


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    """Bits of weights, buffers, optimizer and random state."""
    values = [
        *model.state_dict().values(),
        torch.get_rng_state(),
        torch.tensor(np.random.get_state()[1].tolist()),
    ]
    for state in optimizer.state_dict()["state"].values():
        values += [torch.as_tensor(value) for value in state.values()]
    return [value.clone() for value in values]


class Failing:
    """Raises at some step, and again whenever it is put back."""

    def __init__(self, error: BaseException | None, undo_error: BaseException) -> None:
        self.error, self.undo_error, self.is_restored, self.calls = error, undo_error, 0, 0
        self.running = (number for number in range(10**6))

    def __iter__(self) -> Iterator[Any]:
        for batch in loader():
            self.calls += 1
            if self.error is not None:
                raise self.error
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.is_restored += 1
        raise self.undo_error


@pytest.mark.parametrize(
    "error",
    [RuntimeError("first"), KeyboardInterrupt("first"), None],
    ids=["error", "^C", "none"],
)
@pytest.mark.parametrize(
    "undo_error", [RuntimeError("second"), KeyboardInterrupt("second")], ids=["error", "^C"]
)
def test_every_undo_runs_and_the_first_error_is_raised(
    error: BaseException | None, undo_error: BaseException
) -> None:
    model = plain()
    optimizer = torch.optim.Adam(model.parameters())
    before = state_of(model, optimizer)
    expected = error or undo_error
    with pytest.raises(type(expected), match=str(expected)):
        losslab.find_lr(model, Failing(error, undo_error), optimizer, steps=9, seeds=1)
    assert all(
        torch.equal(one, other)
        for one, other in zip(before, state_of(model, optimizer), strict=True)
    )
    assert (optimizer.param_groups[0]["lr"], len(optimizer.state)) == (1e-3, 0)


def test_ctrl_c_while_things_are_put_back_waits_until_they_are() -> None:
    model = plain()
    optimizer = sgd(model)
    before = state_of(model, optimizer)
    handler = signal.getsignal(signal.SIGINT)

    class Interrupting(Failing):
        def load_state_dict(self, state: dict[str, int]) -> None:
            signal.raise_signal(signal.SIGINT)
            self.calls = -1

    data = Interrupting(None, RuntimeError())
    with pytest.raises(KeyboardInterrupt):
        losslab.find_lr(model, data, optimizer, steps=5, seeds=1)
    assert signal.getsignal(signal.SIGINT) is handler
    assert all(
        torch.equal(one, other)
        for one, other in zip(before, state_of(model, optimizer), strict=True)
    )


def test_the_copies_take_weights_and_optimizer_state_once_more() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(108, 64), nn.BatchNorm1d(64), nn.Linear(64, 3)
    )
    optimizer = torch.optim.Adam(model.parameters())
    mean_loss(model, next(iter(loader()))).backward()
    optimizer.step()
    snapshot = Snapshot()
    snapshot.add(model, optimizer, loader(), mean_loss)
    state = [value for values in optimizer.state.values() for value in values.values()]
    own = [*model.parameters(), *model.buffers(), *state]
    samples = tensors().tensors  # of which a small data set has a copy, too
    assert {id(tensor) for tensor in own} <= {id(tensor) for tensor in snapshot.tensors}
    assert sum(tensor.nbytes for tensor in snapshot.tensors) == sum(
        tensor.nbytes for tensor in (*own, *samples)
    )


def test_a_large_data_set_is_not_copied() -> None:
    data = DataLoader(TensorDataset(torch.zeros(6 * 2**20)), batch_size=2)
    snapshot = Snapshot()
    snapshot.add(data)
    assert snapshot.tensors == []


def test_copies_are_kept_on_the_host_where_the_device_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = plain()
    before = deepcopy(model.state_dict())
    monkeypatch.setattr("losslab.ranges.restored._is_short", lambda *_: True)

    def spoil(_snapshot: Snapshot) -> None:
        for p in model.parameters():
            p.data.zero_()

    restored(spoil, model, sgd(model), [])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_gradients_are_recorded_again_after_a_loss_that_switched_them_off() -> None:
    def switching(model: nn.Module, batch: Any) -> torch.Tensor:
        torch.set_grad_enabled(False)
        raise RuntimeError("switched off")

    with pytest.raises(RuntimeError, match="switched off"):
        losslab.find_lr(plain(), loader(), "sgd", loss_fn=switching, steps=5, seeds=1)
    assert torch.is_grad_enabled()


def test_iterators_that_are_put_back_are_not_said_to_be_lost() -> None:
    class Counter:
        def __init__(self) -> None:
            self.given = 0

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.given += 1
            return self.given

    class Held:
        def __init__(self) -> None:
            self.streams = [Counter()]
            self.pairs = itertools.product(range(3), repeat=2)
            self.keys = iter({"a": 1, "b": 2})

        def __iter__(self) -> Iterator[Any]:
            assert (next(self.streams[0]), next(self.pairs), next(self.keys)) == (
                1,
                (0, 0),
                "a",
            )
            return iter(loader())

    data = Held()
    assert "cannot be put back" not in losslab.find_lr(plain(), data, "adam", steps=5).reason
    iter(data)


def test_an_iterator_that_shares_what_it_draws_from_is_not_said_to_be_put_back() -> None:
    class Repeating:
        def __init__(self) -> None:
            self.numbers = itertools.cycle(range(10))
            self.pairs = [zip(range(100), range(100), strict=True)]

        def __iter__(self) -> Iterator[Any]:
            next(self.numbers)
            next(self.pairs[0])
            return iter(loader())

    found = losslab.find_lr(plain(), Repeating(), "adam", steps=5, seeds=1)
    assert "what Repeating.numbers, list[zip] has drawn cannot be put back" in found.reason


@pytest.mark.parametrize(
    "source",
    [
        lambda: np.random.default_rng(0),
        lambda: np.random.RandomState(0),
        lambda: random.Random(0),
    ],
    ids=["Generator", "RandomState", "Random"],
)
def test_orders_that_the_data_draw_differ_from_seed_to_seed(
    source: Callable[[], Any],
) -> None:
    class Shuffled(Sampler[int]):
        def __init__(self) -> None:
            self.source = source()

        def __iter__(self) -> Iterator[int]:
            order = list(range(207))
            self.source.shuffle(order)
            return iter(order)

        def __len__(self) -> int:
            return 207

    data = DataLoader(tensors(), batch_size=16, sampler=Shuffled())
    curve = losslab.find_lr(plain(), data, "adam", steps=10, seeds=2).curve
    assert curve.loss_low[0] != curve.loss_high[0]
