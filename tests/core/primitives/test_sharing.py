"""Shares of a secret: enough give it back, fewer are as likely under every secret (Shamir 1979)."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.codec import decode, encode
from ehrcore.errors import CodecError, ParameterError, StorageError
from ehrcore.records import RecordKind
from ehrcore.sealing import open_sealed, record_context, seal
from ehrcore.sharing import Share, _invert, _scale, join, restore, split

KEY, CONTEXT = bytes(range(32)), record_context(RecordKind.BILL, bytes(32))


@st.composite
def secrets(draw) -> tuple[bytes, int, int, bytes]:
    secret = draw(st.binary(min_size=1, max_size=40))
    count = draw(st.integers(1, 7))
    threshold = draw(st.integers(1, count))
    size = (threshold - 1) * len(secret)
    return secret, threshold, count, draw(st.binary(min_size=size, max_size=size))


@given(secrets())
def test_any_threshold_shares_give_the_secret(given_: tuple[bytes, int, int, bytes]) -> None:
    secret, threshold, count, chance = given_
    shares = split(secret, threshold, count, chance)
    assert [share.index for share in shares] == list(range(1, count + 1))
    for chosen in combinations(shares, threshold):
        assert join(chosen) == join(chosen[::-1]) == secret
        assert [restore(chosen, share.index) for share in shares] == list(shares)
    assert join(shares) == secret


def test_the_largest_numbers() -> None:
    shares = split(b"\xff\x00", 255, 255, bytes(range(254)) * 2)
    assert join(shares) == join(shares[::-1]) == b"\xff\x00"


def test_published_example() -> None:
    """draft-mcgrew-tss-03 (Threshold Secret Sharing): shares 01B9FA07E185 and 02F5409B4511 of 7465737400."""
    shares = [Share(2, 1, bytes.fromhex("b9fa07e185")), Share(2, 2, bytes.fromhex("f5409b4511"))]
    assert join(shares) == b"test\0"
    coefficient = bytes(a ^ b for a, b in zip(b"test\0", shares[0].value, strict=True))
    assert split(b"test\0", 2, 2, coefficient) == tuple(shares)


# -- the field -------------------------------------------------------------------------------------------------------


def naive(a: int, b: int) -> int:
    """Product of polynomials, reduced by x^8 + x^4 + x^3 + x + 1: the definition (FIPS 197, section 4.2)."""
    product = 0
    for bit in range(8):
        product ^= (a << bit) * (b >> bit & 1)
    for bit in range(14, 7, -1):
        product ^= (0x11B << bit - 8) * (product >> bit & 1)
    return product


def test_the_standards_own_products() -> None:
    """FIPS 197, sections 4.2 and 4.2.1."""
    assert _scale(0x57, 0x83, 1) == naive(0x57, 0x83) == 0xC1
    assert _scale(0x57, 0x13, 1) == naive(0x57, 0x13) == 0xFE


def test_every_product_and_inverse_of_the_field() -> None:
    every = bytes(range(256))
    for by in range(256):
        product = _scale(int.from_bytes(every), by, 256).to_bytes(256)
        assert product == bytes(naive(value, by) for value in every)
    assert all(naive(value, _invert(value)) == 1 for value in range(1, 256))


# -- fewer shares say nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [0, 1, 0x53, 0xFF])
@pytest.mark.parametrize("seen", [(0, 1), (0, 2), (1, 2), (3, 4)])
def test_two_shares_of_three_are_uniform_whatever_the_secret(secret: int, seen: tuple[int, int]) -> None:
    """Over all 2^16 polynomials of one byte, shared as 65,536 bytes at once, each pair of values comes exactly once."""
    chance = bytes(range(256)) * 256 + bytes(value for value in range(256) for _ in range(256))
    shares = split(bytes([secret]) * 65_536, 3, 5, chance)
    pairs = Counter(zip(*(shares[index].value for index in seen), strict=True))
    assert len(pairs) == 65_536
    assert set(pairs.values()) == {1}


def test_a_polynomial_of_too_low_a_degree_would_be_seen() -> None:
    """Planted: with one coefficient fixed, two shares of three are not uniform any more."""
    chance = bytes(range(256)) * 256 + bytes(65_536)
    shares = split(b"\x07" * 65_536, 3, 5, chance)
    assert len(Counter(zip(shares[0].value, shares[1].value, strict=True))) == 256


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "count", "size", "chance"),
    [(0, 1, 1, 0), (2, 1, 1, 1), (2, 256, 1, 1), (2, 3, 0, 0), (2, 3, 4, 3), (2, 3, 4, 5), (1, 1, 1, 1)],
)
def test_numbers_that_do_not_fit(threshold: int, count: int, size: int, chance: int) -> None:
    with pytest.raises(ParameterError, match=r"^shares: expected"):
        split(bytes(size), threshold, count, bytes(chance))


def test_too_few_shares_or_shares_of_several_secrets() -> None:
    shares = split(b"secret", 3, 5, bytes(range(12)))
    for wrong in ((), shares[:2], (shares[0], shares[0], shares[0], shares[1])):
        with pytest.raises(StorageError, match=r"^shares: expected"):
            join(wrong)
    for other in (Share(2, 4, b"abcdef"), Share(3, 4, b"abcde")):
        with pytest.raises(StorageError, match="one secret"):
            join([*shares[:3], other])


@pytest.mark.parametrize("share", [Share(0, 1, b"x"), Share(1, 0, b"x"), Share(256, 1, b"x"), Share(1, 256, b"x")])
def test_a_share_from_outside_is_within_its_domain(share: Share) -> None:
    with pytest.raises(CodecError):
        decode(encode(share), Share)
    assert decode(encode(Share(2, 3, b"x")), Share) == Share(2, 3, b"x")


def test_a_share_is_never_shown() -> None:
    share = Share(2, 3, b"secret")
    for text in (repr(share), str(share), f"{[share]}"):
        assert "secret" not in text
        assert "index=3" in text


# -- a wrong share ---------------------------------------------------------------------------------------------------


def test_a_wrong_share_gives_another_key_which_the_sealed_object_refuses() -> None:
    sealed = seal(KEY, CONTEXT, b"x")
    shares = split(KEY, 3, 5, bytes(range(64)))
    for index in range(3):
        for at in range(32):
            value = bytearray(shares[index].value)
            value[at] ^= 1
            chosen = list(shares[:3])
            chosen[index] = Share(3, index + 1, bytes(value))
            with pytest.raises(StorageError, match="key, kind and patient"):
                open_sealed(join(chosen), CONTEXT, sealed)
