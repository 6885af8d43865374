"""Figures as values, drawn for the web and for files; no torch."""
