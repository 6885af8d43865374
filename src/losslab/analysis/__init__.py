"""Records to findings: runs, measures, clocks, curves, rankings, sentences; no torch."""
