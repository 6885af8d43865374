"""``losslab count``: what a network costs, with the arithmetic shown."""

import json as json_text
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from losslab.cli.options import Flag, console
from losslab.errors import InvalidInput
from losslab.spec import Precision

if TYPE_CHECKING:
    from losslab.accounting import Ledger
    from losslab.tables import Table

Format = Literal["table", "markdown", "latex", "csv", "json"]


def count(
    model: str,
    *,
    input: Annotated[list[str] | None, Parameter(negative=())] = None,
    bias: bool = True,
    show_work: Flag = False,
    unfold: Flag = False,
    depth: int | None = None,
    training: Flag = False,
    optimizer: str | None = None,
    precision: Precision | None = None,
    device: Literal["cpu", "cuda"] | None = None,
    batch_size: int = 1,
    format: Format = "table",
    compare: str | None = None,
    json: Flag = False,
) -> None:
    """Count parameters, activations, multiply-accumulates and receptive fields of a network, row by row.

    Args:
        model: Built-in name, `torchvision/NAME`, `timm/NAME`, `net:Net` of net.py here, `package.module:factory`;
            options: "mlp(hidden=[9])".
        input: Shape of a sample: 3x224x224, 128:int64 for integers, "" for one number a sample; once per input, or
            NAME=SHAPE for keywords, which take other values, too (cache=False); none for parameters alone.
        bias: Count biases as parameters.
        show_work: Print the arithmetic of every number, in a terminal on lines of its own below its layer.
        unfold: Print each row in a terminal, where a network of many rows has its equal blocks in one, `x 32`.
        depth: One line for each module of this depth: 2 for `encoder.layers`.
        training: Add what a training step takes: memory, forward and backward MACs, trainable parameters.
        optimizer: Whose state that memory holds, as for `losslab train`: nadam, "sgd(momentum=0.9)"; also sgd-momentum;
            sgd when absent.
        precision: Of the products in that step, as under torch.autocast; fp32 when absent.
        device: Whose fused attention and LSTM that step uses; cpu when absent.
        batch_size: Samples in the batch that everything is counted for.
        format: table, markdown, latex, csv or json.
        compare: Another model, to be put beside the first.
        json: The same as --format json.
    """
    from losslab import accounting

    if depth is not None and depth < 1:
        raise InvalidInput(
            f"`depth` (={depth}) must be at least 1: 1 is a line for each part of the network"
        )
    step = {"optimizer": optimizer, "precision": precision, "device": device}
    options: dict[str, Any] = {name: value for name, value in step.items() if value is not None}
    if options and not training:
        name, value = next(iter(options.items()))
        raise InvalidInput(
            f"--{name} (={value}) is for --training alone; add it, or leave this out"
        )
    if json and format not in ("table", "json"):
        raise InvalidInput(f"--json and --format (={format}) contradict; leave one out")
    shape = _input_shape(input) if input else None
    sizes: dict[str, Any] = {"batch_size": batch_size}
    ledger = accounting.count(model, shape, include_bias=bias, **sizes)
    facts = ledger.to_dict()
    other = accounting.count(compare, shape, include_bias=bias, **sizes) if compare else None
    tables = [
        _rows(network, format, show_work=show_work, unfold=unfold, depth=depth)
        for network in filter(None, (ledger, other))
    ]
    if show_work and ledger.apart:
        fold = _folds(ledger, format, unfold=unfold)
        tables.append(ledger.apart_table(fold=fold, depth=depth))
    if training:
        memory = accounting.training_memory(model, shape, **options, **sizes)
        facts["memory"] = memory.to_dict()
        tables.append(memory.table())
    if other:
        comparison = accounting.Comparison(ledger, other)
        facts["compare"] = comparison.to_dict()
        tables.append(comparison.table())
    if json or format == "json":
        print(json_text.dumps(facts))
        return
    for table in tables:
        _print(table, format)


def _rows(
    ledger: "Ledger", form: Format, *, show_work: bool, unfold: bool, depth: int | None
) -> "Table":
    """The rows as a terminal has room for them, or all of them for a file."""
    if form != "table":
        return ledger.table(show_work=show_work, depth=depth)
    fold = _folds(ledger, form, unfold=unfold)
    # A terminal is too narrow for arithmetic in columns.
    if show_work:
        return ledger.work_table(fold=fold, depth=depth)
    return ledger.table(fold=fold, depth=depth)


def _folds(ledger: "Ledger", form: Format, *, unfold: bool) -> bool:
    """Only what a person reads folds; a file has every row."""
    return form == "table" and ledger.is_long and not unfold


def _input_shape(texts: list[str]) -> Any:
    """Read one shape, a list of shapes, or a dictionary of them where each has a name."""
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
    screen = console()
    screen.print(table.terminal(screen.width))
