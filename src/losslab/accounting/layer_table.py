"""A plain convolutional network as lecture notes tabulate it: a line a layer, the arithmetic in the cells."""

from losslab.accounting.ledger import Ledger, Row
from losslab.accounting.table import Table


def layer_table(ledger: Ledger) -> Table:
    """Input, CONV3-64, POOL2, FC 4096 and so on, each with its activation units and its parameters.

    Example:
        >>> from losslab.accounting import count
        >>> for row in layer_table(count("vgg19", include_bias=False)).rows[:3]:
        ...     print(*row, sep=" | ")
        Input | 224*224*3=150K | 0
        CONV3-64 | 224*224*64=3.2M | (3*3*3)*64 = 1,728
        CONV3-64 | 224*224*64=3.2M | (3*3*64)*64 = 36,864
    """
    rows = [(_label(row), _activations(row), row.parameters.shown) for row in ledger.rows]
    total = ("TOTAL", short(ledger.activations), f"{ledger.parameters:,}")
    return Table(ledger.model, ("layer", "activations", "parameters"), (*rows, total))


def _label(row: Row) -> str:
    kernel = row.detail.partition(",")[0].partition("x")[0]
    labels = {
        "input": "Input",
        "conv": f"CONV{kernel}-{row.output_shape[0]}",
        "pool": f"POOL{kernel}",
        "linear": f"FC {row.output_shape[0]}",
    }
    return labels.get(row.kind, row.name)


def _activations(row: Row) -> str:
    text, count = str(row.activations), int(row.activations)
    return text if text == str(count) else f"{text}={short(count)}"


def short(count: int) -> str:
    """A count to two digits or more, as the tables round it.

    Example:
        >>> short(3_211_264), short(150_528), short(16_542_184), short(64)
        ('3.2M', '150K', '16.5M', '64')
    """
    if count < 1000:
        return str(count)
    return f"{count / 1e6:.1f}M" if count >= 1_000_000 else f"{count // 1000}K"
