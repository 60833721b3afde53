"""Time per hash: suite by library by message size.

A call includes what a program pays: making the object, feeding it and taking the digest.
"""

from typing import Any

import pytest

from bench.micro.cases import HashCase, hash_cases
from ehrcore.hashing import SUITES


@pytest.mark.parametrize("case", hash_cases(), ids=str)
def test_hash(benchmark: Any, case: HashCase) -> None:
    """Hash one message; the digest is that of the framework's own suite."""
    benchmark.group = f"hash {case.size_bytes} bytes"
    benchmark.extra_info.update(case.extra_info())
    message = case.message()
    digest = benchmark(case.function(), message)
    assert digest == SUITES[case.suite].hash(message)  # noqa: S101 - a benchmark is a test
