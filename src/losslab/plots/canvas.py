"""A matplotlib figure that shows itself in a notebook, which one without pyplot does not."""

import warnings
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure


class Canvas(Figure):
    """A figure to look at, to save and to alter, as any of matplotlib's."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Write it to a file; the same figure gives the same SVG."""
        with rc_context({"svg.hashsalt": "losslab"}), warnings.catch_warnings():
            # A script that the font lacks: boxes, no noise.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            super().savefig(fname, **options)

    def to_svg(self) -> str:
        """The figure as an SVG element, to stand in a page."""
        file = BytesIO()
        self.savefig(file, format="svg", metadata={"Date": None})
        text = file.getvalue().decode()
        return text[text.index("<svg") :]  # a page has no room for the head of a file

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
