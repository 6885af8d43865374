"""``losslab export``: records to other people's trackers."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from losslab.errors import InvalidInput
from losslab.integrations import mlflow, tensorboard, wandb
from losslab.study.fields import labels
from losslab.study.results import RunResult, read_results, read_run
from losslab.study.store import RunFolder, StudyFolder
from losslab.text import count

Tracker = Literal["tensorboard", "mlflow", "wandb"]
TRACKERS: dict[Tracker, Callable[[str, dict[str, RunResult], Path], None]] = {
    "tensorboard": tensorboard.export,
    "mlflow": mlflow.export,
    "wandb": wandb.export,
}


def export(folder: Path, *, to: Tracker, out: Path | None = None) -> int:
    """Write what the runs of a folder recorded for TensorBoard, MLflow or Weights & Biases.

    Example: losslab export runs/adaptive-optimizers --to tensorboard

    Args:
        folder: A study's folder, or the --out folder of `losslab train`; it may be unfinished.
        to: tensorboard, mlflow or wandb (offline runs); each needs its extra, `pip install '.[NAME]'` in the clone of
            losslab.
        out: Where it goes, a folder that does not exist yet; FOLDER/tensorboard, or the like, when absent.
    """
    out = out or folder / to
    if out.exists():
        raise InvalidInput(f"--out {out}: exists already; delete it or choose another")
    study, runs = _runs(folder)
    try:
        TRACKERS[to](study, runs, out)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"--to {to}: {error.name} is not installed; in the clone of losslab: pip install '.[{to}]'"
        ) from error
    print(f"{count(len(runs), 'run')} in {out}")
    unreadable = [name for name, result in runs.items() if result.status == "unreadable"]
    if unreadable:
        message = f"of these, without records that could be read: {', '.join(unreadable)}"
        print(f"losslab: {message}", file=sys.stderr)
    return int(bool(unreadable))


def _runs(folder: Path) -> tuple[str, dict[str, RunResult]]:
    """Read the name of a study and its runs by name, each with its identity: two runs may have one name."""
    if not StudyFolder(folder).has_plan and (folder / "records.jsonl").exists():
        return folder.resolve().name, {"run": read_run(RunFolder(folder))}
    results = read_results(StudyFolder(folder))
    runs: dict[str, RunResult] = {}
    for stage, members in results.stages.items():
        names = labels([result.run for result in members])
        runs |= {
            f"{stage} {names[result.run.id]} {result.run.id}": result for result in members
        }
    return results.plan["study"]["name"], runs
