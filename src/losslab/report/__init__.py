"""Records and findings rendered as figures and one offline page."""

from losslab.report.render import write_report

__all__ = ["write_report"]
