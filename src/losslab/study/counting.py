"""Count one network of a study: its ledger, and what else its spec wants, into one file."""

from pathlib import Path
from typing import Any

from losslab.accounting import Comparison, count, gradient_support, training_memory
from losslab.files import write_json
from losslab.machine.process import environment
from losslab.spec import Count


def count_into(spec: Count, path: Path) -> dict[str, Any]:
    """Write the ledger of a network and return it.

    Raises:
        InvalidInput: when the network cannot be built or run; nothing is written then.
    """
    # Counted before anything is written, so that a network that fails leaves no file that reads as counted.
    ledger = ledger_of(spec)
    path.parent.mkdir(exist_ok=True)
    write_json(
        path,
        {"count": spec.model_dump(mode="json"), "environment": environment(), "ledger": ledger},
    )
    return ledger


def ledger_of(spec: Count) -> dict[str, Any]:
    """The object that ``losslab count --json`` prints, and ``gradient_support`` where it is wanted."""
    name, shape = str(spec.model), spec.input_shape
    sizes: dict[str, Any] = {"batch_size": spec.batch_size}
    ledger = count(name, shape, include_bias=spec.include_bias, **sizes)
    facts = ledger.to_dict()
    if spec.optimizer:
        facts["memory"] = training_memory(
            name, shape, optimizer=spec.optimizer, **sizes
        ).to_dict()
    if spec.compare:
        other = count(str(spec.compare), shape, include_bias=spec.include_bias, **sizes)
        facts["compare"] = Comparison(ledger, other).to_dict()
    if spec.gradient_support:
        facts["gradient_support"] = gradient_support(name, shape)
    return facts
