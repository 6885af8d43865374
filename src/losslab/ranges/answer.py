"""What the answers of range tests share: a line in words, a curve in a notebook, and a file to be read again."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.files import write_json
from losslab.plots.figures import Figure
from losslab.plots.files import draw
from losslab.ranges.trace import Setting

if TYPE_CHECKING:
    from losslab.plots.canvas import Canvas


class Answer(ABC):
    """A range or a size that a test found, or the reason why there is none."""

    found: bool
    reason: str
    setting: Setting | None

    @property
    @abstractmethod
    def values(self) -> str:
        """What was found, in words."""

    @abstractmethod
    def figure(self, title: str = "") -> Figure:
        """The curve and what was read off it; a title of its own where none is given."""

    @property
    def sentence(self) -> str:
        """What was found and what to know of it, in a line."""
        return "; ".join(filter(None, [self.values if self.found else "", self.reason]))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    def save(self, path: str | Path) -> None:
        """Write all of it to a JSON file, which :func:`losslab.read_range` reads."""
        write_json(Path(path), self.to_dict())

    def plot(self) -> "Canvas":
        """The curve, the band over seeds and what was found, as a matplotlib figure that shows itself in a notebook."""
        return draw([self.figure()])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.sentence}>"

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, str]:
        svg = self.plot().to_svg()
        lines = [self.sentence, self.setting.sentence if self.setting else ""]
        words = "<br>".join(map(escape, filter(None, lines)))
        # Notebooks prefer HTML, which has the picture and the words; what shows none has either.
        return {
            "text/plain": repr(self),
            "image/svg+xml": svg,
            "text/html": f"{svg}<p>{words}</p>",
        }
