"""A quantity measured over seeds: mean, spread, interval, and whether two of them differ."""

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from losslab.text import DIGITS

Z95 = 1.959964
"""Normal quantile of a two-sided 95 % interval."""

T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t, two-sided 95 %, for 1 to 10 degrees of freedom; beyond, the last is used and a little too wide."""


@dataclass(frozen=True)
class Estimate:
    """What runs that differ only in their seed reached.

    Attributes:
        values: one per seed.
        images: where the values are fractions of so many images, their number.
    """

    values: tuple[float, ...]
    images: int | None = None

    @property
    def n(self) -> int:
        """How many seeds."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds; None with one seed, which tells nothing about it."""
        return stdev(self.values) if self.n > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean: Student's t over seeds, Wilson's over images, the wider; None where neither is."""
        known = [interval for interval in (self._over_seeds(), self._over_images()) if interval]
        if not known:
            return None
        # Each says what one other draw would change, of seeds or of images; the wider answers for both, one at a time.
        lows, highs = zip(*known, strict=True)
        # Student's t knows of no fraction's ends.
        low, high = min(lows), max(highs)
        return (max(0.0, low), min(1.0, high)) if self.images else (low, high)

    def _over_seeds(self) -> tuple[float, float] | None:
        if self.spread is None:
            return None
        half = t95(self.n - 1) * self.spread / sqrt(self.n)
        return self.mean - half, self.mean + half

    def _over_images(self) -> tuple[float, float] | None:
        return wilson(self.mean, self.images) if self.images else None


def t95(freedom: int) -> float:
    """Student's t of a two-sided 95 % interval with so many degrees of freedom."""
    return T95[min(freedom, len(T95)) - 1]


def wilson(fraction: float, count: int) -> tuple[float, float]:
    """95 % interval of a probability of which ``fraction`` was seen in ``count`` independent trials.

    .. math:: (p + z^2/2n ± z sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n)

    Args:
        fraction: p, the fraction seen, in [0, 1].
        count: n, the number of trials; 1 <= count.
    Returns:
        Low and high end, both in [0, 1].
    Example:
        >>> [round(end, 4) for end in wilson(0.5, 10_000)]
        [0.4902, 0.5098]

    Reference:
        Wilson 1927, JASA 22, 209-212.
    """
    square = Z95**2 / count
    # The formula stays within [0, 1]; its rounding errors may not.
    middle, half = (
        fraction + square / 2,
        sqrt(square * (fraction * (1 - fraction) + square / 4)),
    )
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def differ(first: Estimate, second: Estimate) -> bool:
    """Whether two estimates differ by more than rounding, the seeds and the size of the test set explain.

    They must differ in the digits that are shown. With two seeds or more on each side, Student's t of the difference
    (Welch's error, the degrees of freedom of the smaller side) must exclude 0; for fractions of images Newcombe's
    interval must too. Where one side has one seed, the seeds' part is unknown and not judged: the other
    side's spread is not used either.

    Both sides count as drawn by themselves, while runs share images and seeds. Errors that they have in common make
    the true noise smaller: two that differ may be called alike, hardly the reverse.

    Example:
        >>> differ(Estimate((0.50, 0.52)), Estimate((0.51, 0.53)))
        False

    Reference:
        Newcombe 1998, Statistics in Medicine 17, 873-890, method 10.
    """
    # One seed gives no noise of seeds, and a loss none of images; what is known must be exceeded.
    gap = abs(first.mean - second.mean)
    noise = max(_seed_noise(first, second), _image_noise(first, second))
    return f"{first.mean:.{DIGITS}g}" != f"{second.mean:.{DIGITS}g}" and gap > noise


def _seed_noise(first: Estimate, second: Estimate) -> float:
    if first.spread is None or second.spread is None:
        return 0.0
    freedom = min(first.n, second.n) - 1
    error = sqrt(first.spread**2 / first.n + second.spread**2 / second.n)
    return t95(freedom) * error


def _image_noise(first: Estimate, second: Estimate) -> float:
    """The half of Newcombe's interval that lies towards 0."""
    if not (first.images and second.images):
        return 0.0
    upper, lower = sorted((first, second), key=lambda estimate: estimate.mean, reverse=True)
    down = upper.mean - wilson(upper.mean, upper.images or 1)[0]
    up = wilson(lower.mean, lower.images or 1)[1] - lower.mean
    return sqrt(down**2 + up**2)
