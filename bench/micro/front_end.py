"""The same cases under pytest-benchmark: one by one, each for itself.

Two environment variables choose sizes, as numbers with commas between them: ``EHRBENCH_SIZES`` (bytes of a message) and
``EHRBENCH_LEAVES`` (of a tree).  ``-k`` chooses among the rest by name.
"""

import os
from collections.abc import Iterable
from typing import Any, Final

import pytest

from bench.errors import BenchError
from bench.micro.base import Family

MAX_SIZE: Final = 1 << 24


def read_sizes(variable: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers in an environment variable, each once; ``default`` if it is unset or empty."""
    text = os.environ.get(variable, "")
    sizes = tuple(int(size) if size.isdecimal() else 0 for size in filter(None, text.split(",")))
    if not all(1 <= size <= MAX_SIZE for size in sizes):
        raise BenchError(f"{variable}: expected numbers from 1 to {MAX_SIZE}, found {text!r}")
    return tuple(dict.fromkeys(sizes)) or default


def list_cases(families: Iterable[Family]) -> list[Any]:
    """A parameter set ``(family, name)`` per operation; what cannot run here is skipped with its reason."""
    return [
        pytest.param(
            family,
            name,
            id=f"{family.name}-{name.replace('/', '-').replace(' ', '-')}",
            marks=[pytest.mark.skip(reason=family.missing[name])] if name in family.missing else [],
        )
        for family in families
        for name in (*family.operations, *family.missing)
    ]


def measure(benchmark: Any, family: Family, name: str) -> None:
    """Measure one operation; what it returns has to be right."""
    operation = family.operations[name]
    call, is_right = operation.prepare()
    benchmark.group = family.name
    benchmark.extra_info.update({**family.labels, **operation.details})
    assert is_right(benchmark(*call))  # noqa: S101 - a benchmark is a test
