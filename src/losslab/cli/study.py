"""``losslab study``: list, plan, run, resume, status."""

import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.console import Console

from losslab.analysis.runs import failed_runs
from losslab.cli.earlier_plan import check_same_bits, earlier_plan
from losslab.cli.measuring import watched
from losslab.cli.options import Flag, console, parse_duration, print_json
from losslab.cli.parts import ALL, seconds_spent, share_of, studies_of, with_data
from losslab.cli.plan_text import (
    plan_facts,
    precision_facts,
    print_full,
    print_plan,
    print_precisions,
)
from losslab.cli.progress import show_progress
from losslab.cli.status import status_rows, status_table
from losslab.errors import BudgetTooSmall, Interrupted, InvalidInput
from losslab.spec import Layout
from losslab.study.engines import Engine, EngineName, choose_engine
from losslab.study.execute import execute
from losslab.study.facts import planned_before
from losslab.study.load import load_study, study_names
from losslab.study.measure import measure_operations
from losslab.study.pack import pack
from losslab.study.plan import Plan, plan_at
from losslab.study.planning import plan as plan_study
from losslab.study.precisions import emulated, other_pace
from losslab.study.results import read_results, study_folders
from losslab.study.stages import FULL
from losslab.study.store import StudyFolder
from losslab.text import count, duration, size

DEFAULT_BUDGET = "10m"
LEAST_SECONDS = 5.0
"""No budget below: to start a worker and measure one step takes about as long."""
FAILURES = frozenset({"failed", "out_of_memory", "unreadable", "not counted"})

app = App(name="study", help="Plan, run and resume studies.")


@app.command(name="list")
def list_studies(*, json: Flag = False) -> None:
    """List the studies that ship.

    Example: losslab study list

    Args:
        json: Print JSON.
    """
    studies = [load_study(name) for name in study_names()]
    if json:
        print_json([{"name": study.name, "title": study.title} for study in studies])
        return
    for study in studies:
        print(f"{study.name:28} {study.title}")


@app.command
def plan(
    study: str,
    *,
    budget: str | None = None,
    full: Flag = False,
    rung: str | None = None,
    seeds: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    layout: Layout | None = None,
    compile_step: Flag = False,
    engine: EngineName = "local",
    address: str | None = None,
    device: str = "cpu",
    deterministic: Flag = False,
    device_tflops: float = 10.0,
    json: Flag = False,
) -> None:
    """Show the runs of a study, their scale and what they will cost; only a few steps are trained, to measure.

    Example: losslab study plan adaptive-optimizers --budget 5m

    Args:
        study: A study's name, a study.toml of your own, or all.
        budget: Wall time that the study may take, such as 90s, 10m, 2h; 10m when absent.
        full: Plan the study as it is written, whatever it takes.
        rung: Ask the question of this rung of the study's ladder; the largest that the budget holds when absent.
        seeds: Seeds of the last stage, in place of the study's own number.
        workers: Processes that train at a time; as many as there are cores and memory for when absent.
        threads: Threads of each worker; as many as make the study fastest when absent, and one with --workers.
        layout: How images and weights lie in memory; for each network the fastest when absent.
        compile_step: Compile the optimizer's step where torch has no fused one, which saves time in long runs.
        engine: Where to measure and to run: on this machine, or on a Ray cluster.
        address: The Ray cluster's host:port; the one that this machine belongs to when absent.
        device: Where to train: cpu, cuda, cuda:0,1 (workers share them), mps, xpu, or auto, the fastest here.
        deterministic: Have torch use algorithms that repeat their bits, and fail where a device has none.
        device_tflops: 10^12 operations a second that a GPU sustains, for what the full study takes on it.
        json: Print JSON.
    """
    if not device_tflops > 0:
        raise InvalidInput(f"--device-tflops (={device_tflops}) must be above 0, such as 10")
    budget_seconds = _budget_seconds(budget, full=full)
    selected = choose_engine(engine, address, device=device, deterministic=deterministic)
    facts = []
    parts = studies_of(study, rung, seeds)
    seconds_left = budget_seconds
    for index, part in enumerate(parts):
        share = share_of(parts[index:], seconds_left)
        measuring = watched(selected, share)
        planned = plan_study(
            part,
            budget_seconds=share,
            workers=workers,
            threads=threads,
            layout=layout,
            compile_step=compile_step,
            engine=measuring,
        )
        pace = other_pace(planned, watched(selected, None))
        whole = plan_at(
            part, FULL, planned.costs, planned.workers, planned.threads, planned.layouts
        )
        flops = measure_operations(whole.runs, selected)
        facts.append(
            {
                **plan_facts(planned),
                "full_seconds": whole.seconds,
                "full_flops": flops,
                "precisions": precision_facts(pace),
            }
        )
        if not json:
            print_plan(planned, console())
            print_full(whole, flops, device_tflops)
            print_precisions(pace, emulated(planned, selected))
        if seconds_left is not None and share is not None:
            seconds_left -= share  # what it leaves of that is known when it has run
    if json:
        print_json(facts if study == ALL else facts[0])


