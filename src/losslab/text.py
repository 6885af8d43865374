"""Numbers and lists as a reader wants to see them."""

from collections.abc import Mapping, Sequence

from losslab.analysis.estimates import DIGITS, Estimate

NONE = "–"


def number(value: float | None, digits: int = DIGITS) -> str:
    """A number with so many significant digits; a dash for None.

    Example:
        >>> number(0.00012345), number(1234567), number(None)
        ('0.0001234', '1,234,567', '–')
    """
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def measured(value: float | None, digits: int = DIGITS) -> str:
    """A measured number: its trailing zeros count.

    Example:
        >>> measured(0.121), measured(12), measured(0.5, 2)
        ('0.1210', '12.00', '0.50')
    """
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:#.{digits}g}"


def percent(fraction: float | None) -> str:
    """A fraction of one in percent.

    Example:
        >>> percent(0.5213).split()
        ['52.1', '%']
    """
    return NONE if fraction is None else f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%"


def score(metric: str, value: float | None) -> str:
    """A metric's value: an accuracy in percent, any other as a number.

    Example:
        >>> score("accuracy", 0.9012), score("top_5", 0.5), score("mae", 0.25)
        ('90.12%', '50.00%', '0.2500')
    """
    if value is None:
        return NONE
    is_fraction = metric.endswith("accuracy") or metric.startswith("top_")
    return f"{value:.2%}" if is_fraction else f"{value:.4f}"


def size(amount: int | None) -> str:
    """Bytes for people.

    Example:
        >>> size(1_440_000_000).split(), size(None)
        (['1.4', 'GB'], '–')
    """
    return NONE if amount is None else f"{amount / 1e9:.1f}\u00a0GB"


def duration(seconds: float | None) -> str:
    """A time in the two units that matter.

    Example:
        >>> duration(8.24), duration(192), duration(3900), duration(None)
        ('8.2 s', '3 min 12 s', '1 h 05 min', 'unknown')
    """
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def names(labels: Sequence[str]) -> str:
    """A list in words.

    Example:
        >>> names(["Adam"]), names(["Adam", "SGD"]), names(["a", "b", "c"])
        ('Adam', 'Adam and SGD', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(labels[:-1]), *labels[-1:]]))


def count(amount: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> count(1, "seed"), count(12_000, "image")
        ('1 seed', '12,000 images')
    """
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def shape(sizes: Sequence[int] | Mapping[str, Sequence[int]]) -> str:
    """The shape of a sample, or of several by name, height and width before the maps as people say it.

    Example:
        >>> shape([256, 32, 32]), shape([4096]), shape({"ids": [128], "image": [3, 8, 8]})
        ('32×32×256', '4096', 'ids 128, image 8×8×3')
    """
    if isinstance(sizes, Mapping):
        return ", ".join(f"{name} {shape(one)}" for name, one in sizes.items())
    return "×".join(map(str, [*sizes[1:], *sizes[:1]]))


def millions(amount: float) -> str:
    """A large number of things, in millions.

    Example:
        >>> millions(452_984_832), millions(1_115_684_864)
        ('453.0M', '1,115.7M')
    """
    return f"{amount / 1e6:,.1f}M"


def times(value: float | None) -> str:
    """A ratio in words.

    Example:
        >>> times(1.2)
        '1.20 times'
    """
    return f"{measured(value, 3)} times"


def spread(estimate: Estimate | None) -> str:
    """A mean, with its standard deviation over seeds where there are several."""
    if estimate is None:
        return NONE
    return measured(estimate.mean) + (f" ± {measured(estimate.spread, 2)}" if estimate.spread is not None else "")
