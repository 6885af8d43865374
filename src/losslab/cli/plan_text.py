"""How a plan is shown: its stages, what the full study takes, what another precision would save; and as JSON."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from losslab.spec import Precision
from losslab.study.facts import describe_scale, stage_scale
from losslab.study.fields import labels
from losslab.study.plan import Plan
from losslab.study.precisions import Pace
from losslab.text import count, duration, number, size


def plan_facts(planned: Plan) -> dict[str, Any]:
    """A plan as JSON: its scale, what it takes, its stages."""
    return {
        "study": planned.study.name,
        "scale": describe_scale(planned),
        "predicted_seconds": planned.seconds,
        "predicted_memory_bytes": planned.memory_bytes,
        "workers": planned.workers,
        "threads": planned.threads,
        "layouts": planned.used_layouts,
        "compile_step": planned.compile_step,
        "stages": [
            {
                "name": stage.stage.name,
                "predicted_seconds": stage.seconds,
                "runs": labels(stage.runs),
            }
            for stage in planned.stages
        ],
    }


def print_plan(planned: Plan, screen: Console) -> None:
    """Print a plan: a row for each stage, then its time, memory and workers."""
    screen.print(planned.study.title, style="bold")
    table = Table("stage", "runs", "predicted", "scale", box=None)
    for stage in planned.stages:
        runs = len(stage.runs or stage.stage.count)
        table.add_row(
            stage.stage.name, f"{runs:,}", duration(stage.seconds), stage_scale(stage)
        )
    screen.print(table)
    workers = f"{count(planned.workers, 'worker')} of {count(planned.threads, 'thread')}"
    step = ["compiled steps"] if planned.compile_step else []
    crew = [workers, *sorted(set(planned.used_layouts.values())), *step]
    screen.print(
        f"predicted in all {duration(planned.seconds)} and {size(planned.memory_bytes)} with {', '.join(crew)}",
        soft_wrap=True,
    )


def print_full(whole: Plan, flops: float, device_tflops: float) -> None:
    """Print what the full study takes here, and on a device that sustains so many 10^12 operations a second."""
    if not flops:
        return
    machine_time = duration(whole.seconds)
    device_time = duration(flops / (device_tflops * 1e12))
    print(
        f"the full study takes about {machine_time} here; by its {flops:.2g} operations, {device_time} on a device "
        f"that sustains {number(device_tflops)} TFLOP/s (--device-tflops)"
    )


def precision_facts(pace: Pace | None) -> dict[str, float]:
    """Predicted seconds of the longest run in each precision that was measured."""
    if pace is None:
        return {}
    return {pace.run.precision: pace.seconds, pace.precision: pace.other_seconds}


def print_precisions(pace: Pace | None, emulated: list[Precision]) -> None:
    """Print what another precision would save, and warn of those that this processor only emulates."""
    if pace:
        print(pace.text())
    for precision in emulated:
        print(
            f"warning: this processor emulates {precision}, which takes longer than fp32",
            file=sys.stderr,
        )
