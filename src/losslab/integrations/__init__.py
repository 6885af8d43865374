"""Thin adapters to other people's training loops and trackers, a module each; none is imported with losslab."""
