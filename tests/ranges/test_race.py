"""The race of learning rates finds the best of its candidates, at a stated cost, wherever the ramp ended."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from math import log10, nan

import pytest
import torch
from own_network import loader, network, plain

import losslab
from losslab.ranges import Trace
from losslab.ranges.race import FIRST_STEPS, STEPS, STEPS_PER_SEED, candidates, race


def trainer(
    best: float, seen: list[int] | None = None, diverges: float = 1e9
) -> Callable[[Sequence[float], int], list[list[Trace]]]:
    """Trainings whose loss grows with the distance, in decades, from a best rate."""

    def train(rates: Sequence[float], steps: int) -> list[list[Trace]]:
        traces = []
        for lr in rates:
            if seen is not None:
                seen.append(steps)
            loss = nan if lr > diverges else 1 + log10(lr / best) ** 2
            traces.append([Trace([lr] * steps, [loss] * steps, [], [16] * steps, 1.0, seed=0)])
        return traces

    return train


@pytest.mark.parametrize("best", [10 ** (-7 / 3), 1e-2, 0.1])
@pytest.mark.parametrize("lr_max", [0.1, 0.13, 0.3])
def test_the_winner_is_the_best_rate_wherever_the_ramp_ended(
    best: float, lr_max: float
) -> None:
    raced = race(lr_max, trainer(best))
    assert raced
    assert raced.winner == pytest.approx(best)
    assert raced.note == ""


def test_candidates_are_the_same_rates_in_every_race() -> None:
    common = set(candidates(0.1)) & set(candidates(0.5))
    assert len(common) == 7
    assert all(
        low < high for low, high in zip(candidates(0.1), candidates(0.1)[1:], strict=False)
    )


def test_a_race_costs_what_is_stated() -> None:
    seen: list[int] = []
    race(0.1, trainer(1e-2, seen))
    assert sum(seen) == STEPS_PER_SEED == 9 * FIRST_STEPS + 4 * STEPS == 1875
    assert "1,875 optimizer steps" in (losslab.find_lr.__doc__ or "")


def test_rates_that_diverge_lose() -> None:
    raced = race(0.1, trainer(1.0, diverges=0.03))
    assert raced
    assert raced.winner == pytest.approx(10 ** (-5 / 3))
    assert raced.loss[-1] is None
    assert race(0.1, trainer(1.0, diverges=0.0)) is None


def test_a_best_rate_at_the_end_is_told() -> None:
    raced = race(0.1, trainer(10.0))
    assert raced
    assert raced.note == "the highest rate of the race is best: a higher one may be better"
    raced = race(0.1, trainer(1e-7))
    assert raced
    assert raced.note == "the lowest rate of the race is best: a lower one may be better"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("losslab.ranges.race.FIRST_STEPS", 15)
    monkeypatch.setattr("losslab.ranges.race.STEPS", 60)


@pytest.mark.usefixtures("short")
def test_a_confirmed_suggestion_is_the_same_for_tests_of_several_lengths() -> None:
    suggestions = []
    for steps in (60, 240):
        found = losslab.find_lr(
            plain(), list(loader()), "sgd(momentum=0.9)", steps=steps, seeds=1, confirm=True
        )
        assert found.rule == "race"
        assert found.race
        assert found.suggestion == found.race.winner
        suggestions.append(found.suggestion)
    assert suggestions[0] == suggestions[1]


@pytest.mark.usefixtures("short")
def test_a_race_leaves_all_as_it_was() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    before = deepcopy(model.state_dict())
    losslab.find_lr(model, loader(), optimizer, steps=40, seeds=1, confirm=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (optimizer.param_groups[0]["lr"], dict(optimizer.state)) == (0.01, {})
