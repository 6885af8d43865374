"""The records of a study, or of several, as one offline page and its figures as files."""

import csv
import io
import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from losslab import __version__
from losslab import text as words
from losslab.analysis import measures as analysis
from losslab.analysis import runs as selection
from losslab.analysis import targets
from losslab.data import CATALOG
from losslab.errors import InvalidInput, StoreError
from losslab.files import write_text
from losslab.optimizers import OPTIMIZERS
from losslab.plots import charts, ledger_charts, range_charts
from losslab.plots.figures import DARK, LIGHT, Figure, Mark, describe, table
from losslab.plots.files import write_files
from losslab.plots.web import to_plotly
from losslab.ranges import ALGORITHM, RULES
from losslab.ranges.curves import FALL_SHARE
from losslab.ranges.shape import batch_shape, lr_shape
from losslab.report.diagram import block_diagram
from losslab.report.diagrams import module_diagram
from losslab.report.equations import equation
from losslab.report.layer_table import layer_table
from losslab.report.pictures import sample_images
from losslab.studies import find
from losslab.study import findings as ranges
from losslab.study.results import StudyResults, read_results, study_folders
from losslab.study.stages import STUDIES, study_home, study_names
from losslab.study.store import StudyFolder

PAGE = Path(__file__).parent / "page"
TITLE = "How networks train, and what they cost"
"""Of a page of several studies."""
TITLES = {name: method.title for name, method in OPTIMIZERS.items()}


def write_report(folder: Path, *, figures: Path | None = None) -> Path:
    """Write ``report.html`` and the figures of a study, or of all studies in a folder, from their records alone.

    Args:
        folder: the folder a study was run in, finished or not, or one that holds several of those.
        figures: where the PNG and SVG files go; the folder's ``figures`` where None.
    Returns:
        Path of the page: one file that works offline.
    Raises:
        InvalidInput: when the folder holds no study, or cannot be written.
        StoreError: when its files cannot be understood.
    """
    figures = figures or folder / "figures"
    shown: dict[str, Figure] = {}
    links = os.path.relpath(figures, folder)
    studies = study_folders(folder)
    if studies == [StudyFolder(folder)]:
        page = render(_read(studies[0]), shown, links)
    else:
        page = render_several({study.path.name: _read(study) for study in studies}, shown, links)
    report = folder / "report.html"
    try:
        figures.mkdir(parents=True, exist_ok=True)
        for figure in shown.values():
            write_files(figure, figures)
        write_text(report, page)
    except OSError as error:
        raise InvalidInput(f"{error.filename or report}: cannot be written ({error.strerror})") from error
    return report


def render(results: StudyResults, shown: dict[str, Figure], figures: str = "figures") -> str:
    """The page of a study.

    Args:
        results: plan and runs.
        shown: takes every figure of the page by name.
        figures: the folder of the figures' files, as seen from the page.
    """
    return _render(results, shown, "page.html.jinja", figures, **_page())


def render_several(studies: Mapping[str, StudyResults], shown: dict[str, Figure], figures: str = "figures") -> str:
    """The page of several studies.

    Args:
        studies: plan and runs of each, by the name of its folder beside the page.
        shown: takes every figure of the page by name.
        figures: the folder of the figures' files, as seen from the page.
    """
    parts = [
        {
            "results": results,
            "title": _title(results),
            "machine": _environment(results, "processor"),
            "prefix": f"{name}-",
            "summary": Markup(_render(results, {}, "summary.html.jinja", figures, name)),
            "body": Markup(_render(results, shown, "part.html.jinja", figures, name)),
        }
        for name, results in studies.items()
    ]
    facts = {"title": TITLE, "studies": parts, "words": words, **_page()}
    return _jinja().get_template("several.html.jinja").render(facts)


def _render(
    results: StudyResults, shown: dict[str, Figure], frame: str, figures: str, folder: str = "", **page: Any
) -> str:
    """A study in a frame; as a part of a page, where it lies in a folder, that begins its ids and its links."""
    jinja = _jinja()
    name = (results.plan.get("study") or {}).get("name")
    template = "base.html.jinja"
    if name in study_names() and (study_home(name) / "report.html.jinja").exists():
        template = f"{study_home(name).name}/report.html.jinja"
    prefix = f"{folder}-" if folder else ""
    facts = _context(results, _shower(jinja, shown, figures, prefix))
    return jinja.get_template(template).render(
        **facts, **page, frame=frame, prefix=prefix, place=f"{folder}/" if folder else ""
    )


