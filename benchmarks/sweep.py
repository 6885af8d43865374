"""Wall time of a sweep of short runs on two workers: losslab, Ray Tune and Optuna, the same trainings in each.

A sweep's cost beyond its training is what is measured: total time over (sum of the runs' own times / workers), from the
first run's start to the last one's end, so that starting processes and importing torch are in the total that is also
printed, but not in the ratio. Each run trains LeNet-5 on the embedded sample of Fashion-MNIST with one thread and times
itself. The tools take turns, `REPEATS` times, and the median is printed; a tool that is not installed is left out.
Ray Tune is told to run two trials at a time on one processor each. Optuna's two jobs are threads of one process, as its
`n_jobs=2` makes them; since those share one interpreter, it is measured a second time with a pool of two processes,
which its user has to write. losslab alone writes records and status of each run.
Usage: python benchmarks/sweep.py [runs] [steps]
"""

import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

WORKERS, REPEATS = 2, 3
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
    from losslab.study.engines.local import Task, Yielded, run_tasks

    with tempfile.TemporaryDirectory() as folder:
        tasks = [
            Task(str(lr), "sweep:recorded_run", (lr, steps, Path(folder) / str(lr)))
            for lr in lrs
        ]
        events = run_tasks(tasks, workers=WORKERS, threads=1)
        return [event.value for event in events if isinstance(event, Yielded)]


def ray_tune(lrs: list[float], steps: int) -> list[Times]:
    import ray
    from ray import tune

    def trial(config: dict[str, float]) -> None:
        began, ended = one_run(config["lr"], steps)
        tune.report({"began": began, "ended": ended})

    if not ray.is_initialized():
        os.environ |= {
            "RAY_worker_niceness": "0",
            "RAY_AIR_NEW_OUTPUT": "0",
        }  # the same priority for all; quiet
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
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
    return optimize(lrs, lambda lr: one_run(lr, steps))


def optuna_and_processes(lrs: list[float], steps: int) -> list[Times]:
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        return optimize(lrs, lambda lr: pool.submit(one_run, lr, steps).result())


def optimize(lrs: list[float], timed: Callable[[float], Times]) -> list[Times]:
    import optuna as package

    package.logging.set_verbosity(package.logging.WARNING)
    study = package.create_study(sampler=package.samplers.GridSampler({"lr": lrs}))

    def objective(trial: Any) -> float:
        trial.set_user_attr("times", timed(trial.suggest_float("lr", LOW, HIGH)))
        return 0.0

    study.optimize(objective, n_trials=len(lrs), n_jobs=WORKERS)
    return [trial.user_attrs["times"] for trial in study.trials]


TOOLS: dict[str, tuple[str, Callable[[list[float], int], list[Times]]]] = {
    "losslab": ("losslab", losslab),
    "Ray Tune": ("ray.tune", ray_tune),
    "Optuna, 2 jobs": ("optuna", optuna),
    "Optuna, pool": ("optuna", optuna_and_processes),
}
"""Name -> module and how it runs the sweep."""


def is_installed(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 600
    lrs = [LOW * (HIGH / LOW) ** (place / (runs - 1)) for place in range(runs)]
    installed = {name: run for name, (package, run) in TOOLS.items() if is_installed(package)}
    for name in TOOLS.keys() - installed.keys():
        print(f"{name}: not installed (pip install 'ray[tune]' optuna); left out")
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in installed}
    for _ in range(REPEATS):
        for name, run in installed.items():
            began = time.monotonic()
            times = run(lrs, steps)
            total = time.monotonic() - began
            assert len(times) == runs
            each = sum(end - start for start, end in times)
            swept = max(end for _, end in times) - min(start for start, _ in times)
            measured[name].append((swept / (each / WORKERS), total, each / runs))
    ours = [total for _, total, _ in measured["losslab"]]
    for name, rows in measured.items():
        ratios, totals, means = zip(*rows, strict=True)
        against = median(total / our for total, our in zip(totals, ours, strict=True))
        spread = f"{median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})"
        print(
            f"{name:15} sweep / (sum of runs / {WORKERS}): {spread}   a run: {median(means):.2f} s"
        )
        print(
            f"{'':15} in all, start-up too: {median(totals):.1f} s, {against:.2f} times losslab's"
        )
    import torch

    print(
        f"torch {torch.__version__}, {runs} runs of {steps} steps, {WORKERS} workers of 1 thread, {REPEATS} repeats"
    )


if __name__ == "__main__":
    main()
