"""Put back, bit for bit, all that a trial training changes, whatever ends it."""

import random
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from types import FrameType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from losslab.randomness import derive_seed, seeded
from losslab.ranges.snapshot import Generator, Snapshot, Undo

Result = TypeVar("Result")

HOST_FRACTION = 0.25
"""Copies that would take more than this part of a device's free memory are kept in the host's."""


def restored(
    body: Callable[[Snapshot], Result],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Iterable[object],
    *others: object,
) -> Result:
    """Call a function; restore model, optimizer, data, random state and all others when it ends, however it ends.

    Restored are parameters, buffers, gradients, modes and attributes of every module, lazy ones included; state and
    options of the optimizer; attributes, containers, counters and generators of the data, its samplers and its
    datasets; the random state of torch, numpy and Python, and whether torch records gradients. The copies take the
    weights and the optimizer's state once more, in the host's memory where the device is short.

    Every undo runs, even when another fails or Ctrl-C comes, at whatever moment; the first error is raised. It is no
    context manager, because a Ctrl-C that comes while a `with` block is left, before its exit runs, would escape it.

    Args:
        body: what is called, with what was remembered.
        model: its modules.
        optimizer: of the model.
        data: the batches.
        others: the loss, a scaler.
    """
    on_host = _is_short(model, optimizer)
    return put_back_after(body, data, model, optimizer, *others, on_host=on_host)


def put_back_after(
    body: Callable[[Snapshot], Result],
    data: Iterable[object],
    *roots: object,
    on_host: bool = False,
) -> Result:
    """Call a function; restore data, random state and all that the roots lead to, as :func:`restored` does.

    What another framework holds is put back by undos of its own: the function adds them to the snapshot's.

    Args:
        body: what is called, with what was remembered.
        data: the batches.
        roots: whose attributes, containers and tensors are remembered.
        on_host: keep the copies in the host's memory.
    """
    undos: list[Undo] = []
    errors: list[BaseException] = []
    results: list[Result] = []
    guard = _Guard()
    guard.install()
    # The guard lets at most one Ctrl-C through, and that only while it is armed: the outer clause has the one that
    # comes while the inner one handles an error, and none can come after it.
    try:
        try:
            guard.is_armed = True
            results.append(body(_remembered(undos, errors, data, roots, on_host)))
            guard.is_armed = False
        except BaseException as error:
            guard.is_armed = False
            errors.append(error)
    except BaseException as interrupt:
        errors += [interrupt.__context__ or interrupt] if not errors else [interrupt]
    # The last first: random state is put back when nothing draws any more.
    _run_all(undos[::-1], errors)
    guard.remove(errors)
    if errors:
        raise errors[0]
    return results[0]


def _remembered(
    undos: list[Undo],
    errors: list[BaseException],
    data: Iterable[object],
    roots: Iterable[object],
    on_host: bool,
) -> Snapshot:
    """Remember everything; each undo is in the list before what it undoes is done."""
    undos.append(process_state())
    snapshot = Snapshot(on_host=on_host)
    undos.append(partial(_run_all, snapshot.undos, errors))
    snapshot.add(*roots, data)
    undos += _positions(snapshot, data)
    for loader in snapshot.loaders:
        # Workers that serve the user's own iteration keep their place; the trial starts others.
        loader.__dict__["_iterator"] = None
    for tensor in snapshot.tensors:
        if tensor.is_leaf and tensor.grad is not None:
            tensor.grad = None  # a trial writes into gradients of its own
    return snapshot


def with_draws_of(
    seed: int,
    snapshot: Snapshot,
    body: Callable[[], Result],
    device: torch.device | None = None,
) -> Result:
    """Call a function whose random draws, in torch, numpy, Python and the generators of the data, are a seed's."""
    with seeded(seed, "range test", device=device):
        # Orders that numpy or Python draw are to differ between seeds, too: their spread is an answer.
        np.random.seed(derive_seed(seed, "range test of numpy", 0) % 2**32)
        random.seed(derive_seed(seed, "range test of Python", 0))
        for number, generator in enumerate(snapshot.generators):
            _begin_anew(generator, derive_seed(seed, "range test order", number))
        return body()


def _begin_anew(generator: Generator, seed: int) -> None:
    """Have a source of random numbers draw what a seed says."""
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, np.random.Generator):
        kind: Any = type(generator.bit_generator)
        generator.bit_generator.state = kind(seed).state
    else:
        # RandomState takes 32 bits.
        generator.seed(seed % 2**32)


class _Guard:
    """Lets Ctrl-C through to the handler of before while armed, until that raises; notes it otherwise."""

    def __init__(self) -> None:
        self.is_armed = False
        self._noted: list[tuple[int, FrameType | None]] = []
        self._before: Any = None

    def install(self) -> None:
        """Take the place of the handler, where signals arrive in this thread and there is one to call."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._handle)

    def remove(self, errors: list[BaseException]) -> None:
        """Give the place back, and pass on what was noted."""
        if self._before is None:
            return
        signal.signal(signal.SIGINT, self._before)
        for number, frame in self._noted:
            try:
                self._before(number, frame)
            except BaseException as error:
                errors.append(error)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.is_armed:
            self._noted.append((number, frame))
            return
        self.is_armed = False
        self._before(number, frame)
        self.is_armed = True  # a handler of the user's that does not raise


def _run_all(undos: Sequence[Undo], errors: list[BaseException]) -> None:
    """Run every undo, note every error; one that an interrupt cuts short runs again."""
    for undo in undos:
        try:
            undo()
        except KeyboardInterrupt as interrupt:
            errors.append(interrupt)
            try:
                undo()
            except BaseException as error:
                errors.append(error)
        except BaseException as error:
            errors.append(error)


def _is_short(model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Whether a device has too little free memory for copies beside a training."""
    tensors = [*model.parameters(), *model.buffers()]
    for state in optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    needed: dict[torch.device, int] = {}
    for tensor in tensors:
        if tensor.device.type == "cuda" and not nn.parameter.is_lazy(tensor):
            needed[tensor.device] = needed.get(tensor.device, 0) + tensor.nbytes
    return any(size > HOST_FRACTION * _free_bytes(device) for device, size in needed.items())


def _free_bytes(device: torch.device) -> int:
    """What torch could still allocate: the device's free memory and what torch holds without using it."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def process_state() -> Undo:
    """What puts back the random state of this process, and whether gradients are recorded.

    A Ctrl-C that comes while a `torch.no_grad()` ends would else leave them off for good.
    """
    records_gradients = torch.is_grad_enabled()
    on_host = torch.get_rng_state()
    of_numpy, of_python = np.random.get_state(), random.getstate()
    on_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    on_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def put_back() -> None:
        torch.set_grad_enabled(records_gradients)
        torch.set_rng_state(on_host)
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        if on_cuda:
            torch.cuda.set_rng_state_all(on_cuda)
        if on_mps is not None:
            torch.mps.set_rng_state(on_mps)

    return put_back


def _positions(snapshot: Snapshot, data: Any) -> list[Undo]:
    """What puts back a position that only the data itself can, where attributes do not tell it."""
    if not any(name.startswith(f"{type(data).__name__}.") for name in snapshot.lost):
        return []
    try:
        state = deepcopy(data.state_dict())
        load = data.load_state_dict  # many loaders have these methods and cannot answer
    except Exception:
        return []
    snapshot.lost = [
        name for name in snapshot.lost if not name.startswith(f"{type(data).__name__}.")
    ]
    return [lambda: load(state)]
