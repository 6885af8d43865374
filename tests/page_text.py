"""The words of a report, by section."""

from html.parser import HTMLParser

from losslab.reports.render import render
from losslab.study.results import read_results
from losslab.study.store import StudyFolder


class Text(HTMLParser):
    """The words of a page, without scripts and styles, by section."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.section, self.hidden = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.sections[self.section] = f"{self.sections.get(self.section, '')} {data}"


def sections(folder: StudyFolder) -> dict[str, str]:
    """Section id -> its text, in single spaces."""
    parser = Text()
    parser.feed(render(read_results(folder), {}))
    return {name: " ".join(text.split()) for name, text in parser.sections.items()}
