"""What several commands share."""

import pytest

from losslab.cli.options import check_machine, parse_duration
from losslab.cli.parts import studies_of
from losslab.errors import InvalidInput
from losslab.study.ladder import rungs


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5m", 90), ("1h30m", 5400), ("1d", 86400)]
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "-1s", "0s", "1h 30m", "1x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="must be a duration above zero, such as 90s"):
        parse_duration(text)


def test_the_processor_can_always_train() -> None:
    check_machine("cpu", None)
    check_machine("cpu", 1)


@pytest.mark.parametrize("device", ["gpu", "cpu:x"])
def test_a_device_of_no_kind_is_answered_with_the_kinds(device: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"must be cpu, cuda, cuda:1, cuda:0,1, mps, xpu or auto"
    ):
        check_machine(device, None)


def test_seeds_on_the_command_line_are_those_of_every_rung() -> None:
    (study,) = studies_of("batch-augmentation", None, 3)
    for version in rungs(study):
        assert version.stages[-1].floor.seeds == 3
