"""The study `adaptive-optimizers`: its spec, what is found in its records, and its page."""
