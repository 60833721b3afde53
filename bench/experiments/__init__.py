"""Experiments: one file each, found by id."""

from importlib import import_module
from typing import Final

from bench.errors import BenchError
from bench.experiments.base import Case, Column, Comparison, Experiment, Figure, Row, Table
from bench.experiments.catalogue import QUESTIONS
from ehrcore.registry import register

#: Those of extensions, by id.
_ADDED: Final[dict[str, Experiment]] = {}


def find_experiment(name: str) -> Experiment:
    """The experiment with this id; `BenchError` names the choices."""
    if name not in QUESTIONS:
        raise BenchError(f"experiment: expected one of {', '.join(QUESTIONS)}, found {name!r}")
    if name in _ADDED:
        return _ADDED[name]
    experiment: Experiment = import_module(f"bench.experiments.{name}").EXPERIMENT
    return experiment


def add_experiment(experiment: Experiment) -> None:
    """Add an experiment of one's own; its tables and figures are called as it is, or by its id, ``_`` and a word.

    So none of them has the name of another experiment's.  `ParameterError` for an id that is taken, `BenchError` for a
    name that is not of this form.
    """
    own = experiment.id.replace("-", "_")
    for name in (*(table.name for table in experiment.tables), *(figure.name for figure in experiment.figures)):
        if name != own and not name.startswith(f"{own}_"):
            raise BenchError(f"experiment {experiment.id}: expected names that begin with {own}_, found {name!r}")
    register("experiment", QUESTIONS, experiment.id, experiment.question)
    _ADDED[experiment.id] = experiment


__all__ = [
    "QUESTIONS",
    "Case",
    "Column",
    "Comparison",
    "Experiment",
    "Figure",
    "Row",
    "Table",
    "add_experiment",
    "find_experiment",
]
