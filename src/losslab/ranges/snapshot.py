"""Remember what objects hold, and put it back into the same objects."""

import copy
import io
import itertools
import random
import sys
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils.data import DataLoader, Dataset, Sampler

Undo = Callable[[], None]
Generator = torch.Generator | np.random.Generator | np.random.RandomState | random.Random
"""A source of random numbers that a seed can begin anew."""

ARRAY_BYTES = 16 * 2**20
"""Largest tensor or array of data that is remembered: what is larger holds samples, not a position."""
ALL_ARRAYS_BYTES = 4 * ARRAY_BYTES
"""All of those together, at most."""
LONG = 1000
"""A container of data with more entries is remembered as such, but its entries are not entered: they are samples."""
MOST_OBJECTS = 100_000
"""Objects of data that are entered at most."""

_ATOMS = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
)
_TRAINERS = frozenset(["lightning", "pytorch_lightning", "tensorflow"])
_TRACKERS = frozenset(
    ["aim", "comet_ml", "mlflow", "neptune", "tensorboard", "tensorboardX", "tqdm", "wandb"]
)
_STORES = frozenset(["PIL", "h5py", "lmdb", "pandas", "polars", "pyarrow"])
_OPAQUE_PACKAGES = _TRAINERS | _TRACKERS | _STORES
"""Their objects stand for files, servers or a whole training; attributes set back would put them out of step."""


_SHARING: tuple[type, ...] = (
    *(enumerate, filter, map, zip, type(iter(int, 1))),
    *(itertools.accumulate, itertools.chain, itertools.compress, itertools.cycle),
    *(itertools.dropwhile, itertools.filterfalse, itertools.groupby, itertools.islice),
    *(itertools.pairwise, itertools.starmap, itertools.takewhile, itertools.zip_longest),
)
"""Iterators that draw from another one, which a copy of theirs would draw from, too."""


