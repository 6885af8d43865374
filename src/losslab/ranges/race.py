"""The learning rate that trains best for a fixed number of steps: short constant trainings, losers stopped early."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, log10

import numpy as np

from losslab.ranges.trace import Trace, closing_losses

STEPS = 300
"""Of the last heat. It does not depend on the length of the ramp, so that the answer does not either."""
FIRST_STEPS = STEPS // 4
"""Of the first heat, which the losers leave."""
PER_DECADE = 3
"""Candidates in a decade. They are the same rates wherever the ramp ended: 1, 2.15, 4.64, 10 and so on."""
CANDIDATES = 9
ABOVE = 2
"""Candidates above the end of the ramp's fall."""
FINALISTS = 4
STEPS_PER_SEED = CANDIDATES * FIRST_STEPS + FINALISTS * STEPS
"""What a race costs at most, in optimizer steps for each seed; a candidate that diverges costs less."""

Train = Callable[[Sequence[float], int], list[list[Trace]]]
"""(learning rates, steps) -> for each rate the traces of trainings at that constant rate, one for each seed."""


@dataclass(frozen=True)
class Race:
    """What each learning rate came to.

    Attributes:
        lr: candidates, increasing.
        first_loss: after the first heat, mean over seeds; None where it diverged.
        loss: after the last heat; None for those that were not in it, or diverged.
        winner: the rate of the lowest loss.
        seed_winners: those of each seed alone.
        first_steps: optimizer steps of the first heat.
        steps: optimizer steps of the last heat.
    """

    lr: list[float]
    first_loss: list[float | None]
    loss: list[float | None]
    winner: float
    seed_winners: list[float]
    first_steps: int = FIRST_STEPS
    steps: int = STEPS

    @property
    def note(self) -> str:
        """What to know of it: the best rate may lie outside the candidates."""
        if self.winner == self.lr[-1]:
            return "the highest rate of the race is best: a higher one may be better"
        if self.winner == self.lr[0]:
            return "the lowest rate of the race is best: a lower one may be better"
        return ""


def candidates(lr_max: float) -> list[float]:
    """The rates that race, below and a little above where a ramp stops falling.

    A fast ramp passes over rates too quickly to train at them, and so ends higher than a slow one: the candidates
    reach far enough down to hold the best rate of either.

    Example:
        >>> [f"{lr:.2g}" for lr in candidates(0.1)]
        ['0.001', '0.0022', '0.0046', '0.01', '0.022', '0.046', '0.1', '0.22', '0.46']
    """
    highest = round(log10(lr_max) * PER_DECADE) + ABOVE
    return [
        float(10 ** (index / PER_DECADE))
        for index in range(highest - CANDIDATES + 1, highest + 1)
    ]


def race(lr_max: float, train: Train) -> Race | None:
    """Train all candidates a little, the best of them in full, and return the winner; None where all diverge.

    Args:
        lr_max: of the ramp.
        train: trainings at constant rates, for each seed.
    Reference:
        Jamieson & Talwalkar 2016, arXiv:1502.07943: successive halving, here with two heats.
    """
    rates = candidates(lr_max)
    first = [closing_losses(traces) for traces in train(rates, FIRST_STEPS)]
    order = np.argsort([np.mean(losses) for losses in first], kind="stable")
    finalists = sorted(int(index) for index in order[:FINALISTS])
    # A rate that diverges early may not be trained on; one that diverges late loses.
    finalists = [index for index in finalists if np.isfinite(first[index]).all()]
    of_finalists = train([rates[index] for index in finalists], STEPS)
    last = dict(zip(finalists, map(closing_losses, of_finalists), strict=True))
    means = {index: float(np.mean(losses)) for index, losses in last.items()}
    best = min(means, key=means.__getitem__, default=None)
    if best is None or means[best] == inf:
        return None
    seed_winners = [_lowest(last, seed) for seed in range(len(last[best]))]
    return Race(
        lr=rates,
        first_loss=[_number(float(np.mean(losses))) for losses in first],
        loss=[_number(means.get(index, inf)) for index in range(len(rates))],
        winner=rates[best],
        seed_winners=[rates[index] for index in seed_winners],
    )


def _lowest(losses: dict[int, list[float]], seed: int) -> int:
    """The finalist of the lowest loss of one seed."""
    return min(losses, key=lambda index: losses[index][seed])


def _number(loss: float) -> float | None:
    return loss if np.isfinite(loss) else None
