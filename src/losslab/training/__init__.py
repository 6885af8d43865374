"""One run: its steps laid out, the loop, its state on disk."""
