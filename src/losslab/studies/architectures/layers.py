"""A plain convolutional network as lecture notes tabulate it: a line a layer, the arithmetic in the cells."""

from typing import Any

from losslab.tables import Table


def layer_table(ledger: dict[str, Any]) -> Table:
    """Tabulate Input, CONV3-64, POOL2, FC 4096 and so on, each with activation units and parameters; then TOTAL.

    Args:
        ledger: as ``losslab count --json`` prints it.
    Example:
        >>> work = {"activations": "224*224*64 = 3,211,264", "parameters": "(3*3*3)*64 = 1,728"}
        >>> row = {"name": "conv1_1", "kind": "conv", "detail": "3x3, stride 1", "output_shape": [64, 224, 224]}
        >>> totals = {"activations": 3_211_264, "parameters": 1728}
        >>> rows = [{**row, "activations": 3_211_264, "work": work}]
        >>> for line in layer_table({"rows": rows, "totals": totals}).rows:
        ...     print(*line, sep=" | ")
        CONV3-64 | 224*224*64=3.2M | (3*3*3)*64 = 1,728
        TOTAL | 3.2M | 1,728
    """
    rows = [
        (label(row), _activations(row), row["work"]["parameters"]) for row in ledger["rows"]
    ]
    totals = ledger["totals"]
    rows.append(("TOTAL", short(totals["activations"]), f"{totals['parameters']:,}"))
    return Table(
        "VGG19 without biases, one image; K and M are thousands and millions",
        ("layer", "activations", "parameters"),
        tuple(rows),
        label="VGG19 layer by layer",
        work=(1, 2),
        total=True,
    )


def label(row: dict[str, Any]) -> str:
    """Name a layer as the tables do: CONV3-64 has 64 filters of 3x3."""
    kernel, units = row["detail"].partition("x")[0], row["output_shape"][0]
    labels = {
        "input": "Input",
        "conv": f"CONV{kernel}-{units}",
        "pool": f"POOL{kernel}",
        "linear": f"FC {units}",
    }
    return labels.get(row["kind"]) or str(row["name"])


def _activations(row: dict[str, Any]) -> str:
    expression, equals, _ = row["work"]["activations"].partition(" = ")
    return f"{expression}={short(row['activations'])}" if equals else str(row["activations"])


def short(count: int) -> str:
    """Write a count to two digits or more, as the tables round it.

    Example:
        >>> short(3_211_264), short(150_528), short(16_542_184), short(64)
        ('3.2M', '150K', '16.5M', '64')
    """
    if count < 1000:
        return str(count)
    # Thousands are cut and millions rounded: the tables print 150,528 as 150K and 16,542,184 as 16.5M.
    return f"{count / 1e6:.1f}M" if count >= 1_000_000 else f"{count // 1000}K"
