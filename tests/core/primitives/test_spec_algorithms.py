"""Algorithms 2 to 4 and Equations 1 and 2: what they do as printed is their errata, as corrected what they should."""

import hashlib
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.signing.base import split
from ehrcore.spec.endpoint import COORDINATORS, Proposal, Request, answer, answer_printed, sha256_hash
from ehrcore.spec.equations import Trapdoor, exponentiate, exponentiate_printed, hash_message, hash_message_printed
from ehrcore.spec.mining import mine, mine_printed, target_of

SCHEME, CURVE = find_scheme("p256/cryptography"), CURVES["p256"]
KEY = SCHEME.private_key(derive_secret(CURVE, "operator"))
DIRECTORY = {"operator": KEY.public_bytes}
MESSAGES = st.binary(max_size=30)
RSA = Trapdoor(3233, 17, 413)


def work(P: bytes, B: bytes, number: int) -> int:
    return int.from_bytes(hashlib.sha256(P + B + number.to_bytes(8)).digest()[:4])


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    return SCHEME.verifying_key(public).verify(hashlib.sha256(message).digest(), signature)


def sign(message: bytes) -> bytes:
    return KEY.sign(hashlib.sha256(message).digest())


def is_well_formed(signature: bytes) -> bool:
    return split(CURVE, signature) is not None


# -- Algorithm 2 -------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(MESSAGES, st.integers(1, 300))
def test_what_is_mined_is_below_the_target_and_the_first_that_is(block: bytes, difficulty: int) -> None:
    target = target_of(difficulty, 32)
    found = mine(work, b"previous", block, target, count())
    assert found is not None
    assert work(b"previous", block, found) < target
    assert all(work(b"previous", block, number) >= target for number in range(found))


@settings(max_examples=30)
@given(MESSAGES, st.integers(1, 1000))
def test_as_printed_what_stops_the_search_is_no_work(block: bytes, difficulty: int) -> None:
    """Erratum E19: the two conditions exclude each other."""
    target = target_of(difficulty, 32)
    found = mine_printed(work, b"previous", block, target, range(1000))
    assert found is None or work(b"previous", block, found) >= target
    assert found != mine(work, b"previous", block, target, range(1000)) or found is None


def test_a_slice_without_a_hit_ends() -> None:
    assert mine(work, b"", b"", 0, range(100)) is None
    assert mine_printed(work, b"", b"", 1 << 32, range(100)) is None


# -- Equations 1 and 2 -------------------------------------------------------------------------------------------------


@given(st.integers(0, RSA.modulus - 1))
def test_a_trapdoor_opens_with_its_secret(a: int) -> None:
    assert RSA.invert(RSA.apply(a)) == a


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 1000))
def test_powers_are_divided_and_as_printed_exponents(base: int, exponent: int, modulus: int) -> None:
    assert exponentiate(base, exponent, modulus) == base**exponent % modulus
    assert exponentiate_printed(base, exponent, modulus) == exponentiate_printed(base + 1, exponent, modulus)


@given(MESSAGES)
def test_equation_2_is_sha_256_and_as_printed_the_identity(message: bytes) -> None:
    assert hash_message(message) == hashlib.sha256(message).digest()
    assert hash_message_printed(message) == message


# -- Algorithms 3 and 4 ------------------------------------------------------------------------------------------------


@given(MESSAGES)
def test_algorithm_3_corrected_is_sha_256_in_hexadecimal(key: bytes) -> None:
    assert sha256_hash(key) == hashlib.sha256(key).hexdigest()


@given(MESSAGES, st.text(max_size=6))
def test_what_an_enrolled_source_signs_reaches_every_coordinator(message: bytes, patient: str) -> None:
    found = answer(Request(message, patient, sign(message), "operator"), DIRECTORY, verify)
    assert found.status == 202
    assert found.sent == dict.fromkeys(COORDINATORS, Proposal(message, "A"))


@given(MESSAGES, MESSAGES, st.sampled_from(["operator", "stranger"]))
def test_nothing_else_is_accepted(message: bytes, signed: bytes, source: str) -> None:
    found = answer(Request(message, "0001", sign(signed), source), DIRECTORY, verify)
    assert (found.status == 202) == (message == signed and source == "operator")
    assert bool(found.sent) == (found.status == 202)


@given(MESSAGES, MESSAGES, st.text(max_size=6), st.text(max_size=6))
def test_as_printed_any_id_and_any_well_formed_signature_pass(
    message: bytes, signed: bytes, patient: str, source: str
) -> None:
    """Errata E28 and E29."""
    found = answer_printed(Request(message, patient, sign(signed), source), is_well_formed)
    assert {proposal.flag for proposal in found.sent.values()} == {"A"}


@pytest.mark.parametrize(("signature", "flag"), [(sign(b"x"), "A"), (b"none", "R")])
def test_as_printed_one_coordinator_is_told_whatever_happened_and_the_client_hears_200(
    signature: bytes, flag: str
) -> None:
    """Errata E31 and E32."""
    found = answer_printed(Request(b"x", "0001", signature, "operator"), is_well_formed)
    assert (found.status, found.text) == (200, "Proposal Received")
    assert found.sent == {"coordinator1": Proposal(b"x", flag)}
