"""How far a unit sees through stacked convolutions: by the formula, by the ledger and by the gradient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from losslab.studies.architectures.ledgers import Ledger, exact
from losslab.study.results import CountResult
from losslab.tables import Table
from losslab.text import count

SIDE_OF_N = "(NF\N{NO-BREAK SPACE}−\N{NO-BREAK SPACE}N\N{NO-BREAK SPACE}+\N{NO-BREAK SPACE}1)"
EXAMPLE = (5, 3)
"""Kernel and layers of the stack that is worked through."""


@dataclass(frozen=True)
class Stack:
    """A stack and three readings of its receptive field.

    Attributes:
        kernel: side of each kernel.
        layers: how many.
        field: sides by the ledger.
        seen: sides of the positions with a gradient.
        positions: how many those are.
        record: id of the count.
    """

    kernel: int
    layers: int
    field: list[int]
    seen: list[int]
    positions: int
    record: str

    @property
    def side(self) -> int:
        """By the formula."""
        # One pixel, and every layer of stride 1 adds kernel - 1 to the side.
        return self.layers * self.kernel - self.layers + 1

    @property
    def agrees(self) -> bool:
        """Whether ledger and gradient both give the formula's square, filled."""
        # Equal sides alone would allow holes, as dilated kernels have them; the number of positions excludes these.
        square = [self.side, self.side]
        return self.field == square and self.seen == square and self.positions == self.side**2


@dataclass(frozen=True)
class Stacks:
    """Question 3.

    Attributes:
        answer: the formula, and how many stacks agree with it.
        sides: of the worked example, layer by layer; empty where it was not counted.
        example: the worked example's layers in words.
        table: every stack.
        through: how far a unit sees in whole networks; empty where none is counted.
        networks: label -> their ledgers.
    """

    answer: str
    sides: tuple[int, ...]
    example: str
    table: Table
    through: str
    networks: Mapping[str, Ledger]


def stacks_of(counts: Sequence[CountResult], networks: Mapping[str, Ledger]) -> Stacks | None:
    """Answer question 3; None before a stack is counted.

    Args:
        counts: of the stacks.
        networks: label -> ledger of networks to show as a whole.
    """
    if not counts:
        return None
    stacks = [_stack(result) for result in counts]
    sides: tuple[int, ...] = ()
    for stack, result in zip(stacks, counts, strict=True):
        if _is_example(stack):
            sides = tuple(row["receptive_field"]["size"][0] for row in result.ledger["rows"])
    return Stacks(
        _answer(stacks), sides, _example(sides), _table(stacks), _through(networks), networks
    )


def _stack(result: CountResult) -> Stack:
    options, support = result.count.model.options, result.ledger["gradient_support"]
    return Stack(
        kernel=int(options["kernel"]),
        layers=int(options["layers"]),
        field=result.ledger["rows"][-1]["receptive_field"]["size"],
        seen=support["sides"],
        positions=support["positions"],
        record=result.count.id,
    )


def _is_example(stack: Stack) -> bool:
    return (stack.kernel, stack.layers) == EXAMPLE


def _answer(stacks: list[Stack]) -> str:
    examples = [
        f"; three of 5×5 see {_product(stack.seen)}" for stack in stacks if _is_example(stack)
    ]
    agreeing = len([stack for stack in stacks if stack.agrees])
    verb = "agrees" if len(stacks) == 1 else "agree"
    return (
        f"N stacked F×F convolutions see {SIDE_OF_N}×{SIDE_OF_N} pixels{''.join(examples)}. Measured by the gradient "
        f"of one output unit, {agreeing} of {count(len(stacks), 'stack')} {verb} exactly."
    )


def _product(sizes: list[int]) -> str:
    return "×".join(map(str, sizes))


def _example(sides: Sequence[int]) -> str:
    if not sides:
        return ""
    return (
        f"{', '.join(map(str, sides))}. Between one input map and one output map the three layers have 3 · 5² = 75 "
        f"weights; a single kernel that sees as much has {sides[-1]}² = {exact(sides[-1] ** 2)}."
    )


def _table(stacks: list[Stack]) -> Table:
    headings = (
        "stack",
        "NF − N + 1",
        "by the ledger",
        "by the gradient",
        "positions reached",
        "all equal",
        "record",
    )
    return Table(
        "",
        headings,
        tuple(map(_row, stacks)),
        label="Formula, ledger and gradient",
        bold=tuple(index for index, stack in enumerate(stacks) if _is_example(stack)),
        work=(1,),
        links={stack.record: f"counts/{stack.record}.json" for stack in stacks},
    )


def _row(stack: Stack) -> tuple[str, ...]:
    formula = f"{stack.layers}*{stack.kernel} - {stack.layers} + 1 = {stack.side}"
    readings = (_product(stack.field), _product(stack.seen), exact(stack.positions))
    name = f"{stack.layers} of {stack.kernel}×{stack.kernel}"
    return (name, formula, *readings, "yes" if stack.agrees else "NO", stack.record)


def _through(networks: Mapping[str, Ledger]) -> str:
    sights = []
    for label, ledger in networks.items():
        # Up to the last pooling: a fully connected layer sees everything.
        pools = [
            row["receptive_field"]["size"][0] for row in ledger["rows"] if row["kind"] == "pool"
        ]
        sights.append(f"{pools[-1]} pixels of {ledger['input_shape'][-1]} a side in {label}")
    return " and ".join(sights)
