"""Micro-benchmarks for `pytest`: run ``pytest bench/micro`` with any of pytest-benchmark's own flags."""