class Snapshot:
    """What objects hold, as far as their attributes, containers, tensors, arrays and generators reach.

    Parts of modules and optimizers are remembered whatever their size; of all else, large arrays and the entries of
    long containers are not, because these are the samples of a data set.

    Attributes:
        undos: put everything back, one object each.
        tensors: all that were remembered.
        loaders: all that were met.
        generators: sources of random numbers, in the order in which they were met.
        lost: what draws on without a way back, such as a running Python generator, by its owner and name.
    """

    def __init__(self, *, on_host: bool = False) -> None:
        self.undos: list[Undo] = []
        self.tensors: list[torch.Tensor] = []
        self.loaders: list[DataLoader[Any]] = []
        self.generators: list[Generator] = []
        self.lost: list[str] = []
        self._on_host = on_host
        self._met: dict[int, object] = {}  # keeps them alive, so that no identity is used twice
        self._bytes_left = ALL_ARRAYS_BYTES

    def add(self, *roots: object) -> None:
        """Remember these and all that they lead to."""
        waiting = [(root, False) for root in roots]
        while waiting:
            value, is_trained = waiting.pop()
            # What belongs to a module or an optimizer is remembered whole, wherever it was met.
            is_trained = is_trained or isinstance(value, nn.Module | torch.optim.Optimizer)
            if isinstance(value, _ATOMS) or id(value) in self._met or _is_opaque(value):
                continue
            if len(self._met) > MOST_OBJECTS and not is_trained:
                continue
            self._met[id(value)] = value
            children = self._remember(value, is_trained)
            waiting += [(child, is_trained) for child in children]

    def _remember(self, value: Any, is_trained: bool) -> list[object]:
        """Remember one object; what it leads to."""
        if isinstance(value, torch.Tensor):
            return self._remember_tensor(value, is_trained)
        if isinstance(value, np.ndarray):
            return self._remember_array(value, is_trained)
        if (undo := _source(value)) is not None:
            self.undos.append(undo)
            if isinstance(value, Generator):
                self.generators.append(value)
            return []
        if isinstance(value, dict | list | deque | set):
            return self._remember_container(value, is_trained)
        if isinstance(value, tuple):
            return list(value) if is_trained or len(value) <= LONG else []
        if isinstance(value, types.MethodType):
            return [value.__self__]
        if isinstance(value, partial):
            return [value.func, *value.args, *value.keywords.values()]
        if isinstance(value, types.FunctionType):
            return [*_modules_of(value), *self._remember_attributes(value)]
        return self._remember_attributes(value) if _has_state(value) else []

    def _fits(self, size: int, is_trained: bool) -> bool:
        """Whether an array is to be copied; counts it."""
        if is_trained:
            return True
        if size > ARRAY_BYTES or size > self._bytes_left:
            return False
        self._bytes_left -= size
        return True

    def _remember_tensor(self, tensor: torch.Tensor, is_trained: bool) -> list[object]:
        kind = type(tensor)
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            self.undos.append(partial(_uninitialize, tensor, kind, tensor.device, tensor.dtype))
            return []
        size = tensor.nbytes if tensor.layout == torch.strided else 0
        if tensor.is_meta or not self._fits(size, is_trained):
            return []
        self.tensors.append(tensor)
        # The same memory under a name of its own: it outlives a tensor that is given other data or another size.
        data = tensor.data
        values = _without_repeats(data)
        device = "cpu" if self._on_host else values.device
        kept = values.to(device, copy=True)
        is_leaf, requires_grad = tensor.is_leaf, tensor.requires_grad
        gradient = tensor.grad if is_leaf else None

        @torch.no_grad()
        def put_back() -> None:
            # Such a tensor cannot be written to elsewhere.
            with torch.inference_mode(values.is_inference()):
                values.copy_(kept)
            if (
                tensor.data_ptr() != data.data_ptr()
                or tensor.shape != data.shape
                or tensor.dtype != data.dtype
            ):
                tensor.data = data
            if is_leaf:
                tensor.requires_grad_(requires_grad)
                tensor.grad = gradient

        self.undos.append(put_back)
        return []

    def _remember_array(self, array: "np.ndarray[Any, Any]", is_trained: bool) -> list[object]:
        if array.dtype == object or not array.flags.writeable or isinstance(array, np.memmap):
            return []
        if self._fits(array.nbytes, is_trained):
            kept = array.copy()
            self.undos.append(lambda: np.copyto(array, kept))
        return []

    def _remember_container(self, container: Any, is_trained: bool) -> list[object]:
        entries: Any
        if isinstance(container, dict):
            entries = {key: _position(value) for key, value in container.items()}
            children = list(entries.values())
        else:
            entries = (
                container
                if isinstance(container, set)
                else [_position(value) for value in container]
            )
            children = list(entries)
        values = container.values() if isinstance(container, dict) else container
        for value, kept_value in zip(values, children, strict=True):
            if _is_lost(value, kept_value):
                self.lost.append(f"{type(container).__name__}[{type(value).__name__}]")
        before = _identities(container)
        # Iterators were replaced by copies, which are to stand there afterwards.
        replaced = not isinstance(container, set) and _identities(entries) != before
        kept = copy.copy(entries)

        def put_back() -> None:
            if not replaced and _identities(container) == before:
                return
            container.clear()
            container.update(kept) if isinstance(container, dict | set) else container.extend(
                kept
            )

        self.undos.append(put_back)
        return children if is_trained or len(children) <= LONG else []

    def _remember_attributes(self, owner: Any) -> list[object]:
        """Class and attributes of an object; those of modules hold their parameters, buffers and hooks."""
        kind = type(owner)
        before = _attributes(owner)
        kept = {name: _position(value) for name, value in before.items()}
        for name, value in before.items():
            if name != "_iterator" and _is_lost(value, kept[name]):
                self.lost.append(f"{kind.__name__}.{name}")
        children = list(kept.values())
        if isinstance(owner, DataLoader):
            self.loaders.append(owner)
            children = [value for name, value in kept.items() if name != "_iterator"]
        if isinstance(owner, nn.Module):
            children += [
                *owner.children(),
                *owner.parameters(recurse=False),
                *owner.buffers(recurse=False),
            ]
        training = owner.training if isinstance(owner, torch.jit.ScriptModule) else None

        def put_back() -> None:
            if type(owner) is not kind:
                owner.__class__ = kind
            _set_attributes(owner, kept)
            if training is not None:
                owner.training = training

        self.undos.append(put_back)
        return children


