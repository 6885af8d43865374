"""Wrong arguments of the calls of losslab's own flow are one line that says what to give."""

from collections.abc import Callable

import pytest

import losslab


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: next(losslab.train("lenet5")), "`run` is a str; give a losslab.Run"),
        (
            lambda: losslab.plan("architectures"),
            "`study` is a str; give a Study: losslab.load_study",
        ),
        (
            lambda: next(losslab.execute("study", "runs")),
            "`plan` is a str; give what losslab.plan",
        ),
    ],
    ids=["train", "plan", "execute"],
)
def test_a_name_in_place_of_a_value_is_told_what_makes_the_value(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        call()
