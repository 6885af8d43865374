"""``losslab report``: records to one page."""

import webbrowser
from json import dumps
from pathlib import Path

from losslab import reports
from losslab.cli.options import Flag


def report(
    folder: Path,
    *,
    out: Path | None = None,
    open: Flag = False,
    markdown: Flag = False,
    json: Flag = False,
    figures: Path | None = None,
) -> None:
    """Write the report of a study folder: one HTML file that works offline, and every figure as PNG and SVG.

    Example: losslab report runs/adaptive-optimizers --open

    Args:
        folder: The folder that `losslab study run` filled; it may be unfinished.
        out: Where the page goes; FOLDER when absent.
        open: Show the page in the browser.
        markdown: Write report.md in the place of report.html, and figures as SVG, for where code is read.
        json: Print where the page and the figures are as JSON.
        figures: Where the PNG and SVG files go; `figures` beside the page when absent.
    """
    form = reports.MARKDOWN if markdown else reports.HTML
    page = reports.report(folder, out=out, figures=figures, form=form).resolve()
    pictures = figures or page.parent / "figures"
    paths = {"report": str(page), "figures": str(pictures.resolve())}
    print(dumps(paths) if json else page)
    if open:
        webbrowser.open(page.as_uri())
