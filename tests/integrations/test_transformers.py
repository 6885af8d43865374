"""Range tests of a Transformers Trainer, and policies in its loop, alone and as two processes."""

import copy
import multiprocessing
import random
import socket
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import losslab

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from tokenizers import Tokenizer, models
from torch.utils.data import IterableDataset
from transformers import (
    DataCollatorWithPadding,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
)
from transformers_samples import (
    SAMPLES,
    Collator,
    Seen,
    model,
    sequences,
    train_one_of_two,
    trainer,
)

from losslab.integrations.transformers import LrPolicy, batch_policy, find_batch, find_lr
from losslab.integrations.transformers.ready import LONG, _containers

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
POLICY = "exp_range(1e-4, 1e-2, cycles=2)"


def random_state() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


@pytest.mark.parametrize("finder", ["lr", "batch"])
def test_a_finder_leaves_the_trainer_as_it_was(finder: str, tmp_path: Path) -> None:
    own = trainer(tmp_path)
    before, drawn = copy.deepcopy(own.model.state_dict()), random_state()
    attributes, prepared = vars(own).copy(), list(own.accelerator._dataloaders)
    if finder == "lr":
        assert find_lr(own, steps=20, seeds=1).setting.batch_sizes == [8]
    else:
        assert find_batch(own, sizes=[8, 16], steps=5, seeds=1).setting.lrs == [1e-3]
    assert all(
        torch.equal(value, before[name]) for name, value in own.model.state_dict().items()
    )
    assert vars(own).keys() == attributes.keys()
    assert all(vars(own)[name] is value for name, value in attributes.items())
    assert own.accelerator._dataloaders == prepared
    assert own.args.average_tokens_across_devices
    assert random_state() == drawn


def test_training_after_a_finder_has_the_bits_of_training_without(tmp_path: Path) -> None:
    tested, untouched = trainer(tmp_path), trainer(tmp_path)
    find_lr(tested, steps=20, seeds=1)
    for own in (tested, untouched):
        torch.manual_seed(0)
        own.train()
    others = untouched.model.state_dict()
    assert all(
        torch.equal(value, others[name]) for name, value in tested.model.state_dict().items()
    )


def test_a_step_of_the_test_has_the_loss_and_the_gradient_of_a_step_of_the_trainer(
    tmp_path: Path,
) -> None:
    """Accumulated over batches of differing numbers of tokens; at an lr of nearly nothing, so that losses compare."""
    own = trainer(tmp_path, gradient_accumulation_steps=4, max_grad_norm=0.0, data_seed=1)
    own.model.model.layers[0].self_attn.attention_dropout = 0.0
    rows = own.train_dataset[:32]
    batches = [Collator()(rows[start : start + 8]) for start in range(0, 32, 8)]
    items = own._get_num_items_in_batch(batches, "cpu")
    losses = [
        own.compute_loss(own.model, dict(batch), num_items_in_batch=items) for batch in batches
    ]
    expected = sum(loss.item() for loss in losses)

    own.train_dataset = rows
    own.get_train_dataloader = lambda: batches
    found = find_lr(own, steps=10, start=1e-12, end=1e-11, seeds=1, mode="ramp")
    assert found.setting.batch_sizes == [32]
    assert found.curve.loss[0] == pytest.approx(expected, rel=1e-6)


