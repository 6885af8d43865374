"""The study `batch-augmentation`: its spec, what is found in its records, and its page."""
