"""Range tests of a LightningModule, and policies in Lightning's Trainer, alone and under DDP."""

import copy
import multiprocessing
import random
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import losslab

pytest.importorskip("lightning")
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from lightning.pytorch.loggers.logger import DummyLogger
from lightning_samples import SAMPLES, Data, Module, Rates, dataset, train_one_of_two, trainer
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    WeightedRandomSampler,
    random_split,
)

from losslab.integrations.lightning import BatchPolicy, LrPolicy, find_batch, find_lr

pytestmark = [
    pytest.mark.frameworks,
    # Lightning's own advice on workers, and torch's on pinned memory without a device.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
POLICY = "exp_range(1e-3, 1e-1, cycles=3)"


def random_state() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


@pytest.mark.parametrize("finder", ["lr", "batch"])
@pytest.mark.parametrize("with_trainer", [False, True])
def test_a_finder_leaves_module_data_and_random_state_as_they_were(
    finder: str, with_trainer: bool
) -> None:
    module, data = Module(), Data()
    own = trainer() if with_trainer else None
    before, drawn = copy.deepcopy(module.state_dict()), random_state()
    attributes = set(vars(module))
    if finder == "lr":
        found = find_lr(module, data, own, steps=40, seeds=1)
        assert found.setting.optimizer == "Adam"
        assert found.setting.batch_sizes == [16]
    else:
        sizes = find_batch(module, data, own, sizes=[16, 32], steps=5, seeds=1)
        assert sizes.setting.lrs == [1e-3]
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in before)
    assert module.sizes == []
    assert set(vars(module)) == attributes
    assert module._trainer is None
    assert random_state() == drawn


def test_module_and_data_see_a_trainer_that_trains_and_are_put_back() -> None:
    class Asking(Module):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            assert self.trainer.training
            self.logger.log_metrics({"x": 1.0})
            self.logger.experiment.add_scalar("x", 1.0)
            return super().training_step(batch, batch_idx)

    class Splitting(Data):
        def __init__(self) -> None:
            super().__init__()
            self.generator = torch.Generator().manual_seed(3)

        def setup(self, stage: str) -> None:
            lengths = [SAMPLES - 40, 40]
            self.dataset, self.held_out = random_split(
                dataset(), lengths, generator=self.generator
            )

        def train_dataloader(self) -> DataLoader[Any]:
            assert self.trainer.world_size == 1
            assert self.trainer.training
            return super().train_dataloader()

    module, data, own = Asking(), Splitting(), trainer()
    own.loggers = [DummyLogger()]
    before, drawn = set(vars(data)), data.generator.get_state()
    assert len(find_lr(module, data, own, steps=10, seeds=1).curve.loss) > 5
    assert set(vars(data)) == before
    assert torch.equal(data.generator.get_state(), drawn)
    assert data.trainer is None
    assert own.state.stage is None
    assert len(own.loggers) == 1


def test_a_datamodule_of_lightnings_own_class_is_given_back_without_the_trainer() -> None:
    data = LightningDataModule.from_datasets(dataset(), batch_size=16)
    find_lr(Module(), data, trainer=trainer(), steps=20, seeds=1)
    assert data.trainer is None


def test_the_answer_is_that_of_the_core_on_the_same_loss() -> None:
    module = Module()
    loader = DataLoader(dataset(), batch_size=16, shuffle=True, generator=torch.Generator())
    found = find_lr(module, loader, steps=40, seeds=2)

    def loss(model: Any, batch: Any) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model.network(batch[0]), batch[1])

    expected = losslab.find_lr(
        module, loader, module.configure_optimizers(), loss_fn=loss, steps=40, seeds=2
    )
    assert found.curve == expected.curve
    assert found.suggestion == expected.suggestion


def test_the_suggestion_is_written_back_where_asked() -> None:
    module = Module()
    found = find_lr(module, Data(), write_to="lr", steps=100, seeds=1, start=1e-6)
    assert found.found
    assert module.hparams["lr"] == found.suggestion
    assert module.configure_optimizers().param_groups[0]["lr"] == found.suggestion
    with pytest.raises(ValueError, match=r"`write_to` \(='rate'\) is no attribute of Module"):
        find_lr(module, Data(), write_to="rate")


def test_accumulation_and_clipping_are_the_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def stand_in(*arguments: Any, **options: Any) -> Any:
        given.update(options)
        return type("Found", (), {"found": False})()

    monkeypatch.setattr(losslab, "find_lr", stand_in)
    monkeypatch.setattr(losslab, "find_batch", stand_in)
    find_lr(Module(), Data(), trainer(accumulate_grad_batches=3, gradient_clip_val=0.5))
    assert (given["accumulate"], given["clip_norm"], given["scaler"]) == (3, 0.5, None)
    given.clear()
    find_batch(Module(), Data(), trainer(gradient_clip_val=0.25), sizes=[16, 32])
    assert given["clip_norm"] == 0.25


def test_bf16_is_the_trainers() -> None:
    seen: list[bool] = []

    class Watched(Module):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().training_step(batch, batch_idx)

    find_lr(Watched(), Data(), trainer(precision="bf16-mixed"), steps=10, seeds=1)
    assert seen
    assert all(seen)


