"""A study folder's records as one offline page and its figures as files."""

import csv
import io
import os
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from losslab import __version__, analysis, selection, targets
from losslab.data import CATALOG
from losslab.errors import InvalidInput, StoreError
from losslab.optimizers import OPTIMIZERS
from losslab.ranges import ALGORITHM, RULES
from losslab.ranges import findings as ranges
from losslab.ranges.curves import FALL_SHARE
from losslab.ranges.shape import batch_shape, lr_shape
from losslab.report import charts, ledger_charts, range_charts, words
from losslab.report.diagram import block_diagram
from losslab.report.diagrams import module_diagram
from losslab.report.equations import equation
from losslab.report.figures import DARK, LIGHT, Figure, Mark, describe, table
from losslab.report.files import write_files
from losslab.report.layer_table import layer_table
from losslab.report.pictures import data_facts
from losslab.report.web import to_plotly
from losslab.study.results import StudyResults, read_results
from losslab.study.stages import STUDIES, study_names
from losslab.study.store import StudyFolder, write_text

PAGE = Path(__file__).parent / "page"
TITLES = {name: method.title for name, method in OPTIMIZERS.items()}


def write_report(study_folder: Path, *, figures: Path | None = None) -> Path:
    """Write ``report.html`` and the figures of a study folder, from its records alone.

    Args:
        study_folder: the folder a study was run in, finished or not.
        figures: where the PNG and SVG files go; the study folder's ``figures`` where None.
    Returns:
        Path of the page: one file that works offline.
    Raises:
        InvalidInput: when the folder holds no study, or cannot be written.
        StoreError: when its files cannot be understood.
    """
    results = _read(StudyFolder(study_folder))
    figures = figures or study_folder / "figures"
    shown: dict[str, Figure] = {}
    page = render(results, shown, os.path.relpath(figures, study_folder))
    report = study_folder / "report.html"
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
    loader = FileSystemLoader([PAGE, STUDIES])
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    name = (results.plan.get("study") or {}).get("name")
    own = f"{name}/report.html.jinja"
    template = own if name in study_names() and (STUDIES / own).exists() else "base.html.jinja"
    return jinja.get_template(template).render(_context(results, _shower(jinja, shown, figures)))


def _read(folder: StudyFolder) -> StudyResults:
    try:
        results = read_results(folder)
        return replace(results, plan={**results.plan, "study": {"name": "", "title": "", **results.plan["study"]}})
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{folder.path}: not what losslab writes ({type(error).__name__}: {error})") from error


def _context(results: StudyResults, show: Callable[[Figure], Markup]) -> dict[str, Any]:
    """What every template may use."""
    plotly, script = get_plotlyjs(), (PAGE / "report.js").read_text(encoding="utf-8")
    return {
        "title": (results.plan.get("study") or {}).get("title") or "Study",
        "results": results,
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
        "data_facts": data_facts,
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
        "version": __version__,
        "palettes": {"light": LIGHT, "dark": DARK},
        "policy": _policy(plotly, script),
        "plotly": Markup(plotly),
        "script": Markup(script),
        "style": Markup((PAGE / "style.css").read_text(encoding="utf-8")),
    }


def _shower(jinja: Environment, shown: dict[str, Figure], figures: str) -> Callable[[Figure], Markup]:
    """A function that draws a figure where the template calls it, and notes it in ``shown``."""

    def show(figure: Figure) -> Markup:
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
