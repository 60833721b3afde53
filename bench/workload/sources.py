"""Generators of records by name: an extension's, which a scenario asks for as ``source`` of its ``[workload]``."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from bench.errors import BenchError
from ehrcore.records import ClinicalRecord
from ehrcore.registry import register

if TYPE_CHECKING:
    from bench.scenario import Workload as Plan

#: Records from the scenario's section ``[workload]``: the same ones in the same order for the same values.
Source = Callable[["Plan"], Iterable[ClinicalRecord]]
SOURCES: Final[dict[str, Source]] = {}


def add_source(name: str, make: Source) -> None:
    """Add a generator of one's own; `ParameterError` for a name that is taken."""
    register("workload source", SOURCES, name, make)


def find_source(name: str) -> Source:
    """The generator called ``name``; `BenchError` names the choices."""
    if name not in SOURCES:
        choices = ", ".join(SOURCES) or "none, for no extension adds any"
        raise BenchError(f"workload source: expected one of {choices}, found {name!r}")
    return SOURCES[name]
