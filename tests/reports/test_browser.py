"""The report in a real browser: it draws, fetches nothing, runs nothing of a user's, and fits a phone."""

import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from itertools import combinations, cycle
from pathlib import Path
from typing import Any

import pytest
from fake_all_studies import all_parts
from fake_study import part_one, write_run

from losslab import reports
from losslab.choice import Choice
from losslab.cli import main
from losslab.reports.render import render_several
from losslab.study.results import read_results, study_folders

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
AXE = "4.10.2"
ARTIFACTS = Path(__file__).parents[2] / "artifacts"
"""Pictures of what the tests saw, to be looked at."""
_SCRIPT = "window.pwned=1"
PAYLOADS = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "</script><script>window.pwned=1</script>",
    "<a href='javascript:window.pwned=1'>here</a>",
    "{{ 7*7 }}${window.pwned=1}`",
    *(f"<{tag} {event}={_SCRIPT}>" for tag in ("body", "video", "details open", "input autofocus", "iframe", "marquee")
      for event in ("onload", "onfocus", "ontoggle", "onstart")),
    f"<iframe src=javascript:{_SCRIPT}>",
    f"<iframe srcdoc='<script>parent.{_SCRIPT}</script>'>",
    f"<object data=javascript:{_SCRIPT}>",
    f"<embed src=javascript:{_SCRIPT}>",
    f"<math><mtext></style><img src=x onerror={_SCRIPT}>",
    f"\\text{{<script>{_SCRIPT}</script>}}",
    f"--><script>{_SCRIPT}</script><!--",
    f"</title></style></textarea><script>{_SCRIPT}</script>",
    "<link rel=stylesheet href=http://127.0.0.1:9/a.css><img src=http://127.0.0.1:9/a.png>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
)  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install losslab[dev]"
    )
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reports.report(part_one(tmp_path_factory.mktemp("study"), epochs=3).path)


@pytest.fixture(scope="module")
def architectures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("architectures")
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["study", "run", "architectures", "--out", str(out), "--quiet"])
    return reports.report(out)


@pytest.fixture(scope="module")
def all_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all four studies."""
    folder = all_parts(tmp_path_factory.mktemp("all"))
    page = folder / "report.html"
    page.write_text(
        render_several(
            {each.path.name: read_results(each) for each in study_folders(folder)}, {}
        )
    )
    return page


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of axe-core, from the npm registry."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not on this machine: apt-get install npm")
    folder = tmp_path_factory.mktemp("axe")
    fetched = subprocess.run(
        ["npm", "pack", f"axe-core@{AXE}"], cwd=folder, capture_output=True, timeout=120
    )
    if fetched.returncode:
        pytest.skip("the npm registry cannot be reached")
    with tarfile.open(folder / f"axe-core-{AXE}.tgz") as archive:
        archive.extract("package/axe.min.js", folder, filter="data")
    return folder / "package" / "axe.min.js"


def visit(browser: Any, report: Path, **options: Any) -> tuple[Any, list[str]]:
    """The opened page, and everything that it should not have done."""
    page = browser.new_page(**options)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request",
        lambda request: faults.append(request.url) if request.url != report.as_uri() else None,
    )
    page.goto(report.as_uri())
    look_at_all(page)
    return page, faults


def look_at_all(page: Any) -> None:
    """Every reading of every figure, each of which is drawn when it is looked at, and back to where the page opens."""
    page.evaluate("""async () => {
        const look = async (part) => {
            for (const plot of [...part.querySelectorAll('.plot')].filter(each => each.offsetParent)) {
                plot.scrollIntoView();
                while (!plot.querySelector('.main-svg')) await new Promise(requestAnimationFrame);
            }
        };
        await look(document);
        for (const box of document.querySelectorAll('.choices')) {
            const chosen = box.querySelector('input:checked');
            for (const each of [...box.querySelectorAll('input'), chosen]) {
                each.click();
                await look(document.getElementById(each.value));
            }
        }
        window.scrollTo(0, 0);
    }""")


def keep_picture(page: Any, name: str) -> None:
    """A picture of the whole page."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


def test_every_figure_draws_without_a_complaint_or_a_request(
    browser: Any, report: Path
) -> None:
    page, faults = visit(browser, report)
    lines = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(plot => plot.querySelectorAll('.trace').length)"
    )
    assert len(lines) >= 9
    assert min(lines) >= 1
    assert faults == []


def test_a_figure_waits_until_it_is_looked_at_unless_the_page_is_printed(
    browser: Any, all_studies: Path
) -> None:
    page = browser.new_page()
    page.goto(all_studies.as_uri())
    page.evaluate("document.querySelector('.plot').scrollIntoView()")
    page.wait_for_selector(".plot .main-svg")
    count = "[...document.querySelectorAll('.plot')].filter(plot => plot.querySelector('.main-svg')).length"
    everything = page.evaluate("document.querySelectorAll('.plot').length")
    assert page.evaluate(count) < everything / 2
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(count) == everything


