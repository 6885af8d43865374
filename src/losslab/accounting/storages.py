"""Storages that are alive while a model trains, and those that autograd keeps, in bytes."""

import weakref
from collections.abc import Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.accounting.call import tensors_in
from losslab.accounting.sparse import bytes_of

_BLOCK = 8
"""Channels that a CPU's convolution kernels keep together."""


class SavedStorages:
    """Adds up the storages that autograd keeps, each once, parameters and buffers left out."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        """The hook of `torch.autograd.graph.saved_tensors_hooks`."""
        if tensor.layout is not torch.strided:
            return tensor
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._seen:

            def freed(_: Any) -> None:
                # Its address is free for another, as where a branch is discarded.
                self._seen.discard(key)
                self._alive.pop(key, None)

            self._seen.add(key)
            self._alive[key] = weakref.ref(storage, freed)
            self.bytes += bytes_of(tensor)
        return tensor.detach()


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of all storages that are alive, and the most there were."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak_bytes = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._sums: set[int] = set()
        for tensor in tensors:
            self._note(tensor)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, seconds, to keep it from compiling this

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = tensors_in(result)
        scratch = _convolution_scratch(func, args, outputs)
        for tensor in outputs:
            if tensor.layout is torch.strided:
                self._note(tensor)
        if not self._adds_in_place(func, args, outputs):
            self.peak_bytes = max(self.peak_bytes, self.bytes + scratch)
        return result

    def _adds_in_place(self, func: Any, args: tuple[Any, ...], outputs: list[Tensor]) -> bool:
        """Whether this adds one more gradient of a tensor to two or more that are added up already.

        torch does so in place, but not within a mode: there the sum has memory of its own until its terms are freed.
        """
        in_backward = torch._C._current_graph_task_id() >= 0
        if func is not torch.ops.aten.add.Tensor or not in_backward:
            return False
        self._sums.add(outputs[0].untyped_storage()._cdata)
        return args[0].untyped_storage()._cdata in self._sums

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, bytes_of(tensor)
        if key in self._alive:
            return

        def freed(_: Any) -> None:
            del self._alive[key]
            self._sums.discard(key)
            self.bytes -= size

        self._alive[key] = weakref.ref(storage, freed)
        self.bytes += size


def _convolution_scratch(func: Any, args: tuple[Any, ...], outputs: list[Tensor]) -> int:
    """Bytes of the copies that a CPU convolution arranges in blocks of channels: its result; backward, its sources."""
    if func is torch.ops.aten.convolution.default:
        return _blocked(outputs[0])
    if func is torch.ops.aten.convolution_backward.default:
        return sum(map(_blocked, args[:2]))
    return 0


def _blocked(tensor: Tensor) -> int:
    batch, channels, *space = tensor.shape
    return batch * -(-channels // _BLOCK) * _BLOCK * prod(space) * tensor.element_size()
