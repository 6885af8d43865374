"""Where the axes of the input are in a tensor, and what its units see along them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from losslab.accounting.receptive_field import Field


@dataclass(frozen=True)
class Factor:
    """A stretch of a dimension; ``fields`` maps an input axis that runs along it to what its units see."""

    size: int
    fields: dict[int, Field] = field(default_factory=dict)


Dimension = tuple[Factor, ...]


@dataclass(frozen=True)
class Layout:
    """The dimensions of a tensor, each a product of factors, so that merging and splitting dimensions loses nothing.

    Input axes in ``unbounded`` reach the tensor in a way that has no bounded field, or none that can be known; axes
    that appear nowhere do not reach it.
    """

    dims: tuple[Dimension, ...]
    unbounded: frozenset[int] = frozenset()

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the dimensions."""
        return tuple(prod(factor.size for factor in dim) for dim in self.dims)

    @property
    def fields(self) -> dict[int, Field]:
        """The bounded fields by input axis."""
        return {axis: seen for dim in self.dims for factor in dim for axis, seen in factor.fields.items()}

    @property
    def axes(self) -> frozenset[int]:
        """Every input axis that reaches the tensor."""
        return self.unbounded | self.fields.keys()


def plain(shape: Iterable[int]) -> Layout:
    """A tensor that no input axis runs along."""
    return Layout(tuple((Factor(size),) for size in shape))


def lost(layouts: Iterable[Layout], shape: Iterable[int]) -> Layout:
    """A tensor that may depend on everything that these do, in a way that is not known."""
    return replace(plain(shape), unbounded=frozenset().union(*(layout.axes for layout in layouts)))


def tidy(dims: Iterable[Dimension], unbounded: Iterable[int]) -> Layout:
    """A layout in which an axis that is unbounded, or runs along two factors, has no field."""
    kept = tuple(dims)
    axes = [axis for dim in kept for factor in dim for axis in factor.fields]
    gone = frozenset(unbounded) | {axis for axis in axes if axes.count(axis) > 1}
    if not gone.isdisjoint(axes):
        kept = tuple(tuple(_without(factor, gone) for factor in dim) for dim in kept)
    return Layout(kept, gone)


def _without(factor: Factor, axes: frozenset[int]) -> Factor:
    return Factor(factor.size, {axis: seen for axis, seen in factor.fields.items() if axis not in axes})


def permuted(layout: Layout, order: Sequence[int]) -> Layout:
    """The dimensions in another order."""
    return replace(layout, dims=tuple(layout.dims[i] for i in order))


def gathered(layout: Layout, dims: Iterable[int], *, keep: bool) -> Layout:
    """After an operation whose units each read the whole of ``dims``; these stay, of size 1, when ``keep``."""
    whole = {dim % len(layout.dims) for dim in dims} if layout.dims else set()
    axes = {axis for dim in whole for factor in layout.dims[dim] for axis in factor.fields}
    rest = [(Factor(1),) if i in whole else dim for i, dim in enumerate(layout.dims) if keep or i not in whole]
    return tidy(rest, layout.unbounded | axes)


def mixed(layout: Layout, dims: Iterable[int]) -> Layout:
    """After an operation whose units each read the whole of ``dims`` and that keeps the shape."""
    whole = {dim % len(layout.dims) for dim in dims}
    axes = {axis for dim in whole for factor in layout.dims[dim] for axis in factor.fields}
    return tidy(layout.dims, layout.unbounded | axes)


def reshaped(layout: Layout, shape: Sequence[int]) -> Layout:
    """The same elements in the same order under another shape; an axis that is cut in pieces becomes unbounded."""
    if 0 in shape:
        return lost([layout], shape)
    waiting = [factor for dim in layout.dims for factor in dim if factor.size != 1 or factor.fields]
    waiting.reverse()
    lost_axes: set[int] = set()
    dims = []
    for size in shape:
        taken: list[Factor] = []
        while prod(f.size for f in taken) < size or (waiting and waiting[-1].size == 1 and size == 1 and not taken):
            factor = waiting.pop()
            room = size // prod(f.size for f in taken)
            if room % factor.size and factor.size % room:
                return lost([layout], shape)
            if factor.size > room:
                lost_axes |= factor.fields.keys()
                waiting.append(Factor(factor.size // room))
                factor = Factor(room)
            taken.append(factor)
        dims.append(tuple(taken) or (Factor(size),))
    left = {axis for factor in waiting for axis in factor.fields}
    return tidy(dims, layout.unbounded | lost_axes | left)


def combined(layouts: Sequence[Layout], shape: Sequence[int]) -> Layout:
    """After an elementwise operation on tensors that broadcast to ``shape``."""
    unbounded: set[int] = set().union(*(layout.unbounded for layout in layouts))
    dims = []
    for place, size in enumerate(shape, start=-len(shape)):
        dim: Dimension = (Factor(size),)
        for layout in layouts:
            if -place <= len(layout.dims):
                dim, unknown = _overlaid(dim, layout.dims[place], size)
                unbounded |= unknown
        dims.append(dim)
    return tidy(dims, unbounded)


def _overlaid(one: Dimension, two: Dimension, size: int) -> tuple[Dimension, set[int]]:
    """Two dimensions laid over each other, and the axes whose fields that makes unknown."""
    axes_one, axes_two = ({axis for f in dim for axis in f.fields} for dim in (one, two))
    if prod(factor.size for factor in two) != size:
        return one, axes_two
    if not axes_one:
        return two, set()
    if not axes_two:
        return one, set()
    if [f.size for f in one] != [f.size for f in two]:
        return (Factor(size),), axes_one | axes_two
    pairs = [_union(a, b) for a, b in zip(one, two, strict=True)]
    return tuple(factor for factor, _ in pairs), set().union(*(unknown for _, unknown in pairs))


def _union(one: Factor, two: Factor) -> tuple[Factor, set[int]]:
    fields, unknown = {**one.fields, **two.fields}, set()
    for axis in one.fields.keys() & two.fields.keys():
        seen = one.fields[axis].merged(two.fields[axis])
        if seen is None:
            unknown.add(axis)
        else:
            fields[axis] = seen
    return Factor(one.size, fields), unknown
