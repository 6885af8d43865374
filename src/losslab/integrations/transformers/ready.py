"""A Trainer's model, batches and optimizer as in its own training, and the Trainer as it was afterwards."""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase, ProcessorMixin, Trainer, trainer_utils

from losslab.integrations.accelerate.finders import inner, unprepared
from losslab.ranges.restored import process_state
from losslab.training.distributed import replicated

CONTAINERS = (dict, defaultdict, OrderedDict, Counter, list, deque, set)
LONG = 1000
"""The entries of a container with more are not looked into: they are samples."""


@contextmanager
def ready(trainer: Trainer) -> Iterator[tuple[nn.Module, Any, torch.optim.Optimizer]]:
    """The Trainer's model, batches and optimizer within the context, which leaves the Trainer as it was.

    Raises:
        ValueError: where DeepSpeed or FSDP own the model.
    """
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise ValueError(
            "DeepSpeed or FSDP own this Trainer's weights; test an unsharded Trainer of the same arguments"
        )
    put_back = process_state()
    kept = [(container, copy(container)) for container in _containers(_attributes(trainer))]
    try:
        # Steps of a test add the tokens of all processes up themselves.
        vars(trainer.args)["average_tokens_across_devices"] = False
        # A loss of one's own that logs would tell every tracker of the test.
        vars(trainer)["log"] = _nothing
        _begin_training(trainer)
        model = replicated(trainer.model)
        loader = unprepared(trainer.get_train_dataloader())
        # A test trains on one GPU; the Trainer would spread each batch, and count its items once for each.
        vars(trainer.args)["_n_gpu"] = min(1, trainer.args.n_gpu)
        # A user's own optimizer is returned as it is; one that the Trainer builds is built for the test alone.
        optimizer = trainer.optimizer if trainer.optimizer else trainer.create_optimizer()
        yield model, loader, inner(optimizer)
    finally:
        for container, entries in kept:
            container.clear()
            if hasattr(container, "update"):
                container.update(entries)
            else:
                container.extend(entries)
        put_back()


def _begin_training(trainer: Trainer) -> None:
    """Do to the model what ``train()`` does to it first, as far as it can be undone."""
    model, args = trainer.model, trainer.args
    # The second is the name in earlier versions, and that of models which only know these.
    for name in ("activation_checkpointing", "gradient_checkpointing"):
        enable = getattr(model, f"{name}_enable", None)
        if enable is not None and getattr(args, name, None):
            options = dict(getattr(args, f"{name}_kwargs", None) or {})
            own = {
                key: options.pop(key) for key in ("every_n_layers", "offload") if key in options
            }
            enable(**{f"{name}_kwargs": options or None}, **own)
            break
    has_tokenizer = isinstance(
        trainer.processing_class, PreTrainedTokenizerBase | ProcessorMixin
    )
    if has_tokenizer and hasattr(model, "config"):
        _align_special_tokens(trainer)


def _align_special_tokens(trainer: Trainer) -> None:
    if hasattr(trainer, "_align_special_tokens"):  # of earlier versions
        trainer._align_special_tokens()
    else:
        trainer_utils.align_special_tokens(trainer.model, trainer.processing_class)


def _attributes(trainer: Trainer) -> list[dict[str, Any]]:
    """The attributes of all that a test or the Trainer's preparations write to; weights are put back by the test."""
    model = trainer.model
    config: Any = getattr(model, "config", None)
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else None
    configs = [config, text_config, getattr(model, "generation_config", None)]
    owners = [trainer, trainer.args, trainer.state, trainer.control, *configs, *model.modules()]
    attributes = [vars(owner) for owner in owners if hasattr(owner, "__dict__")]
    # Accelerate keeps what it prepared.
    return [*attributes, {"prepared": trainer.accelerator._dataloaders}]


def _containers(roots: Iterable[Any]) -> list[Any]:
    """Lists, dicts and sets, and those within them."""
    found: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        value = waiting.pop()
        if type(value) is tuple and len(value) <= LONG:
            waiting += value
        elif type(value) in CONTAINERS and id(value) not in found:
            found[id(value)] = value
            if len(value) <= LONG:
                waiting += value.values() if isinstance(value, dict) else value
    return list(found.values())


def _nothing(*_arguments: Any, **_options: Any) -> None:
    """Log nothing."""