def test_the_toggle_turns_the_page_and_its_figures_dark_and_back(
    browser: Any, report: Path
) -> None:
    page, faults = visit(browser, report, color_scheme="light")
    ink = "getComputedStyle(document.querySelector('#loss-plain .trace .lines path')).stroke"
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(f"[{ink}, {paper}]")
    page.focus("#theme")
    page.keyboard.press("Enter")
    dark = page.evaluate(f"[{ink}, {paper}]")
    page.click("#theme")
    assert all(one != other for one, other in zip(light, dark, strict=True))
    assert page.evaluate(f"[{ink}, {paper}]") == light
    assert faults == []


def test_a_dark_system_gets_a_dark_page(browser: Any, report: Path) -> None:
    page, _ = visit(browser, report, color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
    keep_picture(page, "part-one-dark")


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_sticks_out_at_any_width(browser: Any, report: Path, width: int) -> None:
    page, faults = visit(browser, report, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults == []


def test_the_readings_of_the_loss_are_chosen_by_keyboard(browser: Any, report: Path) -> None:
    page, _ = visit(browser, report)
    assert page.is_visible("#loss-plain")
    assert not page.is_visible("#fit-plain")
    page.focus("input[name=reading]:checked")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#fit-plain .main-svg")
    assert not page.is_visible("#loss-plain")
    wide = page.evaluate(
        "document.querySelector('#fit-plain .main-svg').getBoundingClientRect().width"
    )
    assert wide > 300


def test_a_link_opens_the_reading_that_it_leads_to(browser: Any, report: Path) -> None:
    page, faults = visit(browser, report)
    link = page.locator("a[href='#loss-dropout']").first
    page.locator(".choices input").nth(1).check()
    assert page.locator("#loss-dropout").is_hidden()
    link.click()
    assert page.locator("#loss-dropout").is_visible()
    assert page.locator(".choices input").nth(0).is_checked()
    assert faults == []


def test_numbers_behind_a_figure_can_be_saved(browser: Any, report: Path) -> None:
    page, _ = visit(browser, report)
    page.click("#loss-plain summary")
    with page.expect_download() as saved:
        page.click("#loss-plain a[download]")
    text = Path(saved.value.path()).read_text(encoding="utf-8")
    assert text.startswith("epoch,AdaGrad,RMSProp,RMSProp + Nesterov,AdaDelta,Adam")
    assert len(text.splitlines()) == 4


def test_print_shows_every_reading_in_light(browser: Any, report: Path) -> None:
    page, faults = visit(browser, report, color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.is_visible("#loss-plain")
    assert page.is_visible("#objective-dropout")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not page.is_visible("#objective-dropout")
    assert len(page.pdf()) > 50_000
    assert faults == []


@pytest.mark.row(18)
@pytest.mark.parametrize("name", ["adaptive-optimizers", "my-own"])
def test_injected_markup_does_nothing(
    browser: Any, tmp_path: Path, name: str, measured: Callable[[str], None]
) -> None:
    hostile = " ".join(PAYLOADS)
    folder = part_one(
        tmp_path,
        epochs=2,
        study={"name": name, "title": hostile},
        command=hostile,
        started=hostile,
    )
    results = read_results(folder).stages["compare"]
    plan = folder.plan
    for result, payload in zip(cycle(results), PAYLOADS, strict=False):
        run = result.run.model_copy(update={"model": Choice(name="mine:net", note=payload)})
        write_run(folder, run, result.records)
        plan["stages"][1]["runs"].append(run.id)
    for result in results[:2]:
        write_run(folder, result.run, [], "failed", hostile)
    plan["scale"]["text"] = plan["stages"][1]["question"] = hostile
    folder.write_plan(plan)
    page, faults = visit(browser, reports.report(folder.path))
    page.hover(".plot .nsewdrag >> nth=0", force=True)
    assert page.evaluate("window.pwned") is None
    assert (
        page.evaluate(
            "document.querySelectorAll('main img, main svg[onload], a[href^=javascript]').length"
        )
        == 0
    )
    assert faults == []
    measured(
        f"{len(PAYLOADS)} in names, options, errors and texts of a report: none ran, no request"
    )


@pytest.mark.parametrize("width", [390, 1280])
def test_architectures_are_drawn_and_fit(browser: Any, architectures: Path, width: int) -> None:
    page, faults = visit(browser, architectures, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bars = "document.querySelectorAll('#alexnet-macs .bars path').length"
    assert page.evaluate(bars) == 3 * 8
    keep_picture(page, f"architectures-{width}")
    named = "[...document.querySelectorAll('svg.diagram')].every(each => each.querySelector('title, desc').textContent)"
    assert page.evaluate(named)
    outside = """[...document.querySelectorAll('svg.diagram text:not(.left)')].filter(text => {
        const box = text.parentNode.querySelector('.box').getBBox(), words = text.getBBox();
        return words.width > box.width;
    }).length"""
    assert page.evaluate(outside) == 0
    assert faults == []


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study that counts one network of repeated blocks."""
    folder = tmp_path_factory.mktemp("counted")
    spec = folder / "study.toml"
    stage = '[[stages]]\nname = "sizes"\nquestion = "What is it?"\ncount = [{ model = "resnet-44" }]\n'
    spec.write_text(f'name = "sizes"\ntitle = "A count"\n{stage}')
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["study", "run", str(spec), "--out", str(folder / "out"), "--quiet"])
    return reports.report(folder / "out")


ROWS = 3 + 21 * 4 + 2 * 2 + 2
"""Of ResNet-44: what comes before the blocks, four in each of these, two shortcuts, and the end."""
SHOWN = "[...document.querySelectorAll('.ledger tbody tr')].filter(row => row.checkVisibility()).length"
"""Rows of ledgers that are seen."""


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_a_ledger_opens_by_keyboard_row_by_row_or_wholly(
    browser: Any, counted: Path, scheme: str, width: int
) -> None:
    page, faults = visit(
        browser, counted, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    assert page.evaluate(SHOWN) == 0
    page.focus(".ledger summary")
    page.keyboard.press("Enter")
    assert page.evaluate(SHOWN) == 9
    # From the summary the next stops are the button of all rows, the table and its first block.
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.textContent") == "stage1.0-6 x 7"
    assert page.evaluate("document.activeElement.ariaExpanded") == "true"
    assert page.evaluate(SHOWN) == 9 + 4
    keep_picture(page, f"ledger-{scheme}-{width}")
    page.keyboard.press("Enter")
    assert page.evaluate(SHOWN) == 9
    page.click(".ledger .all")
    assert page.is_visible("text=stage1.6.conv2")
    everything = page.evaluate(SHOWN)
    inside = "document.querySelectorAll('.ledger tbody tr').length"
    assert everything == page.evaluate(inside) > ROWS
    page.click(".ledger .all")
    assert page.evaluate(SHOWN) == 9
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults == []


def test_a_ledger_is_printed_wholly_and_closed_again(browser: Any, counted: Path) -> None:
    page, _ = visit(browser, counted)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(SHOWN) > ROWS
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(SHOWN) == 0


def test_without_scripts_a_ledger_shows_every_row(browser: Any, counted: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(counted.as_uri())
    page.click(".ledger summary")
    assert page.is_visible("text=stage1.6.conv2")
    assert not page.is_visible(".ledger .all")


def check_labels_are_apart(page: Any) -> None:
    """No label of a mark in a figure touches another or the edge."""
    labelled = page.evaluate("""() => [...document.querySelectorAll('.plot')].map(plot => {
        const boxes = [...plot.querySelectorAll('.annotation-text')].map(each => each.getBoundingClientRect());
        const frame = plot.getBoundingClientRect();
        return boxes.map(box => [box.left - frame.left, box.top, box.right - frame.left, box.bottom, frame.width]);
    })""")
    pairs = [pair for boxes in labelled for pair in combinations(boxes, 2)]
    assert len(pairs) >= 5
    for one, two in pairs:
        assert (
            one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] + 2 or two[3] <= one[1] + 2
        ), (one, two)
    assert all(box[0] >= 0 and box[2] <= box[4] for boxes in labelled for box in boxes)


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_all_parts_draw_in_one_page_at_any_width(
    browser: Any, all_studies: Path, width: int
) -> None:
    page, faults = visit(browser, all_studies, viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.trace'))"
    )
    assert faults == []
    check_labels_are_apart(page)
    if width != 400:  # little else than at 320
        keep_picture(page, f"all-parts-{width}")


@pytest.mark.network
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_no_barrier(
    browser: Any, all_studies: Path, axe: Path, scheme: str, width: int
) -> None:
    page = browser.new_page(
        bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page.goto(all_studies.as_uri())
    look_at_all(page)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    # Rows of a table are alike, and axe takes its time with each.
    page.evaluate(
        "document.querySelectorAll('table').forEach(table => [...table.rows].slice(4).forEach(row => row.remove()))"
    )
    page.add_script_tag(path=axe)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
    assert len(found["passes"]) > 20
