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

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
