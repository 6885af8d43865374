"""Two networks side by side: what the second saves over the first, in all and group by group."""

from dataclasses import dataclass
from typing import Any

from losslab.accounting.ledger import Ledger


@dataclass(frozen=True)
class Group:
    """The rows whose names begin with the same part: a branch, a block or a single layer.

    Numbers are None where a network has no such group.
    """

    name: str
    macs: int | None
    other_macs: int | None
    parameters: int | None
    other_parameters: int | None

    @property
    def macs_saved(self) -> int | None:
        """MACs that the other network does not need; negative where it needs more."""
        return None if self.macs is None or self.other_macs is None else self.macs - self.other_macs

    @property
    def macs_saved_fraction(self) -> float | None:
        """Saved MACs as a part of the first network's; None where that has none."""
        return None if self.macs_saved is None or not self.macs else self.macs_saved / self.macs

    @property
    def macs_ratio(self) -> float | None:
        """The first network's MACs over the other's; None where that has none."""
        return None if self.macs is None or not self.other_macs else self.macs / self.other_macs


@dataclass(frozen=True)
class Comparison:
    """The first network against the other."""

    model: Ledger
    other: Ledger

    @property
    def total(self) -> Group:
        """Both networks as a whole."""
        one, two = self.model, self.other
        return Group("total", one.macs, two.macs, one.parameters, two.parameters)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Side by side, in the order in which they ran."""
        one, two = _grouped(self.model), _grouped(self.other)
        absent = (None, None)
        pairs = {name: (one.get(name, absent), two.get(name, absent)) for name in one | two}
        return tuple(Group(name, a[0], b[0], a[1], b[1]) for name, (a, b) in pairs.items() if any((*a, *b)))

    def as_dict(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "model": _summary(self.model),
            "other": _summary(self.other),
            "macs_saved": self.total.macs_saved,
            "macs_saved_fraction": self.total.macs_saved_fraction,
            "macs_ratio": self.total.macs_ratio,
            "parameters_saved": self.model.parameters - self.other.parameters,
            "groups": [vars(group) for group in self.groups],
        }


def compare(model: Ledger, other: Ledger) -> Comparison:
    """What ``other`` saves over ``model``.

    Example:
        >>> from losslab.accounting import count
        >>> total = compare(count("inception-naive"), count("inception-reduced")).total
        >>> total.macs_saved, round(total.macs_ratio, 2)
        (718274560, 2.81)
    """
    return Comparison(model, other)


def _grouped(ledger: Ledger) -> dict[str, tuple[int, int]]:
    sums: dict[str, tuple[int, int]] = {}
    for row in ledger.rows:
        name = row.name.partition(".")[0]
        macs, parameters = sums.get(name, (0, 0))
        sums[name] = macs + int(row.macs), parameters + int(row.parameters)
    return sums


def _summary(ledger: Ledger) -> dict[str, Any]:
    shape = ledger.output_shapes[0] if ledger.output_shapes else ()
    sample = shape[1:] if shape[:1] == (ledger.batch_size,) else shape
    return {
        "name": ledger.model,
        "output_shape": list(sample),
        "parameters": ledger.parameters,
        "macs": ledger.macs,
        "activations": ledger.activations,
        "status": ledger.status,
    }