@app.command
def run(
    study: str,
    *,
    budget: str | None = None,
    full: Flag = False,
    rung: str | None = None,
    seeds: int | None = None,
    out: Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    layout: Layout | None = None,
    compile_step: Flag = False,
    engine: EngineName = "local",
    address: str | None = None,
    device: str = "cpu",
    deterministic: Flag = False,
    sample_if_offline: Flag = False,
    quiet: Flag = False,
) -> int:
    """Run a study within a budget; in a folder that holds the same study already, do what is missing.

    Example: losslab study run adaptive-optimizers --budget 5m --out runs/optimizers

    Args:
        study: A study's name, a study.toml of your own, or all: every study that ships, a folder each.
        budget: Wall time that the study may take, such as 90s, 10m, 2h; 10m when absent.
        full: Run the study as it is written, whatever it takes.
        rung: Ask the question of this rung of the study's ladder; the largest that the budget holds when absent.
        seeds: Seeds of the last stage, in place of the study's own number.
        out: Folder of the study; runs/NAME when absent.
        workers: Processes that train at a time; as many as there are cores and memory for when absent.
        threads: Threads of each worker; as many as make the study fastest when absent, and one with --workers.
        layout: How images and weights lie in memory; for each network the fastest when absent.
        compile_step: Compile the optimizer's step where torch has no fused one, which saves time in long runs.
        engine: Where to run: on this machine, or on a Ray cluster that shares its folders.
        address: The Ray cluster's host:port; the one that this machine belongs to when absent.
        device: Where to train: cpu, cuda, cuda:0,1 (workers share them), mps, xpu, or auto, the fastest here.
        deterministic: Have torch use algorithms that repeat their bits, and fail where a device has none.
        sample_if_offline: Where the data cannot be had, run on the embedded sample of Fashion-MNIST and say so.
        quiet: Print nothing but errors.
    """
    budget_seconds = _budget_seconds(budget, full=full)
    selected = choose_engine(engine, address, device=device, deterministic=deterministic)
    screen = console(quiet=quiet)
    out = out or Path("runs") / (ALL if study == ALL else load_study(study).name)
    code = 0
    parts = studies_of(study, rung, seeds)
    seconds_left = budget_seconds
    for index, part in enumerate(parts):
        # What the studies before left of their shares is for those that are still to run.
        share = share_of(parts[index:], seconds_left)
        folder = StudyFolder(out / part.name if study == ALL else out)
        folder.prepare()
        if index and folder.has_plan:
            # Its own share, though a study before it took more or less time since; the first one checks the budget.
            share = folder.plan.get("budget_seconds", share)
        part = with_data(part, sample_if_offline)
        planned = earlier_plan(folder, part, share, selected, workers)
        if planned:
            check_same_bits(
                planned, folder, selected, threads, layout, compile_step=compile_step
            )
            screen.print(
                f"{folder.path} holds this study already: what is missing is run as it was planned"
            )
        else:
            measuring = watched(selected, share, quiet=quiet)
            try:
                planned = plan_study(
                    part,
                    budget_seconds=share,
                    workers=workers,
                    threads=threads,
                    layout=layout,
                    compile_step=compile_step,
                    engine=measuring,
                )
            except BudgetTooSmall as error:
                if study != ALL:
                    raise
                # The other studies are still wanted.
                print(f"losslab: {error}", file=sys.stderr)
                code = 2
                continue
            print_plan(planned, screen)
        facts = {"command": shlex.join(["losslab", *sys.argv[1:]])}
        code = max(code, _carry_out(planned, folder, screen, facts, selected))
        if seconds_left is not None:
            seconds_left -= seconds_spent(folder)
    screen.print(f"next: losslab report {shlex.quote(str(out))}", soft_wrap=True)
    return code


