"""The report: what it says follows from the records, whatever state the study is in; users' text stays text."""

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from fake_study import part_one, write_run
from page_text import sections

from losslab.analysis.estimates import Estimate
from losslab.cli import main
from losslab.errors import InvalidInput, StoreError
from losslab.plots import charts
from losslab.plots.figures import Figure, Mark, Series, label_shifts, log_ticks, table
from losslab.plots.files import write_files
from losslab.plots.web import to_plotly
from losslab.report.equations import equation
from losslab.report.render import render, write_report
from losslab.study.results import read_results
from losslab.study.store import StudyFolder

PAYLOAD = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = part_one(tmp_path_factory.mktemp("whole"), epochs=3)
    write_report(folder.path)
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
    assert {target for target in targets if target.startswith("#") and target[1:] not in ids} == set()
    files = {target for target in targets if not target.startswith(("#", "data:"))}
    assert any(target.endswith("records.jsonl") for target in files)
    assert {target for target in files if not (whole.path / target).exists()} == set()


@pytest.mark.parametrize("status", ["diverged", "failed", "out_of_memory", "interrupted", "running"])
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
    assert "Sample data." in sections(part_one(tmp_path, epochs=2, data="fashion-mnist-sample"))[""]


def test_missing_facts_are_unknown_and_not_an_error(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    plan = folder.plan
    bare = {
        "study": {"name": plan["study"]["name"]},
        "stages": [{"name": s["name"], "runs": s["runs"]} for s in plan["stages"]],
    }
    folder.write_plan(bare)
    text = sections(folder)["summary"]
    assert "unknown predicted, unknown measured" in text


def test_a_study_without_a_template_gets_a_plain_report(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2, study={"name": "my-own", "title": "My own"})
    text = sections(folder)
    assert "reached the lowest final training loss" in text["compare"]
    assert "Search. Adam, lr 0.0003 reached the lowest final training loss" in text["summary"]


def test_users_text_is_escaped_everywhere(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2, study={"name": PAYLOAD, "title": PAYLOAD}, command=PAYLOAD, started=PAYLOAD)
    for result in read_results(folder).stages["compare"][:3]:
        write_run(folder, result.run, [], "failed", PAYLOAD)
    text = render(read_results(folder), {})
    assert text.count("&lt;script&gt;document.title") >= 5
    assert "<script>document.title" not in text
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_labels_and_data_of_figures_are_escaped() -> None:
    series = tuple(Series(PAYLOAD + str(i), (1.0, 2.0), (1.0, 2.0 + i), slot=i) for i in range(2))
    figure = Figure("hostile", PAYLOAD, PAYLOAD, PAYLOAD, series, marks=(Mark(PAYLOAD, y=1.5),))
    assert "<script" not in str(to_plotly(figure))
    assert "<img" not in str(to_plotly(figure))


@pytest.mark.parametrize("name", ['a"><script>', "A", "", "../x", "a b"])
def test_figure_names_are_safe_for_pages_and_files(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        Figure(name, "t", "x", "y", ())


@pytest.mark.parametrize("latex", [r"\text{<script>alert(1)</script>}", r"a & b", "&lt;"])
def test_equations_refuse_markup(latex: str) -> None:
    with pytest.raises(ValueError, match="markup"):
        equation(latex)


def test_hostile_labels_are_drawn_as_they_are(tmp_path: Path) -> None:
    label = r"$\frac{$ <b> 汉字 --> ]]>"
    series = tuple(Series(label + str(i), (1.0, 2.0), (1.0, 2.0 + i), slot=i) for i in range(2))
    write_files(Figure("hostile", label, label, label, series, marks=(Mark(label, x=1.5),)), tmp_path)
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


def test_labels_at_the_ends_of_lines_do_not_overlap() -> None:
    series = tuple(Series(str(i), (1.0, 2.0), (2.0, 1.0 + i / 1000)) for i in range(5))
    shifts = label_shifts(Figure("close", "t", "x", "y", series), 280, 16)
    ends = sorted(shift + index * 0.28 / 1.12 for index, shift in enumerate(shifts))
    assert all(upper - lower > 15 for lower, upper in pairwise(ends))


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-9.0, 1.0), [10.0**exponent for exponent in range(-9, 2)]),
        ((-1.0, 1.0), [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]),
        ((0.2, 0.8), [2.0, 3.0, 4.0, 5.0]),
    ],
    ids=["ten decades", "two", "half of one"],
)
def test_log_axes_are_labelled_sparsely(ends: tuple[float, float], expected: list[float]) -> None:
    assert log_ticks(ends) == pytest.approx(expected)


def test_the_numbers_behind_a_figure_are_exact_and_complete() -> None:
    figure = Figure("f", "t", "epoch", "loss", (Series("a", (1.0, 2.0), (0.5, 0.25)), Series("b", (2.0,), (0.125,))))
    assert table(figure) == (("epoch", "a", "b"), [("1", "0.5", ""), ("2", "0.25", "0.125")])


def test_command_prints_the_page_and_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = part_one(tmp_path / "study", epochs=2)
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(folder.path), "--json", "--figures", str(tmp_path / "drawings")])
    assert f'"report": "{folder.path.resolve()}/report.html"' in capsys.readouterr().out
    assert (tmp_path / "drawings" / "loss-plain.svg").exists()
    assert 'href="../drawings/loss-plain.svg"' in page(folder)


@pytest.mark.parametrize("make", [lambda path: path / "absent", lambda path: path], ids=["absent", "empty"])
def test_no_study_folder_is_one_line_and_exit_code_two(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(make(tmp_path))])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "holds no study" in error


@pytest.mark.parametrize("plan", ["[]", "{}", '{"stages": [1], "study": {}}', "no json"])
def test_a_folder_that_losslab_did_not_write_is_refused(tmp_path: Path, plan: str) -> None:
    (tmp_path / "study.json").write_text(plan)
    with pytest.raises(StoreError):
        write_report(tmp_path)


def test_a_page_that_cannot_be_written_is_the_users_business(tmp_path: Path) -> None:
    folder = part_one(tmp_path, epochs=2)
    (folder.path / "drawings").write_text("a file where a folder should be")
    with pytest.raises(InvalidInput, match="drawings"):
        write_report(folder.path, figures=folder.path / "drawings")


def test_report_does_not_import_torch(whole: StudyFolder) -> None:
    code = (
        "import sys; from losslab.cli import main\n"
        f"try: main(['report', {str(whole.path)!r}])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
