"""What charts read of the values of other parts, so that this part imports none of them."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Estimate(Protocol):
    """A quantity measured over seeds."""

    @property
    def mean(self) -> float:
        """Over seeds."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of 95 %, where known."""

    @property
    def images(self) -> int | None:
        """Of how many images it is a fraction, where it is one."""


class Curve(Protocol):
    """The mean of several runs along epochs, or along what else they are drawn by, and its band."""

    @property
    def epochs(self) -> tuple[float, ...]:
        """Abscissae."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Over runs."""

    @property
    def low(self) -> tuple[float, ...] | None:
        """Lower end of the band, where there is one."""

    @property
    def high(self) -> tuple[float, ...] | None:
        """Upper end."""


class Search(Protocol):
    """What a search tried and chose."""

    @property
    def tried(self) -> Mapping[float, Estimate | None]:
        """Value -> what it led to; None where no run ended well."""

    @property
    def best(self) -> float | None:
        """The best of these values."""


class RecordedSteps(Protocol):
    """A record with a list for each quantity."""

    def indices(self) -> list[int]:
        """The index of each entry's first step."""


class Recorded(Protocol):
    """A run with the records of its steps."""

    @property
    def steps(self) -> Sequence[RecordedSteps]:
        """One after the other."""


class LrCurve(Protocol):
    """Losses of a range test by learning rate."""

    @property
    def lr(self) -> Sequence[float]:
        """Increasing."""

    @property
    def smoothed_loss(self) -> Sequence[float]:
        """Median over seeds."""

    @property
    def loss_low(self) -> Sequence[float]:
        """Lowest over seeds."""

    @property
    def loss_high(self) -> Sequence[float]:
        """Highest over seeds."""


class LrRange(Protocol):
    """A range of learning rates, or that there is none."""

    @property
    def mode(self) -> str:
        """``ramp`` or ``grid``."""

    @property
    def seeds(self) -> Sequence[object]:
        """An entry for each."""

    @property
    def lr_min(self) -> float | None:
        """Where the loss begins to fall."""

    @property
    def suggestion(self) -> float | None:
        """To train with."""

    @property
    def lr_max(self) -> float | None:
        """Where it stops falling."""

    @property
    def curve(self) -> LrCurve:
        """What was measured."""


class BatchCurve(Protocol):
    """Losses by batch size; None where training diverged."""

    @property
    def batch_size(self) -> Sequence[int]:
        """Increasing."""

    @property
    def loss(self) -> Sequence[float | None]:
        """Median over seeds."""

    @property
    def loss_low(self) -> Sequence[float | None]:
        """Lowest over seeds."""

    @property
    def loss_high(self) -> Sequence[float | None]:
        """Highest over seeds."""


class CriticalBatch(Protocol):
    """The largest batch size that loses nothing, or that there is none."""

    @property
    def critical_size(self) -> int | None:
        """By the median over seeds."""

    @property
    def curve(self) -> BatchCurve:
        """What was measured."""


class BatchRange(Protocol):
    """A range of batch sizes, or that there is none."""

    @property
    def b_min(self) -> int | None:
        """Where the loss begins to fall."""

    @property
    def b_max(self) -> int | None:
        """From where on larger batches buy nothing."""

    @property
    def curve(self) -> BatchCurve:
        """What was measured."""
