"""The fenced blocks of README.md, CONTRIBUTING.md and docs/*.md, and what the comment above one says of it."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FRAMEWORK_PAGES = {"keras", "lightning", "trackers", "transformers"}
"""Pages whose blocks need what `make frameworks` installs."""
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block. ``file: NAME`` above it names the file that it is; ``parsed only: WHY`` keeps it from running."""

    language: str
    text: str
    note: str

    @property
    def file(self) -> str | None:
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else None

    @property
    def runs(self) -> bool:
        return not self.note.startswith("parsed only: ")

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [
            words for words in (shlex.split(line, comments=True) for line in lines) if words
        ]


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["language"], each["text"], each["note"] or "") for each in found]
