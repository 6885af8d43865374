"""Whether `study run all` keeps its budget, and how near each study's time and memory come to what was predicted.

With `--busy` another process multiplies matrices on one thread all the while. What is kept is budget_MINUTES.json, or
budget_MINUTES_busy.json. Usage: python benchmarks/budget.py MINUTES [--busy] [--keep]
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Process
from pathlib import Path
from time import perf_counter

from kept import Found, arguments, markdown, measured_on, present

from losslab.study.results import read_results
from losslab.study.store import StudyFolder
from losslab.text import duration, size

BUSY = "--busy"


def multiply() -> None:
    """Keep a core busy for ever."""
    import torch

    torch.set_num_threads(1)
    matrix = torch.randn(1000, 1000)
    while True:
        matrix @ matrix


@contextmanager
def other_work(is_busy: bool) -> Iterator[None]:
    """Another process on one core, where it is asked for."""
    process = Process(target=multiply, daemon=True)
    if is_busy:
        process.start()
    yield
    if is_busy:
        process.terminate()


def measure(minutes: int, is_busy: bool) -> Found:
    """Seconds in all, and what each study predicted and took."""
    with tempfile.TemporaryDirectory() as folder, other_work(is_busy):
        command = ["study", "run", "all", "--budget", f"{minutes}m", "--out", folder]
        began = perf_counter()
        # A run that fails is one of the results.
        subprocess.run([sys.executable, "-m", "losslab", *command], check=False)
        seconds = perf_counter() - began
        plans = sorted(Path(folder).glob("*/study.json"))
        studies = {plan.parent.name: study(plan.parent) for plan in plans}
    return {"minutes": minutes, "busy": is_busy, "seconds": seconds, "studies": studies}


def study(folder: Path) -> Found:
    """What a study asked, predicted and took; the best test accuracy of its runs."""
    plan = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    results = read_results(StudyFolder(folder))
    finals = [run.final for runs in results.stages.values() for run in runs if run.final]
    keys = ("budget_seconds", "predicted_seconds", "measured_seconds", "predicted_memory_bytes")
    return {
        **{key: plan.get(key) for key in keys},
        "measured_memory_bytes": results.memory_bytes,
        "changes": len(plan.get("changes") or []),
        "scale": (plan.get("scale") or {}).get("text"),
        "test_accuracy": max((final.test_accuracy or 0.0 for final in finals), default=None),
    }


def table(found: Found) -> str:
    """A row for each study: its share of the budget, time and memory predicted and measured; what each asked."""
    rows, asked = [], []
    for name, study in found["studies"].items():
        late = study["measured_seconds"] / study["predicted_seconds"] - 1
        accuracy, memory = study["test_accuracy"], study["measured_memory_bytes"]
        rows.append((
            f"`{name}`",
            duration(study["budget_seconds"]) if study["budget_seconds"] else "",
            duration(study["predicted_seconds"]),
            f"{duration(study['measured_seconds'])} ({100 * late:+.0f} %)",
            size(study["predicted_memory_bytes"]) if memory else "",
            size(memory) if memory else "",
            study["changes"],
            f"{100 * accuracy:.1f} %" if accuracy else "",
        ))  # fmt: skip
        asked.append(f"- `{name}`: {study['scale']}.")
    headings = [
        "study",
        "its share",
        "predicted, changes included",
        "measured",
        "memory predicted",
        "measured",
        "changes on the way",
        "best test accuracy",
    ]
    beside = (
        ", beside a process that was busy on one core all the while" if found["busy"] else ""
    )
    how = f"`study run all --budget {found['minutes']}m`{beside}: {duration(found['seconds'])} in all"
    table = markdown(headings, rows)
    return "\n\n".join((table, "\n".join(asked), measured_on(found, "budget", how)))


def main() -> None:
    rest = arguments()
    is_busy = BUSY in rest
    (minutes,) = (int(each) for each in rest if each != BUSY)
    name = f"budget_{minutes}{'_busy' if is_busy else ''}"
    present(name, measure(minutes, is_busy), table)


if __name__ == "__main__":
    main()
