"""Sentences about estimates."""

import pytest

from losslab.analysis.estimates import Estimate
from losslab.analysis.sentences import between, certainty, lead, why_absent
from losslab.study.load import load_study
from losslab.study.results import RunResult, StudyResults
from losslab.study.stages import expand
from losslab.text import percent


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, "No run that belongs here has ended well, so there is no answer."),
        ({"a": 0.5}, "a has a score of 50.0 %; nothing else has ended to compare it with."),
        ({"a": 0.5, "b": 0.7}, "b reached the highest score, 70.0 %, ahead of a with 50.0 %."),
        (
            {"a": 0.5, "b": 0.5},
            "a and b share the highest score, 50.0 %: what was measured does not tell them apart.",
        ),
    ],
    ids=["none", "one", "two", "tie"],
)
def test_the_lead_names_who_is_first(found: dict[str, float], expected: str) -> None:
    estimates = {label: Estimate((value,)) for label, value in found.items()}
    assert " ".join(lead(estimates, "score", percent, highest=True).split()) == expected


def test_groups_that_chance_does_not_tell_apart_share_the_lead_with_both_their_values() -> None:
    close = {"a": Estimate((0.500,), 100), "b": Estimate((0.502,), 100)}
    sentence = " ".join(lead(close, "score", percent, highest=True).split())
    assert sentence == "b (50.2 %) and a (50.0 %) have the highest score, too close to rank."


def test_a_leader_behind_one_that_is_told_apart_has_its_own_value() -> None:
    """With two wide seeds AdaDelta ties with the first; RMSProp, which lies between them, does not."""
    found = {
        "Adam": (0.100, 0.101, 0.099),
        "RMSProp": (0.150, 0.151, 0.149),
        "AdaDelta": (0.20, 0.22),
    }
    sentence = lead(
        {label: Estimate(seeds) for label, seeds in found.items()}, "loss", "{:.4f}".format
    )
    assert sentence.startswith("Adam (0.1000) and AdaDelta (0.2100) have the lowest loss")


def test_equal_ends_are_one_value() -> None:
    assert between({"a": Estimate((1.0,)), "b": Estimate((1.0,))}, str) == "1.0"
    assert between({"a": Estimate((2.0,)), "b": Estimate((1.0,))}, str) == "1.0 (b) to 2.0 (a)"


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ((), ""),
        ((1, 1), "One seed each (n = 1)"),
        ((2, 2), "Means over 2 seeds"),
        ((1, 3), "Means over 1 to 3 seeds;"),
    ],
    ids=["none", "one", "two", "some"],
)
def test_certainty_follows_from_the_number_of_seeds(
    seeds: tuple[int, ...], expected: str
) -> None:
    found = {str(index): Estimate((1.0,) * number) for index, number in enumerate(seeds)}
    sentence = certainty(found)
    assert sentence.startswith(expected)
    assert bool(sentence) == bool(seeds)


def test_a_stage_without_a_result_says_why() -> None:
    stages = [{"name": "a", "skipped": "no range was found"}, {"name": "b"}]
    stages += [{"name": "d", "runs": ["one", "two"]}]
    results = StudyResults({"stages": stages}, {})
    assert why_absent(results, "a") == "It was skipped, because no range was found."
    absent = {why_absent(results, name) for name in "bcd"}
    assert absent == {"None of its runs has ended yet."}
    over = StudyResults({"stages": stages, "ended": "2026-01-02T03:11:40+00:00"}, {})
    assert why_absent(over, "b").startswith("Too few of its runs have ended well")


def test_a_stage_of_which_some_runs_have_ended_says_so() -> None:
    (run,) = expand(load_study("adaptive-optimizers").stages[0])[:1]
    stages = [{"name": "d", "runs": [run.id, "other"]}]
    ended = {"d": (RunResult(run, "diverged", "", {}, ()),)}
    assert (
        why_absent(StudyResults({"stages": stages}, ended), "d")
        == "Too few of its runs have ended so far."
    )
