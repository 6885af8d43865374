"""A counted network on a page: rows inside modules and repeated blocks, none lost, none counted twice."""

import pytest
from torch import nn

from losslab.accounting import count
from losslab.reports.ledger_table import ledger_table
from losslab.tables import Table


def number(text: str) -> int:
    return int(text.replace(",", ""))


def inside(table: Table, row: int) -> list[int]:
    """The rows right inside one: the next level, up to where its level ends."""
    found = []
    for other in range(row + 1, len(table.rows)):
        if table.levels[other] <= table.levels[row]:
            break
        if table.levels[other] == table.levels[row] + 1:
            found.append(other)
    return found


def names(table: Table, level: int = 0) -> list[str]:
    return [row[0] for row, at in zip(table.rows, table.levels, strict=True) if at == level]


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return x + self.fc(self.norm(x))


def encoder(*blocks: int) -> nn.Module:
    stages = [nn.Sequential(*[Block(8) for _ in range(number)]) for number in blocks]
    return nn.Sequential(nn.Linear(4, 8), nn.Sequential(*stages), nn.Linear(8, 2))


@pytest.mark.parametrize("name", ["resnet-44", "vgg19", "googlenet", "inception-reduced"])
def test_a_row_is_the_sum_of_those_inside_it_and_the_last_of_all(name: str) -> None:
    ledger = count(name)
    table = ledger_table(ledger.to_dict())
    *outer, total = [row for row, level in enumerate(table.levels) if level == 0]
    for column in (3, 4, 5):
        assert sum(number(table.rows[row][column]) for row in outer) == number(
            table.rows[total][column]
        )
        for row in range(len(table.rows)):
            if parts := inside(table, row):
                whole = sum(number(table.rows[part][column]) for part in parts)
                assert whole == number(table.rows[row][column]), table.rows[row]


@pytest.mark.parametrize("model", ["resnet-44", encoder(3, 3), encoder(32)], ids=str)
def test_opened_wholly_it_has_every_row_once(model: str | nn.Module) -> None:
    ledger = count(model, None if isinstance(model, str) else (5, 4))
    table = ledger_table(ledger.to_dict())
    leaves = [row for row in range(len(table.rows) - 1) if not inside(table, row)]
    assert sorted(table.rows[row][0] for row in leaves) == sorted(
        row.name for row in ledger.rows
    )


def test_closed_it_has_a_row_for_each_module_and_for_equal_blocks_one() -> None:
    assert names(ledger_table(count("resnet-44").to_dict())) == [
        "input",
        "conv1",
        "bn1",
        "stage1.0-6 x 7",
        "stage2",
        "stage3",
        "average",
        "fc",
        "total",
    ]


def test_blocks_open_to_their_layers_and_these_to_each_block() -> None:
    table = ledger_table(count(encoder(32), (5, 4)).to_dict())
    (blocks,) = [row for row, cells in enumerate(table.rows) if cells[0] == "1.0.0-31 x 32"]
    layers = inside(table, blocks)
    assert [table.rows[row][0] for row in layers] == ["1.0.0-31.norm x 32", "1.0.0-31.fc x 32"]
    assert [table.rows[row][0] for row in inside(table, layers[1])] == [
        f"1.0.{block}.fc" for block in range(32)
    ]


def test_equal_stages_of_equal_blocks_are_one_row_of_all_their_blocks() -> None:
    table = ledger_table(count(encoder(3, 3), (5, 4)).to_dict())
    assert "1.0-1.0-2 x 6" in names(table)


def test_a_network_within_a_module_is_open_from_the_start() -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Sequential(Block(8), nn.Linear(8, 4), Block(4), nn.Linear(4, 2))

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.model(x)

    table = ledger_table(count(Wrapper(), (8,)).to_dict())
    assert names(table) == ["input", "model.0", "model.1", "model.2", "model.3", "total"]


def test_what_was_not_counted_is_said_of_the_module_that_holds_it() -> None:
    ledger = count(encoder(3), (5, 4)).to_dict()
    ledger["rows"][2]["status"] = "not counted"
    table = ledger_table(ledger)
    assert {row[0]: row[5] for row in table.rows}["1.0.0"] == "not counted"


def test_a_row_of_equal_blocks_says_what_units_of_the_first_and_of_the_last_see() -> None:
    rows = {row[0]: row[6] for row in ledger_table(count("resnet-44").to_dict()).rows}
    assert rows["stage1.0-6 x 7"] == "7 to 31"
    assert rows["stage2.1-6 x 6"] == "at most 45 to 85"


def test_a_module_whose_own_name_looks_like_that_of_blocks_is_one() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({"0-1": Block(8)})

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.parts["0-1"](x)

    layers = [Named(), nn.LayerNorm(8), Named(), nn.LayerNorm(8), Named()]
    table = ledger_table(count(nn.Sequential(*layers), (8,)).to_dict())
    assert names(table)[1:3] == ["0.parts.0-1", "1"]
