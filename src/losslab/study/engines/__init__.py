"""Where the tasks of a study run: on this machine or on a Ray cluster, on its processors or its GPUs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from losslab.devices import read_devices
from losslab.errors import InvalidInput
from losslab.study.engines import local, ray

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class Engine:
    """Where tasks run, and how many at a time.

    Attributes:
        name: as the command line writes it.
        run_tasks: :func:`losslab.study.engines.local.run_tasks`, or the same over a cluster.
        slots: how many workers of a number of threads there are cores for, or GPUs where it trains on these.
        device: where the workers train, as the command line writes it, but for `auto`, which is the device it means.
        devices: those that the workers of this machine share; on a cluster the one that each sees.
        deterministic: whether torch is asked for algorithms that repeat their bits.
    """

    name: EngineName
    run_tasks: Callable[..., Iterator[local.Event]]
    slots: Callable[[int], int]
    device: str = "cpu"
    devices: tuple[str, ...] = ("cpu",)
    deterministic: bool = False


LOCAL = Engine("local", local.run_tasks, local.slots)


def choose_engine(
    name: EngineName = "local",
    address: str | None = None,
    *,
    device: str = "cpu",
    deterministic: bool = False,
) -> Engine:
    """Get the engine of a name ready for tasks.

    Args:
        name: ``local``, or ``ray`` for a cluster.
        address: the cluster's, as ``host:port``; the one that this machine belongs to when absent.
        device: where the workers train: ``cpu``, ``cuda``, ``cuda:0,1``, ``mps``, ``xpu`` or ``auto``.
        deterministic: have torch use algorithms that repeat their bits, and fail where a device has none.
    Raises:
        InvalidInput: when there is no such cluster or device, or Ray is not installed.
    Example:
        >>> choose_engine(device="cpu").devices
        ('cpu',)
    """
    if name == "ray":
        ray.connect(address or "auto")
        own = ray.read_device(device)
        run_tasks = partial(ray.run_tasks, device=own, deterministic=deterministic)
        slots = partial(ray.slots, on_gpu=own != "cpu")
        meant = own if device == "auto" else device
        return Engine("ray", run_tasks, slots, meant, (own,), deterministic)
    if address:
        raise InvalidInput(
            f"--address (={address}) is a Ray cluster's; give --engine ray with it"
        )
    devices = read_devices(device)
    here = partial(local.run_tasks, devices=devices, deterministic=deterministic)
    slots_here = local.slots if devices == ("cpu",) else partial(_device_slots, devices)
    meant = devices[0] if device == "auto" else device
    return Engine("local", here, slots_here, meant, devices, deterministic)


def _device_slots(devices: tuple[str, ...], threads: int) -> int:
    """A worker for each device, as long as there are cores."""
    return min(len(devices), local.slots(threads))
