"""What an architecture costs: parameters, activations, operations, memory and receptive fields."""

from losslab.accounting.compare import Comparison, Group, compare
from losslab.accounting.count import count
from losslab.accounting.formulas import Formula
from losslab.accounting.gradient_support import gradient_support
from losslab.accounting.ledger import CONVENTION, Ledger, Row
from losslab.accounting.memory import OPTIMIZERS, TrainingMemory, training_memory
from losslab.accounting.receptive_field import Field, stack_receptive_field
from losslab.accounting.render import apart_table, as_json, as_table, comparison_table, memory_table
from losslab.accounting.table import Table

__all__ = [
    "CONVENTION",
    "OPTIMIZERS",
    "Comparison",
    "Field",
    "Formula",
    "Group",
    "Ledger",
    "Row",
    "Table",
    "TrainingMemory",
    "apart_table",
    "as_json",
    "as_table",
    "compare",
    "comparison_table",
    "count",
    "gradient_support",
    "memory_table",
    "stack_receptive_field",
    "training_memory",
]
