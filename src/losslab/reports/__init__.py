"""Records and findings rendered as figures and one offline page."""

from losslab.reports.render import report

__all__ = ["report"]
