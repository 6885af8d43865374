"""Which input positions a unit depends on, along one axis, exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm


@dataclass(frozen=True)
class Field:
    r"""The receptive fields of a row of units: unit ``i`` sees the input positions ``low .. high``.

    .. math:: low(i) = low_{i \bmod P} + \lfloor i / P \rfloor \cdot advance

    The period P is the number of entries in ``low`` and ``high``. It is 1 for convolution and pooling; after a
    transposed convolution of stride s, units of s different phases see fields of different places and sizes.

    Positions below 0 and beyond the input's end are padding.
    """

    low: tuple[int, ...] = (0,)
    high: tuple[int, ...] = (0,)
    advance: int = 1

    @property
    def size(self) -> int:
        """Input positions that a unit sees; the largest over the phases."""
        return max(high - low + 1 for low, high in zip(self.low, self.high, strict=True))

    @property
    def stride(self) -> Fraction:
        """Input positions between neighbouring units (the jump); below 1 after upsampling."""
        return Fraction(self.advance, len(self.low))

    @property
    def padding(self) -> int:
        """How far the first unit's field reaches before the input's first position."""
        return max(0, -self.low[0])

    @property
    def centre(self) -> float:
        """Input position of the middle of the first unit's field."""
        return (self.low[0] + self.high[0]) / 2

    def support(self, unit: int) -> tuple[int, int]:
        """First and last input position that ``unit`` sees, padding included."""
        turn, phase = divmod(unit, len(self.low))
        return self.low[phase] + turn * self.advance, self.high[phase] + turn * self.advance

    def seen_through(self, first: Callable[[int], int], last: Callable[[int], int], step: int, per: int) -> "Field":
        """The field of units that each read our units ``first(i) .. last(i)``, ``step`` further every ``per`` units."""
        shared = gcd(len(self.low), step)
        period = per * len(self.low) // shared
        low = tuple(self.support(first(i))[0] for i in range(period))
        high = tuple(self.support(last(i))[1] for i in range(period))
        return Field(low, high, self.advance * (step // shared))

    def windowed(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Field":
        """After a convolution or pooling."""
        reach = (kernel - 1) * dilation
        return self.seen_through(lambda i: i * stride - padding, lambda i: i * stride - padding + reach, stride, 1)

    def transposed(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Field":
        """After a transposed convolution: unit o reads every i with o = i*stride - padding + tap*dilation."""
        reach = (kernel - 1) * dilation
        if dilation > 1 and stride > 1:
            return self._transposed_dilated(kernel, stride, padding, dilation)
        return self.seen_through(
            lambda o: -((reach - o - padding) // stride), lambda o: (o + padding) // stride, 1, stride
        )

    def _transposed_dilated(self, kernel: int, stride: int, padding: int, dilation: int) -> "Field":
        def read(o: int) -> list[int]:
            taps = [o + padding - tap * dilation for tap in range(kernel)]
            return [tap // stride for tap in taps if tap % stride == 0] or [(o + padding) // stride]

        return self.seen_through(lambda o: min(read(o)), lambda o: max(read(o)), 1, stride)

    def interpolated(self, scale: int) -> "Field":
        """After linear interpolation to ``scale`` times the size, half-pixel centres; the nearer two units are read."""
        return self.seen_through(
            lambda o: (2 * o + 1 - scale) // (2 * scale), lambda o: -((scale - 2 * o - 1) // (2 * scale)), 1, scale
        )

    def merged(self, other: "Field") -> "Field | None":
        """The smallest field that holds both, unit by unit; None where the two advance differently."""
        if self.stride != other.stride:
            return None
        period = lcm(len(self.low), len(other.low))
        mine, theirs = [self.support(i) for i in range(period)], [other.support(i) for i in range(period)]
        low = tuple(min(a[0], b[0]) for a, b in zip(mine, theirs, strict=True))
        high = tuple(max(a[1], b[1]) for a, b in zip(mine, theirs, strict=True))
        return Field(low, high, self.advance * (period // len(self.low)))


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
