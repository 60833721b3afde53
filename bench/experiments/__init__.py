"""Experiments: one file each, found by id."""

from importlib import import_module

from bench.errors import BenchError
from bench.experiments.base import Case, Column, Experiment, Figure, Row, Table
from bench.experiments.catalogue import QUESTIONS


def find_experiment(name: str) -> Experiment:
    """The experiment with this id; `BenchError` names the choices."""
    if name not in QUESTIONS:
        raise BenchError(f"experiment: expected one of {', '.join(QUESTIONS)}, found {name!r}")
    experiment: Experiment = import_module(f"bench.experiments.{name}").EXPERIMENT
    return experiment


__all__ = ["QUESTIONS", "Case", "Column", "Experiment", "Figure", "Row", "Table", "find_experiment"]
