"""Which method reaches the lowest training loss, without dropout or with it, in three readings of the loss."""

from collections.abc import Mapping
from dataclasses import dataclass

from losslab.analysis.curves import Curve, curves, rank
from losslab.analysis.estimates import Estimate
from losslab.analysis.measures import epoch_of_lowest, estimates, final, lowest
from losslab.analysis.runs import Groups, run_ids
from losslab.analysis.sentences import certainty, lead
from losslab.studies.adaptive_optimizers.methods import TITLES, not_ranked
from losslab.tables import Table
from losslab.text import measured, number, spread

# What was minimised is the third; the first has dropout and moving weights in it, the second neither.
TRAIN, FIT, OBJECTIVE = "train_loss", "fit_loss", "regularised_loss"


@dataclass(frozen=True)
class Losses:
    """Training losses of the methods, all without dropout or all with it.

    Attributes:
        answer: who reached the lowest.
        at_rest: the same by the loss in evaluation mode.
        lowest: method -> lowest training loss.
        courses: field of an evaluation -> method -> its curve.
        table: all readings.
        certainty: how certain they are.
    """

    answer: str
    at_rest: str
    lowest: Mapping[str, Estimate]
    courses: Mapping[str, Mapping[str, Curve]]
    table: Table
    certainty: str


def losses(groups: Groups, name: str) -> Losses:
    """Read the losses of some groups of runs.

    Args:
        groups: method -> runs.
        name: "without dropout" or "with dropout".
    """
    lowest_losses, lowest_at_rest = (
        estimates(groups, lowest(TRAIN)),
        estimates(groups, lowest(FIT)),
    )
    return Losses(
        answer=lead(lowest_losses, "training loss", measured)
        + not_ranked(TITLES.values(), lowest_losses),
        at_rest=lead(lowest_at_rest, "training loss in evaluation mode", measured),
        lowest=lowest_losses,
        courses={field: curves(groups, field) for field in (TRAIN, FIT, OBJECTIVE)},
        table=_table(groups, name, lowest_losses, lowest_at_rest),
        certainty=certainty(lowest_losses),
    )


def _table(
    groups: Groups,
    name: str,
    lowest_losses: Mapping[str, Estimate],
    lowest_at_rest: Mapping[str, Estimate],
) -> Table:
    ranking = rank(lowest_losses)
    epochs, last = estimates(groups, epoch_of_lowest(TRAIN)), estimates(groups, final(TRAIN))
    objective = estimates(groups, lowest(OBJECTIVE))
    rows = []
    for label in ranking.order:
        loss = lowest_losses[label]
        as_trained = (spread(loss), number(epochs[label].mean, 3), spread(last[label]))
        other_readings = (spread(lowest_at_rest.get(label)), spread(objective.get(label)))
        rows.append((label, _lr(groups, label), *as_trained, *other_readings, str(loss.n)))
    first = ("method", "lr", "lowest training loss", "at epoch", "final")
    return Table(
        "Cross-entropy in nats an image, lowest first; bold where none is lower",
        (*first, "lowest in evaluation mode", "lowest with penalty", "n"),
        tuple(rows),
        label=f"Losses {name}",
        bold=tuple(
            index for index, label in enumerate(ranking.order) if label in ranking.leaders
        ),
        records=run_ids(groups[label] for label in ranking.order),
    )


def _lr(groups: Groups, label: str) -> str:
    lr = groups[label][0].run.lr  # the same for all seeds of a method: that of its search
    return number(lr) if isinstance(lr, float) else str(lr)
