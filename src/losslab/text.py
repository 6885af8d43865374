"""Numbers, durations, sizes and lists as people read them: one form of each, everywhere."""

from collections.abc import Mapping, Sequence
from typing import Protocol

DIGITS = 4
"""Significant digits that are shown."""
LARGEST = 1e15
"""From here on a number is written with an exponent: its digits could not be counted at a glance."""
NONE = "–"


class Measured(Protocol):
    """A mean, and its standard deviation over seeds where there are several."""

    @property
    def mean(self) -> float:
        """Over seeds."""

    @property
    def spread(self) -> float | None:
        """Over seeds; None with one."""


def number(value: float | None, digits: int = DIGITS) -> str:
    """Write a number with so many significant digits; a dash for None.

    Example:
        >>> number(0.00012345), number(1234), number(1234567), number(None)
        ('0.0001234', '1,234', '1,234,567', '–')
    """
    if value is None:
        return NONE
    # From here on `g` would write an exponent; half a unit below, as rounding comes first.
    is_whole = 10**digits - 0.5 <= abs(value) < LARGEST
    return f"{value:,.0f}" if is_whole else f"{value:,.{digits}g}"


def cell(value: object) -> str:
    """Write any value in a table of facts: a measured number in three digits, a whole one with all of them.

    Example:
        >>> cell(0.012345), cell(1234567), cell(None), cell(True), cell("valley")
        ('0.0123', '1,234,567', '–', 'True', 'valley')
    """
    if value is None or isinstance(value, float):
        return number(value, 3)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def measured(value: float | None, digits: int = DIGITS) -> str:
    """Write a measured number, whose trailing zeros count.

    Example:
        >>> measured(0.121), measured(12), measured(0.5, 2)
        ('0.1210', '12.00', '0.50')
    """
    if value is None:
        return NONE
    # `#g` keeps trailing zeros and, behind a whole number, the point; the latter is written without.
    is_whole = 10 ** (digits - 1) - 0.05 <= abs(value) < LARGEST
    return f"{value:,.0f}" if is_whole else f"{value:#.{digits}g}"


def loss(value: float) -> str:
    """Write a loss in a column of losses: four decimals, or an exponent where it is out of all proportion.

    Example:
        >>> loss(0.83539), loss(1.1e15)
        ('0.8354', '1.1e+15')
    """
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.3g}"


def percent(fraction: float | None) -> str:
    """Write a fraction of one in percent.

    Example:
        >>> percent(0.5213).split()
        ['52.1', '%']
    """
    return NONE if fraction is None else f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%"


def score(metric: str, value: float | None) -> str:
    """Write a metric's value: an accuracy in percent, any other as a number.

    Example:
        >>> score("accuracy", 0.9012), score("top_5", 0.5), score("mae", 0.25)
        ('90.12%', '50.00%', '0.2500')
    """
    if value is None:
        return NONE
    is_fraction = metric.endswith("accuracy") or metric.startswith("top_")
    return f"{value:.2%}" if is_fraction else loss(value)


def size(amount: float | None) -> str:
    """Write bytes in powers of 1,000.

    Example:
        >>> [size(amount).split() for amount in (1_440_000_000, 5_200_000, 890)], size(None)
        ([['1.4', 'GB'], ['5.2', 'MB'], ['0.9', 'kB']], '–')
    """
    if amount is None:
        return NONE
    for bytes_in_unit, unit in ((1e9, "GB"), (1e6, "MB")):
        # What a smaller unit would round to 1,000.0.
        if amount >= 0.99995 * bytes_in_unit:
            return f"{amount / bytes_in_unit:,.1f}\N{NO-BREAK SPACE}{unit}"
    return f"{amount / 1e3:.1f}\N{NO-BREAK SPACE}kB"


def duration(seconds: float | None) -> str:
    """Write a time in the two units that matter.

    Example:
        >>> duration(8.24), duration(192), duration(3900), duration(None)
        ('8.2 s', '3 min 12 s', '1 h 05 min', 'unknown')
    """
    if seconds is None:
        return "unknown"
    whole = round(seconds)  # first, so that 59.97 s is a minute and never 60 s
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def names(labels: Sequence[str]) -> str:
    """Join a list in words.

    Example:
        >>> names(["Adam"]), names(["Adam", "SGD"]), names(["a", "b", "c"])
        ('Adam', 'Adam and SGD', 'a, b and c')
    """
    if len(labels) < 2:
        return "".join(labels)
    return f"{', '.join(labels[:-1])} and {labels[-1]}"


def count(amount: int, noun: str) -> str:
    """Write a number of things, the noun in its number.

    Example:
        >>> count(1, "seed"), count(12_000, "image")
        ('1 seed', '12,000 images')
    """
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def shape(sizes: Sequence[int] | Mapping[str, Sequence[int]]) -> str:
    """Write the shape of a sample, or of several by name, height and width before the maps as people do.

    Example:
        >>> shape([256, 32, 32]), shape([4096]), shape({"ids": [128], "image": [3, 8, 8]})
        ('32×32×256', '4096', 'ids 128, image 8×8×3')
    """
    if isinstance(sizes, Mapping):
        return ", ".join(f"{name} {shape(part)}" for name, part in sizes.items())
    return "×".join(map(str, [*sizes[1:], *sizes[:1]]))


def millions(amount: float) -> str:
    """Write a large number of things in millions.

    Example:
        >>> millions(452_984_832), millions(1_115_684_864)
        ('453.0M', '1,115.7M')
    """
    return f"{amount / 1e6:,.1f}M"


def times(value: float | None) -> str:
    """Write a ratio in words.

    Example:
        >>> times(1.2)
        '1.20 times'
    """
    return f"{measured(value, 3)} times"


def spread(estimate: Measured | None) -> str:
    """Write a mean, with its standard deviation over seeds where there are several."""
    if estimate is None:
        return NONE
    mean = measured(estimate.mean)
    return mean if estimate.spread is None else f"{mean} ± {measured(estimate.spread, 2)}"
