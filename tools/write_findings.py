"""Write docs/findings.md: what the results that are kept have taught, each sentence computed from their records.

Run: python tools/write_findings.py [file]
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from losslab.analysis.curves import Curve
from losslab.analysis.measures import estimates, final
from losslab.analysis.runs import failed_runs
from losslab.studies.adaptive_optimizers.findings import findings as optimizers
from losslab.studies.adaptive_optimizers.losses import TRAIN, Losses
from losslab.studies.batch_augmentation.findings import findings as copies
from losslab.studies.learning_rate_and_batch_size.cycles import CYCLICAL_LR, cyclical_runs
from losslab.studies.learning_rate_and_batch_size.findings import findings as ranges
from losslab.study.results import StudyResults, done, read_results, read_run
from losslab.study.store import RunFolder, StudyFolder
from losslab.text import count, duration, number, percent

ROOT = Path(__file__).parents[1]
EARLY = 6.0
"""Epochs of the demonstration, whose ranking is compared with that at the end."""
FASTEST = "patchnet-20-epochs"
NOT_RUN = "Not run at its full scale yet."
HEAD = """# What was learnt

What the kept studies found, in the sentences of their pages, which state scale, seeds, machine and command
([results](results.md)). They are computed from the records in `results/` by `tools/write_findings.py`; a test writes
this page anew and compares.
"""


def kept(name: str) -> StudyResults | None:
    """The results of a study, where all of them are kept; one of which runs are missing gives no lesson yet."""
    folder = ROOT / "results" / name
    results = read_results(StudyFolder(folder)) if folder.is_dir() else None
    is_whole = results and results.plan.get("ended") and not failed_runs(results)
    return results if is_whole else None


def sections() -> Iterator[tuple[str, str]]:
    """Yield each question and its answer."""
    trained = kept("adaptive-optimizers")
    found = trained and optimizers(trained)
    yield (
        "Which optimizer is best at 200 epochs?",
        f"{found.plain.answer} {found.accuracy.answer}" if found else NOT_RUN,
    )
    yield (
        "Did the ranking at 6 epochs foretell it?",
        foretold(found.plain, EARLY) if found else NOT_RUN,
    )
    yield (
        "What does dropout do at 200 epochs?",
        f"{found.dropout.rise} {found.accuracy.gain} {found.dropout.time}"
        if found
        else NOT_RUN,
    )
    cycled = kept("learning-rate-and-batch-size")
    if cycled:
        answers = ranges(cycled)
        yield "Did the range test's lr_max hold?", f"{answers.lr.answer} {held(cycled)}".strip()
        yield (
            "Does batch size behave like learning rate?",
            f"{answers.batch.answer} {answers.batch.range.limits}",
        )
        yield (
            "Which cycle won?",
            f"{answers.winner.answer} {answers.winner.beside_constants} {answers.winner.certainty}",
        )
    yield "What reaches 94 % on CIFAR-10?", reached()
    augmented = kept("batch-augmentation")
    gained = augmented and copies(augmented)
    yield (
        "What do M copies buy?",
        f"{gained.race.answer} {gained.comparison.after_updates} {gained.comparison.after_time}"
        if gained
        else NOT_RUN,
    )


def foretold(found: Losses, epoch: float) -> str:
    """Compare the order of methods by training loss at an epoch with that at the end; empty where one is shorter."""
    curves = found.courses[TRAIN]
    early = order_at(curves, epoch)
    last = min((curve.epochs[-1] for curve in curves.values()), default=0.0)
    late = order_at(curves, last)
    if len(early) < 2 or last <= epoch:
        return ""
    same = sum(first == then for first, then in zip(early, late, strict=True))
    return (
        f"By mean training loss in the epoch that ended at {number(epoch)}, the order was {', '.join(early)}; at "
        f"{number(last)} it was {', '.join(late)}. {same} of {len(early)} methods had the same rank, and "
        f"{early[0]}, first at {number(epoch)} epochs, was number {late.index(early[0]) + 1} in the end."
    )


def order_at(curves: Mapping[str, Curve], epoch: float) -> list[str]:
    """The methods by their loss at an epoch, the lowest first; those without an evaluation there are left out."""
    losses = {
        label: curve.mean[curve.epochs.index(epoch)]
        for label, curve in curves.items()
        if epoch in curve.epochs
    }
    return sorted(losses, key=lambda label: losses[label])


def reached() -> str:
    """Say what the kept run that the README's command repeats came to."""
    result = read_run(RunFolder(ROOT / "results" / FASTEST))
    final = result.final
    if final is None or final.test_accuracy is None or final.train_processor_seconds is None:
        return NOT_RUN
    return (
        f"PatchNet in {number(result.run.epochs)} epochs of one copy of each image, in {result.run.precision}: its "
        f"final weights classify {percent(final.test_accuracy)} of the test images correctly, after "
        f"{duration(final.train_processor_seconds)} of one thread (one seed; the command is in the README)."
    )


def held(results: StudyResults) -> str:
    """Say whether the cycles up to lr_max trained without diverging, and to what; empty before one has ended."""
    runs = cyclical_runs(results)[CYCLICAL_LR]
    ended = done(runs)
    if not ended:
        return ""
    run = ended[0].run
    top = number(float(run.lr.options["max_lr"]), 3)
    found = estimates({"cycle": runs}, final("validation_accuracy"))["cycle"]
    return (
        f"Of {count(len(runs), 'run')} of {number(run.epochs)} epochs whose rate cycles up to {top}, {len(ended)} came "
        f"to their end without diverging, with {percent(found.mean)} validation accuracy there."
    )


def main(path: Path) -> None:
    """Write the page."""
    parts = [f"## {question}\n\n{answer}\n" for question, answer in sections()]
    path.write_text("\n".join([HEAD, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "findings.md")
