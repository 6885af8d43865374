"""What a run of a model was, as values: its operations in order, its outputs, and the parameters that nothing used."""

from dataclasses import dataclass, field

import torch

from losslab.accounting.axes import Axes
from losslab.accounting.formulas import Formula
from losslab.accounting.inputs import Inputs
from losslab.accounting.operations import Work


@dataclass(frozen=True)
class Step:
    """One operation that ran.

    Attributes:
        module: path of the innermost module that was running; empty for the model itself.
        visit: number of that module's call, which tells two calls of one module apart.
        work: its kind and arithmetic.
        shape: of its first result, batch included.
        parameters: arithmetic of the parameters that it was the first to use.
        axes: where the axes of the inputs are in its result, and what its units see.
    """

    module: str
    visit: int
    work: Work
    shape: tuple[int, ...]
    parameters: Formula
    axes: Axes


@dataclass
class Trace:
    """The steps of one run, its outputs as shapes and axes, and the parameters that nothing used.

    ``axes`` names the axes that are numbered in the steps: the input's name and the dimension of its sample.
    ``notes`` says what a reader must know, such as the values under which a run holds that ``read_values``; ``dtype``
    is that of the model's floats.
    """

    inputs: Inputs
    axes: list[tuple[str, int]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: list[tuple[tuple[int, ...], Axes]] = field(default_factory=list)
    unused: dict[str, tuple[int, ...]] = field(default_factory=dict)
    read_values: bool = False
    notes: list[str] = field(default_factory=list)
    dtype: torch.dtype = torch.float32
