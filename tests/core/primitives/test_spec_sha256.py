"""Algorithm 1: without its errata it is SHA-256, bit for bit; with them it is not, and each has its own effect."""

import hashlib
from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.errors import ParameterError
from ehrcore.spec import sha256

Reader = Callable[..., list[dict[str, str]]]
ONE_BLOCK = st.binary(max_size=55)
#: Two ends of messages, equally long.
ENDS = st.integers(0, 51).flatmap(lambda size: st.tuples(*[st.binary(min_size=size, max_size=size)] * 2))


def only(*ids: str) -> frozenset[str]:
    return frozenset(ids)


# -- the standard ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "most_bytes"), [("SHA256ShortMsg", 64), ("SHA256LongMsg", 1400)])
def test_known_answers_of_nist(file: str, most_bytes: int, read_vectors: Reader) -> None:
    vectors = [v for v in read_vectors(f"hashes/SHA2/{file}.rsp") if 0 <= int(v.get("Len", -1)) <= 8 * most_bytes]
    assert len(vectors) > 10
    for vector in vectors:
        message = bytes.fromhex(vector["Msg"])[: int(vector["Len"]) // 8]
        assert sha256.digest(message).hex() == vector["MD"]


@pytest.mark.parametrize("message", ["", "abc", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"])
def test_the_examples_of_the_standard(message: str) -> None:
    assert sha256.digest(sha256.encode_text(message)) == hashlib.sha256(message.encode()).digest()


@given(st.binary(max_size=300))
def test_it_is_the_library_s_function(message: bytes) -> None:
    assert sha256.digest(message) == hashlib.sha256(message).digest()


@pytest.mark.parametrize("size", [55, 56, 57, 63, 64, 65, 119, 120, 128])
def test_around_the_edges_of_blocks(size: int) -> None:
    assert sha256.digest(b"x" * size) == hashlib.sha256(b"x" * size).digest()


def test_the_constants_are_fractions_of_roots_of_primes() -> None:
    """The first and last that the standard prints (sections 4.2.2 and 5.3.3)."""
    assert (sha256.K[0], sha256.K[63], len(sha256.K)) == (0x428A2F98, 0xC67178F2, 64)
    assert (sha256.H0[0], sha256.H0[7], len(sha256.H0)) == (0x6A09E667, 0x5BE0CD19, 8)


@given(st.text(max_size=20))
def test_text_is_hashed_as_utf_8(text: str) -> None:
    assert sha256.encode_text(text) == text.encode("utf-8")


@given(st.binary(max_size=200))
def test_padding_is_whole_blocks_and_ends_with_the_length(message: bytes) -> None:
    padded = sha256.pad(message)
    assert len(padded) % 64 == 0
    assert padded.startswith(message + b"\x80")
    assert int.from_bytes(padded[-8:]) == 8 * len(message)
    assert len(padded) - len(message) <= 72


# -- as printed --------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(ONE_BLOCK)
def test_as_printed_it_is_not_sha_256(message: bytes) -> None:
    assert sha256.show_words(sha256.hash_words(message, sha256.ALGORITHM_1)) != hashlib.sha256(message).hexdigest()


@pytest.mark.parametrize("erratum", ["E01", "E03", "E04", "E05", "E06", "E07"])
@given(message=ONE_BLOCK)
@settings(max_examples=8)
def test_each_erratum_of_the_computation_changes_every_digest(erratum: str, message: bytes) -> None:
    assert sha256.hash_words(message, only(erratum)) != sha256.hash_words(message)


@pytest.mark.parametrize("pair", list(combinations(["E01", "E03", "E04", "E05", "E06", "E07"], 2)))
def test_no_two_errata_have_the_same_effect(pair: tuple[str, str]) -> None:
    first, second = (sha256.hash_words(b"patient 0001", only(erratum)) for erratum in pair)
    assert first != second


@settings(max_examples=30)
@given(ONE_BLOCK)
def test_the_bounds_of_one_block_and_of_ascii_change_nothing_within_them(message: bytes) -> None:
    assert sha256.hash_words(message, only("E02", "E08")) == sha256.hash_words(message)


@pytest.mark.parametrize(("printed", "most"), [(only("E02"), 55), (only("E01", "E02"), 56), (sha256.ALGORITHM_1, 56)])
def test_what_one_block_does_not_hold_has_no_hash_as_printed(printed: frozenset[str], most: int) -> None:
    assert len(sha256.hash_words(b"x" * most, printed)) == 8
    with pytest.raises(
        ParameterError, match=f"expected at most {448 - 8 * (most == 55)} bits, .* found {8 * most + 8}"
    ):
        sha256.hash_words(b"x" * (most + 1), printed)


def test_what_is_not_ascii_has_no_bytes_as_printed() -> None:
    with pytest.raises(ParameterError, match="expected ASCII, found 'ł'"):
        sha256.encode_text("Elżbieta Wałęsa"[9:], only("E08"))


@settings(max_examples=40)
@given(st.binary(min_size=4, max_size=4), ENDS)
def test_messages_of_one_length_and_beginning_collide_as_printed(start: bytes, ends: tuple[bytes, bytes]) -> None:
    one, other = start + ends[0], start + ends[1]
    assert sha256.hash_words(one, sha256.ALGORITHM_1) == sha256.hash_words(other, sha256.ALGORITHM_1)
    assert (sha256.digest(one) == sha256.digest(other)) == (one == other)


@settings(max_examples=30)
@given(ONE_BLOCK)
def test_without_a_modulus_words_overflow_and_are_right_modulo_2_to_the_32(message: bytes) -> None:
    words = sha256.hash_words(message, only("E07"))
    assert tuple(word & 0xFFFFFFFF for word in words) == sha256.hash_words(message)
    assert max(words).bit_length() > 32
    assert len(sha256.show_words(words)) > 64


@settings(max_examples=30)
@given(ONE_BLOCK)
def test_the_sum_that_is_left_out_is_that_of_the_third_word(message: bytes) -> None:
    right, printed = sha256.hash_words(message), sha256.hash_words(message, only("E04"))
    assert [place for place in range(8) if right[place] != printed[place]] == [2]
    assert (printed[2] + sha256.H0[2]) % 2**32 == right[2]


@settings(max_examples=30)
@given(ONE_BLOCK)
def test_one_round_early_is_the_state_moved_by_one_place(message: bytes) -> None:
    right, early = sha256.hash_words(message), sha256.hash_words(message, only("E05"))
    for place in (1, 2, 3, 5, 6, 7):
        assert (right[place] - sha256.H0[place]) % 2**32 == (early[place - 1] - sha256.H0[place - 1]) % 2**32
