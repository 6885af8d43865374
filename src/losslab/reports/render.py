"""The records of a study, or of several, as one offline page or as Markdown, and its figures as files."""

import csv
import io
import os
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from losslab import __version__
from losslab.analysis import charts
from losslab.errors import InvalidInput, StoreError
from losslab.files import write_text
from losslab.plots import ledger_charts
from losslab.plots.figures import DARK, LIGHT, NAME, Figure, Mark
from losslab.plots.files import write_files
from losslab.plots.numbers import describe, numbers, table
from losslab.plots.web import to_plotly
from losslab.ranges import ALGORITHM
from losslab.ranges import charts as range_charts
from losslab.reports import markdown
from losslab.reports.algorithm_diagram import block_diagram
from losslab.reports.equations import equation
from losslab.reports.module_diagram import module_diagram
from losslab.reports.overview import overview_of
from losslab.reports.pictures import sample_images
from losslab.reports.stack_diagram import stack_diagram
from losslab.reports.stages import StageView, stage_views
from losslab.studies import find, own_file
from losslab.study.load import STUDIES
from losslab.study.results import StudyResults, read_results, study_folders
from losslab.study.store import StudyFolder
from losslab.tables import Table

PAGE = Path(__file__).parent / "page"
TITLE = "How networks train, and what they cost"
"""Of a page of several studies."""


@dataclass(frozen=True)
class Form:
    """What a report is written as.

    Attributes:
        file: name of the report in its folder.
        frame: template around a study, or around several.
        figure: template of a figure.
        suffixes: of the figures' files.
        equation: (LaTeX) -> the formula as markup.
        finish: what is rendered -> the content of the file.
    """

    file: str
    frame: str
    figure: str
    suffixes: tuple[str, ...]
    equation: Callable[..., Markup]
    finish: Callable[[str], str]


HTML = Form(
    "report.html", "page.html.jinja", "figure.html.jinja", (".svg", ".png"), equation, str
)
MARKDOWN = Form(
    "report.md",
    "plain.html.jinja",
    "plain_figure.html.jinja",
    (".svg",),
    markdown.formula,
    markdown.to_markdown,
)


def report(
    folder: Path | str,
    *,
    out: Path | None = None,
    figures: Path | None = None,
    form: Form = HTML,
) -> Path:
    """Write the report and the figures of a study, or of all studies in a folder, from their records alone.

    Args:
        folder: the folder a study was run in, finished or not, or one that holds several of those.
        out: where the report goes, created when absent; ``folder`` where None.
        figures: where the figures' files go; ``figures`` beside the report where None.
        form: `HTML`, one file that works offline with figures as PNG and SVG beside it, or `MARKDOWN`, with SVG.
    Returns:
        Path of the report.
    Raises:
        InvalidInput: when the folder holds no study, or nothing can be written where the report goes.
        StoreError: when its files cannot be understood.
    """
    folder = Path(folder)
    out = Path(out or folder)
    figures = figures or out / "figures"
    shown: dict[str, Figure] = {}
    # A folder may be reached through a link, whose parent is another than it seems.
    links = quote(os.path.relpath(figures.resolve(), out.resolve()))
    records = os.path.relpath(folder.resolve(), out.resolve())
    studies = study_folders(folder)
    if studies == [StudyFolder(folder)]:
        page = render(_read(studies[0]), shown, links, form, records)
    else:
        several = {study.path.name: _read(study) for study in studies}
        page = render_several(several, shown, links, form, records)
    path = out / form.file
    try:
        out.mkdir(parents=True, exist_ok=True)
        figures.mkdir(parents=True, exist_ok=True)
        for figure in shown.values():
            write_files(figure, figures, form.suffixes)
        write_text(path, page)
    except OSError as error:
        raise InvalidInput(
            f"{error.filename or path}: cannot be written ({error.strerror}); choose another for the page (`out`)"
        ) from error
    return path


def render(
    results: StudyResults,
    shown: dict[str, Figure],
    figures: str = "figures",
    form: Form = HTML,
    records: str = ".",
) -> str:
    """Render the page of a study.

    Args:
        results: plan and runs.
        shown: takes every figure of the page by name.
        figures: the folder of the figures' files, as seen from the page.
        form: what it is written as.
        records: the folder of the study, as seen from the page.
    """
    section = (_prefix(records), "")
    return form.finish(_render(results, shown, form.frame, figures, form, section, **_page()))


