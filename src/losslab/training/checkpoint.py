"""Training states on disk: safetensors with a sha256 manifest, written at once, the two newest kept; no pickle.

A checkpoint is a folder ``step-N-row-M`` of ``state.safetensors`` and ``manifest.json``. It is written under another
name and renamed, so that a folder of that name is complete; the manifest reveals a flipped bit, which safetensors do
not.
"""

import json
import os
import shutil
from contextlib import nullcontext
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, save
from torch import nn

from losslab.errors import CheckpointCorrupt, InvalidInput
from losslab.files import sync_folder, write_bytes, write_json
from losslab.optimizers import at_iterate
from losslab.training import optimizer_state
from losslab.training.state import TrainState, Window
from losslab.training.step import device_of

# The newest may be found damaged when it is read; the one before it then costs a minute and not the run.
KEPT = 2
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
HELD = frozenset(
    {*WHOLE, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64}
)
"""Types of numbers that safetensors holds."""


def save_checkpoint(folder: Path, state: TrainState, *, rows: int) -> Path:
    """Save a training state; older checkpoints go only when this one has been read back.

    Args:
        folder: the run's ``checkpoints`` folder; created when absent.
        state: what to save.
        rows: how many records had been written when the state was taken.
    Raises:
        OSError: when the folder cannot be written; earlier checkpoints are then as they were.
        InvalidInput: when the model or the optimizer keeps what a checkpoint cannot hold.
    """
    check(state)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "step": state.step,
        "rows": rows,
        "window": asdict(state.window),
        "train_seconds": state.train_seconds,
        "train_processor_seconds": state.train_processor_seconds,
        "eval_seconds": state.eval_seconds,
        "scaler": None if state.scaler is None else state.scaler.state_dict(),
        "average_count": None if state.average is None else state.average.count,
        "plateau": None if state.plateau is None else state.plateau.state_dict(),
        **optimizer_state.numbers(state.optimizer),
    }
    tensors = {f"model.{key}": value for key, value in state.model.state_dict().items()}
    tensors |= {f"buffer.{key}": value for key, value in _unlisted_buffers(state.model).items()}
    if state.average is not None:
        tensors |= {f"average.{key}": value for key, value in state.average.tensors.items()}
    tensors |= optimizer_state.tensors(state.optimizer)
    saved = {key: _in_order(value) for key, value in tensors.items()}
    content = save(saved, metadata={"facts": json.dumps(facts)})
    checkpoint = folder / f"step-{state.step:09d}-row-{rows:09d}"
    temporary = folder / f".step-{os.getpid()}"
    # Of processes that were killed while they wrote; the run's lease keeps every living one out.
    for left_behind in folder.glob(".step-*"):
        shutil.rmtree(left_behind)
    temporary.mkdir()
    write_bytes(temporary / "state.safetensors", [content])
    write_json(
        temporary / "manifest.json",
        {"bytes": len(content), "sha256": sha256(content).hexdigest()},
    )
    # What is read back below takes as much memory again.
    del content, saved, tensors
    # Only one that was found invalid can be of the same step and row.
    shutil.rmtree(checkpoint, ignore_errors=True)
    # Both files are on disk by now, so that the rename, which is atomic, never shows a part of them.
    temporary.rename(checkpoint)
    sync_folder(folder)
    # Where this folder and the records that the checkpoint counts on have their names.
    sync_folder(folder.parent)
    # Older ones are the only way back while this one may be damaged, so it is read before they go.
    _verified(checkpoint)
    found = checkpoints(folder)
    newest = found.index(checkpoint)
    # Newer ones were passed over when the run went on from before them; counted here, they would push this one out.
    for old in found[:newest] + found[newest + KEPT :]:
        shutil.rmtree(old)
    return checkpoint


def save_weights(path: Path, state: TrainState) -> None:
    """Write trained weights and buffers as a .safetensors file, named as ``model.state_dict()`` names them.

    Where the run has an average of the weights, that; else the weights that it was last evaluated with.

    Raises:
        OSError: when the file cannot be written; one that was there is then as it was.
        InvalidInput: when the model keeps what such a file cannot hold.
    """
    _check_tensors(state.model)
    average = state.average
    # One that no step has reached yet holds the initial weights.
    averaged = average.in_place_of(state.model) if average and average.count else nullcontext()
    with at_iterate(state.optimizer), averaged:
        tensors = {key: _in_order(value) for key, value in state.model.state_dict().items()}
    write_bytes(path, [save(tensors)])


