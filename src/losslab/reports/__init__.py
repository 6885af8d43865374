"""Records and findings rendered as figures and one offline page."""

from losslab.reports.render import HTML, MARKDOWN, report

__all__ = ["HTML", "MARKDOWN", "report"]