def render_several(
    studies: Mapping[str, StudyResults],
    shown: dict[str, Figure],
    figures: str = "figures",
    form: Form = HTML,
    records: str = ".",
) -> str:
    """Render the page of several studies.

    Args:
        studies: plan and runs of each, by the name of its folder.
        shown: takes every figure of the page by name.
        figures: the folder of the figures' files, as seen from the page.
        form: what it is written as.
        records: the folder of those folders, as seen from the page.
    """
    parts = []
    for index, (name, results) in enumerate(studies.items(), start=1):
        # Ids and names of figures take fewer signs than folders may have.
        prefix = f"{name}-" if NAME.match(name) else f"study-{index}-"
        overview = overview_of(results)
        # The summary is text alone, so that there is no figure of it to keep.
        section = (_prefix(str(Path(records, name))), prefix)
        summary = _render(results, {}, "summary.html.jinja", figures, form, section)
        body = _render(results, shown, "part.html.jinja", figures, form, section)
        parts.append(
            {
                "title": overview.title,
                "basis": overview.basis,
                "prefix": prefix,
                "summary": Markup(summary),
                "body": Markup(body),
            }
        )
    template = page_environment().get_template("several.html.jinja")
    return form.finish(template.render(title=TITLE, studies=parts, frame=form.frame, **_page()))


def _prefix(folder: str) -> str:
    """What a link into a folder begins with."""
    return "" if folder == "." else f"{quote(folder)}/"


def _render(
    results: StudyResults,
    shown: dict[str, Figure],
    frame: str,
    figures: str,
    form: Form,
    section: tuple[str, str] = ("", ""),
    **page: Any,
) -> str:
    """A study in a frame; `section` is what links to its files and, in a larger page, its ids begin with."""
    jinja = page_environment()
    folder, prefix = section
    facts = _context(results, _shower(jinja, shown, figures, prefix, form), form)
    links = {"frame": frame, "prefix": prefix, "folder": folder}
    return jinja.get_template(_template(results)).render(**facts, **page, **links)


def _template(results: StudyResults) -> str:
    """Choose the template of a study that ships one, else that of all."""
    path = own_file(results, "report.html.jinja")
    return f"{path.parent.name}/{path.name}" if path else "base.html.jinja"


def page_environment() -> Environment:
    """The templates of all pages; what they print is escaped, and a name that they do not know is an error."""
    loader = FileSystemLoader([PAGE, STUDIES])
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read(folder: StudyFolder) -> StudyResults:
    try:
        results = read_results(folder)
        # Folders of an earlier version lack a title; StrictUndefined would make that an error of the page.
        study = {"name": "", "title": "", **results.plan["study"]}
        return replace(results, plan={**results.plan, "study": study})
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{folder.path}: not what losslab writes ({type(error).__name__}: {error})"
        ) from error


def _page() -> dict[str, Any]:
    """Gather what the frame of a page uses."""
    plotly, script = get_plotlyjs(), (PAGE / "report.js").read_text(encoding="utf-8")
    return {
        "palettes": {"light": LIGHT, "dark": DARK},
        "policy": _policy(plotly, script),
        "plotly": Markup(plotly),
        "script": Markup(script),
        "style": Markup((PAGE / "style.css").read_text(encoding="utf-8")),
        "version": __version__,
    }


def _context(
    results: StudyResults, show: Callable[[Figure], Markup], form: Form
) -> dict[str, Any]:
    """Gather what the template of a study may use: values that hold sentences, and what draws or writes formulas."""
    overview, stages = overview_of(results), stage_views(results)
    return {
        "title": overview.title,
        "overview": overview,
        "stages": stages,
        "stage": lambda name: stages.get(name, StageView(name)),
        "findings": find(results),
        "show": show,
        "charts": charts,
        "ledger_charts": ledger_charts,
        "range_charts": range_charts,
        "Mark": Mark,
        "algorithm": ALGORITHM,
        "block_diagram": block_diagram,
        "module_diagram": module_diagram,
        "stack_diagram": stack_diagram,
        "sample_images": sample_images,
        "equation": form.equation,
    }


def _shower(
    jinja: Environment, shown: dict[str, Figure], figures: str, prefix: str, form: Form
) -> Callable[[Figure], Markup]:
    """Return a function that draws a figure where the template calls it, and notes it in ``shown``."""

    def show(figure: Figure) -> Markup:
        figure = replace(figure, name=prefix + figure.name)
        # A second figure of a name would overwrite the first one's files.
        if figure.name in shown:
            raise ValueError(f"`name` (={figure.name!r}) is another figure's already")
        if figure.series:
            shown[figure.name] = figure
        head, rows = table(figure)
        columns, values = numbers(figure)
        facts = {
            "figure": figure,
            "figures": figures,
            "spec": to_plotly(figure),
            "words": describe(figure),
            "numbers": Table("", head, tuple(rows), label=f"Numbers of: {figure.title}"),
            "csv": _csv_link([columns, *values]),
        }
        return Markup(jinja.get_template(form.figure).render(facts))

    return show


def _csv_link(rows: Sequence[tuple[str | float | None, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return f"data:text/csv;charset=utf-8;base64,{b64encode(text.getvalue().encode()).decode()}"


def _policy(*scripts: str) -> str:
    """Write a content security policy under which these scripts run, no other does, and nothing is fetched."""
    # Names of runs and messages of failed ones are a stranger's text: should any escape slip, it still runs nothing.
    sources = []
    for script in scripts:
        digest = sha256(script.encode()).digest()
        sources.append(f"'sha256-{b64encode(digest).decode()}'")
    hashes = " ".join(sources)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
