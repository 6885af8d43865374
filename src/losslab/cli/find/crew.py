"""Who trains the runs of a range test: this process, or workers side by side."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from losslab.devices import ask_for_determinism
from losslab.errors import InvalidInput, LosslabError
from losslab.ranges import Trace
from losslab.ranges.progress import Progress
from losslab.spec import Run
from losslab.study.engines.local import Ended, Task, Yielded, run_tasks
from losslab.study.sizes import load, training_images
from losslab.training.timeline import Timeline

Event = tuple[int, int | Trace | InvalidInput]
"""Index of a run, and the samples that it has been trained on, its trace, or why it cannot be trained."""


@dataclass(frozen=True)
class Crew:
    """How runs are trained; what they come to, to the bit, does not depend on the number of workers.

    Attributes:
        workers: processes that train a run each; with one it is this process.
        threads: torch threads of each. When None each has as many as torch takes in a process alone, since the bits of
            a sum depend on its threads.
        device: where each trains.
        deterministic: whether torch is asked for algorithms that repeat their bits.
    """

    workers: int
    threads: int | None
    device: str
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidInput(f"--workers (={self.workers}) must be at least 1")

    def traces(
        self, runs: Sequence[Run], progress: Progress, noise_batch: int | None = None
    ) -> list[Trace]:
        """Train runs and return their traces in the same order; the progress counts samples.

        Raises:
            LosslabError: of the first run that cannot be trained; the others are stopped.
        """
        trained = dict.fromkeys(range(len(runs)), 0)
        traces: dict[int, Trace] = {}
        train = self._here if self.workers == 1 else self._side_by_side
        with closing(train(runs, noise_batch)) as events:
            for index, value in events:
                if isinstance(value, InvalidInput):
                    raise value
                if isinstance(value, Trace):
                    traces[index] = value
                    # One that diverged did not need all of its samples.
                    progress.total -= samples_of(runs[index]) - trained[index]
                    continue
                progress.label = f"{len(traces)} of {len(runs)} trainings"
                progress.advance(value - trained[index])
                trained[index] = value
        return [traces[index] for index in range(len(runs))]

    def prepare_process(self) -> None:
        """Have this process train as a worker does: so many threads, memory kept, bits repeatable where asked."""
        # Imported late: a fault in the options is known before torch has loaded, which takes seconds.
        from losslab.machine.memory import tune_memory

        tune_memory()
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.deterministic:
            ask_for_determinism()

    def _here(
        self, runs: Sequence[Run], noise_batch: int | None
    ) -> Generator[Event, None, None]:
        self.prepare_process()
        from losslab.ranges.run_traces import train_trace

        for index, run in enumerate(runs):
            dataset = load(run.data.name)
            for value in train_trace(run, dataset, device=self.device, noise_batch=noise_batch):
                yield index, value

    def _side_by_side(
        self, runs: Sequence[Run], noise_batch: int | None
    ) -> Generator[Event, None, None]:
        tasks = [
            Task(str(index), f"{__name__}:train_in_worker", (run, noise_batch))
            for index, run in enumerate(runs)
        ]
        events = run_tasks(
            tasks,
            workers=self.workers,
            threads=self.threads,
            devices=(self.device,),
            deterministic=self.deterministic,
        )
        with closing(events):  # type: ignore[type-var]
            for event in events:
                if isinstance(event, Yielded):
                    yield int(event.key), event.value
                elif isinstance(event, Ended) and event.error is not None:
                    raise LosslabError(event.error)


def train_in_worker(
    run: Run, noise_batch: int | None, device: str = "cpu"
) -> Iterator[int | Trace | InvalidInput]:
    """As `train_trace`; what is wrong with a run is yielded, since the engine hands on the text of errors alone."""
    from losslab.ranges.run_traces import train_trace

    try:
        yield from train_trace(run, load(run.data.name), device=device, noise_batch=noise_batch)
    except InvalidInput as error:
        yield error


def by_seeds(traces: Sequence[Trace], seeds: int) -> list[list[Trace]]:
    """Group traces that follow each other: those of the seeds of the first setting, then of the next."""
    return [list(traces[first : first + seeds]) for first in range(0, len(traces), seeds)]


def samples_of(run: Run) -> int:
    """How many samples a run trains on, where it does not diverge."""
    return Timeline(run, training_images(run)).seen[-1]
