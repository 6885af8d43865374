"""What a study of 10,000 runs asks of the engines, the disk and the report.

Tasks a second that an engine hands out, and seconds of a run beyond its training; then a study folder of so many runs
with the records of one real run copied under new seeds: its files and bytes, and the time to resume it (which finds
everything done), to read it and to write its report.
Ray, where it is installed, runs on two nodes of this machine with a core each.
Usage: python benchmarks/scale.py [runs] [--keep]
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from kept import Found, arguments, is_there, markdown, measured_on, present, ray_nodes

from losslab import execute, report
from losslab.machine.process import environment
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


def overheads(engine: Engine) -> Found:
    """Tasks a second that an engine hands out, and the seconds of a worker for a run of one step beyond that step."""
    ends = []
    tasks = [Task(str(place), "builtins:range", (1,)) for place in range(TASKS)]
    for event in engine.run_tasks(tasks, workers=WORKERS, threads=1):
        ends += [perf_counter()] if isinstance(event, Ended) else []
    tasks_a_second = (TASKS - WORKERS) / (ends[-1] - ends[WORKERS - 1])
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
    return {"tasks_a_second": tasks_a_second, "seconds_beyond": beyond * WORKERS}


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


def large(runs: int) -> Found:
    """What a study of so many runs takes on disk, to read and to report."""
    began = perf_counter()
    plan = study("large", runs // 100, epochs=10, grid={"optimizer": OPTIMIZERS, "lr": LRS})
    seconds = {"to lay out the plan": perf_counter() - began}
    with TemporaryDirectory() as folder:
        store = StudyFolder(Path(folder))
        store.prepare()
        seconds["to write the run folders, synced"] = seconds_of(lambda: fill(store, plan))
        files = [path for path in (store.path / "runs").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        works: dict[str, Callable[[], object]] = {
            "to find that nothing is left to do": lambda: list(execute(plan, store, {})),
            "to read the results": lambda: read_results(store),
            "to write the report, reading included": lambda: report(store.path),
        }
        for name, work in works.items():
            seconds[name] = seconds_of(work)
        return {
            "runs": len(plan.stages[0].runs),
            "files_a_run": len(files) / runs,
            "bytes_a_run": size / runs,
            "study_bytes": (store.path / "study.json").stat().st_size,
            "report_bytes": (store.path / "report.html").stat().st_size,
            "seconds": seconds,
        }


def table(found: Found) -> str:
    """Two tables: of the engines, and of the folder."""
    engines = [
        (name, f"{engine['tasks_a_second']:,.0f}", f"{engine['seconds_beyond']:.2f}")
        for name, engine in found["engines"].items()
    ]
    folder = found["folder"]
    rows = [(name, f"{seconds:.1f} s") for name, seconds in folder["seconds"].items()]
    rows += [
        ("a run on disk, without checkpoints", f"{folder['bytes_a_run'] / 1e3:.1f} kB"),
        ("files of a run, without checkpoints", f"{folder['files_a_run']:.0f}"),
        ("`study.json`", f"{folder['study_bytes'] / 1e3:.0f} kB"),
        ("`report.html`", f"{folder['report_bytes'] / 1e6:.1f} MB"),
    ]  # fmt: skip
    beyond = "seconds of a worker for a run beyond its training and evaluation"
    return "\n\n".join((
        markdown(["engine", "empty tasks a second", beyond], engines),
        markdown([f"a study of {folder['runs']:,} runs", ""], rows),
        measured_on(found, "scale", f"{found['workers']} workers"),
    ))  # fmt: skip


def main() -> None:
    rest = arguments()
    engines = {"local": overheads(LOCAL)}
    whole = is_there("ray", "ray")
    if whole:
        engines["Ray, two nodes"] = overheads(choose_engine("ray", ray_nodes()))
    folder = large(int(rest[0]) if rest else 10_000)
    found = {"workers": WORKERS, "engines": engines, "folder": folder}
    present("scale", found, table, packages=["ray"] if whole else [], is_whole=whole)


if __name__ == "__main__":  # workers that are spawned import this file
    main()
