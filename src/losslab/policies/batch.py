"""Batch-size policies: ramps, cycles that mirror those of the learning rate, and one cycle of their own.

A mirrored cycle starts at b_max and dips to b_min where the lr cycle rises from base_lr to its peak: 1/B runs along the
triangle between 1/b_max and 1/b_min, so that lr/B is that of an lr cycle over the same ratio.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import Signature
from itertools import accumulate, pairwise
from math import ceil, floor
from typing import Any

from losslab import schedules
from losslab.policies import lr
from losslab.policies.chain import Chain
from losslab.policies.filled import Filled
from losslab.policies.horizon import Horizon, Policy
from losslab.schedules import Schedule


def piecewise(
    horizon: Horizon,
    /,
    values: Sequence[float],
    *,
    epochs: Sequence[float] = (),
    fractions: Sequence[float] = (),
) -> Schedule:
    """The next value at each of the epochs, or at each fraction of the run's steps.

    Where every epoch has its own number of steps, the step of an epoch follows from the values before it.
    """
    if min(values, default=0) <= 0:
        raise ValueError(f"`values` (={list(values)}) must be positive")
    if not epochs or fractions:
        return lr.piecewise(horizon, values, epochs=epochs, fractions=fractions)
    # Steps are not known by epoch beforehand, as a learning rate's are: they follow from these very sizes.
    spans = [end - start for start, end in pairwise([0.0, *epochs])]
    in_whole = floor if horizon.drop_last else ceil
    steps = [
        # At least one: that an epoch does not hold such a batch is said where it is laid out.
        span * max(1, in_whole(horizon.images / value))
        for span, value in zip(spans, values, strict=False)
    ]
    return schedules.piecewise(values, [round(step) for step in accumulate(steps)])


@dataclass(frozen=True)
class Mirrored:
    """The mirror of a cycle of the learning rate: it has the cycle's options, with b_min and b_max for its ends."""

    cycle: Filled

    def __call__(
        self, horizon: Horizon, b_min: float, b_max: float, **options: Any
    ) -> Schedule:
        """The schedule over a run: from b_max down to b_min and back."""
        if not 0 < b_min < b_max:
            raise ValueError(
                f"`b_max` (={b_max}) must exceed `b_min` (={b_min}), which must be positive"
            )
        # A mirror is noise / lr: with 1 for the noise, the ends of 1/B are those of B.
        inverse = self.cycle(horizon, base_lr=1 / b_max, max_lr=1 / b_min, **options)
        return schedules.mirror(inverse, noise=1.0)

    @property
    def __signature__(self) -> Signature:
        # The one source of a policy's options: what checks, positional arguments and the list of policies read.
        names = {"base_lr": "b_min", "max_lr": "b_max"}
        options = self.cycle.__signature__.parameters.values()
        return Signature(
            [option.replace(name=names.get(option.name, option.name)) for option in options]
        )


BATCH_POLICIES: dict[str, Policy] = {
    "constant": Filled(schedules.constant),
    "linear_ramp": Filled(schedules.linear_ramp),
    "exponential_ramp": Filled(schedules.exponential_ramp),
    "polynomial": Filled(schedules.polynomial),
    "piecewise": piecewise,
    "cosine": Filled(schedules.cosine_batch),
    "one_cycle": Filled(schedules.one_cycle_batch),
    "triangular": Mirrored(Filled(schedules.triangular)),
    "triangular2": Mirrored(Filled(schedules.triangular2)),
    "exp_range": Mirrored(Filled(schedules.exp_range)),
}
"""Name -> batch-size policy; every one also takes `multiple`, to which its values are rounded."""
BATCH_POLICIES["chain"] = Chain("batch", BATCH_POLICIES)