def classifier(folder: Path) -> Trainer:
    """Without a token to pad by, which the Trainer takes from the tokenizer as its training begins."""
    words = Tokenizer(models.WordLevel({f"w{index}": index for index in range(17)}, "w16"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="w3", unk_token="w16", eos_token="w5"
    )
    config = LlamaConfig(
        vocab_size=17,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=2,
        pad_token_id=None,
    )
    own = trainer(folder, num_train_epochs=1)
    rows = [
        {"input_ids": [1 + index % 9] * (4 + index % 5), "labels": index % 2}
        for index in range(64)
    ]
    return Trainer(
        model=LlamaForSequenceClassification(config),
        args=own.args,
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )


def test_special_tokens_are_those_of_the_training_and_are_put_back(tmp_path: Path) -> None:
    own = classifier(tmp_path)
    before = own.model.config.to_dict()
    assert len(find_lr(own, steps=5, seeds=1, progress=False).curve.loss) == 5
    assert own.model.config.to_dict() == before
    assert own.train().global_step == 8
    assert (own.model.config.pad_token_id, own.model.config.eos_token_id) == (3, 5)


@pytest.mark.parametrize("kwargs", [None, {"use_reentrant": True}])
def test_activations_are_recomputed_in_a_test_where_they_are_in_the_training(
    tmp_path: Path, kwargs: dict[str, Any] | None
) -> None:
    own = trainer(tmp_path, gradient_checkpointing=True, gradient_checkpointing_kwargs=kwargs)
    seen: list[bool] = []
    own.model.register_forward_pre_hook(
        lambda module, _: seen.append(module.model.layers[0].gradient_checkpointing)
    )
    hooks = dict(own.model.get_input_embeddings()._forward_hooks)
    attributes = [vars(module).copy() for module in own.model.modules()]
    losses = find_lr(own, steps=5, seeds=1, progress=False).curve.loss
    assert seen
    assert all(seen)
    assert [vars(module) for module in own.model.modules()] == attributes
    assert own.model.get_input_embeddings()._forward_hooks == hooks
    assert find_lr(trainer(tmp_path), steps=5, seeds=1, progress=False).curve.loss == losses


class Logging(Trainer):
    """Counts and logs in its loss, as trainers of fine-tuning do."""

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        self.metrics["train"].setdefault("steps", []).append(1)
        self.state.num_input_tokens_seen += 1
        self.log({"x": 1.0})
        return super().compute_loss(*arguments, **options)


class Logs(TrainerCallback):
    """What was logged."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_log(self, *_arguments: Any, logs: Any = None, **_options: Any) -> None:
        self.seen.append(logs)


def test_what_a_loss_counts_and_logs_in_a_test_leaves_no_trace(tmp_path: Path) -> None:
    logs = Logs()
    own = trainer(tmp_path, [logs])
    own.__class__ = Logging
    own.metrics = {"train": {"steps": [5]}}
    metrics, steps = own.metrics, own.metrics["train"]["steps"]
    find_lr(own, steps=5, seeds=1, progress=False)
    assert own.metrics is metrics
    assert metrics["train"]["steps"] is steps
    assert steps == [5]
    assert own.state.log_history == logs.seen == []
    assert own.state.num_input_tokens_seen == 0
    assert "log" not in vars(own)


def test_samples_in_long_lists_and_tuples_are_not_looked_into() -> None:
    few, many = [[]], [[] for _ in range(LONG + 1)]
    assert _containers([few]) == [few, few[0]]
    assert _containers([tuple(few)]) == few
    assert _containers([many]) == [many]
    assert _containers([tuple(many)]) == []


def test_groups_of_an_optimizer_of_ones_own_are_there_for_the_training(tmp_path: Path) -> None:
    own = trainer(tmp_path)
    first, *others = own.model.parameters()
    groups = [{"params": [first], "lr": 0.5}, {"params": others}]
    own.optimizer_cls_and_kwargs = (torch.optim.SGD, {"params": groups, "lr": 0.1})
    find_lr(own, steps=5, seeds=1, progress=False)
    assert own.optimizer_cls_and_kwargs[1] == {"params": groups, "lr": 0.1}
    assert groups[1].keys() == {"params"}
    assert [group["lr"] for group in own.create_optimizer().param_groups] == [0.5, 0.1]


class Stream(IterableDataset[Any]):
    """Samples without a length."""

    def __iter__(self) -> Any:
        yield from sequences()


@pytest.mark.parametrize("dispatch_batches", [None, False])
def test_data_without_a_length_is_tested_and_has_no_batch_policy(
    tmp_path: Path, dispatch_batches: bool | None
) -> None:
    own = trainer(tmp_path, accelerator_config={"dispatch_batches": dispatch_batches})
    own.train_dataset = Stream()
    assert len(find_lr(own, steps=5, seeds=1, progress=False).curve.loss) == 5
    with pytest.raises(TypeError, match="is an IterableDataset"), batch_policy(own, 8):
        pass


def test_seeds_of_a_test_differ_in_their_order_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers_samples.model", partial(model, 0.0))
    curve = find_lr(trainer(tmp_path), steps=20, seeds=2, progress=False).curve
    assert curve.loss_low != curve.loss_high


def test_several_gpus_are_one_to_a_test(tmp_path: Path) -> None:
    tested = trainer(tmp_path)
    vars(tested.args)["_n_gpu"] = 2
    assert len(find_lr(tested, steps=5, seeds=1, progress=False).curve.loss)
    assert tested.args.n_gpu == 2


def test_a_batch_in_which_no_label_counts_weighs_nothing(tmp_path: Path) -> None:
    class EverySecond(Collator):
        def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
            batch = super().__call__(rows)
            odd = torch.tensor([row["index"] % 2 == 1 for row in rows])
            batch["labels"][odd] = -100
            return batch

    tested = trainer(tmp_path, per_device_train_batch_size=1, gradient_accumulation_steps=2)
    tested.data_collator = EverySecond()
    losses = find_lr(tested, steps=10, seeds=1, progress=False).curve.loss
    assert len(losses) >= 9
    assert all(map(isfinite, losses))


def test_bf16_is_the_trainers(tmp_path: Path) -> None:
    seen: list[bool] = []
    own = trainer(tmp_path, bf16=True)
    own.model.register_forward_pre_hook(
        lambda *_: seen.append(torch.is_autocast_enabled("cpu"))
    )
    find_lr(own, steps=10, seeds=1)
    assert seen
    assert all(seen)


def test_a_suggestion_is_written_back_where_asked(tmp_path: Path) -> None:
    own = trainer(tmp_path)
    found = find_lr(own, write_back=True, steps=100, seeds=1, start=1e-6, end=1.0)
    assert found.found
    assert own.args.learning_rate == found.suggestion
    assert own.create_optimizer().param_groups[0]["lr"] == found.suggestion


@pytest.mark.parametrize("workers", [0, 2])
def test_sizes_steps_and_epochs_of_a_varying_batch_are_counted(
    tmp_path: Path, workers: int
) -> None:
    seen = Seen()
    own = trainer(tmp_path, [LrPolicy(POLICY), seen], dataloader_num_workers=workers)
    expected = losslab.lay_out(
        lr=POLICY, batch="exp_range(8, 64)", dataset_size=SAMPLES, epochs=3, seed=3
    )
    with batch_policy(own, "exp_range(8, 64)", seed=3) as course:
        result = own.train()
    assert tuple(own.model.sizes) == course.batch_sizes == expected.batch_sizes
    assert sum(own.model.sizes) == 3 * SAMPLES
    assert result.global_step == own.state.max_steps == expected.total_steps
    assert len(seen.ended) == 3
    assert own.state.epoch == 3
    for step, rates in enumerate(seen.rates):
        assert rates == pytest.approx([expected.lr(step)] * len(rates), rel=1e-12)
    if not workers:
        indices = [index for batch in own.data_collator.seen for index in batch]
        for epoch in range(3):
            assert sorted(indices[epoch * SAMPLES : (epoch + 1) * SAMPLES]) == list(
                range(SAMPLES)
            )


def test_afterwards_the_trainer_trains_as_before(tmp_path: Path) -> None:
    own = trainer(tmp_path, num_train_epochs=1)
    names = set(vars(own))
    with batch_policy(own, "exp_range(8, 64)"):
        pass
    assert set(vars(own)) == names
    own.train()
    assert own.model.sizes == [8] * 30


def test_a_method_that_the_user_put_in_is_there_afterwards(tmp_path: Path) -> None:
    own = trainer(tmp_path)
    method = own.get_train_dataloader
    own.get_train_dataloader = method
    with batch_policy(own, "exp_range(8, 64)"):
        assert own.get_train_dataloader is not method
    assert own.get_train_dataloader is method


def test_a_training_is_resumed_amid_an_epoch(tmp_path: Path) -> None:
    whole, second = Seen(), Seen()
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 25}

    def run(seen: Seen, **more: Any) -> Trainer:
        own = trainer(tmp_path, [LrPolicy(POLICY), seen], **options)
        with batch_policy(own, "exp_range(8, 32)", seed=3):
            own.train(**more)
        return own

    complete = run(whole)
    resumed = run(second, resume_from_checkpoint=str(tmp_path / "checkpoint-25"))
    assert resumed.model.sizes == complete.model.sizes[25:]
    assert second.rates == whole.rates[25:]
    others = complete.model.state_dict()
    assert all(
        torch.equal(value, others[name]) for name, value in resumed.model.state_dict().items()
    )


def test_steps_that_are_done_are_not_taken_again_with_the_sizes_of_others(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 5, "num_train_epochs": 1}
    with batch_policy(own := trainer(tmp_path, **options), 32):
        own.train()
    resumed = trainer(tmp_path, ignore_data_skip=True, **options)
    message = r"`ignore_data_skip` \(=True\) begins epoch 0 anew after 5 of its steps"
    with batch_policy(resumed, 32), pytest.raises(ValueError, match=message):
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))


def test_without_a_batch_policy_the_rate_ends_where_the_trainer_does(tmp_path: Path) -> None:
    seen = Seen()
    own = trainer(tmp_path, [LrPolicy(POLICY), seen], gradient_accumulation_steps=4)
    own.train()
    expected = losslab.schedules.exp_range(1e-4, 1e-2, 24, cycles=2)
    assert [rates[0] for rates in seen.rates] == pytest.approx(
        [expected(step) for step in range(24)], rel=1e-12
    )


@pytest.mark.parametrize("length", [{"max_steps": 12}, {"num_train_epochs": 1.5}])
def test_an_epoch_of_a_rate_is_one_of_the_data_whatever_the_length(
    tmp_path: Path, length: dict[str, Any]
) -> None:
    seen = Seen()
    policy = LrPolicy("piecewise([1e-3, 1e-4], epochs=[1])")
    own = trainer(tmp_path, [policy, seen], gradient_accumulation_steps=4, **length)
    own.train()
    assert [rates[0] for rates in seen.rates] == pytest.approx([1e-3] * 8 + [1e-4] * 4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"gradient_accumulation_steps": 2},
            ValueError,
            r"`gradient_accumulation_steps` \(=2\)",
        ),
        ({"max_steps": 5}, ValueError, r"`max_steps` \(=5\) must not be given"),
    ],
)
def test_what_a_batch_policy_cannot_do_is_refused(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), batch_policy(trainer(tmp_path, **options), 8):
        pass


def test_a_scheduler_that_is_no_function_of_the_step_is_refused(tmp_path: Path) -> None:
    own = trainer(tmp_path, [LrPolicy(POLICY)])
    optimizer = torch.optim.SGD(own.model.parameters(), lr=0.1)
    own.optimizer = optimizer
    own.lr_scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    with pytest.raises(ValueError, match="scheduler is a StepLR, which LrPolicy cannot lead"):
        own.train()


@pytest.mark.parametrize(("workers", "epochs"), [(0, 3), (2, 1)])
def test_two_processes_split_each_batch_evenly_and_test_ranges_together(
    tmp_path: Path, workers: int, epochs: int
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    running = [
        context.Process(
            target=train_one_of_two, args=(rank, port, str(tmp_path), workers, epochs, results)
        )
        for rank in range(2)
    ]
    for process in running:
        process.start()
    answers = sorted((results.get(timeout=600) for _ in running), key=lambda answer: answer[0])
    for process in running:
        process.join()
    first, second = answers
    expected = losslab.lay_out(
        lr="exp_range(1e-3, 1e-2)",
        batch="exp_range(8, 32, multiple=2)",
        dataset_size=SAMPLES,
        epochs=epochs,
        seed=3,
    )
    assert [a + b for a, b in zip(first[1], second[1], strict=True)] == list(first[2])
    assert first[2] == expected.batch_sizes
    assert all(abs(a - b) <= 1 for a, b in zip(first[1], second[1], strict=True))
    assert first[3] == pytest.approx(
        [expected.lr(step) for step in range(expected.total_steps)], rel=1e-12
    )
    assert first[4] == second[4]
    assert first[5]
    assert second[5]
    assert first[6] == second[6]
