"""From the steps of a trace to the rows of a ledger: equal steps merged, each row with a name of its own."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from losslab.accounting.axes import Axes
from losslab.accounting.formulas import NOTHING, repeated, times, units
from losslab.accounting.ledger import Ledger
from losslab.accounting.operations import APART
from losslab.accounting.row import Fields, Row
from losslab.accounting.steps import Step, Trace


def ledger_of(model: str, trace: Trace, batch_size: int) -> Ledger:
    """The ledger of a trace; ``model`` is its title."""
    merged = _merged(trace.steps)
    names = _named([step for step, _ in merged])
    rows = [
        _row(name, step, count, batch_size)
        for name, (step, count) in zip(names, merged, strict=True)
    ]
    rows += [_unused(name, shape) for name, shape in trace.unused.items()]
    return Ledger(
        model=model,
        inputs=trace.inputs,
        batch_size=batch_size,
        rows=tuple(row for row in rows if not _stands_apart(row)),
        apart=tuple(row for row in rows if _stands_apart(row)),
        axes=tuple(trace.axes),
        output_shapes=tuple(shape for shape, _ in trace.outputs),
        output_fields=tuple(_fields(axes) for _, axes in trace.outputs),
        notes=tuple(trace.notes),
        dtype=trace.dtype,
    )


def _unused(name: str, shape: tuple[int, ...]) -> Row:
    numbers = times(*(shape or (1,)))  # a parameter without dimensions is one number
    return Row(
        name,
        "parameters",
        shape,
        NOTHING,
        numbers,
        status="not run",
        detail="not used in evaluation mode",
    )


def _stands_apart(row: Row) -> bool:
    return row.kind in APART and not row.parameters


def _merged(steps: Iterable[Step]) -> list[tuple[Step, int]]:
    """Equal steps within one call of a module (the time steps of a recurrent layer, say), with their count."""
    groups: list[tuple[Step, int]] = []
    latest: dict[Hashable, int] = {}
    for step in steps:
        key = (step.module, step.visit, step.work, step.shape, _fields(step.axes))
        # Parameters count in the row that uses them first.
        if key in latest and not step.parameters:
            first, count = groups[latest[key]]
            groups[latest[key]] = (first, count + 1)
        else:
            latest[key] = len(groups)
            groups.append((step, 1))
    return groups


def _fields(axes: Axes) -> Fields:
    bounded = axes.fields
    return tuple(
        (number, bounded.get(number)) for number in sorted(axes.unbounded | bounded.keys())
    )


def _row(name: str, step: Step, count: int, batch_size: int) -> Row:
    work, shape = step.work, step.shape
    in_batches = bool(shape) and shape[0] == batch_size
    sample = shape[1:] if in_batches else shape
    activations = repeated(count, units(sample, batch_size if in_batches else 1))
    return Row(
        name=name,
        kind=work.kind,
        output_shape=sample,
        # Elementwise work forms no units, even where it has parameters, such as a bias that torch adds separately.
        activations=NOTHING if work.kind in APART and step.parameters else activations,
        parameters=step.parameters,
        macs=repeated(count, work.macs),
        operations=repeated(count, work.operations),
        fields=_fields(step.axes),
        detail=work.detail,
        sizes=work.sizes,
        status="counted" if work.counted else "not counted",
    )


def _named(steps: Sequence[Step]) -> list[str]:
    """A name of its own for each step: the module's path, with what it did there where it did several things."""
    per_call = Counter((step.module, step.visit) for step in steps)
    used: Counter[str] = Counter()
    names = []
    for step in steps:
        action = (
            step.work.detail if step.work.kind in APART and step.work.detail else step.work.kind
        )
        alone = step.module and per_call[step.module, step.visit] == 1
        name = step.module if alone else ".".join(filter(None, (step.module, action)))
        used[name] += 1
        names.append(name if used[name] == 1 else f"{name}#{used[name]}")
    return names
