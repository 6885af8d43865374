"""Records as TensorBoard event files; needs the extra ``tensorboard``, but not torch."""

from collections.abc import Mapping
from pathlib import Path

from losslab.integrations.scalars import scalars
from losslab.study.results import RunResult


def export(study: str, runs: Mapping[str, RunResult], out: Path) -> None:
    """Write each run's numbers into a folder of its own within OUT/STUDY.

    TensorBoard's relative time is the run's training time.

    Args:
        study: name of the study.
        runs: name -> run.
        out: the folder for ``tensorboard --logdir``; created when absent.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for name, result in runs.items():
        writer = EventFileWriter(str(out / study / name.replace("/", "-")))
        for scalar in scalars(result):
            value = Summary.Value(tag=scalar.name, simple_value=scalar.value)
            writer.add_event(
                Event(
                    wall_time=scalar.seconds, step=scalar.step, summary=Summary(value=[value])
                )
            )
        writer.close()
