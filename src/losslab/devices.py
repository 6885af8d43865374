"""Where arithmetic is done: what a text such as `cuda:0,1` names, and whether this machine has it."""

import os
import re
from typing import TYPE_CHECKING

from losslab.errors import InvalidInput

if TYPE_CHECKING:
    import torch

_FORM = re.compile(r"cpu|mps|auto|(cuda|xpu)(:\d+(,\d+)*)?")


def devices_here() -> list[str]:
    """The devices of this machine, the fastest kind first and the CPU last.

    Example:
        >>> devices_here()[-1]
        'cpu'
    """
    import torch

    devices = []
    for kind in ("cuda", "xpu"):
        module = getattr(torch, kind)
        if module.is_available():
            devices += [f"{kind}:{index}" for index in range(module.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def check_form(text: str) -> None:
    """Raise InvalidInput for a text that names no device on any machine."""
    if not _FORM.fullmatch(text):
        raise InvalidInput(
            f"--device (={text}) must be cpu, cuda, cuda:1, cuda:0,1, mps, xpu or auto"
        )


def read_devices(text: str) -> tuple[str, ...]:
    """The devices that a text names: ``auto`` is the fastest kind here, ``cuda:0,1`` are two.

    Args:
        text: such as ``cpu``, ``cuda``, ``cuda:1``, ``cuda:0,1``, ``mps``, ``xpu``, ``auto``.
    Raises:
        InvalidInput: when it names none, or one that this machine has not.
    Example:
        >>> read_devices("cpu")
        ('cpu',)
    """
    check_form(text)
    if text == "cpu":  # without torch, which takes seconds to import
        return ("cpu",)
    here = devices_here()
    kind, _, numbers = text.partition(":")
    if kind == "auto":
        return (here[0].partition(":")[0],)
    devices = [f"{kind}:{int(number)}" for number in numbers.split(",")] if numbers else [kind]
    known = {*here, *(device.partition(":")[0] for device in here)}
    for device in devices:
        if device not in known:
            raise InvalidInput(
                f"--device (={text}): this machine has no {device}; it has {', '.join(here)}"
            )
    return tuple(dict.fromkeys(devices))


def read_device(text: str) -> str:
    """The one device that a text names, for a single run.

    Raises:
        InvalidInput: also when it names several.
    """
    devices = read_devices(text)
    if len(devices) > 1:
        raise InvalidInput(
            f"--device (={text}): a run trains on one device; name one of {', '.join(devices)}, "
            "or start a process for each with torchrun"
        )
    return devices[0]


def sent(tensor: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """A tensor of the CPU on a device, without waiting for either."""
    if device.type != "cuda":
        return tensor.to(device)
    # A copy from memory that the system may move waits for the device; from pinned memory it is queued.
    return tensor.pin_memory().to(device, non_blocking=True)


def ask_for_determinism() -> None:
    """Have torch use algorithms that repeat their bits in this process, and raise where there is none."""
    import torch

    # CUDA's own products of matrices repeat their bits only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def device_facts(device: str) -> dict[str, object]:
    """What run.json says of where a run is trained, as plain values; the GPU's name where there is one.

    Example:
        >>> device_facts("cpu")
        {'device': 'cpu', 'deterministic': False}
    """
    import torch

    facts: dict[str, object] = {
        "device": device,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts
