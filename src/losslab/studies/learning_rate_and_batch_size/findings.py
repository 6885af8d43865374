"""What the study found about ranges and cycles of learning rate and batch size: sentences, tables, numbers to draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from losslab.studies.learning_rate_and_batch_size.batch_sizes import (
    BatchFindings,
    batch_findings,
)
from losslab.studies.learning_rate_and_batch_size.cycles import (
    CYCLICAL_BATCH,
    CYCLICAL_LR,
    Course,
    course,
)
from losslab.studies.learning_rate_and_batch_size.data_set import DataFindings, data_findings
from losslab.studies.learning_rate_and_batch_size.learning_rates import LrFindings, lr_findings
from losslab.studies.learning_rate_and_batch_size.winner import Winner, winner
from losslab.study.results import StudyResults
from losslab.study.store import ENDED
from losslab.text import count, names

SUBJECTS = {
    "the ramp": "lr-ramp",
    "the ten rates": "lr-grid",
    "the batch sizes": "batch-sizes",
    "the cyclical lr": "cyclical-lr",
    "the cyclical batch size": "cyclical-batch",
}
"""What a stage trains, in words -> its name."""


@dataclass(frozen=True)
class Findings:
    """The answers of the study, a value for each question.

    Attributes:
        summary: (subject, what was found).
        network: what was trained; empty before a run has begun.
        data: question 1.
        lr: question 2.
        cyclical_lr: question 3.
        batch: questions 4 and 5.
        cyclical_batch: question 6.
        winner: question 7.
    """

    summary: tuple[tuple[str, str], ...]
    network: str
    data: DataFindings
    lr: LrFindings
    cyclical_lr: Course
    batch: BatchFindings
    cyclical_batch: Course
    winner: Winner


def findings(results: StudyResults) -> Findings:
    """Find all that the page of the study says of its records."""
    runs = list(chain.from_iterable(results.stages.values()))
    starts = [result.start for result in runs if result.start]
    # All runs hold out and test on the same images, whatever number they train on.
    held_out = starts[0].validation_images if starts else None
    tested = starts[0].test_images if starts else None
    data = data_findings(runs)
    lr = lr_findings(results)
    batch = batch_findings(results, lr)
    cyclical_lr = course(results, CYCLICAL_LR, held_out)
    cyclical_batch = course(results, CYCLICAL_BATCH, held_out)
    best = winner(results, held_out, tested)
    summary = (
        ("Data.", data.answer),
        ("Learning rate.", lr.answer),
        ("Cyclical lr.", cyclical_lr.answer),
        ("Batch size.", batch.answer),
        ("Batch-size range.", batch.range.limits),
        ("Cyclical batch size.", cyclical_batch.answer),
        ("Which wins.", f"{best.answer} {best.beside_constants}".strip()),
        ("Caution.", _caution(results)),
    )
    return Findings(
        summary=tuple((subject, sentences) for subject, sentences in summary if sentences),
        network=_network(list(dict.fromkeys(str(result.run.model) for result in runs))),
        data=data,
        lr=lr,
        cyclical_lr=cyclical_lr,
        batch=batch,
        cyclical_batch=cyclical_batch,
        winner=best,
    )


def _caution(results: StudyResults) -> str:
    """Say which answers rest on several seeds, and which on one; empty before a run has ended."""
    seeds = {}
    for subject, stage in SUBJECTS.items():
        ended = [result for result in results.stages.get(stage, ()) if result.status in ENDED]
        seeds[subject] = len({result.run.seed for result in ended})
    several = [f"{subject} ({count(n, 'seed')})" for subject, n in seeds.items() if n > 1]
    single = [subject for subject, n in seeds.items() if n == 1]
    sentences = []
    if several:
        sentences.append(f"Several seeds were run of {names(several)}.")
    if single:
        sentences.append(
            f"One seed was run of {names(single)}: how much another would change the answers there is not known."
        )
    return " ".join(sentences)


def _network(models: Sequence[str]) -> str:
    if not models:
        return ""
    stand_in = (
        " (LeNet-5 in the place of MiniGoogLeNet, which needs more compute)"
        if models == ["lenet5"]
        else ""
    )
    return f"Network: {names(models)}{stand_in}, trained by SGD with momentum."
