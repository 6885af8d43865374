"""The study `architectures`: its spec, what is found in its records, and its page."""
