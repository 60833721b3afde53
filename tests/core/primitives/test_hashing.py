"""Every suite against the vectors of its source and against a second implementation."""

import sys
from collections.abc import Callable

import pytest
from Crypto.Hash import MD5, SHA1, SHA3_256, SHA256, SHA512, BLAKE2b
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.errors import ParameterError
from ehrcore.hashing import OPTIONAL, SUITES, find_suite

Reader = Callable[..., list[dict[str, str]]]

#: Suite -> files of known answers: NIST's CAVP (FIPS 180-4, FIPS 202) and RFC 1321 appendix A.5.
VECTORS = {
    "sha256": ("hashes/SHA2/SHA256ShortMsg.rsp", "hashes/SHA2/SHA256LongMsg.rsp"),
    "sha1": ("hashes/SHA1/SHA1ShortMsg.rsp", "hashes/SHA1/SHA1LongMsg.rsp"),
    "md5": ("hashes/MD5/rfc-1321.txt",),
    "sha512-256": ("hashes/SHA2/SHA512_256ShortMsg.rsp", "hashes/SHA2/SHA512_256LongMsg.rsp"),
    "sha3-256": ("hashes/SHA3/SHA3_256ShortMsg.rsp", "hashes/SHA3/SHA3_256LongMsg.rsp"),
}

#: The same functions in `pycryptodome`, whose C code shares nothing with OpenSSL's or CPython's.
SECOND: dict[str, Callable[[bytes], bytes]] = {
    "sha256": lambda data: SHA256.new(data).digest(),
    "sha1": lambda data: SHA1.new(data).digest(),
    "md5": lambda data: MD5.new(data).digest(),
    "sha512-256": lambda data: SHA512.new(data, truncate="256").digest(),
    "sha3-256": lambda data: SHA3_256.new(data).digest(),
    "blake2b": lambda data: BLAKE2b.new(data=data, digest_bits=256).digest(),
}


def blake3_input(size: int) -> bytes:
    """The input of BLAKE3's official vectors: bytes count up to 250 and begin again."""
    return bytes(index % 251 for index in range(size))


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in VECTORS.items() for path in paths])
def test_published_vectors(name: str, path: str, read_vectors: Reader) -> None:
    suite, checked = find_suite(name), 0
    for vector in read_vectors(path):
        if "MD" in vector:
            message = bytes.fromhex(vector["Msg"])[: int(vector["Len"]) // 8]
            assert suite.hash(message).hex() == vector["MD"], vector
            checked += 1
    assert checked >= 7


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        # `printf MESSAGE | b2sum -l 256`
        (b"", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"),
        (b"abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
    ],
)
def test_blake2b_with_32_bytes_of_output(message: bytes, digest: str) -> None:
    assert find_suite("blake2b").hash(message).hex() == digest


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        # Official vectors: `hash` of test_vectors.json of the BLAKE3 reference implementation, first 32 bytes.
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
    ],
)
def test_blake3_official_vectors(size: int, digest: str) -> None:
    pytest.importorskip("blake3")
    assert find_suite("blake3").hash(blake3_input(size)).hex() == digest


@pytest.mark.parametrize("name", SECOND)
@settings(max_examples=50)
@given(data=st.binary(max_size=600))
def test_a_second_implementation_agrees(name: str, data: bytes) -> None:
    assert find_suite(name).hash(data) == SECOND[name](data)


def installed() -> list[str]:
    """Suites that can run here: an optional one only with its package."""
    return [name for name in SUITES if name not in OPTIONAL or _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        find_suite(name)
    except ParameterError:
        return False
    return True


@pytest.mark.parametrize("name", installed())
@settings(max_examples=25)
@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_a_copied_state_goes_on_where_it_stood(name: str, first: bytes, second: bytes) -> None:
    """The search for proof of work hashes the header once and copies that state for each nonce."""
    suite = find_suite(name)
    state = suite.new(first)
    copy = state.copy()
    copy.update(second)
    assert copy.digest() == suite.hash(first + second)
    assert state.digest() == suite.hash(first)


@pytest.mark.parametrize("name", installed())
def test_digest_and_block_sizes_are_those_of_the_function(name: str) -> None:
    suite = find_suite(name)
    assert len(suite.hash(b"")) == suite.digest_size
    assert suite.new(b"").block_size == suite.block_size


def test_suites_differ_on_the_same_message() -> None:
    digests = [find_suite(name).hash(b"message") for name in installed()]
    assert len(set(digests)) == len(digests)


def test_exactly_the_broken_functions_are_labelled_weak() -> None:
    assert {name for name, suite in SUITES.items() if suite.is_weak} == {"sha1", "md5"}


def test_no_suite_claims_more_than_its_birthday_bound() -> None:
    assert all(suite.collision_bits <= 4 * suite.digest_size for suite in SUITES.values())


@pytest.mark.parametrize("name", ["", "sha-256", "SHA256", "sha256 ", "sha512", "blake2s"])
def test_an_unknown_suite_is_an_error_that_names_the_known_ones(name: str) -> None:
    with pytest.raises(ParameterError, match=f"expected one of sha256, .*, found {name!r}"):
        find_suite(name)


def test_a_suite_without_its_package_is_an_error_that_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    with pytest.raises(ParameterError, match="the optional package 'blake3' is not installed"):
        find_suite("blake3")
