"""Time to sign, to verify and to load a public key: curve by library.

Keys are parsed before signing and verifying, as nodes do; what parsing costs is an operation of its own.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bench.micro.cases import SignatureCase, signature_cases
from ehrcore.errors import ParameterError
from ehrcore.signing import CURVES, Scheme, derive_secret, find_scheme

DIGEST = bytes(range(32))


@pytest.mark.parametrize("case", signature_cases(), ids=str)
def test_signature(benchmark: Any, case: SignatureCase) -> None:
    """Do one operation; what it returns is right."""
    try:
        scheme = find_scheme(case.scheme)
    except ParameterError as error:
        pytest.skip(str(error))  # an optional library that is not installed; the text names it
    benchmark.group = case.operation
    benchmark.extra_info.update(case.extra_info())
    run, check = prepare(scheme, case.scheme.split("/")[0], case.operation)
    assert check(benchmark(*run))  # noqa: S101 - a benchmark is a test


def prepare(scheme: Scheme, curve: str, operation: str) -> tuple[tuple[Any, ...], Callable[[Any], bool]]:
    """The operation as a function with its arguments, and what must hold for its result."""
    private = scheme.private_key(derive_secret(CURVES[curve], "benchmark"))
    public = scheme.verifying_key(private.public_bytes)
    signature = private.sign(DIGEST)
    if operation == "sign":
        return (private.sign, DIGEST), lambda result: public.verify(DIGEST, result)
    if operation == "verify":
        return (public.verify, DIGEST, signature), lambda result: result is True
    return (scheme.verifying_key, private.public_bytes), lambda result: result.verify(DIGEST, signature)
