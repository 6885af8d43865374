"""The search with Optuna: within the range, pruned where it falls behind."""

import pytest
from example_files import load

from losslab.integrations.optuna import suggest_lr
from losslab.ranges import LrRange, Trace, find_lr_range

pytestmark = [
    pytest.mark.frameworks,
    # Optuna's storages, and what they import, warn of their own future.
    pytest.mark.filterwarnings("default"),
]
optuna = pytest.importorskip("optuna")


def a_range(*, is_found: bool = True) -> LrRange:
    """Of a loss that falls between 1e-3 and 1e-1, or never."""
    lrs = [10 ** (-5 + step / 30) for step in range(150)]
    falls = [min(1.0, max(0.0, (step - 60) / 60)) for step in range(150)]
    losses = [2.0 - 1.5 * fall * is_found for fall in falls]
    found = find_lr_range([Trace(lrs, losses, [], [8] * 150, 1.0, 0)])
    assert found.found == is_found
    return found


def test_every_suggestion_lies_within_the_range_on_a_logarithmic_scale() -> None:
    found = a_range()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        trial = study.ask()
        assert found.lr_min <= suggest_lr(trial, found) <= found.lr_max
        study.tell(trial, 0.0)
    (distribution,) = {trial.distributions["lr"] for trial in study.trials}
    assert (distribution.low, distribution.high) == (found.lr_min, found.lr_max)
    assert distribution.log


def test_a_range_that_was_not_found_suggests_nothing_and_says_why() -> None:
    trial = optuna.create_study().ask()
    with pytest.raises(ValueError, match="no range to suggest from: no range found, because"):
        suggest_lr(trial, a_range(is_found=False))


def test_the_example_begins_with_the_suggestion_and_prunes() -> None:
    study = load("optuna_search").search(steps=60, trials=6, epochs=2, images=600)
    first, *_ = study.trials
    distribution = first.distributions["lr"]
    assert distribution.low <= first.params["lr"] <= distribution.high
    assert first.params == first.system_attrs["fixed_params"]
    states = [trial.state.name for trial in study.trials]
    assert "PRUNED" in states
    assert set(states) <= {"COMPLETE", "PRUNED"}
    # A pruned trial left its loop before the last evaluation.
    longest = max(len(trial.intermediate_values) for trial in study.trials)
    assert longest == 2
