"""Time per hash: function by library by message size."""

from typing import Any

import pytest

from bench.micro.base import Family
from bench.micro.front_end import list_cases, measure, read_sizes
from bench.micro.hashing import build_families

#: From one block of SHA-256 to the paper's largest block of transactions, in bytes.
SIZES = read_sizes("EHRBENCH_SIZES", (64, 2_048, 30_720))


@pytest.mark.parametrize(("family", "name"), list_cases(build_families(SIZES)))
def test_hash(benchmark: Any, family: Family, name: str) -> None:
    """Hash one message."""
    measure(benchmark, family, name)
