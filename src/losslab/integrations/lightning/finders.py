"""Range tests from what a LightningModule says: its configure_optimizers, its training_step, its data."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.parsing import lightning_hasattr, lightning_setattr

import losslab
from losslab.ranges import BatchRange, CriticalBatch, LrRange
from losslab.ranges.restored import process_state
from losslab.ranges.snapshot import Snapshot

TRANSFERS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
"""Hooks through which a batch goes to the device, in order."""


def find_lr(
    module: LightningModule,
    data: Any = None,
    trainer: Trainer | None = None,
    *,
    write_to: str | None = None,
    **options: Any,
) -> LrRange:
    """The learning rates between which the loss of a LightningModule falls, as :func:`losslab.find_lr`.

    The optimizer is that of ``configure_optimizers``, the loss that of ``training_step``. Other hooks are not called
    and ``self.log`` keeps nothing; module, data and random state are put back.

    Args:
        module: with automatic optimization and one optimizer.
        data: a LightningDataModule or an iterable of batches; the module's own ``train_dataloader`` when None.
        trainer: whose device, precision, accumulation and clipping are taken; it is not run. Without one the test is in
            float32, where the module is.
        write_to: attribute of the module or of its ``hparams`` that is set to the suggestion, such as ``lr``; it is
            left alone where no range is found.
        options: of :func:`losslab.find_lr`.
    Raises:
        ValueError: several optimizers, manual optimization, or a precision or clipping that a test has not got.
    """
    if write_to is not None and not lightning_hasattr(module, write_to):
        raise ValueError(
            f"`write_to` (={write_to!r}) is no attribute of {type(module).__name__} or of its hparams; "
            "set it there first"
        )
    with _ready(module, data, trainer) as (loader, optimizer, loss):
        found = losslab.find_lr(
            module, loader, optimizer, loss_fn=loss, **_of_trainer(trainer) | options
        )
    if write_to is not None and found.found:
        lightning_setattr(module, write_to, found.suggestion)
    return found


def find_batch(
    module: LightningModule,
    data: Any = None,
    trainer: Trainer | None = None,
    *,
    sizes: Sequence[int],
    **options: Any,
) -> BatchRange | CriticalBatch:
    """The batch sizes between which the loss of a LightningModule falls, as :func:`losslab.find_batch`.

    Args:
        module: as in :func:`find_lr`; its optimizer's rate is used unless ``lr`` is given.
        data: as in :func:`find_lr`; its batches are the smallest that are trained on.
        trainer: whose device, precision and ``gradient_clip_val`` are taken; a size says how much is accumulated.
        sizes: increasing multiples of the size of the data's batches.
        options: of :func:`losslab.find_batch`.
    Raises:
        ValueError: as :func:`find_lr`; a loss scaler (``16-mixed``), which its noise scale could not be read through.
    """
    of_trainer = _of_trainer(trainer)
    if of_trainer.get("scaler") is not None:
        raise ValueError(
            f"`trainer` has precision {trainer.precision!r}, whose scaled gradients hide their noise; "  # type: ignore[union-attr]
            "give one with '32-true' or 'bf16-mixed'"
        )
    own: dict[str, Any] = {"clip_norm": of_trainer.get("clip_norm")}
    with _ready(module, data, trainer) as (loader, optimizer, loss):
        found: BatchRange | CriticalBatch = losslab.find_batch(
            module,
            loader,
            optimizer,
            loss_fn=loss,
            sizes=sizes,
            **own | options,
        )
        return found


def _of_trainer(trainer: Trainer | None) -> dict[str, Any]:
    """How a Trainer takes its steps, as options of a range test."""
    if trainer is None:
        return {}
    precision = str(trainer.precision)
    if precision.endswith("-true") and precision != "32-true":
        raise ValueError(
            f"`trainer` has precision {precision!r}, which converts the weights for good; convert the module "
            "yourself and give no trainer"
        )
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_algorithm == "value":
        raise ValueError(
            "`trainer` clips gradients by value, which a range test does not; use gradient_clip_algorithm='norm'"
        )
    return {
        # 0 means no clipping to a Trainer.
        "clip_norm": trainer.gradient_clip_val or None,
        "accumulate": trainer.accumulate_grad_batches,
        "scaler": getattr(trainer.precision_plugin, "scaler", None),
    }


@contextmanager
def _ready(
    module: LightningModule, data: Any, trainer: Trainer | None
) -> Iterator[tuple[Any, torch.optim.Optimizer, Callable[..., Any]]]:
    """Data, optimizer and loss of a module that behaves, within the context, as in a Trainer's loop."""
    if not module.automatic_optimization:
        raise ValueError(
            f"{type(module).__name__} optimizes by hand (automatic_optimization=False), so that a test cannot tell its "
            "steps; call losslab.find_lr with a `loss_fn` of yours"
        )
    # A datamodule that draws its splits is to draw the same ones in the training that follows.
    put_back = process_state()
    snapshot = Snapshot()
    if isinstance(data, LightningDataModule):
        snapshot.add(data)
    try:
        with _attached(module, data, trainer):
            loader = _loader(module, data)
            yield loader, _optimizer(module), _loss(module, data, trainer)
    finally:
        with ExitStack() as stack:  # which calls all, though one may raise
            stack.callback(put_back)
            for undo in snapshot.undos:
                stack.callback(undo)


