"""Records to findings: estimates, measures, curves, rankings; no torch."""
