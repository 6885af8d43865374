"""The block diagram of an algorithm shows each of its steps."""

from losslab.ranges import ALGORITHM
from losslab.reports.algorithm_diagram import block_diagram


def test_every_step_is_a_box_and_every_way_to_stop_a_question_with_its_end() -> None:
    drawn = block_diagram("How it is found", ALGORITHM)
    stops = [step for step in ALGORITHM if step.stops]
    assert stops
    assert drawn.count('class="step"') == len(ALGORITHM)
    assert drawn.count('class="ask"') == drawn.count('class="end"') == len(stops)
    assert drawn.count(">yes</text>") == len(stops)
    assert drawn.count(">no</text>") == len([step for step in ALGORITHM[:-1] if step.stops])


def test_the_description_lists_the_steps_in_order_and_text_is_escaped() -> None:
    drawn = block_diagram("<b>", ALGORITHM)
    words = drawn[drawn.index("<desc>") : drawn.index("</desc>")]
    beginnings = [words.index(f"{number}. ") for number in range(1, len(ALGORITHM) + 1)]
    assert beginnings == sorted(beginnings)
    assert 'aria-label="&lt;b&gt;"' in drawn
