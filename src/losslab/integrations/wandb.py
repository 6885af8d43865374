"""Records as offline runs of Weights & Biases; needs the extra ``wandb``, but no network and no login."""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from losslab.integrations.scalars import scalars
from losslab.study.fields import flat_fields
from losslab.study.results import RunResult

NOT_FAILED = frozenset({"new", "running", "done"})
"""Status of runs that nothing went wrong in, so far; an offline run itself can only be finished or failed."""


def export(study: str, runs: Mapping[str, RunResult], out: Path) -> None:
    """Write each run's numbers and spec as an offline run of the project STUDY.

    ``wandb sync OUT/wandb/offline-run-*`` sends them to a server, where there is one. Weights & Biases dates what it is
    given by when that was; the training time of a step is a series of its own, ``train_seconds``.

    Args:
        study: name of the study, and of the project, where ``-`` stands for what a project's name may not hold.
        runs: name -> run.
        out: a folder; created when absent, for Weights & Biases writes elsewhere otherwise.
    """
    import wandb

    out.mkdir(parents=True, exist_ok=True)
    # Of the machine that exports, nothing is to stand beside the runs: they were trained elsewhere.
    settings = wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_save_requirements=False,
    )
    # A project may hold none of these characters, which a folder's name may, and no more than so many.
    project = re.sub(r"[/\\#?%:]", "-", study)[:128]
    for name, result in runs.items():
        run = wandb.init(
            project=project,
            name=name,
            # Not the run's own identity, which two stages may share.
            id=sha256(f"{study}/{name}".encode()).hexdigest()[:16],
            dir=out,
            mode="offline",
            config=_config(result),
            settings=settings,
        )
        for step, values in _by_step(result):
            run.log(values, step=step)
        run.finish(exit_code=0 if result.status in NOT_FAILED else 1)
    # `finish` may return before the last bytes are in the file; this waits for the process that writes them.
    wandb.teardown()


def _config(result: RunResult) -> dict[str, Any]:
    """The fields of a run's spec, its identity and how it ended."""
    spec = flat_fields(result.run.model_dump(mode="json", exclude_none=True))
    return {**spec, "losslab.id": result.run.id, "losslab.status": result.status}


def _by_step(result: RunResult) -> Iterator[tuple[int, dict[str, float]]]:
    """The numbers of each step together: Weights & Biases takes a step once, and in order."""
    # A sort that keeps the order of equals, so that the seconds of a step are those of its last record.
    ordered = sorted(scalars(result), key=attrgetter("step"))
    for step, members in groupby(ordered, key=attrgetter("step")):
        values: dict[str, float] = {}
        for scalar in members:
            values |= {scalar.name: scalar.value, "train_seconds": scalar.seconds}
        yield step, values
