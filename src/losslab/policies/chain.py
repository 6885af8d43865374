"""Policies in sequence, each laid out over its part of the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

from losslab import schedules
from losslab.choice import Choice
from losslab.policies.choices import LEAST, as_policy
from losslab.policies.horizon import Horizon, Policy
from losslab.schedules import Schedule

Part = float | str | Mapping[str, Any]
"""A number, or a policy as a text or a table."""


@dataclass(frozen=True)
class Chain:
    """The policy ``chain(parts, epochs)`` or ``chain(parts, fractions)``.

    Attributes:
        kind: ``lr`` or ``batch``.
        policies: name -> policy that a part may be.
    """

    kind: str
    policies: Mapping[str, Policy]

    def __call__(
        self,
        horizon: Horizon,
        /,
        parts: Sequence[Part],
        *,
        epochs: Sequence[float] = (),
        fractions: Sequence[float] = (),
    ) -> Schedule:
        """Each part over its own steps."""
        if epochs and not horizon.seen:
            raise ValueError(
                f"`epochs` (={list(epochs)}) of a chain of batch sizes depend on them; give `fractions`"
            )
        boundaries = horizon.boundaries(epochs, fractions)
        if len(parts) != len(boundaries) + 1 or boundaries != sorted(boundaries):
            raise ValueError(
                f"`parts` (={len(parts)} of them) must be one more than the ordered `epochs` or `fractions`"
            )
        ends = [min(boundary, horizon.total_steps) for boundary in boundaries]
        spans = pairwise([0, *ends, horizon.total_steps])
        laid_out, begins = [], []
        for part, (start, end) in zip(parts, spans, strict=True):
            choice = part_of_chain(part, self.kind, self.policies)
            if start < end:  # a part that begins behind the run's end is only checked
                laid_out.append(self._laid_out(choice, horizon.part(start, end)))
                begins.append(start)
        return schedules.chain(laid_out, begins[1:])

    def _laid_out(self, part: float | Choice, horizon: Horizon) -> Schedule:
        if not isinstance(part, Choice):
            return schedules.constant(part)
        options = part.options
        multiple = options.pop("multiple", None)
        schedule = self.policies[part.name](horizon, **options)
        return schedule if multiple is None else schedules.whole(schedule, multiple)


def part_of_chain(part: Part, kind: str, policies: Mapping[str, Policy]) -> float | Choice:
    """A part as a number or a checked policy."""
    if isinstance(part, int | float) and not isinstance(part, bool):
        if not LEAST[kind] <= part < inf:
            raise ValueError(f"`parts` holds {part:g}; a number must be at least {LEAST[kind]}")
        return part
    return as_policy(kind, policies, part)
