"""Figures for the page: plain JSON, all text escaped."""

import json

from losslab.plots.figures import Figure, Mark, Series
from losslab.plots.web import LINE, TOP, to_plotly

PAYLOAD = (
    "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
)


def test_labels_and_data_of_figures_are_escaped() -> None:
    series = tuple(
        Series(PAYLOAD + str(i), (1.0, 2.0), (1.0, 2.0 + i), slot=i) for i in range(2)
    )
    figure = Figure("hostile", PAYLOAD, PAYLOAD, PAYLOAD, series, marks=(Mark(PAYLOAD, y=1.5),))
    assert "<script" not in str(to_plotly(figure))
    assert "<img" not in str(to_plotly(figure))


def test_rows_of_marks_have_room_above_the_drawing() -> None:
    series = (Series("a", (0.0, 1.0), (0.0, 1.0)),)
    close = tuple(
        Mark(name, x=0.5) for name in ("lr_min 0.00135", "suggestion 0.105", "lr_max 0.311")
    )
    layouts = [
        to_plotly(Figure("f", "t", "x", "y", series, marks=marks))["layout"]
        for marks in ((), close)
    ]
    assert [layout["margin"]["t"] for layout in layouts] == [TOP, TOP + 2 * LINE]
    assert layouts[1]["height"] - layouts[0]["height"] == 2 * LINE
    assert [label["yshift"] for label in layouts[1]["annotations"]] == [0, LINE, 2 * LINE]


def test_marks_stand_at_the_logarithm_on_a_logarithmic_axis() -> None:
    series = (Series("a", (0.001, 1.0), (1.0, 2.0)),)
    layout = to_plotly(
        Figure("f", "t", "x", "y", series, x_log=True, marks=(Mark("m", x=0.01),))
    )["layout"]
    assert layout["annotations"][0]["x"] == -2
    assert layout["shapes"][0]["x0"] == 0.01


def test_a_figure_is_strict_json() -> None:
    series = (Series("a", (1.0,), (2.0,), faint=True), Series("b", (1.0,), (3.0,)))
    drawing = json.dumps(to_plotly(Figure("f", "t", "x", "y", series)), allow_nan=False)
    assert [trace["opacity"] for trace in json.loads(drawing)["data"]] == [0.35, 1]