def check(state: TrainState) -> None:
    """Raise InvalidInput when a model or an optimizer, once it has stepped, keeps what a checkpoint would lose."""
    _check_tensors(state.model)
    optimizer_state.check(state.optimizer)


def _check_tensors(model: nn.Module) -> None:
    for key, value in model.state_dict().items():
        if not torch.is_tensor(value):
            raise InvalidInput(
                f"the model's `{key}` is a {type(value).__name__}, and a checkpoint holds tensors alone; register "
                "it as a buffer"
            )


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def load_newest(folder: Path, state: TrainState) -> tuple[int, list[str]]:
    """Bring a fresh state to the newest valid checkpoint.

    Args:
        folder: the run's ``checkpoints`` folder.
        state: from ``new_state`` of the same run; left as it is when there is no valid checkpoint.
    Returns:
        How many records belong to the state (0 when it was left as it is), and why newer checkpoints were passed over.
    """
    rejected: list[str] = []
    for checkpoint in checkpoints(folder):
        try:
            return _restore(checkpoint, state), rejected
        except CheckpointCorrupt as error:
            rejected.append(str(error))
    return 0, rejected


def _restore(checkpoint: Path, state: TrainState) -> int:
    content = _verified(checkpoint)
    tensors = load(content)
    # safetensors' `load` gives no metadata: a file begins with the length of its JSON header, 8 bytes, then the header.
    length = int.from_bytes(content[:8], "little")
    facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["facts"])
    state.model.load_state_dict(_below("model.", tensors))
    _restore_buffers(state.model, _below("buffer.", tensors))
    optimizer_state.restore(state.optimizer, tensors, facts)
    state.step, state.window = facts["step"], Window(**facts["window"])
    state.train_seconds, state.eval_seconds = facts["train_seconds"], facts["eval_seconds"]
    # A run begun by a version that did not measure it knows only a part: no processor time is better than a wrong one.
    # On a device that is not the processor there is none, whatever device the run was begun on.
    if state.train_processor_seconds is not None:
        state.train_processor_seconds = facts.get("train_processor_seconds")
    if state.scaler is not None:
        state.scaler.load_state_dict(facts["scaler"])
    if state.plateau is not None:
        state.plateau.load_state_dict(facts["plateau"])
    if state.average is not None:
        state.average.count = facts["average_count"]
        for name, tensor in state.average.tensors.items():
            tensor.copy_(tensors[f"average.{name}"])
    return int(facts["rows"])


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {
        key.removeprefix(prefix): value
        for key, value in tensors.items()
        if key.startswith(prefix)
    }


def _unlisted_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """The buffers that training may change, although ``state_dict()`` leaves them out (``persistent=False``)."""
    listed = model.state_dict().keys()
    return {
        name: buffer
        for name, buffer in model.named_buffers()
        # What safetensors cannot hold is mostly a constant, such as the edges of a graph or angles of positions.
        if name not in listed and _can_be_held(buffer)
    }


def _can_be_held(tensor: torch.Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.dtype in HELD


@torch.no_grad()
def _restore_buffers(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """Put buffers back; one that was not there yet or had another form, such as a cache that grows, is replaced."""
    for name, value in saved.items():
        path, _, attribute = name.rpartition(".")
        module = model.get_submodule(path)
        if attribute not in module._buffers:  # a forward that has not run yet registers it
            module.register_buffer(attribute, value.to(device_of(model)), persistent=False)
            continue
        buffer = module._buffers[attribute]
        same_form = buffer is not None and (buffer.shape, buffer.dtype) == (
            value.shape,
            value.dtype,
        )
        # An expanded one, of which several elements are one in memory, cannot be written to.
        if buffer is not None and same_form and 0 not in buffer.stride():
            buffer.copy_(value)
        else:
            setattr(module, attribute, value.to(device_of(model)))


def _in_order(tensor: torch.Tensor) -> torch.Tensor:
    """A copy on the CPU whose elements lie in the order of their indices."""
    # safetensors refuses channels_last weights and tensors that share memory.
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _verified(checkpoint: Path) -> bytes:
    """The bytes of a checkpoint, once they match its manifest."""
    path = checkpoint / "state.safetensors"
    try:
        manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
        content = path.read_bytes()
        if len(content) != manifest["bytes"]:
            raise CheckpointCorrupt(
                f"{path}: {len(content):,} bytes in place of {manifest['bytes']:,}"
            )
        if sha256(content).hexdigest() != manifest["sha256"]:
            raise CheckpointCorrupt(f"{path}: its sha256 is not the manifest's")
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise CheckpointCorrupt(f"{path}: cannot be read ({error})") from error
    return content
