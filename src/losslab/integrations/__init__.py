"""Schedules in other people's training loops: thin adapters, a file a framework, imported by their own names."""
