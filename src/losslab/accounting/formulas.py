"""Arithmetic as a value: the expression that a table prints is the one that computed its number."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Union

_OPERATORS = {"*": operator.mul, "+": operator.add, "-": operator.sub, "//": operator.floordiv}


@dataclass(frozen=True)
class Formula:
    """An integer expression that both prints and evaluates.

    Args:
        sign: the operator between the parts: ``*``, ``+``, ``-`` or ``//``, applied from left to right.
        parts: integers or formulas; none at all stands for 0.
    Example:
        >>> weights = times(times(3, 3, 64), 64)
        >>> print(weights, "=", int(weights))
        (3*3*64)*64 = 36864
        >>> weights.shown
        '(3*3*64)*64 = 36,864'
    """

    sign: str
    parts: tuple[Union[int, "Formula"], ...]

    def __int__(self) -> int:
        return reduce(_OPERATORS[self.sign], map(int, self.parts)) if self.parts else 0

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __str__(self) -> str:
        between = f" {self.sign} " if self.sign in "+-" else self.sign
        return (
            between.join(self._bracketed(i, part) for i, part in enumerate(self.parts)) or "0"
        )

    @property
    def shown(self) -> str:
        """The expression and its value."""
        text, value = str(self), f"{int(self):,}"
        return value if text == str(int(self)) else f"{text} = {value}"

    def _bracketed(self, index: int, part: Union[int, "Formula"]) -> str:
        if isinstance(part, int) or len(part.parts) < 2:
            return str(part)
        binds_tighter = self.sign in "+-" and (part.sign in ("*", "//") or index == 0)
        return str(part) if binds_tighter else f"({part})"


NOTHING = Formula("+", ())


def times(*parts: int | Formula) -> Formula:
    """The product of the parts."""
    return Formula("*", parts)


def plus(parts: Iterable[int | Formula]) -> Formula:
    """The sum of the parts; a single formula stays as it is."""
    terms = tuple(parts)
    return (
        terms[0] if len(terms) == 1 and isinstance(terms[0], Formula) else Formula("+", terms)
    )


def repeated(count: int, formula: Formula) -> Formula:
    """A formula that applies several times."""
    return times(count, formula) if count > 1 and formula else formula


def units(shape: Iterable[int], batch: int = 1) -> Formula:
    """The elements of a sample's shape, channels last as layer tables write it: ``224*224*64``.

    Example:
        >>> print(units((64, 224, 224)), units((10,)), units((64, 8, 8), batch=2))
        224*224*64 10 2*8*8*64
    """
    sizes = tuple(shape)
    sizes = (*sizes[1:], sizes[0]) if len(sizes) > 2 else sizes or (1,)
    return times(batch, *sizes) if batch > 1 else times(*sizes)


def window_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool = False
) -> Formula:
    """Output positions of a sliding window: ``(227 + 2*0 - 11)//4 + 1 = 55``."""
    reach = kernel if dilation == 1 else Formula("+", (times(dilation, kernel - 1), 1))
    free = Formula("-", (Formula("+", (size, times(2, padding))), reach))
    free = Formula("+", (free, stride - 1)) if ceil and stride > 1 else free
    return Formula("+", (Formula("//", (free, stride)), 1))


def conv_weights(shape: tuple[int, ...]) -> Formula:
    """Weights of a convolution from its (out, in / groups, *kernel) shape: ``(3*3*64)*64``."""
    return times(times(*shape[2:], shape[1]), shape[0])
