"""One report of all four studies: each of their questions has answer, evidence, command and records in it."""

import re
import shutil
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from fake_all_studies import FOUR, ONE, STUDIES, THREE, TWO, all_parts
from fake_ranges import part_two
from fake_study import part_one

from losslab.errors import InvalidInput
from losslab.reports.render import MARKDOWN, render_several, report
from losslab.study.results import read_results, study_folders
from losslab.study.store import StudyFolder

QUESTIONS = {
    "1.1 update rules, terms, hyperparameters, against RMSProp": (
        ONE,
        "rules",
        "Against RMSProp",
    ),
    "1.2 training loss with L2": (ONE, "loss", "lowest"),
    "1.3 with dropout, and its time": (ONE, "dropout", "time"),
    "1.4 test accuracy of all ten": (ONE, "test", "test accuracy"),
    "1.4 scaling of weights under dropout": (ONE, "test", "scale"),
    "2.1 summary of the data, 3 x 3 pictures": (TWO, "data", "classes"),
    "2.2 range of the learning rate, both readings": (TWO, "lr", "lr_min"),
    "2.3 cyclical learning rate": (TWO, "cyclical-lr", "exp_range"),
    "2.4 loss against batch size, and whether it behaves alike": (TWO, "sizes", "alike"),
    "2.5 b_min, b_max and the block diagram": (TWO, "range", "b_max"),
    "2.6 cyclical batch size, an exponential increase": (TWO, "cyclical-batch", "increase"),
    "2.7 which of the two policies wins": (TWO, "winner", "accuracy"),
    "3.1 AlexNet": (THREE, "alexnet", "torchvision"),
    "3.2 VGG19": (THREE, "vgg19", "POOL2"),
    "3.3 receptive fields, with proof and check": (THREE, "stacks", "gradient"),
    "3.4 inception, naive and reduced": (THREE, "inception", "branch"),
    "4.1 cutout, its advantages, before and after": (FOUR, "cutout", "dropout"),
    "4.2 validation error with the simple augmentation": (FOUR, "simple", "validation error"),
    "4.3 validation error for every M": (FOUR, "copies", "copies"),
    "4.3 epochs and wall time to 94 %": (FOUR, "equal", "time"),
}
WITHOUT_RUNS = {"rules", "data"}
"""Sections that rest on the methods' own definitions and on the data, and on no run."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = all_parts(tmp_path_factory.mktemp("all"))
    report(folder)
    return folder


@pytest.fixture(scope="module")
def page(whole: Path) -> str:
    """The page without its scripts."""
    return re.sub(
        r"<script.*?</script>",
        "",
        (whole / "report.html").read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_answer_evidence_command_and_records(
    page: str, question: str
) -> None:
    study, section, word = QUESTIONS[question]
    found = re.search(rf'<section id="{study}-{section}".*?</section>', page, re.DOTALL)
    assert found is not None
    text = unescape(found[0])
    answers = re.findall(r'<p class="answer">\s*(.*?)\s*</p>', text, re.DOTALL)
    assert answers
    assert not [
        answer
        for answer in answers
        if not answer or "no answer" in answer or "None of its runs" in answer
    ]
    assert word.lower() in text.lower()
    assert re.search(r"<(figure|svg|img|math)", text)
    if section not in WITHOUT_RUNS:
        assert re.search(r"<code>losslab ", text)
        assert f'href="#{study}-runs-' in text


def test_the_studies_stand_in_their_order_each_with_its_summary(page: str) -> None:
    titles = re.findall(r'<h1 id="([a-z0-9-]+)-title">', page)
    assert titles == list(STUDIES)
    front = page[: page.index(f'<h1 id="{ONE}-title">')]
    assert front.count('<ul class="found">') == page.count('<ul class="found">') == 4
    for study in STUDIES:
        assert f'href="#{study}-title"' in front


def test_ids_are_unique_and_all_links_lead_somewhere(whole: Path, page: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', page)
    targets = {
        target
        for target in re.findall(r'href="([^"]+)"', page)
        if not target.startswith("data:")
    }
    labelled = {
        one for names in re.findall(r'aria-labelledby="([^"]+)"', page) for one in names.split()
    }
    assert len(ids) == len(set(ids))
    assert {
        target for target in targets if target.startswith("#") and target[1:] not in ids
    } == set()
    assert labelled <= set(ids)
    assert {
        target
        for target in targets
        if not target.startswith("#") and not (whole / target).exists()
    } == set()
    assert len(whole.joinpath("report.html").read_bytes()) < 12e6


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("study", ["", ONE])
def test_a_page_elsewhere_leads_to_the_records_and_writes_nothing_beside_them(
    whole: Path, tmp_path: Path, study: str
) -> None:
    folder, out = tmp_path / "all of them", tmp_path / "pages" / "mine"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("report.html", "figures"))
    before = sorted(folder.rglob("*"))
    page = report(folder / study, out=out, form=MARKDOWN)
    assert page == out / "report.md"
    assert sorted(folder.rglob("*")) == before
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert len([link for link in links if link.endswith("records.jsonl")]) > 30
    assert [link for link in links if not (out / unquote(link)).exists()] == []


def test_choices_of_different_parts_are_apart(page: str) -> None:
    values = re.findall(r'<input type="radio" name="([^"]+)" value="([^"]+)"', page)
    assert len({value for _, value in values}) == len(values)
    assert {f'id="{value}"' for _, value in values if f'id="{value}"' not in page} == set()


def test_what_is_said_up_front_follows_from_the_records(whole: Path, tmp_path: Path) -> None:
    def said(path: Path) -> str:
        page = render_several(
            {study.path.name: read_results(study) for study in study_folders(path)}, {}
        )
        return page[: page.index(f'<h1 id="{ONE}-title">')]

    part_one(
        tmp_path / ONE,
        epochs=2,
        change=lambda run, rows: rows if run.optimizer.name == "adagrad" else rows[:-1],
    )
    part_two(tmp_path / TWO)
    before, after = said(whole), said(tmp_path)
    assert "Batch augmentation with cutout" in before
    assert "Batch augmentation with cutout" not in after
    assert before.split("</ul>")[0] != after.split("</ul>")[0]


def test_a_folder_of_studies_is_read_in_the_order_of_their_parts(
    whole: Path, tmp_path: Path
) -> None:
    assert [study.path.name for study in study_folders(whole)] == list(STUDIES)
    assert study_folders(whole / ONE) == [StudyFolder(whole / ONE)]
    with pytest.raises(InvalidInput, match="holds no study"):
        study_folders(tmp_path)
