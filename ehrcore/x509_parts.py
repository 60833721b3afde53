"""What certificates, requests and lists have in common (`ehrcore.x509`): signature, time, points of a curve, PEM."""

import base64
import hashlib
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ehrcore.der import BIT_STRING, OCTET_STRING, SEQUENCE, read_element, read_signature, write_element, write_signature
from ehrcore.errors import CodecError, IdentityError, SignatureError
from ehrcore.identity import FOREVER
from ehrcore.signing import CURVES, PrivateKey, VerifyingKey
from ehrcore.types import SECOND

T = TypeVar("T")

#: Below a UUID (ITU-T X.667), so that no registration is needed.
_ARC: Final = "2.25.340102137221517056892141515997134675438"
STATEMENT_OID: Final = f"{_ARC}.1"
HEIGHT_OID: Final = f"{_ARC}.2"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: "No well-defined expiration date" (RFC 5280, section 4.1.2.5).
LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
#: Ecdsa-with-SHA256 (RFC 5758, section 3.2), whatever hash suite the chain has.
_ALGORITHM: Final = bytes.fromhex("300a06082a8648ce3d040302")
#: The library signs what it builds; that signature is thrown away, whatever key it is made with.
ANY_SIGNER: Final = ec.derive_private_key(1, ec.SECP256R1()), SHA256()
_LONGEST_DER: Final = 1 << 26
#: What the library raises besides errors of Python's own.
_ODD: Final = (
    x509.DuplicateExtension, x509.ExtensionNotFound, x509.InvalidVersion, x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)  # fmt: skip


def assemble(content: bytes, key: PrivateKey) -> bytes:
    """``content`` with a deterministic, low-S signature by ``key``."""
    signature = write_signature(key.sign(hashlib.sha256(content).digest()))
    return write_element(SEQUENCE, content + _ALGORITHM + write_element(BIT_STRING, b"\0" + signature))


def take_apart(what: str, data: bytes) -> tuple[bytes, bytes]:
    """What is signed and the signature: three elements and nothing else."""
    try:
        if len(data) > _LONGEST_DER:
            raise CodecError(f"expected at most {_LONGEST_DER} bytes, found {len(data)}")
        begin, end = read_element(data, 0, SEQUENCE)
        _, middle = read_element(data, begin, SEQUENCE)
        _, last = read_element(data, middle, SEQUENCE)
        first, final = read_element(data, last, BIT_STRING)
        if data[middle:last] != _ALGORITHM or data[first : first + 1] != b"\0" or not final == end == len(data):
            raise CodecError("expected ecdsa-with-SHA256, a signature and no more, found something else")
    except CodecError as error:
        raise IdentityError(f"{what}: {error}") from None
    return data[begin:middle], data[first + 1 : final]


def guard(what: str, parse: Callable[[bytes], T], data: bytes) -> T:
    """Whatever a library finds wrong, as an `IdentityError`; what it would only warn of is wrong, too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return parse(data)
    except (ValueError, TypeError, KeyError, AttributeError, CodecError, OverflowError, Warning, *_ODD) as error:
        words = " ".join(str(error).split())[:120]
        raise IdentityError(f"{what}: expected one of this network's, found something else ({words})") from None


def is_signed(verifier: VerifyingKey, curve: str, content: bytes, signature: bytes) -> bool:
    """Whether ``signature``, in strict DER and low-S, is valid for ``content``."""
    try:
        numbers = read_signature(CURVES[curve], signature)
    except SignatureError:
        return False
    return verifier.verify(hashlib.sha256(content).digest(), numbers)


def to_pem(label: str, data: bytes) -> bytes:
    """DER as text (RFC 7468), in lines of 64 characters."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()


def from_pem(label: str, data: bytes) -> bytes:
    """The DER in `to_pem`'s text, and in no other; `IdentityError`."""
    lines = data.split(b"\n")
    try:
        found = base64.b64decode(b"".join(lines[1:-2]), validate=True)
    except ValueError:
        found = b""
    if not found or to_pem(label, found) != data:
        raise IdentityError(f"PEM: expected one {label.lower()} and nothing else, found something else")
    return found


def private_extension(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    """An extension of our own: ``value``, canonical bytes, as an octet string."""
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), write_element(OCTET_STRING, value))


def extension_of(extensions: Any, oid: str) -> bytes:
    """The canonical bytes in an extension of our own; `CodecError` if there are none."""
    data: bytes = extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value.value
    begin, end = read_element(data, 0, OCTET_STRING)
    if end != len(data):
        raise CodecError(f"DER: expected one octet string, found {len(data) - end} bytes after it")
    return data[begin:end]


def show_begin(at_ns: int) -> datetime:
    """The first whole second that is not before ``at_ns``: nothing is valid in X.509 that is not on the chain."""
    return EPOCH + timedelta(seconds=-(-at_ns // SECOND))


def show_end(until_ns: int) -> datetime:
    """The last whole second before ``until_ns``: the standard's period includes its end, the chain's does not."""
    return LAST if until_ns == FOREVER else EPOCH + timedelta(seconds=(until_ns - 1) // SECOND)


def load_point(curve: str, public_key: bytes) -> ec.EllipticCurvePublicKey:
    """A compressed point as the library's key; `ValueError` if it is none of the curve's."""
    group = {"p256": ec.SECP256R1, "secp256k1": ec.SECP256K1}[curve]()
    return ec.EllipticCurvePublicKey.from_encoded_point(group, public_key)


def point_of(public: Any) -> bytes:
    """The compressed point of the library's key."""
    point: bytes = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return point
