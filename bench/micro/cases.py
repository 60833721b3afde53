"""What the micro-benchmarks measure: every hash suite in every library that has it, every signature scheme.

Three environment variables choose a subset; an unknown name is refused with one line that names the choices:
``EHRBENCH_SUITES`` and ``EHRBENCH_LIBRARIES`` (names) and ``EHRBENCH_SIZES`` (bytes), each separated by commas.
"""

import hashlib
import os
import platform
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from bench.errors import BenchError
from ehrcore.hashing import SUITES
from ehrcore.signing import SCHEMES

#: From one block of SHA-256 to the paper's largest block of transactions, in bytes.
DEFAULT_SIZES: Final = (64, 2_048, 30_720)
MAX_SIZE_BYTES: Final = 1 << 24
OPERATIONS: Final = ("sign", "verify", "load")

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


@dataclass(frozen=True, slots=True)
class HashCase:
    """One suite in one library at one message size."""

    suite: str
    library: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.suite}-{self.size_bytes}-{self.library}"

    def function(self) -> OneShot:
        """The function under test."""
        return load_library(self.library)[self.suite]

    def message(self) -> bytes:
        """The bytes to hash: no hash function's speed depends on what they are."""
        return bytes(range(256)) * (self.size_bytes // 256) + bytes(range(self.size_bytes % 256))

    def extra_info(self) -> dict[str, Any]:
        """What a reader of the JSON has to know about the case."""
        return {
            "suite": self.suite,
            "size_bytes": self.size_bytes,
            "library": self.library,
            "operation": "hash",
            "is_weak": SUITES[self.suite].is_weak,
            **describe_library(self.library, self.suite),
        }


@dataclass(frozen=True, slots=True)
class SignatureCase:
    """One operation of one signature scheme."""

    scheme: str
    operation: str

    def __str__(self) -> str:
        return f"{self.scheme.replace('/', '-')}-{self.operation}"

    def extra_info(self) -> dict[str, Any]:
        """What a reader of the JSON has to know about the case."""
        curve, library = self.scheme.split("/")
        return {
            "scheme": self.scheme,
            "curve": curve,
            "library": library,
            "operation": self.operation,
            "size_bytes": 32,
            "is_weak": False,
            **describe_library(library),
        }


@cache
def load_library(name: str) -> dict[str, OneShot]:
    """Suite name -> function of the library ``name``; none if its package is not installed."""
    try:
        return LIBRARIES[name]()
    except ImportError:
        return {}


def hash_cases() -> list[HashCase]:
    """The cases that the environment asks for and that the installed libraries have."""
    suites = choose("EHRBENCH_SUITES", tuple(SUITES))
    libraries = choose("EHRBENCH_LIBRARIES", tuple(LIBRARIES))
    return [
        HashCase(suite, library, size)
        for suite in suites
        for library in libraries
        if suite in load_library(library)
        for size in choose_sizes()
    ]


def signature_cases() -> list[SignatureCase]:
    """Every operation of every scheme that really signs."""
    real = (name for name in SCHEMES if not name.endswith("/modelled"))
    return [SignatureCase(name, operation) for name in real for operation in OPERATIONS]


def choose(variable: str, known: Collection[str]) -> tuple[str, ...]:
    """The names in the environment variable, in its order; all that are known if it is unset or empty."""
    names = tuple(filter(None, os.environ.get(variable, "").split(",")))
    for name in names:
        if name not in known:
            raise BenchError(f"{variable}: expected one of {', '.join(known)}, found {name!r}")
    return names or tuple(known)


def choose_sizes() -> tuple[int, ...]:
    """The message sizes in ``EHRBENCH_SIZES``, in bytes; `DEFAULT_SIZES` if it is unset or empty."""
    text = os.environ.get("EHRBENCH_SIZES", "")
    sizes = tuple(int(size) if size.isdecimal() else -1 for size in filter(None, text.split(",")))
    if not all(0 <= size <= MAX_SIZE_BYTES for size in sizes):
        raise BenchError(f"EHRBENCH_SIZES: expected sizes from 0 to {MAX_SIZE_BYTES}, found {text!r}")
    return sizes or DEFAULT_SIZES


def describe_library(library: str, suite: str = "") -> dict[str, str]:
    """Version of the library, and of the OpenSSL that does its work ('' where none does)."""
    if library == "hashlib":
        # Some functions of `hashlib` are CPython's own code; which, depends on how it was built.
        is_openssl = type(SUITES[suite].new(b"")).__module__ == "_hashlib"
        return {"library_version": platform.python_version(), "openssl": ssl.OPENSSL_VERSION if is_openssl else ""}
    if library == "cryptography":
        from cryptography.hazmat.backends.openssl import backend

        return {"library_version": version(library), "openssl": backend.openssl_version_text()}
    if library == "ecdsa":
        from ehrcore.signing.pure import arithmetic

        return {"library_version": f"{version(library)} ({arithmetic()} integers)", "openssl": ""}
    return {"library_version": version(library), "openssl": ""}
