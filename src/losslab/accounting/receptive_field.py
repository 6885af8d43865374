"""Which input positions a unit depends on, along one axis, exactly."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, gcd, lcm
from statistics import mode

Span = tuple[int, int]
"""First and last input position, both included."""


@dataclass(frozen=True)
class Field:
    r"""The receptive fields of a row of units: unit ``i`` sees the input positions of its span.

    .. math:: span(i) = spans_{i \bmod P} + \lfloor i / P \rfloor \cdot advance

    The period P is the number of spans. It is 1 for convolution and pooling; after a transposed convolution of stride
    s, units of s different phases see spans of different places and sizes, or nothing: None.

    Positions below 0 and beyond the input's end are padding. A ``listed`` field has a span for each unit and no period:
    after a crop, a roll or a concatenation, where what lies beyond the first and the last unit is not the input's
    padding.
    """

    spans: tuple[Span | None, ...] = ((0, 0),)
    advance: int = 1
    listed: bool = False
    positions: int | None = None
    """Of the input along the axis; None where that is not known."""
    units: int | None = None
    """How many there are; None while that may still change."""

    @property
    def size(self) -> int:
        """Input positions that a unit sees; the largest over the phases."""
        return max((last - first + 1 for first, last in filter(None, self.spans)), default=0)

    @property
    def at_most(self) -> bool:
        """Whether no unit sees so many positions of the input: all that reach so far reach into its padding.

        Inside the input both ends of a span are seen. Beyond its ends that is not known: a span there may hold units
        that a stride has left over, or nothing but the holes of a dilated kernel.
        """
        largest = self.size
        if self.units is None or self.positions is None or largest == 0:
            return False
        phases = [
            phase
            for phase, span in enumerate(self.spans[: self.units])
            if span and span[1] - span[0] + 1 == largest
        ]
        return not any(map(self._comes_inside, phases))

    def _comes_inside(self, phase: int) -> bool:
        """Whether the field of a unit of this phase lies inside the input."""
        assert self.units is not None
        assert self.positions is not None
        span = self.spans[phase]
        assert span is not None
        # The first unit of the phase that does not reach before the input; later ones may reach beyond its end.
        turns = 0 if self.listed else max(0, ceil(Fraction(-span[0], self.advance)))
        unit = phase + turns * len(self.spans)
        first, last = self.span(unit) or span
        return unit < self.units and first >= 0 and last < self.positions

    @property
    def stride(self) -> Fraction:
        """Input positions between neighbouring units (the jump); below 1 after upsampling."""
        if not self.listed:
            return Fraction(self.advance, len(self.spans))
        steps = [
            after[0] - before[0] for before, after in pairwise(self.spans) if before and after
        ]
        # That of most neighbours; at an edge or a seam it differs.
        return Fraction(mode(steps) if steps else 0)

    @property
    def padding(self) -> int:
        """How far the first unit's field reaches before the input's first position."""
        return max(0, -self._first_span[0])

    @property
    def centre(self) -> float:
        """Input position of the middle of the first unit's field."""
        return sum(self._first_span) / 2

    @property
    def _first_span(self) -> Span:
        return next(filter(None, self.spans), (0, 0))

    def span(self, unit: int) -> Span | None:
        """What ``unit`` sees, padding included; None where it sees nothing."""
        if self.listed:
            return self.spans[unit] if 0 <= unit < len(self.spans) else None
        turn, phase = divmod(unit, len(self.spans))
        span = self.spans[phase]
        return span and (span[0] + turn * self.advance, span[1] + turn * self.advance)

    def seen_through(
        self, read: Callable[[int], Iterable[int]], step: int, per: int = 1
    ) -> "Field":
        """The field of units of which the i-th reads our units ``read(i)``, ``step`` further every ``per`` units."""
        shared = gcd(len(self.spans), step)
        spans = (hull(map(self.span, read(i))) for i in range(per * len(self.spans) // shared))
        return Field(tuple(spans), self.advance * (step // shared), positions=self.positions)

    def windowed(
        self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> "Field":
        """After a convolution or pooling."""
        reach = (kernel - 1) * dilation + 1
        return self.seen_through(
            lambda i: range(i * stride - padding, i * stride - padding + reach, dilation),
            stride,
        )

    def transposed(
        self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> "Field":
        """After a transposed convolution: unit o reads every i with o = i*stride - padding + tap*dilation."""

        def read(o: int) -> list[int]:
            scaled = (o + padding - tap * dilation for tap in range(kernel))
            return [position // stride for position in scaled if position % stride == 0]

        return self.seen_through(read, 1, stride)

    def interpolated(self, scale: int) -> "Field":
        """After linear interpolation to ``scale`` times the size, half-pixel centres; the nearer two units are read."""

        def read(o: int) -> tuple[int, int]:
            position = Fraction(2 * o + 1 - scale, 2 * scale)
            return floor(position), ceil(position)

        return self.seen_through(read, 1, scale)

    def repeated(self, times: int) -> "Field":
        """After each unit is repeated so many times in a row."""
        spans = [span for span in self.spans for _ in range(times)]
        return Field(tuple(spans), self.advance, self.listed, self.positions)

    def as_list(self, units: int) -> "Field":
        """The same for so many units, one by one and without padding; those beyond see nothing."""
        return self.in_order(range(units))

    def in_order(self, units: Iterable[int]) -> "Field":
        """These units in this order, one by one and without padding."""
        return Field(tuple(self._within(self.span(i)) for i in units), 0, True, self.positions)

    def _within(self, span: Span | None) -> Span | None:
        """A span that the input has a part in; beyond its ends it tells that it reaches into padding."""
        if span is None or self.positions is None:
            return span
        return span if span[1] >= 0 and span[0] < self.positions else None

    def ends_with_input(self, units: int, beyond: int, *, alone: bool) -> bool:
        """Whether units beyond the first and the last of so many would see padding, and where ``alone`` no input."""
        if self.listed or self.positions is None:
            return True
        before = filter(None, map(self.span, range(-beyond, 0)))
        behind = filter(None, map(self.span, range(units, units + beyond)))
        inner, outer = (1, 0) if alone else (0, 1)
        return all(span[inner] < 0 for span in before) and all(
            span[outer] >= self.positions for span in behind
        )

    def merged(self, other: "Field") -> "Field | None":
        """The smallest field that holds both, unit by unit; None where the two advance differently."""
        if self.listed or other.listed or self.stride != other.stride:
            return None
        period = lcm(len(self.spans), len(other.spans))
        spans = tuple(hull((self.span(i), other.span(i))) for i in range(period))
        return Field(
            spans, self.advance * (period // len(self.spans)), positions=self.positions
        )


def hull(spans: Iterable[Span | None]) -> Span | None:
    """The smallest span that holds all; None when there is none.

    Example:
        >>> hull([(3, 5), None, (1, 2)])
        (1, 5)
    """
    some = [span for span in spans if span]
    return (min(first for first, _ in some), max(last for _, last in some)) if some else None


def stack_receptive_field(kernel: int, layers: int) -> int:
    r"""Side of the field that ``layers`` stacked ``kernel`` x ``kernel`` convolutions of stride 1 see.

    .. math:: R_N = N F - N + 1

    Proof by induction over the layers. One layer sees F. A unit of layer N + 1 sees F neighbouring units of layer N,
    whose fields of side R_N start one position apart, so that together they cover R_N + (F - 1) positions. With
    R_N = NF - N + 1 this is (N + 1)F - (N + 1) + 1.

    Args:
        kernel: side F of each kernel; 1 <= kernel.
        layers: number N of layers; 1 <= layers.
    Raises:
        ValueError: when either is not positive.
    Example:
        >>> stack_receptive_field(5, 3)
        13
    """
    for name, value in (("kernel", kernel), ("layers", layers)):
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
    return layers * kernel - layers + 1
