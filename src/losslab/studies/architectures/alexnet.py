"""AlexNet layer by layer, and beside it the two other networks of that name."""

from collections.abc import Mapping
from dataclasses import dataclass

from losslab.studies.architectures.ledgers import (
    Ledger,
    Row,
    exact,
    filters,
    fraction,
    memory,
    sum_of,
    window,
)
from losslab.tables import Table
from losslab.text import shape


@dataclass(frozen=True)
class AlexNet:
    """Question 1.

    Attributes:
        answer: how many parameters, and where.
        layers: the paper's network layer by layer.
        variants: what the two others differ in.
        comparison: parameters of all by layer.
        share: what the convolutions hold and do.
        memory: of a training step; may be empty.
        ledgers: label -> ledger of each that is counted, the paper's first.
    """

    answer: str
    layers: Table
    variants: str
    comparison: Table
    share: str
    memory: str
    ledgers: Mapping[str, Ledger]


def alexnet_of(ledgers: Mapping[str, Ledger]) -> AlexNet | None:
    """Answer question 1; None before the paper's network is counted.

    Args:
        ledgers: model -> ledger.
    """
    paper, ungrouped = ledgers.get("alexnet"), ledgers.get("alexnet-ungrouped")
    torchvision = ledgers.get("alexnet-torchvision")
    if paper is None:
        return None
    # The paper's first: the others are compared with it.
    variants = {"the paper's, two groups": paper}
    if ungrouped:
        variants["ungrouped"] = ungrouped
    if torchvision:
        variants["torchvision's"] = torchvision
    return AlexNet(
        answer=_answer(paper, ungrouped, torchvision),
        layers=_layers(paper),
        variants=" ".join([*_differences(paper, ungrouped, torchvision), _WHY_DIFFERENT]),
        comparison=_comparison(variants),
        share=_share(paper),
        memory=memory(paper),
        ledgers=variants,
    )


_WHY_DIFFERENT = "Published totals differ because they are of different networks."


def _answer(paper: Ledger, ungrouped: Ledger | None, torchvision: Ledger | None) -> str:
    total = paper["totals"]["parameters"]
    dense = sum_of(paper["rows"], "parameters", "linear")
    others = []
    if ungrouped:
        others.append(
            f"The same without the split has {exact(ungrouped['totals']['parameters'])}"
        )
    if torchvision:
        others.append(
            f"torchvision's network of that name has {exact(torchvision['totals']['parameters'])}"
        )
    beside = f" {'; '.join(others)}." if others else ""
    return (
        f"AlexNet as in the paper, split over two GPUs, has {exact(total)} parameters: {exact(total - dense)} in the "
        f"convolutions and {exact(dense)} ({fraction(dense, total)}) in the fully connected layers.{beside}"
    )


def _layers(paper: Ledger) -> Table:
    total = ("total", "", "", "", "", "", "", exact(paper["totals"]["parameters"]))
    headings = (
        "layer",
        "filters",
        "stride",
        "padding",
        "groups",
        "side of the output",
        "output",
    )
    return Table(
        "AlexNet as in the paper, two groups; pooling has no parameters",
        (*headings, "parameters, weights + biases"),
        (*map(_layer, paper["rows"]), total),
        label="AlexNet layer by layer",
        lists=(1,),
        work=(5, 7),
        total=True,
    )


def _layer(row: Row) -> tuple[str, ...]:
    groups = (window(row, "groups") or "1") if row["kind"] == "conv" else ""
    # Height alone: all of AlexNet's maps are square.
    side = row["work"].get("output_size", "").partition(";")[0]
    sizes = (
        window(row, "stride"),
        window(row, "padding"),
        groups,
        side,
        shape(row["output_shape"]),
    )
    return (row["name"], filters(row), *sizes, row["work"]["parameters"])


def _differences(
    paper: Ledger, ungrouped: Ledger | None, torchvision: Ledger | None
) -> list[str]:
    parameters = paper["totals"]["parameters"]
    sentences = []
    if ungrouped:
        more = exact(ungrouped["totals"]["parameters"] - parameters)
        sentences.append(
            f"Ungrouped, on one device, every filter sees all maps of the layer before: {more} more parameters, all in "
            "conv2, conv4 and conv5."
        )
    if torchvision:
        gap = torchvision["totals"]["parameters"] - parameters
        sentences.append(
            "torchvision's network is the narrower one of a later paper (arXiv:1404.5997): filters 64-192-384-256-256 "
            "in place of 96-256-384-384-256, no groups, input 224×224 with padding 2 in conv1: "
            f"{exact(abs(gap))} parameters {'more' if gap > 0 else 'fewer'} than the paper's."
        )
    return sentences


def _comparison(variants: Mapping[str, Ledger]) -> Table:
    rows, strong = [], set()
    paper, *_ = variants.values()
    layers = [row for row in paper["rows"] if row["parameters"]]
    for index, layer in enumerate(layers):
        cells = [_parameters(ledger, layer["name"]) for ledger in variants.values()]
        rows.append((layer["name"], *cells))
        # By the calculation, not by its result: two layers of other shapes may have equally many parameters.
        strong |= {(index, cell) for cell in cells if cell != layer["work"]["parameters"]}
    totals = [_total(name, variants) for name in ("parameters", "macs")]
    return Table(
        "Parameters of the three; bold where they differ from the paper's",
        ("layer", *variants),
        (*rows, ("parameters", *totals[0]), ("MACs", *totals[1])),
        label="Three AlexNets side by side",
        work=tuple(range(1, 1 + len(variants))),
        bold=(len(rows),),
        strong=frozenset(strong),
    )


def _parameters(ledger: Ledger, layer: str) -> str:
    calculations = [row["work"]["parameters"] for row in ledger["rows"] if row["name"] == layer]
    return calculations[0] if calculations else ""


def _total(name: str, variants: Mapping[str, Ledger]) -> list[str]:
    return [exact(ledger["totals"][name]) for ledger in variants.values()]


def _share(paper: Ledger) -> str:
    parameters = fraction(
        sum_of(paper["rows"], "parameters", "conv"), paper["totals"]["parameters"]
    )
    macs = fraction(sum_of(paper["rows"], "macs", "conv"), paper["totals"]["macs"])
    return f"The convolutions hold {parameters} of the parameters and do {macs} of the multiply-accumulates."
