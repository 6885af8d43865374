"""``losslab count``: what a network costs, with the arithmetic shown."""

import json as json_text
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from losslab.cli.options import Flag
from losslab.errors import InvalidInput

if TYPE_CHECKING:
    from losslab.accounting import Table

Format = Literal["table", "markdown", "latex", "csv", "json"]


def count(
    model: str,
    *,
    input: Annotated[list[str] | None, Parameter(negative=())] = None,
    bias: bool = True,
    show_work: Flag = False,
    training: Flag = False,
    optimizer: str = "sgd",
    batch_size: int = 1,
    format: Format = "table",
    compare: str | None = None,
    json: Flag = False,
) -> None:
    """Count parameters, activations, multiply-accumulates and receptive fields of a network, row by row.

    Args:
        model: Built-in name, `package.module:factory`, `torchvision/NAME`, `timm/NAME`; options: "mlp(hidden=[9])".
        input: Shape of a sample: 3x224x224, or 128:int64 for integers; once per input, NAME=SHAPE for keywords.
        bias: Count biases as parameters.
        show_work: Print the arithmetic of every number.
        training: Add the memory of a training step.
        optimizer: Whose state that memory holds: sgd, sgd-momentum, adagrad, rmsprop, adadelta, adam, adamw.
        batch_size: Samples in the batch that everything is counted for.
        format: table, markdown, latex, csv or json.
        compare: Another model, to be put beside the first.
        json: The same as --format json.
    """
    from losslab import accounting

    shape = _input_shape(input) if input else None
    ledger, *others = (
        accounting.count(name, shape, batch_size=batch_size, include_bias=bias)
        for name in ((model, compare) if compare else (model,))
    )
    memory = None
    if training:
        memory = accounting.training_memory(model, shape, batch_size=batch_size, optimizer=optimizer)
    comparison = accounting.compare(ledger, others[0]) if others else None
    if json or format == "json":
        print(json_text.dumps(accounting.as_json(ledger, memory=memory, comparison=comparison)))
        return
    tables = [accounting.as_table(one, show_work=show_work) for one in (ledger, *others)]
    tables += [accounting.apart_table(ledger)] * bool(show_work and ledger.apart)
    tables += [accounting.memory_table(memory)] if memory else []
    tables += [accounting.comparison_table(comparison)] if comparison else []
    for table in tables:
        _print(table, format)


def _input_shape(texts: list[str]) -> Any:
    """One shape, a list of shapes, or a dictionary of them where each has a name."""
    named = [text.partition("=") for text in texts]
    if all(sign for _, sign, _ in named):
        return {name: shape for name, _, shape in named}
    if any(sign for _, sign, _ in named):
        raise InvalidInput(f"`--input` (={' '.join(texts)}) must name all inputs or none")
    return texts[0] if len(texts) == 1 else texts


def _print(table: "Table", form: Format) -> None:
    if form != "table":
        text = {"markdown": table.markdown, "latex": table.latex, "csv": table.csv}[form]()
        print(text, end="\n\n")
        return
    shown = RichTable(title=escape(table.title), box=SIMPLE)
    for heading in table.headings:
        shown.add_column(escape(heading), justify="right" if table.is_number(heading) else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(escape, row))
    wide = None if sys.stdout.isatty() else 1000
    Console(width=wide).print(shown)
