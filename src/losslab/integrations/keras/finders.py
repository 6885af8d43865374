"""Range tests of a compiled Keras model; model, optimizer and data are left as they were, bit for bit."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from losslab.integrations.keras.arrays import Arrays, Batches
from losslab.integrations.keras.trial import Subject
from losslab.ranges.arguments import increasing, positive, whole
from losslab.ranges.batch import BatchRange, find_batch_range
from losslab.ranges.batches import check_data
from losslab.ranges.lr import LrRange, check_ramp, find_lr_range
from losslab.ranges.lr_rules import check_rule
from losslab.ranges.progress import watched
from losslab.ranges.trace import Setting, Trace
from losslab.schedules import exponential_ramp


def LearningRateFinder(  # noqa: N802 - Keras names what one makes of a model as a class
    model: keras.Model,
    data: Any,
    *,
    batch_size: int = 32,
    start: float = 1e-9,
    end: float = 10.0,
    steps: int = 300,
    seeds: int = 3,
    mode: str = "ramp",
    candidates: int = 10,
    rule: str | None = None,
    progress: bool = True,
) -> LrRange:
    """The learning rates between which the loss of a Keras model falls, and one to train with.

    Steps are the model's own ``train_on_batch``, so that its loss, penalties, clipping and mixed precision count.
    Weights, optimizer, metrics, random state and data are afterwards what they were, whatever ends the test. Every
    seed starts from the weights that the model has; what differs is the order of the data and dropout. A model
    without weights yet is built on the first batch, and stays built.

    Args:
        model: compiled, with a number for its learning rate.
        data: arrays ``(x, y)`` or ``(x, y, sample_weight)`` as a tuple, or batches of them that can be iterated anew,
            such as a ``PyDataset``, a ``tf.data.Dataset`` or a torch ``DataLoader``.
        batch_size: samples of a step, where the data is arrays.
        start: lowest learning rate.
        end: highest learning rate; a ramp stops before it when the loss diverges.
        steps: optimizer steps of a ramp, or of each candidate of a grid.
        seeds: how often the test is repeated.
        mode: ``ramp``, one training whose lr rises exponentially, or ``grid``, one training for each candidate.
        candidates: learning rates of a grid.
        rule: of the suggestion, a name in ``losslab.ranges.RULES``.
        progress: show how far the test is and the time left, on a terminal or in a notebook.
    Raises:
        ValueError: impossible arguments, a model that is not compiled, or an optimizer that has a schedule.
        TypeError: arguments of the wrong kind.
    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> data = keras.random.normal((64, 4), seed=0), keras.random.normal((64, 1), seed=1)
        >>> LearningRateFinder(model, data, steps=50, seeds=1).mode
        'ramp'

    Reference:
        Smith 2015, arXiv:1506.01186, section 3.3.
    """
    steps, seeds = whole("steps", steps, 2), whole("seeds", seeds, 1)
    candidates = whole("candidates", candidates, 2)
    start, end = positive("start", start), positive("end", end)
    check_ramp(start, end, steps, seeds, candidates)
    check_rule(mode, rule)
    is_in_memory = isinstance(data, tuple)
    batches = (
        Batches(Arrays(*data), whole("batch_size", batch_size, 1)) if is_in_memory else data
    )
    subject = _subject(model, batches)
    points = steps if mode == "ramp" else candidates
    rate = exponential_ramp(start, end, points)
    rates = [rate(point) for point in range(points)]
    plans = [rates] if mode == "ramp" else [[lr] * steps for lr in rates]
    traces = []
    with watched(wanted=progress) as subject.progress:
        subject.progress.total = seeds * len(plans) * steps
        for seed in range(seeds):
            label = f"seed {seed + 1} of {seeds}"
            traces += [subject.train(batches, lrs, seed, label) for lrs in plans]
    setting = Setting(
        optimizer=subject.optimizer_name,
        loss=subject.loss_name,
        lrs=[start, end] if mode == "ramp" else rates,
        steps=steps,
        seeds=seeds,
        batch_sizes=[traces[0].samples[0]],
    )
    return find_lr_range(traces, mode=mode, rule=rule, setting=setting)


def BatchFinder(  # noqa: N802 - as LearningRateFinder
    model: keras.Model,
    data: tuple[Any, ...],
    *,
    sizes: Sequence[int],
    lr: float | None = None,
    steps: int = 500,
    seeds: int = 3,
    progress: bool = True,
) -> BatchRange:
    """The batch sizes between which the loss of a Keras model falls, at equal optimizer steps and one learning rate.

    Every size starts from the weights that the model has. All is put back afterwards, as by
    :func:`LearningRateFinder`. The gradient's noise scale is not measured: Keras hands out no gradients.

    Args:
        model: compiled, with a number for its learning rate.
        data: arrays ``(x, y)`` or ``(x, y, sample_weight)``.
        sizes: increasing batch sizes; the largest fits into the data and into memory.
        lr: learning rate; the optimizer's when None.
        steps: optimizer steps at every size.
        seeds: how often the test is repeated.
        progress: as in :func:`LearningRateFinder`.
    Raises:
        ValueError: impossible arguments, or a model that is not compiled.
        TypeError: arguments of the wrong kind.
    """
    steps, seeds, sizes = whole("steps", steps, 2), whole("seeds", seeds, 1), increasing(sizes)
    if not isinstance(data, tuple):
        raise TypeError(
            f"`data` is a {type(data).__name__}, whose batches have a size; give arrays (x, y) as a tuple"
        )
    arrays = Arrays(*data)
    if sizes[-1] > arrays.samples:
        raise ValueError(
            f"`sizes` (={sizes}) exceed the data of {arrays.samples} samples; give smaller ones"
        )
    subject = _subject(model, Batches(arrays, sizes[0]))
    rate = subject.lr() if lr is None else positive("lr", lr)

    def train(size: int) -> list[Trace]:
        batches = Batches(arrays, size)
        traces = []
        for seed in range(seeds):
            label = f"batch size {size}, seed {seed + 1} of {seeds}"
            traces.append(subject.train(batches, [rate] * steps, seed, label, work=size))
        return traces

    setting = Setting(subject.optimizer_name, subject.loss_name, [rate], steps, seeds, sizes)
    with watched(wanted=progress) as subject.progress:
        subject.progress.total = seeds * steps * sum(sizes)
        return find_batch_range(sizes, train, setting=setting)


def _subject(model: Any, batches: Iterable[Any]) -> Subject:
    """A model that a test can train on these batches, checked and built."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` is a {type(model).__name__}; give a keras.Model")
    if not model.compiled or model.optimizer is None:
        raise ValueError(
            "`model` is not compiled; call model.compile(optimizer=..., loss=...) first"
        )
    check_data(batches)
    subject = Subject(model)
    subject.build(batches)
    return subject
