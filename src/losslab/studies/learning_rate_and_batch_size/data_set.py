"""Question 1: what is in the data set, where it is on this machine, and how much of it was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslab.data import summary
from losslab.data.loading import load_stored
from losslab.records import Start
from losslab.study.results import RunResult
from losslab.tables import Table
from losslab.text import count

DEFAULT = "fashion-mnist"
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class DataFindings:
    """The data set of the study.

    Attributes:
        name: of the data set.
        answer: its size, or what the runs say of it where it is not on this machine.
        table: images per class; None where it is not on this machine.
        note: where the numbers are from.
    """

    name: str
    answer: str
    table: Table | None
    note: str


def data_findings(runs: Sequence[RunResult]) -> DataFindings:
    """Summarise the data set that the runs trained on; nothing is fetched for it."""
    name = runs[0].run.data.name if runs else DEFAULT
    starts = [result.start for result in runs if result.start]
    # Before a run has begun the data set is not known: the embedded sample may have to stand in for the usual one.
    dataset = load_stored(name) if runs else None
    if dataset is None:
        return DataFindings(name, _by_runs(starts), None, "")
    fraction = runs[0].run.data.validation_fraction
    facts = summary(dataset, fraction)
    note = (
        f"The validation images are {100 * fraction:g} % of each class of the training set, the same for every run; "
        f"the test set is read once, by final weights. These numbers are counted in the files, from {facts['source']}; "
        "they are exact."
    )
    if starts:
        note += (
            f" The runs of this study trained on {_trained_on(starts)} of the training images."
        )
    return DataFindings(name, _by_files(facts), _table(facts), note)


def _by_files(facts: Mapping[str, Any]) -> str:
    sizes = facts["sizes"]
    return (
        f"{facts['title']}: {count(sizes['train'], 'training image')}, of which {sizes['validation']:,} are held out "
        f"for validation, and {count(sizes['test'], 'test image')}, in {len(facts['classes'])} classes."
    )


def _by_runs(starts: Sequence[Start]) -> str:
    if not starts:
        return "No run has begun and no data set is on this machine, so there is nothing to summarise."
    return (
        f"The runs trained on {_trained_on(starts)} images, validated on {starts[0].validation_images:,} and were "
        f"tested on {starts[0].test_images:,}."
    )


def _trained_on(starts: Sequence[Start]) -> str:
    sizes = sorted({start.training_images for start in starts})
    return " or ".join(f"{size:,}" for size in sizes)


def _table(facts: Mapping[str, Any]) -> Table:
    rows = [_row(label, sizes) for label, sizes in facts["images_per_class"].items()]
    rows.append(_row("all", facts["sizes"]))
    shape = " × ".join(map(str, facts["shape"]))
    return Table(
        label="Images per class",
        title=f"Images per class; {shape} (channels, height, width)",
        headings=("class", *PARTS),
        rows=tuple(rows),
        bold=(len(rows) - 1,),
    )


def _row(label: str, sizes: Mapping[str, int]) -> tuple[str, ...]:
    return (label, *(f"{sizes[part]:,}" for part in PARTS))
