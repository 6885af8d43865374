"""What is known of the tensors of a run: axes, the parameters they are made of, what was written into them."""

from dataclasses import dataclass, field, replace

from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

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

    count: int = 0
    unbounded: frozenset[int] = frozenset()
    weights: frozenset[str] = frozenset()
    active: bool = False


@dataclass
class Tensors:
    """What is known, by tensor.

    A write through one view changes what every other view of its storage holds. Each write is added to the storage's
    account, and a tensor takes account of writes when it is next read: the cost of a write does not grow with the
    number of views, so that a loop over time steps stays linear.
    """

    names: dict[int, str]
    """Parameter's id -> its name."""
    unregistered: list[str] = field(default_factory=list)
    """Shapes of parameters that were used and are none of the model's."""
    _known: WeakIdKeyDictionary = field(default_factory=WeakIdKeyDictionary)
    _writes: WeakIdKeyDictionary = field(default_factory=WeakIdKeyDictionary)

    def __getitem__(self, tensor: Tensor) -> Known:
        if tensor not in self._known:
            weights = frozenset({self.names[id(tensor)]}) if id(tensor) in self.names else frozenset()
            self._known[tensor] = Known(plain(tensor.shape), weights), 0
            if isinstance(tensor, nn.Parameter) and not weights:
                self.unregistered.append("x".join(map(str, tensor.shape)))
        known, seen = self._known[tensor]
        writes = self._writes_into(tensor)
        if writes is not None and writes.count > seen:
            known = _written(known, writes)
            self._known[tensor] = known, writes.count
        result: Known = known
        return result

    def __setitem__(self, tensor: Tensor, known: Known) -> None:
        writes = self._writes_into(tensor)
        self._known[tensor] = known, writes.count if writes is not None else 0

    def note_write(self, tensor: Tensor, known: Known) -> None:
        """Have all other views of the tensor's storage depend on what was written."""
        writes = self._writes_into(tensor)
        if writes is None:
            writes = self._writes[tensor.untyped_storage()] = _Writes()
        writes.count += 1
        writes.unbounded |= known.axes.reaching
        writes.weights |= known.weights
        writes.active |= known.active
        self._known[tensor] = known, writes.count

    def _writes_into(self, tensor: Tensor) -> _Writes | None:
        writes: _Writes | None = self._writes.get(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        return writes


def _written(known: Known, writes: _Writes) -> Known:
    written = replace(plain(known.axes.shape), unbounded=writes.unbounded)
    return Known(
        lost([known.axes, written], known.axes.shape), known.weights | writes.weights, known.active or writes.active
    )
