"""The studies that ship: a folder each, with what to run and what to say."""
