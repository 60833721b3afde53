"""Time to build a Merkle root, to prove every leaf and to verify a proof: library by number of leaves."""

from typing import Any

import pytest

from bench.micro.base import Family
from bench.micro.front_end import list_cases, measure, read_sizes
from bench.micro.merkle import build_families

#: The paper's block of fifteen transactions, and many of them.
LEAVES = read_sizes("EHRBENCH_LEAVES", (15, 1_000))


@pytest.mark.parametrize(("family", "name"), list_cases(build_families(LEAVES)))
def test_merkle(benchmark: Any, family: Family, name: str) -> None:
    """Do one operation."""
    measure(benchmark, family, name)