class Several(Module):
    def configure_optimizers(self) -> Any:
        weights = list(self.parameters())
        return [torch.optim.Adam(weights[:2]), torch.optim.SGD(weights[2:], lr=0.1)], []


class ByHand(Module):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (Several, {}, r"returns 2 optimizers \(Adam, SGD\); a test drives one"),
        (ByHand, {}, r"ByHand optimizes by hand"),
        (Module, {"precision": "64-true"}, r"precision '64-true', which converts the weights"),
        (
            Module,
            {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "value"},
            r"clips gradients by value",
        ),
    ],
)
def test_what_a_test_cannot_do_is_refused_by_name(
    module: type[LightningModule], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        find_lr(module(), Data(), trainer(**options))


@pytest.mark.parametrize("workers", [0, 2])
def test_sizes_and_rates_of_a_fit_are_those_laid_out(workers: int) -> None:
    module, rates = Module(), Rates()
    batches = BatchPolicy("exp_range(8, 64)", seed=3)
    policy = LrPolicy(POLICY)
    fit = trainer(callbacks=[policy, batches, rates])
    fit.fit(module, datamodule=Data(workers))
    expected = losslab.lay_out(
        lr=POLICY, batch="exp_range(8, 64)", dataset_size=SAMPLES, epochs=3, seed=3
    )
    assert tuple(module.sizes) == batches.batch_sizes == expected.batch_sizes
    assert sum(module.sizes) == 3 * SAMPLES
    assert fit.global_step == expected.total_steps
    for step, (first, second) in enumerate(rates.rates):
        assert first == pytest.approx(expected.lr(step), rel=1e-12)
        assert second == pytest.approx(0.1 * expected.lr(step), rel=1e-12)


class Kept(Module):
    """Keeps the samples of each step, and asks for the loader before a checkpoint is read."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[torch.Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.inputs.append(batch[0])
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        assert self.trainer.estimated_stepping_batches > 0
        return super().configure_optimizers()


def kept_fit(
    callbacks: list[Any], checkpoint: Path | None = None, **options: Any
) -> tuple[Kept, list[float]]:
    module, rates = Kept(), Rates()
    policies = [LrPolicy(POLICY), BatchPolicy("exp_range(8, 64)", seed=3)]
    fit = trainer(
        callbacks=[*policies, rates, *callbacks],
        enable_checkpointing=bool(callbacks),
        num_sanity_val_steps=0,
        **options,
    )
    loader = DataLoader(dataset(), batch_size=16, shuffle=True)
    fit.fit(module, loader, DataLoader(dataset(), batch_size=64), ckpt_path=checkpoint)
    return module, [first for first, _ in rates.rates]


@pytest.mark.parametrize("options", [{}, {"val_check_interval": 0.5}])
def test_a_training_is_resumed_after_any_step_with_the_samples_that_are_left(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    whole, rates = kept_fit([keep], **options)
    total = len(whole.sizes)
    for step in range(1, total):
        resumed, left = kept_fit([], tmp_path / f"step={step}.ckpt", **options)
        assert resumed.sizes == whole.sizes[step:]
        assert all(map(torch.equal, resumed.inputs, whole.inputs[step:]))
        assert left == pytest.approx(rates[step:], rel=1e-12)


def test_a_longer_training_than_was_begun_is_refused_where_rate_and_size_would_part() -> None:
    fit = trainer(
        callbacks=[LrPolicy(POLICY), BatchPolicy("exp_range(8, 64)", seed=3)], max_epochs=2
    )
    fit.fit(Module(), datamodule=Data())
    fit.fit_loop.max_epochs = 3
    message = r"goes on at step 12, which is step 14 of the batch policy over max_epochs=3"
    with pytest.raises(ValueError, match=message):
        fit.fit(Module(), datamodule=Data())

    module, equal = Module(), trainer(callbacks=[LrPolicy(0.1), BatchPolicy(16)], max_epochs=2)
    equal.fit(module, datamodule=Data())
    equal.fit_loop.max_epochs = 3
    equal.fit(module, datamodule=Data())
    assert module.sizes == [*[16] * 12, 11] * 3


def test_a_fit_ends_with_the_loaders_and_the_trainer_as_they_were() -> None:
    loader = DataLoader(dataset(), batch_size=16, shuffle=True)
    fit = trainer(callbacks=[BatchPolicy("exp_range(8, 64)")])
    before = dict(vars(loader))
    fit.fit(Module(), loader)
    assert fit.fit_loop._data_source.instance is loader
    assert fit.reload_dataloaders_every_n_epochs == 0
    assert vars(loader) == before


def test_without_a_batch_policy_the_rate_ends_where_the_trainer_does() -> None:
    policy, rates = LrPolicy(POLICY), Rates()
    fit = trainer(callbacks=[policy, rates], accumulate_grad_batches=2)
    fit.fit(Module(), datamodule=Data())
    expected = losslab.schedules.exp_range(1e-3, 1e-1, 21, cycles=3)
    assert policy.total_steps == fit.global_step == 21
    assert [first for first, _ in rates.rates] == pytest.approx(
        [expected(step) for step in range(21)], rel=1e-12
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate_grad_batches": 2}, "accumulates 2 batches a step"),
        ({"limit_train_batches": 3}, "limit_train_batches=3"),
        ({"max_epochs": None, "max_steps": 5}, "has max_epochs=-1"),
        ({"max_steps": 5}, "leave max_steps out"),
        ({"val_check_interval": 4}, "give a part of an epoch"),
    ],
)
def test_a_batch_policy_refuses_what_it_cannot_lay_out(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        trainer(callbacks=[BatchPolicy("exp_range(8, 64)")], **options).fit(Module(), Data())


def test_an_accumulation_that_changes_is_refused_by_a_batch_policy() -> None:
    callbacks = [BatchPolicy("exp_range(8, 64)"), GradientAccumulationScheduler({1: 2})]
    with pytest.raises(ValueError, match="GradientAccumulationScheduler"):
        trainer(callbacks=callbacks).fit(Module(), Data())


def test_a_short_trial_run_and_data_without_a_length_are_trained() -> None:
    trial = trainer(callbacks=[BatchPolicy("exp_range(8, 64)")], fast_dev_run=True)
    trial.fit(Module(), datamodule=Data())
    assert trial.global_step == 1

    class Endless(IterableDataset[Any]):
        def __iter__(self) -> Any:
            while True:
                yield torch.ones(8), torch.tensor(1)

    policy = LrPolicy(POLICY)
    fit = trainer(callbacks=[policy], max_steps=4, max_epochs=-1)
    fit.fit(Module(), DataLoader(Endless(), batch_size=4))
    assert policy.total_steps == fit.global_step == 4


def test_lengths_in_epochs_are_those_of_whole_ones_where_fewer_steps_are_trained() -> None:
    policy = LrPolicy("piecewise(values=[0.1, 0.01], epochs=[0.5])")
    fit = trainer(callbacks=[policy], max_steps=8, max_epochs=1)
    fit.fit(Module(), datamodule=Data())  # of 13 steps
    rates = [policy.schedule(step) for step in range(8)]
    assert rates == [0.1] * 6 + [0.01] * 2


def test_an_order_of_ones_own_is_not_lost_in_silence() -> None:
    sampler = WeightedRandomSampler([1.0] * SAMPLES, SAMPLES)
    loader = DataLoader(dataset(), batch_size=16, sampler=sampler)
    with pytest.raises(TypeError, match="draws its samples by a WeightedRandomSampler"):
        trainer(callbacks=[BatchPolicy("exp_range(8, 64)")]).fit(Module(), loader)


def test_a_short_batch_is_left_out_as_the_batch_sampler_does() -> None:
    batches = BatchSampler(RandomSampler(dataset()), 32, drop_last=True)
    policy = BatchPolicy("exp_range(8, 64)")
    module = Module()
    trainer(max_epochs=2, callbacks=[policy]).fit(
        module, DataLoader(dataset(), batch_sampler=batches)
    )
    assert tuple(module.sizes) == policy.batch_sizes


def test_several_loaders_are_refused_by_a_batch_policy() -> None:
    loaders = [DataLoader(dataset(), batch_size=16)] * 2
    with pytest.raises(TypeError, match="a list; a batch policy needs one torch DataLoader"):
        trainer(callbacks=[BatchPolicy("exp_range(8, 64)")]).fit(Module(), loaders)


class Scheduled(Module):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.ConstantLR(optimizer)]


def test_two_that_set_the_rate_are_refused() -> None:
    fit: Trainer = trainer(callbacks=[LrPolicy(POLICY)])
    with pytest.raises(ValueError, match=r"a scheduler \(ConstantLR\) beside LrPolicy"):
        fit.fit(Scheduled(), datamodule=Data())
    assert find_lr(Scheduled(), Data(), steps=10, seeds=1).setting.optimizer == "Adam"


@pytest.mark.parametrize("workers", [0, 2])
def test_two_processes_split_each_batch_of_the_schedule(workers: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    running = [
        context.Process(target=train_one_of_two, args=(rank, port, workers, results))
        for rank in range(2)
    ]
    for process in running:
        process.start()
    answers = sorted(results.get(timeout=600) for _ in running)
    for process in running:
        process.join()
    (_, first, sizes, rates, weights), (_, second, _, _, others) = answers
    expected = losslab.lay_out(
        lr="exp_range(1e-3, 1e-1)",
        batch="exp_range(8, 32, multiple=2)",
        dataset_size=SAMPLES,
        epochs=3,
        seed=3,
    )
    assert tuple(sizes) == expected.batch_sizes
    assert [a + b for a, b in zip(first, second, strict=True)] == list(sizes)
    assert all(abs(a - b) <= 1 for a, b in zip(first, second, strict=True))
    assert [rate for rate, _ in rates] == pytest.approx(
        [expected.lr(step) for step in range(expected.total_steps)], rel=1e-12
    )
    assert weights == others
