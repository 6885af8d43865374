"""The report: what it says follows from the records, whatever state the study is in; users' text stays text."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_study import part_one, write_run
from page_text import sections

from losslab.cli import main
from losslab.errors import InvalidInput, StoreError
from losslab.reports.equations import equation
from losslab.reports.render import render, report
from losslab.study.results import read_results
from losslab.study.store import StudyFolder

PAYLOAD = (
    "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = part_one(tmp_path_factory.mktemp("whole"), epochs=3)
    report(folder.path)
    return folder


def page(folder: StudyFolder) -> str:
    return (folder.path / "report.html").read_text(encoding="utf-8")


def test_page_is_one_small_file_that_fetches_nothing(whole: StudyFolder) -> None:
    text = page(whole)
    shell = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert len(text.encode()) < 12e6
    assert "default-src &#39;none&#39;" in shell
    assert not re.search(r"""(src|srcset)\s*=|<link|@import|url\(""", shell)
    assert not re.search(r'href="(https?:)?//', shell)


def test_every_figure_is_written_as_png_and_svg(whole: StudyFolder) -> None:
    names = re.findall(r'<figure class="figure" id="([a-z0-9-]+)"', page(whole))
    files = {path.name for path in (whole.path / "figures").iterdir()}
    assert len(names) >= 9
    assert files == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}


def test_all_links_of_the_page_lead_somewhere(whole: StudyFolder) -> None:
    text = re.sub(r"<script.*?</script>", "", page(whole), flags=re.DOTALL)
    targets = set(re.findall(r'href="([^"]+)"', text))
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {
        target for target in targets if target.startswith("#") and target[1:] not in ids
    } == set()
    files = {target for target in targets if not target.startswith(("#", "data:"))}
    assert any(target.endswith("records.jsonl") for target in files)
    assert {target for target in files if not (whole.path / target).exists()} == set()


@pytest.mark.parametrize(
    "status", ["diverged", "failed", "out_of_memory", "interrupted", "running"]
)
def test_runs_that_ended_badly_are_named_and_not_ranked(tmp_path: Path, status: str) -> None:
    folder = part_one(tmp_path, epochs=3)
    for result in read_results(folder).stages["compare"]:
        if result.run.optimizer.name == "adam":
            write_run(folder, result.run, [], status, "the loss became nan at step 3")
    text = sections(folder)
    assert f"{status.replace('_', ' ')}: the loss became nan at step 3" in text[""]
    assert "Adam has no finished run here" in text["loss"]


def test_the_embedded_sample_is_named_loudly(tmp_path: Path, whole: StudyFolder) -> None:
    assert "Sample data." not in sections(whole)[""]
    assert (
        "Sample data."
        in sections(part_one(tmp_path, epochs=2, data="fashion-mnist-sample"))[""]
    )


def test_missing_facts_are_unknown_and_not_an_error(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    plan = folder.plan
    bare = {
        "study": {"name": plan["study"]["name"]},
        "stages": [{"name": s["name"], "runs": s["runs"]} for s in plan["stages"]],
    }
    folder.write_plan(bare)
    text = sections(folder)["summary"]
    assert "unknown predicted, at least " in text


def test_a_study_without_a_template_gets_a_plain_report(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2, study={"name": "my-own", "title": "My own"})
    text = sections(folder)
    assert "reached the lowest final validation loss" in text["compare"]
    assert "Search. Adam, lr 0.0001 reached the lowest final validation loss" in text["summary"]


def test_users_text_is_escaped_everywhere(tmp_path: Path) -> None:
    folder = part_one(
        tmp_path,
        epochs=2,
        study={"name": PAYLOAD, "title": PAYLOAD},
        command=PAYLOAD,
        started=PAYLOAD,
    )
    for result in read_results(folder).stages["compare"][:3]:
        write_run(folder, result.run, [], "failed", PAYLOAD)
    text = render(read_results(folder), {})
    assert text.count("&lt;script&gt;document.title") >= 5
    assert "<script>document.title" not in text
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("latex", [r"\text{<script>alert(1)</script>}", r"a & b", "&lt;"])
def test_equations_refuse_markup(latex: str) -> None:
    with pytest.raises(ValueError, match="markup"):
        equation(latex)


@pytest.mark.usefixtures("no_drawing")
def test_command_prints_the_page_and_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = part_one(tmp_path / "study", epochs=2)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["report", str(folder.path), "--json", "--figures", str(tmp_path / "drawings")])
    assert f'"report": "{folder.path.resolve()}/report.html"' in capsys.readouterr().out
    assert (tmp_path / "drawings" / "loss-plain.svg").exists()
    assert 'href="../drawings/loss-plain.svg"' in page(folder)


@pytest.mark.parametrize(
    "make", [lambda path: path / "absent", lambda path: path], ids=["absent", "empty"]
)
def test_no_study_folder_is_one_line_and_exit_code_two(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["report", str(make(tmp_path))])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "holds no study" in error


@pytest.mark.parametrize("plan", ["[]", "{}", '{"stages": [1], "study": {}}', "no json"])
def test_a_folder_that_losslab_did_not_write_is_refused(tmp_path: Path, plan: str) -> None:
    (tmp_path / "study.json").write_text(plan)
    with pytest.raises(StoreError):
        report(tmp_path)


def test_a_page_that_cannot_be_written_is_the_users_business(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    (folder.path / "drawings").write_text("a file where a folder should be")
    with pytest.raises(InvalidInput, match="drawings"):
        report(folder.path, figures=folder.path / "drawings")


def test_report_does_not_import_torch(whole: StudyFolder) -> None:
    code = (
        "import sys; from losslab.cli import main\n"
        f"try: main(['report', {str(whole.path)!r}])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
