"""Hash functions of every library that has them, called as programs call them: object, data, digest."""

import hashlib
import platform
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

from bench.micro.base import NOT_INSTALLED, Family, Operation, Prepared, choose, describe_package
from ehrcore.hashing import SUITES

#: The function that the others are compared with.
BASE: Final = "sha256"

#: Bytes in, digest out.
OneShot = Callable[[bytes], bytes]


def _by_new(new: Callable[[bytes], Any]) -> OneShot:
    """A function that hashes with an object in the shape of `hashlib`'s."""

    def one_shot(data: bytes) -> bytes:
        digest: bytes = new(data).digest()
        return digest

    return one_shot


def _with_hashlib() -> dict[str, OneShot]:
    # Called by name, as programs do: the suites' `usedforsecurity=False` costs a fifth of a microsecond.
    named = {"sha256": hashlib.sha256, "sha1": hashlib.sha1, "md5": hashlib.md5, "sha3-256": hashlib.sha3_256}
    suites = {name: suite.new for name, suite in SUITES.items() if name != "blake3"}
    return {name: _by_new(named[name] if _is_allowed(named.get(name)) else new) for name, new in suites.items()}


def _is_allowed(new: Callable[[bytes], Any] | None) -> bool:
    """Whether there is such a function and the host's policy lets it run."""
    try:
        return new is not None and bool(new(b""))
    except ValueError:
        return False


def _with_cryptography() -> dict[str, OneShot]:
    from cryptography.hazmat.primitives import hashes

    def by_algorithm(algorithm: hashes.HashAlgorithm) -> OneShot:
        def one_shot(data: bytes) -> bytes:
            state = hashes.Hash(algorithm)
            state.update(data)
            return state.finalize()

        return one_shot

    # Its BLAKE2b has no digest of 32 bytes, which is another function than the first half of one of 64.
    return {
        "sha256": by_algorithm(hashes.SHA256()),
        "sha1": by_algorithm(hashes.SHA1()),  # noqa: S303 - measured, never trusted
        "md5": by_algorithm(hashes.MD5()),  # noqa: S303 - the same
        "sha512-256": by_algorithm(hashes.SHA512_256()),
        "sha3-256": by_algorithm(hashes.SHA3_256()),
    }


def _with_pycryptodome() -> dict[str, OneShot]:
    from Crypto.Hash import MD5, SHA1, SHA3_256, SHA256, SHA512, BLAKE2b

    return {
        "sha256": _by_new(SHA256.new),
        "sha1": _by_new(SHA1.new),
        "md5": _by_new(MD5.new),
        "sha512-256": _by_new(lambda data: SHA512.new(data, truncate="256")),
        "sha3-256": _by_new(SHA3_256.new),
        "blake2b": _by_new(lambda data: BLAKE2b.new(data=data, digest_bits=256)),
    }


def _with_blake3() -> dict[str, OneShot]:
    from blake3 import blake3

    return {"blake3": _by_new(blake3)}


LIBRARIES: Final[Mapping[str, Callable[[], dict[str, OneShot]]]] = {
    "hashlib": _with_hashlib,
    "cryptography": _with_cryptography,
    "pycryptodome": _with_pycryptodome,
    "blake3": _with_blake3,
}


@cache
def load_library(name: str) -> dict[str, OneShot]:
    """Suite name -> function of the library ``name``; none if its package is not installed."""
    try:
        return LIBRARIES[name]()
    except ImportError:
        return {}


def make_message(size_bytes: int) -> bytes:
    """The bytes to hash: no hash function's speed depends on what they are."""
    return bytes(range(256)) * (size_bytes // 256) + bytes(range(size_bytes % 256))


def build_operation(suite: str, library: str, size_bytes: int) -> Operation:
    """Hash one message; the digest has to be that of the framework's own suite."""
    details = {"suite": suite, "library": library, "is_weak": SUITES[suite].is_weak}
    return Operation(partial(prepare, suite, library, size_bytes), details | describe_library(library, suite))


def prepare(suite: str, library: str, size_bytes: int) -> Prepared:
    """The call with a message of its own, and what must hold for its result."""
    message = make_message(size_bytes)
    return (LIBRARIES[library]()[suite], message), lambda found: found == SUITES[suite].hash(message)


def describe_library(library: str, suite: str) -> dict[str, str]:
    """Version of the library, and of the OpenSSL that computes the suite ('' where none does)."""
    if library != "hashlib":
        return describe_package(library)
    # Some functions of `hashlib` are CPython's own code; which, depends on how it was built.
    module = type(SUITES[suite].new(b"")).__module__
    # Code of an extension is measured beside them, for it is called as they are, and has no version that we know.
    is_own = module == "_hashlib" or module.startswith(("_sha", "_md5", "_blake2"))
    version = platform.python_version() if is_own else ""
    return {"version": version, "openssl": ssl.OPENSSL_VERSION if module == "_hashlib" else ""}


def build_families(
    sizes_bytes: Sequence[int], suites: Iterable[str] = (), libraries: Iterable[str] = ()
) -> list[Family]:
    """By size: in each library its functions beside its SHA-256, and SHA-256 (and BLAKE3) of all libraries.

    Nothing chosen means all; SHA-256 is always among the suites, and what a library has not is left out.
    """
    names = tuple(dict.fromkeys((BASE, *choose("suites", suites, SUITES))))
    places = choose("libraries", libraries, LIBRARIES)
    families = []
    for size in sizes_bytes:
        build = partial(build_operation, size_bytes=size)
        for library in places:
            if BASE in load_library(library):
                labels = {"kind": "suites", "library": library, "size_bytes": size}
                found = {name: build(name, library) for name in names if name in load_library(library)}
                families.append(Family(f"{library}-{size}", labels, found))
        families.append(_compare_libraries(names, places, size))
    return [family for family in families if family.operations]


def _compare_libraries(names: Sequence[str], places: Sequence[str], size_bytes: int) -> Family:
    """SHA-256 in each library; BLAKE3 comes with one of its own."""
    suites = {library: "blake3" if library == "blake3" else BASE for library in places}
    wanted = {library: suite for library, suite in suites.items() if suite in names}
    found = {
        library: build_operation(suite, library, size_bytes)
        for library, suite in wanted.items()
        if suite in load_library(library)
    }
    missing = {library: NOT_INSTALLED.format(library) for library in wanted if library not in found}
    return Family(f"libraries-{size_bytes}", {"kind": "libraries", "size_bytes": size_bytes}, found, missing)
