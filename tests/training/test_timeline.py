"""The timeline of a run: which samples each step has, and when it evaluates."""

from hypothesis import given
from hypothesis import strategies as st

from losslab.spec import Run, make_run
from losslab.training.timeline import Timeline


def run(**changes: object) -> Run:
    fields = {
        "data": "fashion-mnist-sample",
        "model": "mlp",
        "optimizer": "sgd",
        "lr": 0.1,
        "batch": 4,
        **changes,
    }
    return make_run(fields)


def test_last_batch_of_an_epoch_holds_what_is_left() -> None:
    steps = list(Timeline(run(epochs=2), 10).steps())
    assert [(s.epoch, s.offset, s.batch_size) for s in steps] == [
        (0, 0, 4), (0, 4, 4), (0, 8, 2), (1, 0, 4), (1, 4, 4), (1, 8, 2),
    ]  # fmt: skip


@given(batch=st.integers(1, 40), images=st.integers(1, 60), epochs=st.integers(1, 4))
def test_every_image_is_used_once_an_epoch(batch: int, images: int, epochs: int) -> None:
    timeline = Timeline(run(batch=batch, epochs=epochs), images)
    for epoch in range(epochs):
        used = [
            i
            for s in timeline.steps()
            if s.epoch == epoch
            for i in range(s.offset, s.offset + s.batch_size)
        ]
        assert used == list(range(images))
    assert timeline.total_steps == len(list(timeline.steps()))


@given(batch=st.integers(1, 20), images=st.integers(1, 50), steps=st.integers(1, 60))
def test_samples_are_the_sum_of_the_batches(batch: int, images: int, steps: int) -> None:
    timeline = Timeline(run(batch=batch, steps=steps), images)
    seen = 0
    for step in timeline.steps():
        assert timeline.seen[step.index] == seen
        seen += step.batch_size
    assert timeline.seen[steps] == seen


@given(batch=st.integers(1, 20), images=st.integers(1, 50), epochs=st.floats(0.01, 3))
def test_a_fraction_of_an_epoch_ends_with_the_step_that_reaches_it(
    batch: int, images: int, epochs: float
) -> None:
    timeline = Timeline(run(batch=batch, epochs=epochs), images)
    wanted = round(epochs * images)
    assert timeline.seen[-1] >= wanted
    assert timeline.total_steps == 1 or timeline.seen[-2] < wanted


@given(
    batch=st.integers(1, 20),
    images=st.integers(1, 50),
    steps=st.integers(1, 60),
    evaluate=st.sampled_from(["epoch", "end"]),
)
def test_evaluations_are_counted_as_they_fall(
    batch: int, images: int, steps: int, evaluate: str
) -> None:
    timeline = Timeline(run(batch=batch, steps=steps, evaluate=evaluate), images)
    assert timeline.evaluations == sum(timeline.is_evaluated(step + 1) for step in range(steps))


def test_steps_go_on_from_any_step() -> None:
    timeline = Timeline(run(epochs=3), 10)
    assert list(timeline.steps(4)) == list(timeline.steps())[4:]
