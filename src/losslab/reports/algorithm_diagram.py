"""The steps of an algorithm as a block diagram, drawn from `losslab.ranges.ALGORITHM`."""

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from markupsafe import Markup

from losslab.ranges import AlgorithmStep

WIDTH, QUESTION, END = 380, 250, 84
"""Of a step, of a question and of the end to its right that its yes leads to; narrow enough for a phone."""
AXIS = QUESTION // 2
LINE, PAD, GAP = 18, 10, 24
CHARACTER = 7.2


def block_diagram(title: str, steps: Sequence[AlgorithmStep]) -> Markup:
    """Draw an SVG in the page's colours: a box for each step and, where a step may end the algorithm, a question below.

    Args:
        title: what the diagram shows, for those who do not see it; its description lists the steps.
        steps: in order.
    """
    parts: list[str] = []
    top, way_on = 1, ""
    for number, step in enumerate(steps, 1):
        if number > 1:
            parts.append(_arrow(AXIS, top, AXIS, top + GAP, way_on))
            top += GAP
        box, top = _box("step", 0, top, WIDTH, f"{number}. {step.does}")
        parts.append(box)
        way_on = ""
        if step.stops:
            question, top = _question(step.stops, top)
            parts += question
            way_on = "no"  # of a question; its yes leads to the end beside it
    words = " ".join(
        f"{number}. {step.does}{_stops(step)}" for number, step in enumerate(steps, 1)
    )
    head = f'<svg class="steps" viewBox="-1 0 {WIDTH + 2} {top + 1}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}<desc>{escape(words)}</desc>{''.join(parts)}</svg>")


def _question(stops: str, top: int) -> tuple[list[str], int]:
    """Draw a question below a step with the end that its yes leads to; return also where the question ends."""
    question, bottom = _box("ask", 0, top + GAP, QUESTION, f"Is it so that {stops}?")
    middle = (top + GAP + bottom) // 2
    end, _ = _box("end", WIDTH - END, middle - LINE // 2 - PAD, END, "no range")
    way_in = _arrow(AXIS, top, AXIS, top + GAP)
    return [way_in, question, _arrow(QUESTION, middle, WIDTH - END, middle, "yes"), end], bottom


def _stops(step: AlgorithmStep) -> str:
    return f" It ends here without a range when {step.stops}." if step.stops else ""


def _box(kind: str, left: int, top: int, width: int, text: str) -> tuple[str, int]:
    """Draw a box around a text; return also where it ends."""
    # SVG breaks no lines: the text is broken by an average width of its characters.
    lines = wrap(text, round((width - 2 * PAD) / CHARACTER))
    height = LINE * len(lines) + 2 * PAD
    corner = 4 if kind == "step" else 14
    rect = f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="{corner}"/>'
    baselines = range(top + PAD + 13, top + height, LINE)
    texts = []
    for y, line in zip(baselines, lines, strict=False):
        texts.append(f'<text x="{left + 12}" y="{y}">{escape(line)}</text>')
    return rect + "".join(texts), top + height


def _arrow(x: int, y: int, to_x: int, to_y: int, label: str = "") -> str:
    """Draw a line with a head, down or to the right, and its label."""
    down = x == to_x
    head = "l-4 -7h8z" if down else "l-7 -4v8z"
    text = (
        f'<text class="label" x="{x + 8}" y="{y + 15 if down else y - 5}">{label}</text>'
        if label
        else ""
    )
    return (
        f'<path d="M{x} {y}L{to_x} {to_y}"/><path class="head" d="M{to_x} {to_y}{head}"/>{text}'
    )