def _budget_seconds(text: str | None, *, full: bool) -> float | None:
    if full:
        if text is not None:
            raise InvalidInput(
                f"--budget (={text}) and --full exclude each other; leave one out"
            )
        return None
    seconds = parse_duration(DEFAULT_BUDGET if text is None else text)
    if seconds < LEAST_SECONDS:
        raise InvalidInput(
            f"--budget (={text}) must be at least {duration(LEAST_SECONDS)}, for measuring alone"
        )
    return seconds


@app.command
def resume(
    folder: Path,
    *,
    workers: int | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    device: str | None = None,
    deterministic: Flag = False,
    quiet: Flag = False,
) -> int:
    """Go on with an interrupted study where it stopped.

    Example: losslab study resume runs/optimizers

    Args:
        folder: The study's folder, or one that holds several.
        workers: Processes that train at a time; as many as before, where there are cores for them, when absent.
            They change no bit.
        engine: Where to go on: on this machine, or on a Ray cluster that shares its folders.
        address: The Ray cluster's host:port; the one that this machine belongs to when absent.
        device: Where to train: cpu, cuda, cuda:0,1, mps, xpu or auto; where the study was begun when absent.
        deterministic: Have torch use algorithms that repeat their bits, and fail where a device has none.
        quiet: Print nothing but errors.
    """
    screen = console(quiet=quiet)
    code = 0
    for part in study_folders(folder):
        # As it was begun, where nothing is said: a GPU has not a CPU's bits.
        own_device = device or part.plan.get("device", "cpu")
        is_repeatable = deterministic or bool(part.plan.get("deterministic"))
        selected = choose_engine(
            engine, address, device=own_device, deterministic=is_repeatable
        )
        facts = {"command": part.plan.get("command")}
        planned = planned_before(part, selected, workers)
        # Who names a device, or asks for determinism, wants it from here on.
        is_explicit = device is not None or deterministic
        code |= _carry_out(planned, part, screen, facts, selected, elsewhere=is_explicit)
    screen.print(f"next: losslab report {shlex.quote(str(folder))}", soft_wrap=True)
    return code


@app.command
def status(folder: Path, *, json: Flag = False) -> None:
    """Show how far the runs of a study are; works while it runs.

    Example: losslab study status runs/optimizers

    Args:
        folder: The study's folder, or one that holds several.
        json: Print JSON.
    """
    parts = study_folders(folder)
    rows = {}
    for part in parts:
        results = read_results(part)
        rows[part.path.name] = status_rows(results)
        for file, fault in results.damaged.items():
            print(f"losslab: {file}: {fault}", file=sys.stderr)
    if json:
        print_json(rows if len(parts) > 1 else next(iter(rows.values())))
        return
    for name, own in rows.items():
        if len(parts) > 1:
            print(name)
        console().print(status_table(own))


@app.command(name="pack")
def pack_study(folder: Path, *, out: Path) -> None:
    """Copy what a study has come to into a folder small enough for a repository.

    Losses of long runs (above 5,000 steps) are thinned to means; those of range tests and all evaluations stay whole.
    Runs that have not ended are left out: `losslab study run --out` does them. `losslab report` reads the copy like any
    study, and names files that were changed since.

    Example: losslab study pack runs/adaptive-optimizers --out results/adaptive-optimizers

    Args:
        folder: The study's folder.
        out: Where the copy goes: a new folder, or an earlier copy of the same study.
    """
    left_out = pack(StudyFolder(folder), out)
    total = sum(path.stat().st_size for path in out.rglob("*.json*"))
    print(f"{out}: {size(total)}")
    if left_out:
        amounts = [f"{count(len(runs), 'run')} of {stage}" for stage, runs in left_out.items()]
        print(f"left out, as they have not ended: {', '.join(amounts)}", file=sys.stderr)


def _carry_out(
    planned: Plan,
    folder: StudyFolder,
    screen: Console,
    facts: dict[str, Any],
    engine: Engine,
    *,
    elsewhere: bool = False,
) -> int:
    """Run what is missing; return the exit code, 1 where something failed, which diverging is not."""
    try:
        show_progress(execute(planned, folder, facts, engine, elsewhere=elsewhere), screen)
    except (KeyboardInterrupt, Interrupted) as error:
        number = error.signal_number if isinstance(error, Interrupted) else signal.SIGINT
        path = shlex.quote(str(folder.path))
        again = f"interrupted; go on with the same command, or: losslab study resume {path}"
        raise Interrupted(again, number) from None
    bad = failed_runs(read_results(folder))
    screen.print(f"{len(bad)} did not end well; the report says why" if bad else "all is done")
    return int(any(result.status in FAILURES for result in bad))