@contextmanager
def _attached(module: LightningModule, data: Any, trainer: Trainer | None) -> Iterator[None]:
    """Let a module and its data see a Trainer that trains, and its device; what they log goes nowhere."""
    before = module._trainer
    before_of_data = getattr(data, "trainer", None)
    device = module.device
    loggers = trainer.loggers if trainer is not None else []
    stage = trainer.state.stage if trainer is not None else None
    vars(module)["log"] = _nothing
    try:
        if trainer is not None:
            # One that takes everything, as a module may ask its logger for more than to log.
            trainer.loggers = [DummyLogger()] if loggers else []
            trainer.training = True
            module.trainer = trainer
            if isinstance(data, LightningDataModule):
                data.trainer = trainer
            module.to(trainer.strategy.root_device)
        yield
    finally:
        del vars(module)["log"]
        module.trainer = before
        if trainer is not None and isinstance(data, LightningDataModule):
            data.trainer = before_of_data
        module.to(device)
        if trainer is not None:
            trainer.loggers = loggers
            trainer.state.stage = stage


def _nothing(*_arguments: Any, **_options: Any) -> None:
    """Log nothing: there is no loop whose results these could be."""


def _loader(module: LightningModule, data: Any) -> Any:
    if data is None:
        return module.train_dataloader()
    if isinstance(data, LightningDataModule):
        data.prepare_data()
        data.setup("fit")
        return data.train_dataloader()
    return data


def _optimizer(module: LightningModule) -> torch.optim.Optimizer:
    """The one optimizer of a module, in whichever form configure_optimizers returns it.

    Raises:
        ValueError: when there is none, or more than one.
    """
    configured = module.configure_optimizers()
    if isinstance(configured, tuple) and configured and isinstance(configured[0], list | tuple):
        configured = configured[0]  # ([optimizers], [schedulers])
    entries = configured if isinstance(configured, list | tuple) else [configured]
    optimizers = [_unwrapped(entry) for entry in entries]
    if len(optimizers) > 1:
        names = ", ".join(type(optimizer).__name__ for optimizer in optimizers)
        raise ValueError(
            f"configure_optimizers of {type(module).__name__} returns {len(optimizers)} optimizers ({names}); a test "
            "drives one: test each with losslab.find_lr and a `loss_fn`"
        )
    if not optimizers or optimizers[0] is None:
        raise ValueError(
            f"configure_optimizers of {type(module).__name__} returns no optimizer; return one"
        )
    optimizer: torch.optim.Optimizer = optimizers[0]
    return optimizer


def _unwrapped(entry: Any) -> Any:
    return entry["optimizer"] if isinstance(entry, dict) else entry


def _loss(module: LightningModule, data: Any, trainer: Trainer | None) -> Callable[..., Any]:
    """The training step as a loss function, on batches that went through the hooks of a transfer."""
    owners = [_owner(name, module, data) for name in TRANSFERS]
    indices = count()
    takes_index = len(inspect.signature(module.training_step).parameters) > 1

    def training_step(model: Any, batch: Any) -> Any:
        before, transfer, after = (
            getattr(owner, name) for owner, name in zip(owners, TRANSFERS, strict=True)
        )
        batch = after(transfer(before(batch, 0), module.device, 0), 0)
        if trainer is None:
            return _step(model, batch)
        batch = trainer.precision_plugin.convert_input(batch)
        with trainer.precision_plugin.train_step_context():
            return _step(model, batch)

    def _step(model: Any, batch: Any) -> Any:
        result = (
            model.training_step(batch, next(indices))
            if takes_index
            else model.training_step(batch)
        )
        if result is None:
            raise ValueError(
                f"training_step of {type(module).__name__} returned None, which skips a batch; return its loss"
            )
        return result

    return training_step


def _owner(name: str, module: LightningModule, data: Any) -> Any:
    """Whose hook is called: the datamodule's where it has one of its own."""
    is_own = isinstance(data, LightningDataModule) and is_overridden(name, data)
    return data if is_own else module
