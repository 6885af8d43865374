"""Figures as files and in a notebook."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from losslab.analysis import charts
from losslab.analysis.estimates import Estimate
from losslab.errors import InvalidInput
from losslab.plots.figures import Figure, Mark, Series
from losslab.plots.files import check_picture, draw, write_files
from losslab.plots.images import write_rows
from losslab.plots.numbers import table
from losslab.plots.web import to_plotly

LINE = Figure("line", "t", "x", "y", (Series("a", (1.0, 2.0), (1.0, 2.0)),))


def test_hostile_labels_are_drawn_as_they_are(tmp_path: Path) -> None:
    label = r"$\frac{$ <b> 汉字 --> ]]>"
    series = tuple(Series(label + str(i), (1.0, 2.0), (1.0, 2.0 + i), slot=i) for i in range(2))
    write_files(
        Figure("hostile", label, label, label, series, marks=(Mark(label, x=1.5),)), tmp_path
    )
    assert (tmp_path / "hostile.png").read_bytes().startswith(b"\x89PNG")
    assert "<b>" not in (tmp_path / "hostile.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "figure",
    [
        Figure("dot", "one point", "x", "y", (Series("a", (1.0,), (1.0,)),)),
        Figure("band", "band", "x", "y", (Series("a", (1.0, 2.0), (1.0, 2.0), (0.5, 1.5), (1.5, 2.5)),), y_log=True),
        Figure("ring", "r", "", "", (Series("a", (1e-9, 9.0), (1.0, 2.0)),), x_log=True, marks=(Mark("m", 9.0, 2.0),)),
        charts.compared("rows", "rows", {"a": {"x + y": Estimate((0.5,), 100)}}, ("m", "v"), [Mark("same", y=0.4)]),
        Figure("below", "b", "x", "y", (Series("a", (1.0, 2.0), (1.0, 2.0), (-1.0, 1.0), (2.0, 3.0)),), y_log=True),
        charts.compared("zero", "rows", {"a": {"x": Estimate((0.01, 0.1)), "y": Estimate((9.0, 9.1))}}, ("m", "v")),
        charts.compared("long", "rows", {"a" * 999: {"x" * 999: Estimate((1.0,))}, "b": {}}, ("m", "v")),
        charts.compared("wide", "rows", {"a": {"x": Estimate((0.01,)), "y": Estimate((9.0,))}}, ("m", "v")),
    ],
    ids=lambda figure: figure.name,
)  # fmt: skip
def test_every_kind_of_figure_draws_both_ways(tmp_path: Path, figure: Figure) -> None:
    write_files(figure, tmp_path)
    spec = to_plotly(figure)
    assert spec["data"]
    assert table(figure)[1]


def test_figures_stand_side_by_side_in_one_picture() -> None:
    one, two = draw([LINE]), draw([LINE, LINE, LINE], columns=2)
    assert [len(canvas.axes) for canvas in (one, two)] == [1, 4]
    assert (two.get_size_inches() == 2 * one.get_size_inches()).all()


def test_a_figure_shows_itself_in_a_notebook() -> None:
    with Image.open(BytesIO(draw([LINE])._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.asarray(picture))) > 10


def test_the_same_figure_gives_the_same_svg(tmp_path: Path) -> None:
    write_files(LINE, tmp_path)
    first = (tmp_path / "line.svg").read_bytes()
    write_files(LINE, tmp_path)
    assert (tmp_path / "line.svg").read_bytes() == first


@pytest.mark.parametrize(
    ("path", "reason"),
    [("a.gif", "must end in one of"), ("missing/a.png", "there is no folder missing")],
)
def test_a_picture_that_could_not_be_written_is_refused(path: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"--figure {path}: {reason}"):
        check_picture("--figure", Path(path))


def test_rows_of_images_are_written_with_their_labels(tmp_path: Path) -> None:
    grid = np.zeros((20, 30, 3), np.uint8)
    grid[10:] = (255, 0, 0)
    write_rows(grid, ["black", "red"], "Two", tmp_path / "rows.png")
    with Image.open(tmp_path / "rows.png") as picture:
        colours = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0).tolist()
    assert all(colour in colours for colour in ([0, 0, 0], [255, 0, 0], [255, 255, 255]))
