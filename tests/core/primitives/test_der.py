"""Signatures in DER: one spelling, and no other."""

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.der import (
    BIT_STRING,
    SEQUENCE,
    read_element,
    read_integer,
    read_signature,
    write_element,
    write_integer,
    write_signature,
)
from ehrcore.errors import CodecError, SignatureError
from ehrcore.signing import CURVES

P256 = CURVES["p256"]
NUMBERS = st.integers(1, P256.order - 1) | st.sampled_from((1, 127, 128, 255, 256, P256.order - 1))


@given(NUMBERS, NUMBERS)
def test_a_signature_is_written_as_the_library_writes_it_and_read_back(r: int, s: int) -> None:
    der, raw = encode_dss_signature(r, s), r.to_bytes(32) + s.to_bytes(32)
    assert write_signature(raw) == der
    assert read_signature(P256, der) == raw


@settings(max_examples=500)
@given(NUMBERS, NUMBERS, st.data())
def test_a_changed_byte_is_refused_or_another_signature_in_its_one_spelling(
    r: int, s: int, data: st.DataObject
) -> None:
    der = bytearray(encode_dss_signature(r, s))
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = read_signature(P256, bytes(der))
    except SignatureError:
        return
    assert write_signature(found) == bytes(der)
    assert decode_dss_signature(bytes(der)) == (int.from_bytes(found[:32]), int.from_bytes(found[32:]))


@settings(max_examples=500)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_signature_in_its_one_spelling_or_a_signature_error(data: bytes) -> None:
    try:
        found = read_signature(P256, data)
    except SignatureError:
        return
    assert write_signature(found) == data


ONE = bytes.fromhex("020101")


@pytest.mark.parametrize(
    ("mutation", "data"),
    [
        ("empty", ""),
        ("tag-alone", "30"),
        ("set-for-sequence", "3106020101020101"),
        ("nothing-in-it", "3000"),
        ("one-number", "3003020101"),
        ("three-numbers", "3009020101020101020101"),
        ("trailing-zero", "300602010102010100"),
        ("trailing-inside", "30080201010201010500"),
        ("indefinite-length", "30800201010201010000"),
        ("long-length", "308106020101020101"),
        ("longer-length", "30820006020101020101"),
        ("reserved-length", "30ff020101020101"),
        ("length-of-five-bytes", "30850000000006020101020101"),
        ("length-cut-off", "3082"),
        ("too-short", "3005020101020101"),
        ("too-long", "3007020101020101"),
        ("empty-integer", "30050200020101"),
        ("long-integer-length", "30070281010102 0101"),
        ("zero-in-front", "300702020001020101"),
        ("zeros-in-front", "30080203000001020101"),
        ("negative", "3006020181020101"),
        ("minus-one", "30060201ff020101"),
        ("r-zero", "3006020100020101"),
        ("s-zero", "3006020101020100"),
        ("enumerated", "30060a0101020101"),
        ("null", "300505000201 01"),
    ],
)
def test_other_spellings_are_refused(mutation: str, data: str) -> None:
    assert read_signature(P256, bytes.fromhex("3006020101020101"))
    with pytest.raises(SignatureError):
        read_signature(P256, bytes.fromhex(data))


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("more", [0, 1, 1 << 255])
def test_numbers_beyond_the_order_are_refused(curve, more: int) -> None:
    for r, s in ((curve.order + more, 1), (1, curve.order + more), (1 << 264, 1)):
        with pytest.raises(SignatureError, match=r"numbers in \[1, order\)"):
            read_signature(curve, encode_dss_signature(r, s))


def test_a_high_s_is_read_as_it_stands() -> None:
    """It is the verifier's to refuse: whoever lowered it here would accept both spellings."""
    der = encode_dss_signature(5, P256.order - 1)
    assert read_signature(P256, der)[32:] == (P256.order - 1).to_bytes(32)


@given(st.integers(0, 1 << 300))
def test_integers_come_back(value: int) -> None:
    data = write_integer(value)
    assert read_integer(data, 0) == (value, len(data))


@given(st.sampled_from((0, 1, 127, 128, 129, 255, 256, 65_535, 65_536)))
def test_elements_of_every_length_come_back(size: int) -> None:
    data = b"x" + write_element(BIT_STRING, bytes(size))
    assert read_element(data, 1, BIT_STRING) == (len(data) - size, len(data))
    with pytest.raises(CodecError, match="expected tag 0x30 at 1, found 03"):
        read_element(data, 1, SEQUENCE)
