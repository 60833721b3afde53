"""Time to sign, to verify and to load a public key: curve by library."""

from typing import Any

import pytest

from bench.micro.base import Family
from bench.micro.front_end import list_cases, measure
from bench.micro.signing import build_families


@pytest.mark.parametrize(("family", "name"), list_cases(build_families()))
def test_signature(benchmark: Any, family: Family, name: str) -> None:
    """Do one operation."""
    measure(benchmark, family, name)
