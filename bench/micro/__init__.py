"""Micro-benchmarks: what the experiments `hashes`, `signatures`, `merkle` and `harness` measure with the paired engine.

pytest-benchmark is a second front end to the same cases: ``pytest bench/micro`` with any of its own flags.
"""
