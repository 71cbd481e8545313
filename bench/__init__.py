"""Benchmarks: each prints ratios measured in one run, and exits with 1 when a limit is missed."""
