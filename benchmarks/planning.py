"""Seconds that `study plan` takes at its usual budget, and how far its predictions for the full studies differ.

Each is a process of its own, as a user starts it; they take turns.
Usage: python benchmarks/planning.py [repeats] [--keep]
"""

import json
import subprocess
import sys
from statistics import median
from time import perf_counter

from kept import Found, arguments, markdown, measured_on, present

from losslab.study.load import study_names

ALL = "all"


def planned(study: str) -> tuple[float, float | None]:
    """Seconds that the command takes, and those that it predicts for the full study; None where it plans all."""
    began = perf_counter()
    command = [sys.executable, "-m", "losslab", "study", "plan", study, "--json"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = perf_counter() - began
    plan = json.loads(text)
    return seconds, plan["full_seconds"] if isinstance(plan, dict) else None


def measure(repeats: int) -> Found:
    """Seconds taken and seconds predicted, of each study in each repeat."""
    found: Found = {study: {"seconds": [], "predicted": []} for study in (*study_names(), ALL)}
    for _ in range(repeats):
        for study, measured in found.items():
            seconds, predicted = planned(study)
            measured["seconds"].append(seconds)
            measured["predicted"].append(predicted)
    return {"studies": found}


def table(found: Found) -> str:
    """A row for each study: its seconds, and how far its predictions for the full study differ."""
    rows = []
    for study, measured in found["studies"].items():
        predicted = [each for each in measured["predicted"] if each]
        agree = f"{100 * (max(predicted) / min(predicted) - 1):.1f} %" if predicted else ""
        slowest = f"{max(measured['seconds']):.1f}"
        rows.append((f"`{study}`", f"{median(measured['seconds']):.1f}", slowest, agree))
    repeats = len(found["studies"][ALL]["seconds"])
    headings = [
        "study",
        "seconds, median",
        "slowest",
        "predictions for the full study differ by at most",
    ]
    return (
        f"{markdown(headings, rows)}\n\n{measured_on(found, 'planning', f'{repeats} repeats')}"
    )


def main() -> None:
    rest = arguments()
    present("planning", measure(int(rest[0]) if rest else 5), table)


if __name__ == "__main__":
    main()
