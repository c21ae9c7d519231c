"""Throughput side by side, in one run on one machine: `python -m tests.bench`."""
