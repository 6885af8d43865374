"""What an architecture costs: parameters, activations, operations, memory and receptive fields."""

from losslab.accounting.compare import Comparison, Group
from losslab.accounting.count import count
from losslab.accounting.formulas import Formula
from losslab.accounting.gradient_support import gradient_support
from losslab.accounting.ledger import CONVENTION, Ledger
from losslab.accounting.memory import TrainingMemory, training_memory
from losslab.accounting.receptive_field import Field, stack_receptive_field
from losslab.accounting.row import Row
from losslab.accounting.rules import rule

__all__ = [
    "CONVENTION",
    "Comparison",
    "Field",
    "Formula",
    "Group",
    "Ledger",
    "Row",
    "TrainingMemory",
    "count",
    "gradient_support",
    "rule",
    "stack_receptive_field",
    "training_memory",
]
