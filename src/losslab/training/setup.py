"""How a run is carried out, which is no part of what it is: its records agree, whatever it is, to rounding."""

from dataclasses import dataclass

from losslab.spec import Layout


@dataclass(frozen=True)
class Setup:
    """How a run is carried out.

    Attributes:
        device: where to train.
        layout: of images and weights in memory; the usual one of the network when None.
        compile_step: whether to compile the optimizer's step.
        data_workers: processes that read samples of a map-style dataset; they change no record.
    """

    device: str = "cpu"
    layout: Layout | None = None
    compile_step: bool = False
    data_workers: int = 0
