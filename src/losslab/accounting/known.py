"""What is known of the tensors of a run: axes, the parameters they are made of, what was written into them."""

import weakref
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from losslab.accounting.axes import Axes, lost, plain


@dataclass(frozen=True)
class Known:
    """A tensor's axes, and where its values come from.

    Attributes:
        axes: where the axes of the inputs are.
        weights: the parameters that it is made of, until data or a product turns it into an activation.
        active: whether it depends on an input or holds units.
    """

    axes: Axes
    weights: frozenset[str] = frozenset()
    active: bool = False


@dataclass
class _Writes:
    """All that was written into views of a storage, together, and how often."""

    storage: torch.UntypedStorage  # kept, so that its address stays its own
    count: int = 0
    unbounded: frozenset[int] = frozenset()
    weights: frozenset[str] = frozenset()
    active: bool = False


@dataclass
class Tensors:
    """What is known, by tensor, as long as the tensor lives.

    A write through one view changes what every other view of its storage holds. Each write is added to the storage's
    account, and a tensor takes account of writes when it is next read: the cost of a write does not grow with the
    number of views, so that a loop over time steps stays linear.
    """

    names: dict[int, str]
    """Parameter's id -> its name."""
    unregistered: list[str] = field(default_factory=list)
    """Shapes of parameters that were used and are none of the model's."""
    _known: dict[int, tuple[Known, int]] = field(default_factory=dict)
    """Tensor's id -> what is known of it, and how many writes into its storage that takes account of."""
    _references: dict[int, "weakref.ref[Tensor]"] = field(default_factory=dict)
    _writes: dict[int, _Writes] = field(default_factory=dict)
    """Storage's address -> its writes."""

    def __getitem__(self, tensor: Tensor) -> Known:
        key = id(tensor)
        if key not in self._known:
            self[tensor] = self._first_seen(tensor)
        known, seen = self._known[key]
        writes = self._writes_into(tensor)
        if writes is not None and writes.count > seen:
            known = _written(known, writes)
            self._known[key] = known, writes.count
        return known

    def __setitem__(self, tensor: Tensor, known: Known) -> None:
        key = id(tensor)
        writes = self._writes_into(tensor)
        self._known[key] = known, writes.count if writes is not None else 0
        if key not in self._references:
            self._references[key] = weakref.ref(tensor, lambda _: self._forget(key))

    def note_write(self, tensor: Tensor, known: Known) -> None:
        """Have all other views of the tensor's storage depend on what was written."""
        storage = tensor.untyped_storage()
        writes = self._writes.setdefault(storage._cdata, _Writes(storage))
        writes.count += 1
        writes.unbounded |= known.axes.reaching
        writes.weights |= known.weights
        writes.active |= known.active
        self[tensor] = known

    def _first_seen(self, tensor: Tensor) -> Known:
        weights = (
            frozenset({self.names[id(tensor)]}) if id(tensor) in self.names else frozenset()
        )
        if isinstance(tensor, nn.Parameter) and not weights:
            self.unregistered.append("x".join(map(str, tensor.shape)))
        return Known(plain(tensor.shape), weights)

    def _writes_into(self, tensor: Tensor) -> _Writes | None:
        return self._writes.get(tensor.untyped_storage()._cdata) if self._writes else None

    def _forget(self, key: int) -> None:
        del self._known[key], self._references[key]


def _written(known: Known, writes: _Writes) -> Known:
    written = replace(plain(known.axes.shape), unbounded=writes.unbounded)
    return Known(
        lost([known.axes, written], known.axes.shape),
        known.weights | writes.weights,
        known.active or writes.active,
    )
