"""The training of one run: its timeline, the loop, its state on disk."""
