"""Engines execute cases: the table from an engine's name to the function that runs a case."""

from bench.engines.base import ENGINES, Context, add_engine, find_engine

__all__ = ["ENGINES", "Context", "add_engine", "find_engine"]
