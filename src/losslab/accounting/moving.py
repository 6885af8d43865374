"""Receptive fields along a dimension of a tensor: moved by a step, cut, put in another order, listed at the ends."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from losslab.accounting.axes import (
    MOST_LISTED,
    Axes,
    Dimension,
    Factor,
    collapsed,
    mixed,
    running_along,
    tidy,
)
from losslab.accounting.receptive_field import Field, Span, hull

Step = Callable[[Field], Field | None]


def stepped(
    axes: Axes, steps: Sequence[tuple[int, Step]], *, channels: int | None = None
) -> Axes:
    """After an operation that moves each of the last dimensions by a step to a new size, and may mix the channels."""
    dims, unknown = list(axes.dims), set(axes.unbounded)
    for index, (size, step) in enumerate(steps, start=-len(steps)):
        dims[index], gone = _step(dims[index], size, step)
        unknown |= gone
    if channels is not None:
        index = -len(steps) - 1
        unknown.update(running_along(dims[index]))
        dims[index] = (Factor(channels),)
    return tidy(dims, unknown)


def ended(axes: Axes, beyond: Sequence[int], alone: Sequence[bool] = ()) -> Axes:
    """For an operation that reads so many units beyond each of the last dimensions, which are padding now.

    Where these units would have seen the input, those of the dimension are listed one by one.
    """
    dims = list(axes.dims)
    alone = alone or [False] * len(beyond)
    for index, (amount, apart) in enumerate(
        zip(beyond, alone, strict=True), start=-len(beyond)
    ):
        whole = collapsed(dims[index])
        if whole is None or whole.size > MOST_LISTED:
            continue
        size = whole.size
        fields = {
            number: seen
            if seen.ends_with_input(size, amount, alone=apart)
            else seen.as_list(size)
            for number, seen in whole.fields.items()
        }
        dims[index] = (Factor(size, fields),)
    return replace(axes, dims=tuple(dims))


def taken(axes: Axes, dim: int, start: int, step: int, units: int) -> Axes:
    """Every so manieth unit of a dimension from one on; where units are cut off, the rest is listed one by one."""
    size = axes.shape[dim]
    if start == 0 and step == 1 and units == size:
        return axes
    whole = collapsed(axes.dims[dim])
    source = axes.dims[dim] if whole is None else (whole,)
    cut = start > 0 or start + units * step < size
    if whole is not None and cut and size <= MOST_LISTED:
        source = (
            Factor(size, {number: seen.as_list(size) for number, seen in whole.fields.items()}),
        )
    moved, gone = _step(source, units, lambda seen: seen.windowed(1, step, -start))
    return tidy((*axes.dims[:dim], moved, *axes.dims[dim + 1 :]), axes.unbounded | gone)


def rearranged(parts: Sequence[Dimension], size: int) -> tuple[Dimension, set[int]]:
    """Dimensions one after the other as one, listed unit by unit; and the axes that are then unknown."""
    numbers = {number for part in parts for number in running_along(part)}
    wholes = [collapsed(part) for part in parts]
    if size > MOST_LISTED or not numbers:
        return (Factor(size),), numbers
    fields = {}
    for number in numbers:
        spans: list[Span | None] = []
        positions: int | None = None
        for whole in wholes:
            if whole is None:
                return (Factor(size),), numbers
            seen = whole.fields.get(number)
            if seen is None:
                spans += [None] * whole.size
            else:
                spans += seen.as_list(whole.size).spans
                positions = seen.positions
        fields[number] = Field(tuple(spans), 0, True, positions)
    return (Factor(size, fields),), set()


def in_order(axes: Axes, dim: int, order: Sequence[int]) -> Axes:
    """The units of a dimension in another order."""
    whole = collapsed(axes.dims[dim])
    if whole is None or whole.size > MOST_LISTED:
        return mixed(axes, [dim])
    fields = {number: seen.in_order(order) for number, seen in whole.fields.items()}
    return tidy(
        (*axes.dims[:dim], (Factor(len(order), fields),), *axes.dims[dim + 1 :]), axes.unbounded
    )


def _step(dim: Dimension, size: int, step: Step) -> tuple[Dimension, set[int]]:
    numbers = set(running_along(dim))
    whole = collapsed(dim)
    if whole is None:
        return (Factor(size),), numbers
    moved = {number: _moved(seen, size, step) for number, seen in whole.fields.items()}
    known = {number: seen for number, seen in moved.items() if seen is not None}
    return (Factor(size, known),), numbers - known.keys()


def _moved(seen: Field, size: int, step: Step) -> Field | None:
    """A field after a step; of a listed one unit by unit, by what the step reads."""
    if not seen.listed:
        return step(seen)
    reads = step(_Reads())
    if reads is None:
        return None
    read: Callable[[int], Iterable[int]] = reads.read  # type: ignore[attr-defined]
    return Field(
        tuple(hull(map(seen.span, read(unit))) for unit in range(size)), 0, True, seen.positions
    )


class _Reads(Field):
    """Stands for a field and notes which units a step reads of it."""

    def seen_through(
        self,
        read: Callable[[int], Iterable[int]],
        step: int,  # noqa: ARG002 - which units are read does not depend on it
        per: int = 1,  # noqa: ARG002
    ) -> Field:
        """Keep what the step reads."""
        object.__setattr__(self, "read", read)
        return self
