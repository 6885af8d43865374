"""Where the axes of the inputs are in a tensor, and what its units see along them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import prod

from losslab.accounting.receptive_field import Field, hull


@dataclass(frozen=True)
class Factor:
    """A stretch of a dimension; ``fields`` maps an input axis that runs along it to what its units see."""

    size: int
    fields: dict[int, Field] = field(default_factory=dict)


Dimension = tuple[Factor, ...]


@dataclass(frozen=True)
class Axes:
    """The dimensions of a tensor, each a product of factors, so that merging and splitting dimensions loses nothing.

    Input axes are numbered. Those in ``unbounded`` reach the tensor in a way that has no bounded field, or none that
    can be known; those that appear nowhere do not reach it.
    """

    dims: tuple[Dimension, ...]
    unbounded: frozenset[int] = frozenset()

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the dimensions."""
        return tuple(prod(factor.size for factor in dim) for dim in self.dims)

    @property
    def fields(self) -> dict[int, Field]:
        """The bounded fields by input axis, each with the number of its units."""
        fields: dict[int, Field] = {}
        for dim in self.dims:
            whole = collapsed(dim)
            for factor in dim if whole is None else (whole,):
                for number, seen in factor.fields.items():
                    fields[number] = replace(seen, units=factor.size)
        return fields

    @property
    def reaching(self) -> frozenset[int]:
        """Every input axis that reaches the tensor."""
        return self.unbounded.union(*map(running_along, self.dims))


def collapsed(dim: Dimension) -> Factor | None:
    """A dimension as one factor, where an axis runs along its outermost factor alone: its units come in equal runs."""
    inner = prod(factor.size for factor in dim[1:])
    if any(factor.fields for factor in dim[1:]):
        return None
    if len(dim) == 1:
        return dim[0]
    return Factor(
        dim[0].size * inner,
        {number: seen.repeated(inner) for number, seen in dim[0].fields.items()},
    )


def plain(shape: Iterable[int]) -> Axes:
    """A tensor that no input axis runs along."""
    return Axes(tuple((Factor(size),) for size in shape))


def lost(sources: Iterable[Axes], shape: Iterable[int]) -> Axes:
    """A tensor that may depend on everything that these do, in a way that is not known."""
    reaching = frozenset().union(*(axes.reaching for axes in sources))
    return replace(plain(shape), unbounded=reaching)


def tidy(dims: Iterable[Dimension], unbounded: Iterable[int]) -> Axes:
    """Axes of which one that is unbounded, or runs along two factors, has no field."""
    kept = tuple(dims)
    numbers = list(chain.from_iterable(map(running_along, kept)))
    gone = frozenset(unbounded) | {number for number in numbers if numbers.count(number) > 1}
    if not gone.isdisjoint(numbers):
        kept = tuple(tuple(_without(factor, gone) for factor in dim) for dim in kept)
    return Axes(kept, gone)


def running_along(dim: Dimension) -> list[int]:
    """The input axes that run along a dimension, one entry for each factor."""
    return list(chain.from_iterable(factor.fields for factor in dim))


def _without(factor: Factor, gone: frozenset[int]) -> Factor:
    return Factor(
        factor.size,
        {number: seen for number, seen in factor.fields.items() if number not in gone},
    )


def permuted(axes: Axes, order: Sequence[int]) -> Axes:
    """The dimensions in another order."""
    return replace(axes, dims=tuple(axes.dims[i] for i in order))


def gathered(axes: Axes, dims: Iterable[int], *, keep: bool) -> Axes:
    """After an operation whose units each read the whole of ``dims``; these stay, of size 1, when ``keep``."""
    whole = {dim % len(axes.dims) for dim in dims} if axes.dims else set()
    read = {number for dim in whole for number in running_along(axes.dims[dim])}
    rest = [
        (Factor(1),) if i in whole else dim
        for i, dim in enumerate(axes.dims)
        if keep or i not in whole
    ]
    return tidy(rest, axes.unbounded | read)


