"""The specs: a Run is one training, a Study is stages of runs. TOML in, every fault reported at once.

Nothing here imports torch, so that a wrong spec is refused in a moment.
"""

from losslab.spec.faults import faults
from losslab.spec.run import CROSS_ENTROPY, Data, Layout, Precision, Run, as_data, make_run
from losslab.spec.study import (
    ALSO_COUNTED,
    RANGES,
    Count,
    Floor,
    Rung,
    Stage,
    Study,
    read_study,
)

__all__ = [
    "ALSO_COUNTED",
    "CROSS_ENTROPY",
    "RANGES",
    "Count",
    "Data",
    "Floor",
    "Layout",
    "Precision",
    "Run",
    "Rung",
    "Stage",
    "Study",
    "as_data",
    "faults",
    "make_run",
    "read_study",
]
