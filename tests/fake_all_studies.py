"""Folders of all four studies that ship, from synthetic records; the one that counts is counted."""

from pathlib import Path

import pytest
from fake_copies import part_four
from fake_ranges import part_two
from fake_study import part_one

from losslab.cli import main

ONE, TWO, THREE, FOUR = STUDIES = (
    "adaptive-optimizers",
    "learning-rate-and-batch-size",
    "architectures",
    "batch-augmentation",
)


def all_parts(folder: Path) -> Path:
    """The four studies in a folder each."""
    part_one(folder / ONE, epochs=2)
    # The embedded sample: the page shows images of the data, and no other set need be on the machine.
    part_two(folder / TWO, data="fashion-mnist-sample")
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["study", "run", THREE, "--out", str(folder / THREE), "--quiet"])
    part_four(folder / FOUR)
    return folder
