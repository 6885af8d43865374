"""Where the tasks of a study run: on this machine or on a Ray cluster."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from losslab.errors import InvalidInput
from losslab.study.engines import local, ray

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class Engine:
    """Where tasks run, and how many at a time.

    Attributes:
        name: as the command line writes it.
        run_tasks: :func:`losslab.study.engines.local.run_tasks`, or the same over a cluster.
        slots: how many workers of a number of threads there are cores for.
    """

    name: EngineName
    run_tasks: Callable[..., Iterator[local.Event]]
    slots: Callable[[int], int]


LOCAL = Engine("local", local.run_tasks, local.slots)


def choose_engine(name: EngineName, address: str | None = None) -> Engine:
    """Get the engine of a name ready for tasks.

    Args:
        name: ``local``, or ``ray`` for a cluster.
        address: the cluster's, as ``host:port``; the one that this machine belongs to when absent.
    Raises:
        InvalidInput: when there is no such cluster, or Ray is not installed.
    """
    if name == "ray":
        ray.connect(address or "auto")
        return Engine("ray", ray.run_tasks, ray.slots)
    if address:
        raise InvalidInput(
            f"--address (={address}) is a Ray cluster's; give --engine ray with it"
        )
    return LOCAL