def _jinja() -> Environment:
    loader = FileSystemLoader([PAGE, STUDIES])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _read(folder: StudyFolder) -> StudyResults:
    try:
        results = read_results(folder)
        return replace(results, plan={**results.plan, "study": {"name": "", "title": "", **results.plan["study"]}})
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{folder.path}: not what losslab writes ({type(error).__name__}: {error})") from error


def _title(results: StudyResults) -> str:
    return (results.plan.get("study") or {}).get("title") or "Study"


def _page() -> dict[str, Any]:
    """What the frame of a page uses."""
    plotly, script = get_plotlyjs(), (PAGE / "report.js").read_text(encoding="utf-8")
    return {
        "palettes": {"light": LIGHT, "dark": DARK},
        "policy": _policy(plotly, script),
        "plotly": Markup(plotly),
        "script": Markup(script),
        "style": Markup((PAGE / "style.css").read_text(encoding="utf-8")),
        "version": __version__,
    }


def _context(results: StudyResults, show: Callable[[Figure], Markup]) -> dict[str, Any]:
    """What every template may use."""
    return {
        "title": _title(results),
        "results": results,
        "findings": find(results),
        "plan": results.plan,
        "stage_groups": lambda stage: _stage_groups(results, stage["name"]),
        "runs": [result for stage in results.stages.values() for result in stage],
        "unended": selection.unended(results),
        "analysis": analysis,
        "selection": selection,
        "ranges": ranges,
        "lr_shape": lr_shape,
        "batch_shape": batch_shape,
        "lr_rules": RULES,
        "fall_share": FALL_SHARE,
        "algorithm": ALGORITHM,
        "block_diagram": block_diagram,
        "sample_images": sample_images,
        "targets": targets,
        "charts": charts,
        "ledger_charts": ledger_charts,
        "layer_table": layer_table,
        "module_diagram": module_diagram,
        "range_charts": range_charts,
        "Mark": Mark,
        "show": show,
        "words": words,
        "environment": lambda key: _environment(results, key),
        "sample_data": [name for name, entry in CATALOG.items() if entry.sample],
        "equation": equation,
        "optimizers": OPTIMIZERS,
        "titles": TITLES,
    }


def _shower(jinja: Environment, shown: dict[str, Figure], figures: str, prefix: str) -> Callable[[Figure], Markup]:
    """A function that draws a figure where the template calls it, and notes it in ``shown``."""

    def show(figure: Figure) -> Markup:
        figure = replace(figure, name=prefix + figure.name)
        if figure.name in shown:
            raise ValueError(f"`name` (={figure.name!r}) is another figure's already")
        if figure.series:
            shown[figure.name] = figure
        head, rows = table(figure)
        parts = {"spec": to_plotly(figure), "words": describe(figure), "head": head, "rows": rows, "figures": figures}
        return Markup(
            jinja.get_template("figure.html.jinja").render(figure=figure, csv=_csv_link([head, *rows]), **parts)
        )

    return show


def _stage_groups(results: StudyResults, stage: str) -> selection.Groups:
    """The runs of a stage by all that tells them apart but the seed: what a study without a template is shown by."""
    runs = results.stages.get(stage, ())
    fields = [field for field in selection.varying_fields(runs) if field != "seed"]
    return selection.group_runs(runs, fields, TITLES)


def _environment(results: StudyResults, key: str) -> str:
    """What the environments of runs and counts say of a key: usually one value, all of them where they differ."""
    every = (result for part in (results.stages, results.counts) for stage in part.values() for result in stage)
    return ", ".join(sorted({str(result.environment.get(key, "unknown")) for result in every})) or "unknown"


def _csv_link(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return f"data:text/csv;charset=utf-8;base64,{b64encode(text.getvalue().encode()).decode()}"


def _policy(*scripts: str) -> str:
    """A content security policy under which these scripts run, no other does, and nothing is fetched."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
