"""What an architecture costs: parameters, activations, operations, memory and receptive fields."""

from losslab.accounting.count import count
from losslab.accounting.formulas import Formula
from losslab.accounting.ledger import Ledger, Row
from losslab.accounting.receptive_field import Field, stack_receptive_field

__all__ = ["Field", "Formula", "Ledger", "Row", "count", "stack_receptive_field"]
