"""Wall time of a sweep of short runs on two workers: locally, on a Ray cluster, and by other tools.

A sweep's cost beyond its training is what is measured: total time over (sum of the runs' own times / workers), from the
first run's start to the last one's end, so that starting processes and importing torch are in the total that is also
printed, but not in the ratio. Each run trains LeNet-5 on the embedded sample of Fashion-MNIST with one thread and times
itself. The tools take turns, `REPEATS` times. The Ray cluster is two nodes of this machine, with a core each.
With `--peers` Ray Tune, on the same cluster, and Optuna make the same trainings, which takes three times as long: Ray
Tune starts a process for each run. Optuna's two jobs are threads of one process; since these share one interpreter,
each hands its run to a pool of two processes, which Optuna's user has to write. losslab alone writes records and
status of each run. Usage: python benchmarks/sweep.py [runs] [steps] [--peers] [--keep]
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from kept import Found, arguments, is_there, markdown, measured_on, present, ray_nodes

WORKERS, REPEATS = 2, 5
LOW, HIGH = 1e-4, 1e-2
Times = tuple[float, float]
"""When a run began and ended, by a clock that all processes share."""


def spec(lr: float, steps: int) -> Any:
    from losslab.spec import make_run

    fields = {
        "data": "fashion-mnist-sample",
        "model": "lenet5",
        "optimizer": "adam",
        "batch": 64,
        "test": False,
    }
    return make_run({**fields, "lr": lr, "steps": steps, "evaluate": "end"})


def one_run(lr: float, steps: int) -> Times:
    """One training without records, as the other tools run it."""
    import torch

    from losslab.training.loop import train

    torch.set_num_threads(1)
    began = time.monotonic()
    for _ in train(spec(lr, steps)):
        pass
    return began, time.monotonic()


def recorded_run(lr: float, steps: int, folder: Path) -> Iterator[Times]:
    """One training with all that a study keeps of it."""
    from losslab.study.store import RunFolder
    from losslab.study.worker import run_in_folder

    began = time.monotonic()
    for _ in run_in_folder(spec(lr, steps), RunFolder(folder)):
        pass
    yield began, time.monotonic()


def losslab(lrs: list[float], steps: int) -> list[Times]:
    from losslab.study.engines import LOCAL

    return recorded_sweep(LOCAL, lrs, steps)


def losslab_on_ray(lrs: list[float], steps: int) -> list[Times]:
    return recorded_sweep(engine_on_ray(), lrs, steps)


@cache
def engine_on_ray() -> Any:
    from losslab.study.engines import choose_engine

    return choose_engine("ray", ray_nodes())


def recorded_sweep(engine: Any, lrs: list[float], steps: int) -> list[Times]:
    from losslab.study.engines.local import Task, Yielded

    with tempfile.TemporaryDirectory() as folder:
        tasks = [
            Task(str(lr), "sweep:recorded_run", (lr, steps, Path(folder) / str(lr)))
            for lr in lrs
        ]
        events = engine.run_tasks(tasks, workers=WORKERS, threads=1)
        return [event.value for event in events if isinstance(event, Yielded)]


def ray_tune(lrs: list[float], steps: int) -> list[Times]:
    from ray import tune

    def trial(config: dict[str, float]) -> None:
        began, ended = one_run(config["lr"], steps)
        tune.report({"began": began, "ended": ended})

    engine_on_ray()
    os.environ |= {"RAY_AIR_NEW_OUTPUT": "0"}  # quiet
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"lr": tune.grid_search(lrs)},
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        grid = tuner.fit()
        ended = [grid[index].metrics for index in range(len(grid))]
        return [(metrics["began"], metrics["ended"]) for metrics in ended]


def optuna(lrs: list[float], steps: int) -> list[Times]:
    import optuna as package

    package.logging.set_verbosity(package.logging.WARNING)
    study = package.create_study(sampler=package.samplers.GridSampler({"lr": lrs}))

    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:

        def objective(trial: Any) -> float:
            run = pool.submit(one_run, trial.suggest_float("lr", LOW, HIGH), steps)
            trial.set_user_attr("times", run.result())
            return 0.0

        study.optimize(objective, n_trials=len(lrs), n_jobs=WORKERS)
    return [trial.user_attrs["times"] for trial in study.trials]


Tools = dict[str, tuple[str, Callable[[list[float], int], list[Times]]]]
TOOLS: Tools = {
    "losslab": ("losslab", losslab),
    "losslab on Ray": ("ray", losslab_on_ray),
}
"""Name -> module and how it runs the sweep."""
PEERS: Tools = {
    "Ray Tune": ("ray.tune", ray_tune),
    "Optuna, a pool of processes": ("optuna", optuna),
}


def measure(runs: int, steps: int, wanted: Tools) -> Found:
    """Seconds of each sweep: with start-up, from its first run to its last, and of a run (mean)."""
    lrs = [LOW * (HIGH / LOW) ** (place / (runs - 1)) for place in range(runs)]
    tools: Found = {
        name: {"total": [], "swept": [], "run": []}
        for name, (module, _) in wanted.items()
        if is_there(module, "'ray[tune]' optuna")
    }
    for _ in range(REPEATS):
        for name, seconds in tools.items():
            began = time.monotonic()
            times = wanted[name][1](lrs, steps)
            seconds["total"].append(time.monotonic() - began)
            assert len(times) == runs
            seconds["swept"].append(
                max(end for _, end in times) - min(start for start, _ in times)
            )
            seconds["run"].append(sum(end - start for start, end in times) / runs)
    return {"runs": runs, "steps": steps, "workers": WORKERS, "tools": tools}


def table(found: Found) -> str:
    """A row for each tool: its time over that of its runs alone, and over losslab's."""
    ours = found["tools"]["losslab"]["total"]
    rows = []
    for name, seconds in found["tools"].items():
        ideal = [found["runs"] * each / found["workers"] for each in seconds["run"]]
        ratios = [swept / best for swept, best in zip(seconds["swept"], ideal, strict=True)]
        against = median(total / our for total, our in zip(seconds["total"], ours, strict=True))
        rows.append((
            name,
            f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
            f"{median(seconds['run']):.1f} s",
            f"{median(seconds['total']):.0f} s",
            f"{against:.2f}",
        ))  # fmt: skip
    headings = [
        "tool",
        f"sweep / (sum of runs / {found['workers']})",
        "a run",
        "in all",
        "times losslab's",
    ]
    sizes = f"{found['runs']} runs of {found['steps']} steps"
    how = f"{sizes}, {found['workers']} workers of one thread, medians of {len(ours)} repeats"
    return f"{markdown(headings, rows)}\n\n{measured_on(found, 'sweep', how)}"


def main() -> None:
    rest = arguments()
    wanted = TOOLS
    if "--peers" in rest:
        rest.remove("--peers")
        wanted = TOOLS | PEERS
    runs = int(rest[0]) if rest else 24
    steps = int(rest[1]) if len(rest) > 1 else 250
    found = measure(runs, steps, wanted)
    whole = len(found["tools"]) == len(wanted)
    packages = ["ray", "optuna"] if wanted is not TOOLS else ["ray"]
    present("sweep", found, table, packages=packages if whole else [], is_whole=whole)


if __name__ == "__main__":
    main()
