"""This machine and this process on it: versions, cores, memory, and what the arithmetic reaches."""
