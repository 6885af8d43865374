"""The study `learning-rate-and-batch-size`: its spec, what is found in its records, and its page."""
