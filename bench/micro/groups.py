"""What the paired engine can be asked to measure, by name; options are JSON values."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.measure.paired import Group
from bench.micro import hashing, merkle, planted, signing
from bench.micro.base import Family
from ehrcore.registry import register

#: Suite -> its families, from its options (keyword arguments).
FAMILIES: Final[dict[str, Callable[..., list[Family]]]] = {
    "hashes": hashing.build_families,
    "signatures": signing.build_families,
    "merkle": merkle.build_families,
    "harness": planted.build_families,
}


def build_groups(suite: str, options: Mapping[str, Any]) -> list[Group]:
    """The groups of a suite; `BenchError` for an unusable name in the options."""
    return [family.as_group() for family in FAMILIES[suite](**options)]


def _bind(suite: str) -> Callable[[Mapping[str, Any]], list[Group]]:
    return lambda options: build_groups(suite, options)


#: Suite -> its groups, from its options.
SUITES: Final = {suite: _bind(suite) for suite in FAMILIES}


def add_families(suite: str, build: Callable[..., list[Family]]) -> None:
    """Add a suite of one's own, built from its options; `ParameterError` for a name that is taken."""
    register("measured suite", FAMILIES, suite, build)
    SUITES[suite] = _bind(suite)