def mixed(axes: Axes, dims: Iterable[int]) -> Axes:
    """After an operation whose units each read the whole of ``dims`` and that keeps the shape."""
    whole = {dim % len(axes.dims) for dim in dims}
    read = {number for dim in whole for number in running_along(axes.dims[dim])}
    return tidy(axes.dims, axes.unbounded | read)


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes:
    """The same elements in the same order under another shape; an axis that is cut in pieces becomes unbounded."""
    if 0 in shape:
        return lost([axes], shape)
    # A stack of factors, the outermost on top: each new dimension takes factors until their product is its size.
    waiting = [
        factor for dim in axes.dims for factor in dim if factor.size != 1 or factor.fields
    ]
    waiting.reverse()
    cut: set[int] = set()
    dims = []
    for size in shape:
        taken: list[Factor] = []
        while prod(f.size for f in taken) < size or (
            waiting and waiting[-1].size == 1 and size == 1 and not taken
        ):
            factor = waiting.pop()
            room = size // prod(f.size for f in taken)
            if room % factor.size and factor.size % room:
                return lost([axes], shape)
            # The outer part of the factor fits; its inner part waits for the next dimension.
            if factor.size > room:
                cut |= factor.fields.keys()
                waiting.append(Factor(factor.size // room))
                factor = Factor(room)
            taken.append(factor)
        dims.append(tuple(taken) or (Factor(size),))
    left = {number for factor in waiting for number in factor.fields}
    return tidy(dims, axes.unbounded | cut | left)


def combined(sources: Sequence[Axes], shape: Sequence[int]) -> Axes:
    """After an elementwise operation on tensors that broadcast to ``shape``."""
    unbounded: set[int] = set().union(*(axes.unbounded for axes in sources))
    dims = []
    # Broadcasting aligns the last dimensions.
    for index, size in enumerate(shape, start=-len(shape)):
        dim: Dimension = (Factor(size),)
        for axes in sources:
            if -index <= len(axes.dims):
                dim, unknown = _overlaid(dim, axes.dims[index], size)
                unbounded |= unknown
        dims.append(dim)
    return tidy(dims, unbounded)


def _overlaid(dim: Dimension, other: Dimension, size: int) -> tuple[Dimension, set[int]]:
    """Two dimensions laid over each other, and the axes whose fields that makes unknown."""
    numbers, other_numbers = set(running_along(dim)), set(running_along(other))
    # Broadcast: every unit reads the same one.
    if prod(factor.size for factor in other) != size:
        return dim, other_numbers
    if not numbers:
        return other, set()
    if not other_numbers:
        return dim, set()
    if [factor.size for factor in dim] != [factor.size for factor in other]:
        return (Factor(size),), numbers | other_numbers
    pairs = [
        _union(factor, other_factor) for factor, other_factor in zip(dim, other, strict=True)
    ]
    return tuple(factor for factor, _ in pairs), set().union(*(unknown for _, unknown in pairs))


MOST_LISTED = 4096
"""Units of the longest dimension whose fields are listed one by one."""


def _merged(field: Field, other: Field, size: int) -> Field | None:
    """The smallest field that holds both, unit by unit where they have no common period."""
    merged = field.merged(other)
    if merged is not None or size > MOST_LISTED:
        return merged
    pairs = zip(field.as_list(size).spans, other.as_list(size).spans, strict=True)
    return Field(tuple(hull(pair) for pair in pairs), 0, True, field.positions)


def _union(factor: Factor, other: Factor) -> tuple[Factor, set[int]]:
    fields, unknown = {**factor.fields, **other.fields}, set()
    for number in factor.fields.keys() & other.fields.keys():
        seen = _merged(factor.fields[number], other.fields[number], factor.size)
        if seen is None:
            unknown.add(number)
        else:
            fields[number] = seen
    return Factor(factor.size, fields), unknown
