"""Rows folded for reading: what is shown adds up to the same totals, and only equal neighbours are one."""

import io

import pytest
from torch import nn

from losslab.accounting import count
from losslab.cli import main


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.layers = (
            nn.LayerNorm(width),
            nn.Sequential(nn.Linear(width, width), nn.GELU()),
        )

    def forward(self, x):
        return x + self.layers(self.norm(x))


def towers(*counts, width=8):
    stages = [nn.Sequential(*[Block(width) for _ in range(number)]) for number in counts]
    return nn.Sequential(nn.Linear(4, width), *stages, nn.Linear(width, 2))


def names(lines):
    return [line.name for line in lines]


def number(text):
    return int(text.replace(",", ""))


def test_equal_blocks_that_follow_each_other_are_one_line_for_each_of_their_layers():
    ledger = count(towers(32), (5, 4))
    assert names(ledger.lines(fold=True)) == [
        "input",
        "0",
        "1.0-31.norm x 32",
        "1.0-31.layers.0 x 32",
        "2",
    ]
    assert len(ledger.lines()) == len(ledger.rows) == 2 + 2 * 32 + 1


def test_equal_stages_of_equal_blocks_fold_twice():
    lines = count(towers(3, 3), (5, 4)).lines(fold=True)
    assert names(lines)[2:4] == ["1-2.0-2.norm x 6", "1-2.0-2.layers.0 x 6"]


def test_a_block_that_differs_stays_by_itself():
    model = nn.Sequential(
        Block(8), Block(8), nn.Sequential(Block(8), nn.Linear(8, 4)), Block(4), Block(4)
    )
    lines = names(count(model, (8,)).lines(fold=True))
    assert lines == [
        "input",
        "0-1.norm x 2",
        "0-1.layers.0 x 2",
        "2.0.norm",
        "2.0.layers.0",
        "2.1",
        "3-4.norm x 2",
        "3-4.layers.0 x 2",
    ]


@pytest.mark.parametrize("depth", [None, 1, 2, 3])
@pytest.mark.parametrize("name", ["resnet-44", "vgg19", "inception-reduced"])
def test_columns_add_up_to_the_totals_however_they_are_folded(name, depth):
    ledger = count(name)
    *rows, total = ledger.table(fold=True, depth=depth).rows
    for column, whole in ((3, ledger.activations), (4, ledger.parameters), (5, ledger.macs)):
        assert sum(number(row[column]) for row in rows) == number(total[column]) == whole


def test_a_depth_has_a_line_for_each_module():
    lines = count(towers(4), (5, 4)).lines(depth=1)
    assert [(line.name, line.cells()[1]) for line in lines] == [
        ("input", "input"),
        ("0", "linear"),
        ("1", "module"),
        ("2", "linear"),
    ]


def test_the_arithmetic_of_a_folded_line_is_that_of_one_block_and_its_sum_that_of_all():
    table = count(towers(32), (5, 4)).work_table(fold=True)
    texts = [text for _, text in table.rows]
    assert "MACs 5*8*8 = 320, x 32 = 10,240" in texts


def test_the_command_line_folds_a_network_of_many_rows_and_unfolds_it(capsys):
    def printed(*options):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["count", "resnet-44", *options])
        return capsys.readouterr().out

    assert "stage1.0-6.conv1 x 7" in printed()
    assert "stage1.6.conv1" in printed("--unfold")
    assert "stage1.0-6 x 7" in printed("--depth", "2")
    assert "stage1.6.conv1" in printed("--format", "csv")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["count", "resnet-44", "--depth", "0"])
    assert "`depth` (=0) must be at least 1" in capsys.readouterr().err


def test_arithmetic_fits_a_terminal_of_120_columns(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["count", "resnet-44", "--show-work"])
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 120


def test_a_field_that_no_unit_sees_in_full_is_said_to_be_at_most_that_in_every_form(capsys):
    # Seven convolutions of 3x3 see 15 positions a side, of an image of 12.
    layers = [nn.Conv2d(1, 1, 3, padding=1) for _ in range(7)]
    ledger = count(nn.Sequential(*layers), (1, 12, 12))
    fields = [row["receptive_field"] for row in ledger.to_dict()["rows"]]
    assert [seen["size"][0] for seen in fields] == [1, 3, 5, 7, 9, 11, 13, 15]
    assert [seen["at_most"] for seen in fields] == [[False] * 2] * 6 + [[True] * 2] * 2
    for form in (ledger.table().markdown(), ledger.table().csv(), ledger._repr_html_()):
        assert "at most 15" in form
        assert "at most 11" not in form
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["count", "resnet-44", "--show-work"])
    assert "field at most 89" in capsys.readouterr().out


def test_a_folded_line_says_once_that_its_fields_are_bounds():
    lines = count("resnet-44").lines(fold=True)
    fields = {line.name: line.cells()[6] for line in lines}
    assert fields["stage1.0-6.conv1 x 7"] == "5 to 29"
    assert fields["stage3.1-6.conv2 x 6"] == "at most 113 to 193"


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_fits_its_terminal_and_names_are_whole_where_it_is_wide(width):
    from rich.console import Console

    console = Console(width=width, record=True, file=io.StringIO())
    console.print(count("resnet-44").table(fold=True).terminal(width))
    text = console.export_text()
    assert text.rstrip().replace(" ", "").replace("\n", "").endswith("194,872,576FLOPs")
    assert ("stage2.0.shortcut.conv " in text) == (width == 120)
    assert ("stage2.1-6.conv1 x 6 " in text) == (width == 120)
