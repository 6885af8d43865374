"""Answers of range tests, read from the files that they were saved to."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from losslab.errors import StoreError
from losslab.files import read_json
from losslab.ranges.batch import BatchRange, Evidence
from losslab.ranges.branch import CriticalBatch
from losslab.ranges.lr import LrRange

Found = LrRange | BatchRange | CriticalBatch
# Each has a field that the others lack, which tells what a file holds.
_FOUND: TypeAdapter[Found] = TypeAdapter(Found)
_CRITICAL = TypeAdapter(CriticalBatch)


def read_range(path: str | Path) -> Found | dict[float, CriticalBatch]:
    """The answer in a file of ``found.save(path)`` or of ``losslab find ... --out``, equal to what was saved.

    Args:
        path: of the file.
    Returns:
        A LrRange, a BatchRange or a CriticalBatch; of ``losslab find batch --mode branch`` a CriticalBatch for each
        epoch from which the sizes branched, as :func:`losslab.batch_warmup` takes them.
    Raises:
        StoreError: when the file cannot be read or holds something else.
    """
    facts = read_json(Path(path))
    try:
        if "branches" not in facts:
            return _found(facts)
        return {
            float(branch["epoch"]): _CRITICAL.validate_python(branch)
            for branch in facts["branches"]
        }
    except (ValidationError, TypeError, KeyError):
        raise StoreError(
            f"{path}: holds no range; give a file that `found.save` or `losslab find --out` wrote"
        ) from None


def _found(facts: dict[str, Any]) -> Found:
    columns = facts["curve"]
    names = list(Evidence.__dataclass_fields__)
    if "b_min" in facts:
        # The file has the evidence as columns, as tables do; the value has it by batch size.
        rows = zip(*[columns[name] for name in names], strict=True)
        evidence = [dict(zip(names, row, strict=True)) for row in rows]
        facts = {**facts, "curve": {**columns, "evidence": evidence}}
    return _FOUND.validate_python(facts)