def _source(source: Any) -> Undo | None:
    """What puts back a source of random numbers, or a file; None for anything else."""
    if isinstance(source, torch.Generator):
        state = source.get_state()
        return lambda: _discard(source.set_state(state))
    if isinstance(source, np.random.Generator):
        return partial(setattr, source.bit_generator, "state", source.bit_generator.state)
    if isinstance(source, np.random.RandomState):
        return partial(source.set_state, source.get_state())
    if isinstance(source, random.Random) and not isinstance(source, random.SystemRandom):
        return partial(source.setstate, source.getstate())
    if isinstance(source, io.IOBase) and not source.closed and source.seekable():
        position = source.tell()
        return lambda: _discard(source.seek(position))
    return None


def _discard(_result: object) -> None:
    """Make a call that returns something an undo, which returns nothing."""


def _without_repeats(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without the axes along which it repeats the same memory, as expanded ones do: a view to write to."""
    if tensor.layout != torch.strided:
        return tensor
    return tensor[
        tuple(slice(0, 1) if stride == 0 else slice(None) for stride in tensor.stride())
    ]


def _uninitialize(
    tensor: torch.Tensor, kind: type, device: torch.device, dtype: torch.dtype
) -> None:
    """Make a parameter that its first forward pass gave a shape a lazy one again."""
    if type(tensor) is not kind:
        tensor.grad = None
        tensor.data = torch.empty(0, device=device, dtype=dtype)
        tensor.__class__ = kind


def _is_lost(value: Any, kept: Any) -> bool:
    """Whether a value draws on without a way back: an iterator that was not copied and has no attributes."""
    is_kept = kept is not value or _source(value) is not None or _has_state(value)
    return isinstance(value, Iterator) and not is_kept


def _position(value: Any) -> Any:
    """A copy of an iterator that can be copied, such as `itertools.count`; anything else as it is."""
    is_plain = type(value).__module__ in ("builtins", "itertools")
    if not isinstance(value, Iterator) or not is_plain or isinstance(value, _SHARING):
        return value
    try:
        with warnings.catch_warnings():
            # Python 3.14 copies no iterator of itertools.
            warnings.simplefilter("ignore", DeprecationWarning)
            return copy.copy(value)
    except TypeError:
        return value


def _identities(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return [(id(key), id(value)) for key, value in container.items()]
    return (
        sorted(map(id, container)) if isinstance(container, set) else list(map(id, container))
    )


def _modules_of(function: types.FunctionType) -> list[object]:
    """The modules that a function reads from around it: a loss's own criterion."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    # Globals by the names that its code uses. Lists and dicts around it are left alone: a user may log into them.
    values = [function.__globals__.get(name) for name in function.__code__.co_names]
    return [value for value in cells + values if isinstance(value, nn.Module)]


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _is_opaque(value: Any) -> bool:
    is_ours = isinstance(
        value, nn.Module | torch.optim.Optimizer | DataLoader | Sampler | Dataset
    )
    return _package(value) in _OPAQUE_PACKAGES and not is_ours


def _has_state(value: Any) -> bool:
    """Whether attributes of an object are to be remembered."""
    if isinstance(value, types.SimpleNamespace | nn.Module):
        return True
    if type(value).__module__.startswith("torch._"):
        return False  # torch's own machinery, such as compiled code
    if _package(value) in sys.stdlib_module_names:
        return False
    return hasattr(value, "__dict__") or bool(_slots(value))


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _slots(value: Any) -> list[str]:
    names: list[str] = []
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _attributes(owner: Any) -> dict[str, Any]:
    attributes = dict(getattr(owner, "__dict__", {}))
    for name in _slots(owner):
        if hasattr(owner, name):
            attributes[name] = getattr(owner, name)
    return attributes


def _set_attributes(owner: Any, kept: dict[str, Any]) -> None:
    """Write attributes without the owner's own `__setattr__`, which may refuse or act."""
    now = _attributes(owner)
    own = getattr(owner, "__dict__", {})
    for name in now.keys() - kept.keys():
        if name in own:
            del own[name]
        else:
            object.__delattr__(owner, name)
    for name, value in kept.items():
        # What is as before is not written: the owner may be shared, or refuse it.
        if name in now and now[name] is value:
            continue
        if name in own or name not in _slots(owner):
            own[name] = value
        else:
            object.__setattr__(owner, name, value)
