"""Reports as Markdown: the page's words, with files in the place of what only a page can show."""

import re
from pathlib import Path

import pytest
from fake_all_studies import all_parts
from fake_copies import part_four

from losslab.reports import MARKDOWN, report
from losslab.reports.markdown import to_markdown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("markdown")
    part_four(path)
    report(path, form=MARKDOWN)
    return path


def test_a_report_in_markdown_has_the_pages_answers_and_tables(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    assert text.startswith("# Batch augmentation with cutout on CIFAR-10\n")
    assert (
        "- **Simple augmentation.** With pad, crop and flip alone, validation error was" in text
    )
    assert re.search(r"^\| copies \| epochs to 94 % \|", text, re.MULTILINE)
    assert not (folder / "report.html").exists()


def test_every_picture_in_markdown_is_a_file(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    linked = set(re.findall(r"!\[[^\]]*\]\(figures/([^)]+)\)", text))
    assert linked == {path.name for path in (folder / "figures").iterdir()}
    assert all(name.endswith(".svg") for name in linked)


def test_the_same_records_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    part_four(tmp_path)
    report(tmp_path, form=MARKDOWN)
    for path in sorted((folder / "figures").iterdir()):
        assert (tmp_path / "figures" / path.name).read_bytes() == path.read_bytes(), path.name


def test_no_html_is_left(folder: Path) -> None:
    assert not re.search(r"</?[a-z]+[ >]", (folder / "report.md").read_text())


@pytest.mark.usefixtures("no_drawing")
def test_several_studies_are_one_text(tmp_path: Path) -> None:
    all_parts(tmp_path)
    text = report(tmp_path, form=MARKDOWN).read_text()
    assert text.startswith("# How networks train, and what they cost\n")
    assert len(re.findall("^# ", text, re.MULTILINE)) == 5


def test_formulas_stand_between_dollars_and_panels_below_each_other() -> None:
    page = (
        "<p>As <code>$a_b$</code>.</p><p><code>$$x^2$$</code></p>"
        '<fieldset>choose</fieldset><div class="panel" aria-label="epochs"><p>one</p></div>'
    )
    assert to_markdown(page) == "As $a_b$.\n\n$$\nx^2\n$$\n\n#### epochs\n\none\n"


def test_formulas_of_one_paragraph_stand_apart() -> None:
    page = "<p><code>$$x^2$$</code><code>$$y^2$$</code> and so on</p>"
    assert to_markdown(page) == "$$\nx^2\n$$\n\n$$\ny^2\n$$\n\n and so on\n"


def test_panels_and_details_stand_one_level_below_their_section() -> None:
    panels = "".join(f'<div class="panel" aria-label="{name}"><p>x</p></div>' for name in "ab")
    details = "<details><summary>c</summary><p>x</p></details>"
    for heading, level in (("h2", "###"), ("h3", "####")):
        text = to_markdown(f"<{heading}>top</{heading}>{panels}{details}{details}")
        found = re.findall(r"^(#+) ([abc])$", text, re.MULTILINE)
        assert found == [(level, "a"), (level, "b"), (level, "c"), (level, "c")]


def test_signs_of_markdown_and_html_in_text_stay_text() -> None:
    page = "<p>got &lt;class 'int'&gt;</p><table><tr><th>a|b</th></tr><tr><td>x|y</td></tr></table>"
    text = to_markdown(page)
    assert "got &lt;class 'int'" in text
    assert "| a\\|b |" in text
    assert "| x\\|y |" in text


def test_a_drawing_is_named_by_its_title_and_its_words() -> None:
    page = "<svg><title>A cell</title><desc>Two branches.</desc></svg>"
    assert to_markdown(page) == "*A cell. Two branches: a drawing of the page.*\n"
