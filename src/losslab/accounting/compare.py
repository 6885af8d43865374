"""Two networks side by side: what the second saves over the first, in all and group by group."""

from dataclasses import dataclass
from typing import Any

from losslab.accounting.ledger import Ledger
from losslab.tables import Table


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
        return (
            None
            if self.macs is None or self.other_macs is None
            else self.macs - self.other_macs
        )

    @property
    def macs_saved_fraction(self) -> float | None:
        """Saved MACs as a part of the first network's; None where that has none."""
        return None if self.macs_saved is None or not self.macs else self.macs_saved / self.macs

    @property
    def macs_ratio(self) -> float | None:
        """The first network's MACs over the other's; None where that has none."""
        return None if self.macs is None or not self.other_macs else self.macs / self.other_macs

    def cells(self) -> tuple[str, ...]:
        """Name, both networks' MACs and parameters, what is saved and the ratio as text."""
        numbers = (self.macs, self.other_macs, self.parameters, self.other_parameters)
        counts = ["-" if number is None else f"{number:,}" for number in numbers]
        saved = "-" if self.macs_saved_fraction is None else f"{self.macs_saved_fraction:.1%}"
        ratio = "-" if self.macs_ratio is None else f"{self.macs_ratio:.2f}"
        return self.name, *counts, saved, ratio


@dataclass(frozen=True)
class Comparison:
    """The first network against the other.

    Example:
        >>> from losslab.accounting import count
        >>> total = Comparison(count("inception-naive"), count("inception-reduced")).total
        >>> total.macs_saved, round(total.macs_ratio, 2)
        (718274560, 2.81)
    """

    model: Ledger
    other: Ledger

    @property
    def total(self) -> Group:
        """Both networks as a whole."""
        model, other = self.model, self.other
        return Group("total", model.macs, other.macs, model.parameters, other.parameters)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Side by side, in the order in which they ran; groups without MACs and parameters are left out."""
        sums, other_sums = _sums_by_group(self.model), _sums_by_group(self.other)
        groups = []
        for name in sums | other_sums:
            macs, parameters = sums.get(name, (None, None))
            other_macs, other_parameters = other_sums.get(name, (None, None))
            if macs or parameters or other_macs or other_parameters:
                groups.append(Group(name, macs, other_macs, parameters, other_parameters))
        return tuple(groups)

    @property
    def status(self) -> str:
        """``complete``, or ``partial`` when an operation of either was not counted: what is saved is then not known."""
        return "partial" if "partial" in (self.model.status, self.other.status) else "complete"

    def to_dict(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "status": self.status,
            "model": _summary(self.model),
            "other": _summary(self.other),
            "macs_saved": self.total.macs_saved,
            "macs_saved_fraction": self.total.macs_saved_fraction,
            "macs_ratio": self.total.macs_ratio,
            "parameters_saved": self.model.parameters - self.other.parameters,
            "groups": [vars(group) for group in self.groups],
        }

    def table(self) -> Table:
        """Groups of layers side by side, and what the second network saves."""
        names = self.model.model, self.other.model
        macs = [f"{name} MACs" for name in names]
        parameters = [f"{name} parameters" for name in names]
        rows = [group.cells() for group in (*self.groups, self.total)]
        partial = [
            ledger.model for ledger in (self.model, self.other) if ledger.status == "partial"
        ]
        title = (
            f"compared; {' and '.join(partial)} only in part, so are the differences"
            if partial
            else "compared"
        )
        return Table(title, ("group", *macs, *parameters, "saved", "ratio"), tuple(rows))


def _sums_by_group(ledger: Ledger) -> dict[str, tuple[int, int]]:
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
