"""A small language model, token sequences of several lengths, and a Trainer; two processes import this file."""

import os
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

SAMPLES = 240
PAD = 0


def model(dropout: float = 0.1) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=17,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        attention_dropout=dropout,
        pad_token_id=PAD,
    )
    return LlamaForCausalLM(config)


def sequences(samples: int = SAMPLES) -> list[dict[str, Any]]:
    """Counting in steps of one or two, of several lengths; an index for each."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for index in range(samples):
        length, step = 4 + index % 7, 1 + index % 2
        first = int(torch.randint(1, 17, (), generator=generator))
        ids = [1 + (first + step * position) % 16 for position in range(length)]
        rows.append({"input_ids": ids, "index": index})
    return rows


class Collator:
    """Pads, and keeps the indices that it saw."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        self.seen.append([row["index"] for row in rows])
        longest = max(len(row["input_ids"]) for row in rows)
        padded = [row["input_ids"] + [PAD] * (longest - len(row["input_ids"])) for row in rows]
        ids = torch.tensor(padded)
        mask = (ids != PAD).long()
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": ids.masked_fill(mask == 0, -100),
        }


class Seen(TrainerCallback):
    """The rates of the steps, and the epochs that the Trainer counts."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.epochs: list[float] = []
        self.ended: list[int] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.rates.append([group["lr"] for group in kwargs["optimizer"].param_groups])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.epochs.append(state.epoch)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.ended.append(state.global_step)


def trainer(folder: Any, callbacks: Any = (), **options: Any) -> Trainer:
    arguments = {
        "per_device_train_batch_size": 8,
        "num_train_epochs": 3,
        "learning_rate": 1e-3,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "logging_strategy": "no",
        "seed": 5,
    }
    network = model()
    sizes: list[int] = []
    network.sizes = sizes
    network.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    return Trainer(
        model=network,
        args=TrainingArguments(output_dir=str(folder), **arguments | options),
        train_dataset=sequences(),
        data_collator=Collator(),
        callbacks=list(callbacks),
    )


def train_one_of_two(
    rank: int, port: int, folder: str, workers: int, epochs: int, results: Any
) -> None:
    """Test a range and train under DDP as one of two processes."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }
    from losslab.integrations.transformers import LrPolicy, batch_policy, find_lr

    seen = Seen()
    own = trainer(
        folder,
        [LrPolicy("exp_range(1e-3, 1e-2)"), seen],
        ddp_backend="gloo",
        dataloader_num_workers=workers,
        num_train_epochs=epochs,
    )
    before = {name: value.clone() for name, value in own.model.state_dict().items()}
    curve = []
    # Workers that a process of gloo forks take seconds to end, which a test of ranges would pay each epoch.
    if not workers:
        curve = find_lr(own, steps=20, seeds=1, accumulate=2).curve.loss
    same = all(
        torch.equal(value, before[name]) for name, value in own.model.state_dict().items()
    )
    own.model.sizes.clear()
    with batch_policy(own, "exp_range(8, 32, multiple=2)", seed=3) as course:
        own.train()
    weight = own.model.lm_head.weight.detach().tolist()
    rates = [rates[0] for rates in seen.rates]
    results.put((rank, own.model.sizes, course.batch_sizes, rates, weight, same, curve))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
