"""Signature operations of every scheme that really signs, through the framework's own backends.

Keys are parsed before signing and verifying, as nodes do; what parsing costs is an operation of its own.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final

from bench.micro.base import NOT_INSTALLED, Family, Operation, Prepared, choose, describe_package
from ehrcore.errors import ParameterError
from ehrcore.signing import CURVES, SCHEMES, Scheme, derive_secret, find_scheme

#: What is signed: a digest of 32 bytes.
DIGEST: Final = bytes(range(32))
OPERATIONS: Final = ("sign", "verify", "load")
#: The default library, which the others are compared with.
BASE: Final = "cryptography"


def list_libraries() -> tuple[str, ...]:
    """Every library that really signs, those of extensions too."""
    return tuple(dict.fromkeys(name.partition("/")[2] for name in SCHEMES if not name.endswith("/modelled")))


def build_operation(name: str, operation: str) -> Operation:
    """One operation of the scheme ``name``; `ParameterError` if its package is not installed."""
    scheme, (curve, library) = find_scheme(name), name.split("/")
    details = {"scheme": name, "curve": curve, "library": library, **describe_library(library)}
    return Operation(partial(prepare, scheme, curve, operation), details)


def prepare(scheme: Scheme, curve: str, operation: str) -> Prepared:
    """The operation as a function with its arguments, on fresh keys, and what must hold for its result."""
    private = scheme.private_key(derive_secret(CURVES[curve], "benchmark"))
    public = scheme.verifying_key(private.public_bytes)
    signature = private.sign(DIGEST)
    if operation == "sign":
        return (private.sign, DIGEST), lambda result: public.verify(DIGEST, result)
    if operation == "verify":
        return (public.verify, DIGEST, signature), lambda result: result is True
    return (scheme.verifying_key, private.public_bytes), lambda result: result.verify(DIGEST, signature)


def describe_library(library: str) -> dict[str, str]:
    """Version of the library with its kind of integers, and of the OpenSSL that does its work ('' where none does)."""
    found = describe_package(library)
    if library == "ecdsa":
        from ehrcore.signing.pure import arithmetic

        found["version"] += f" ({arithmetic()} integers)"
    return found


def build_families(libraries: Iterable[str] = ()) -> list[Family]:
    """By operation: on each curve the libraries that have both beside the default one, and secp256k1's alternatives.

    Those are the other curve, and the library that has no other: it is so fast that among the slow ones it would set
    them a loop count that takes minutes.  Nothing chosen means all libraries; the default one is always among them.
    """
    places = tuple(dict.fromkeys((BASE, *choose("libraries", libraries, list_libraries()))))
    families = []
    for operation in OPERATIONS:
        for curve in CURVES:
            names = [name for library in places if (name := f"{curve}/{library}") in SCHEMES and library != "coincurve"]
            families.append(_build_family("libraries", curve, names, operation))
        names = [f"secp256k1/{BASE}", f"p256/{BASE}", *(["secp256k1/coincurve"] if "coincurve" in places else [])]
        families.append(_build_family("curves", "curves", names, operation))
    return families


def _build_family(kind: str, name: str, schemes: list[str], operation: str) -> Family:
    found, missing = {}, {}
    for scheme in schemes:
        try:
            found[scheme] = build_operation(scheme, operation)
        except ParameterError:
            missing[scheme] = NOT_INSTALLED.format(scheme.partition("/")[2])
    return Family(f"{name}-{operation}", {"kind": kind, "operation": operation}, found, missing)
