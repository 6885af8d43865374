"""What cutout and copies look like: pictures that were drawn beforehand, as a report needs neither torch nor data."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("pictures.json")
"""Written by tools/make_cutout_pictures.py."""


@dataclass(frozen=True)
class Picture:
    """A picture of 32 by 32 pixels.

    Attributes:
        words: what is seen.
        png: its file in base 64.
        caption: what is written below it; may be empty.
    """

    words: str
    png: str
    caption: str = ""


@dataclass(frozen=True)
class Pictures:
    """Images before and after augmentation.

    Attributes:
        cutout: each image before and after cutout.
        copies: copies of one image, each augmented on its own.
    """

    cutout: tuple[Picture, ...]
    copies: tuple[Picture, ...]


def pictures() -> Pictures:
    """Read the pictures of the study.

    Example:
        >>> pictures().cutout[0].words
        'A horse'
    """
    columns = json.loads(FILE.read_text(encoding="utf-8"))
    cutout = []
    for before, after in zip(columns["before"], columns["after"], strict=True):
        cutout.append(_picture(before, before["words"].capitalize()))
        # "a horse, 16 by 16 pixels erased" stands beside the horse, so that its caption is what was done to it alone.
        cutout.append(_picture(after, after["words"].partition(", ")[2]))
    copies = [_picture(copy) for copy in columns["copies"]]
    return Pictures(tuple(cutout), tuple(copies))


def _picture(row: dict[str, str], caption: str = "") -> Picture:
    return Picture(row["words"].capitalize(), row["png"], caption)
