"""A module of parallel branches laid out for drawing: input on the left, a line a branch, their output on the right."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from losslab.text import millions, shape

END, BOX, GAP = 84, 124, 20
"""Widths of input and output, of a layer, and of what is between; units of the drawing."""
HEIGHT, STEP = 50, 66
"""Of a box, and from branch to branch."""
WIDTH = 2 * END + 2 * BOX + 3 * GAP


@dataclass(frozen=True)
class Box:
    """A layer: where its upper left corner is, what it says, and its cost as a part of the dearest layer's."""

    x: float
    y: float
    width: float
    title: str
    text: str
    share: float = 0.0

    @property
    def bar(self) -> float:
        """Width of the bar that shows the cost; a small one can still be seen."""
        return round(max(1.0, (self.width - 12) * self.share), 1)


@dataclass(frozen=True)
class Line:
    """Maps on their way from (x, y) to (to_x, to_y), level from ``bend`` on; the more, the wider."""

    x: float
    y: float
    to_x: float
    to_y: float
    maps: int

    @property
    def bend(self) -> float:
        """Where the line has reached its height."""
        return min(self.x + GAP, self.to_x)

    @property
    def path(self) -> str:
        """As the path of an SVG."""
        half = (self.x + self.bend) / 2
        curve = f"C{half} {self.y} {half} {self.to_y} {self.bend} {self.to_y}"
        return f"M{self.x} {self.y}{curve}H{self.to_x}"

    @property
    def width(self) -> float:
        """Width of the stroke."""
        return 1 + self.maps / 64


@dataclass(frozen=True)
class Diagram:
    """Boxes and lines, and the whole in words."""

    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    words: str
    width: float = WIDTH
    box_height: float = HEIGHT


def module_diagram(ledger: dict[str, Any], dearest: int) -> Diagram:
    """Lay out the diagram of a module whose rows are named BRANCH or BRANCH.LAYER, of at most two layers a branch.

    Args:
        ledger: of the module, as ``losslab count --json`` prints it.
        dearest: MACs of the layer that other layers' costs are drawn against.
    """
    source, *rows = ledger["rows"]
    branches = defaultdict(list)
    for row in rows:
        branches[row["name"].partition(".")[0]].append(row)
    height = STEP * (len(branches) - 1) + HEIGHT
    middle, end = height / 2, WIDTH - END
    boxes = [Box(0, middle - HEIGHT / 2, END, "input", shape(source["output_shape"]))]
    lines = []
    for index, layers in enumerate(branches.values()):
        y = STEP * index + HEIGHT / 2
        x, from_y, maps = float(END), middle, source["output_shape"][0]
        # A branch of one layer has it in the right column, where the dear kernels of the others are.
        for column, row in enumerate(layers, start=2 - len(layers)):
            left = END + GAP + column * (BOX + GAP)
            boxes.append(_box(left, y - HEIGHT / 2, row, dearest))
            lines.append(Line(x, from_y, left, y, maps))
            x, from_y, maps = left + BOX, y, row["output_shape"][0]
        lines.append(Line(x, y, end, middle, maps))
    boxes.append(Box(end, middle - HEIGHT / 2, END, "concat", shape(_output(ledger))))
    return Diagram(height, tuple(boxes), tuple(lines), _words(boxes))


def _box(x: float, y: float, row: dict[str, Any], dearest: int) -> Box:
    kernel = row["detail"].partition(",")[0].replace("x", "×")
    maps, macs = row["output_shape"][0], row["macs"]
    if row["kind"] == "pool":
        return Box(x, y, BOX, f"{kernel} max pool", f"{maps} maps")
    return Box(x, y, BOX, f"{kernel}, {maps} filters", f"{millions(macs)} MACs", macs / dearest)


def _output(ledger: dict[str, Any]) -> list[int]:
    """Of one sample."""
    output: list[int] = ledger["output_shapes"][0][1:]
    return output


def _words(boxes: list[Box]) -> str:
    return "; ".join(f"{box.title}: {box.text}" for box in boxes)
