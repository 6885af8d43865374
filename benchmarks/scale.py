"""What a study of 10,000 runs asks of the engines, the disk and the report.

Tasks a second that an engine hands out, and seconds of a run beyond its training; then a study folder of so many runs
with the records of one real run copied under new seeds: its files and bytes, and the time to resume it (which finds
everything done), to read it and to write its report.
Usage: python benchmarks/scale.py [runs] [address of a Ray cluster]
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from losslab import execute, report
from losslab.machine.process import environment, processor
from losslab.spec import Study
from losslab.study.costs import Cost, kind_of_run
from losslab.study.engines import LOCAL, Engine, choose_engine
from losslab.study.engines.local import Ended, Task
from losslab.study.events import RunEnded
from losslab.study.plan import Plan, plan_at
from losslab.study.results import read_results
from losslab.study.stages import FULL, expand
from losslab.study.store import StudyFolder
from losslab.training.loop import train

TASKS, TINY_RUNS, WORKERS = 2000, 40, 2
BASE = {"data": "fashion-mnist-sample", "model": "mlp(hidden=[32])", "batch": 64}
OPTIMIZERS = ["adagrad", "rmsprop", "adadelta", "adam", "sgd(momentum=0.9)"]
LRS = [1e-4 * 1.5**place for place in range(20)]


def study(name: str, seeds: int, **fields: Any) -> Plan:
    """A study of one stage, laid out without measuring."""
    grid = fields.pop("grid")
    stage = {"name": "only", "seeds": seeds, "base": BASE | fields, "grid": [grid]}
    made = Study.model_validate({"name": name, "title": name, "stages": [stage]})
    costs = {
        kind_of_run(run): Cost(((64, 1e-3),), 1e-5, 0.1, 10**8)
        for run in expand(made.stages[0])
    }
    return plan_at(made, FULL, costs, WORKERS, 1)


def seconds_of(function: Callable[[], object]) -> float:
    began = perf_counter()
    function()
    return perf_counter() - began


def overheads(engine: Engine) -> None:
    """Print what an engine takes for handing out tasks, and for runs of one step."""
    ends = []
    tasks = [Task(str(place), "builtins:range", (1,)) for place in range(TASKS)]
    for event in engine.run_tasks(tasks, workers=WORKERS, threads=1):
        ends += [perf_counter()] if isinstance(event, Ended) else []
    print(
        f"{engine.name:6} {(TASKS - WORKERS) / (ends[-1] - ends[WORKERS - 1]):8.0f} empty tasks/s"
    )
    tiny = study("tiny", TINY_RUNS, steps=1, test=False, grid={"optimizer": "adam", "lr": 1e-3})
    with TemporaryDirectory() as folder:
        store = StudyFolder(Path(folder))
        store.prepare()
        ends = [
            perf_counter()
            for event in execute(tiny, store, {}, engine)
            if isinstance(event, RunEnded)
        ]
        finals = [result.final for result in read_results(store).stages["only"]][WORKERS:]
    worked = (
        sum(final.train_seconds + final.eval_seconds for final in finals if final) / WORKERS
    )
    beyond = (ends[-1] - ends[WORKERS - 1] - worked) / len(finals)
    print(
        f"{engine.name:6} {beyond * WORKERS:8.3f} s of a worker for a run beyond its training and evaluation"
    )


def fill(store: StudyFolder, plan: Plan) -> None:
    """Run folders with the records of the first run in all of them."""
    runs = plan.stages[0].runs
    records, made_with = list(train(runs[0])), environment()
    for run in runs:
        folder = store.run_folder(run.id)
        folder.create(run, made_with)
        with folder.appending() as writer:
            for record in records:
                writer.append(record)
        folder.set_status("done", step=records[-1].step)


def large(runs: int) -> None:
    """Print what a study of so many runs takes on disk, to read and to report."""
    began = perf_counter()
    plan = study("large", runs // 100, epochs=10, grid={"optimizer": OPTIMIZERS, "lr": LRS})
    print(f"{len(plan.stages[0].runs):,} runs; {perf_counter() - began:.1f} s to lay out")
    with TemporaryDirectory() as folder:
        store = StudyFolder(Path(folder))
        store.prepare()
        print(f"{seconds_of(lambda: fill(store, plan)):8.1f} s to write the run folders")
        files = [path for path in (store.path / "runs").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        print(
            f"{len(files) / runs:8.1f} files and {size / runs:,.0f} bytes a run, checkpoints aside"
        )
        print(
            f"{seconds_of(lambda: list(execute(plan, store, {}))):8.1f} s to find that nothing is left to do"
        )
        print(f"{(store.path / 'study.json').stat().st_size:8,} bytes of study.json")
        print(f"{seconds_of(lambda: read_results(store)):8.1f} s to read the results")
        print(f"{seconds_of(lambda: report(store.path)):8.1f} s to write the report")
        print(f"{(store.path / 'report.html').stat().st_size / 1e6:8.1f} MB of report.html")


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    engines = [LOCAL, *(choose_engine("ray", address) for address in sys.argv[2:])]
    print(f"{processor()}, {environment()['cores']} cores, {WORKERS} workers")
    for engine in engines:
        overheads(engine)
    large(runs)


if __name__ == "__main__":  # workers that are spawned import this file
    main()
