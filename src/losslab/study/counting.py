"""What is done with one network to count: its ledger, and what else is wanted of it, into one file."""

from pathlib import Path
from typing import Any

from losslab.accounting import Comparison, count, gradient_support, training_memory
from losslab.files import write_json
from losslab.process import environment
from losslab.spec import Count


def count_into(asked: Count, path: Path) -> dict[str, Any]:
    """Write the ledger of a network and return it.

    Raises:
        InvalidInput: when the network cannot be built or run; nothing is written then.
    """
    ledger = ledger_of(asked)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"count": asked.model_dump(mode="json"), "environment": environment(), "ledger": ledger})
    return ledger


def ledger_of(asked: Count) -> dict[str, Any]:
    """The object that ``losslab count --json`` prints, and ``gradient_support`` where it is wanted."""
    name, shape = str(asked.model), asked.input_shape
    sizes: dict[str, Any] = {"batch_size": asked.batch_size}
    ledger = count(name, shape, include_bias=asked.include_bias, **sizes)
    facts = ledger.to_dict()
    if asked.optimizer:
        facts["memory"] = training_memory(name, shape, optimizer=asked.optimizer, **sizes).to_dict()
    if asked.compare:
        other = count(str(asked.compare), shape, include_bias=asked.include_bias, **sizes)
        facts["compare"] = Comparison(ledger, other).to_dict()
    if asked.gradient_support:
        facts["gradient_support"] = gradient_support(name, shape)
    return facts
