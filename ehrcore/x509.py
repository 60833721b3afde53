"""The authority's statements as X.509 (RFC 5280): certificates, certification requests and revocation lists.

One statement, two encodings: an X.509 certificate says what the `CertificateBody` says and no more.  What has no place
in the standard (the network, record kinds, stake, times to the nanosecond, pseudonym, wrap key) stands in one private
extension, in canonical bytes.  Reading takes the statement out, builds the encoding again and compares all bytes, so
of each statement one spelling alone is read; the signature is deterministic and low-S, in strict DER.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import NameOID

from ehrcore.codec import decode, encode
from ehrcore.crl import RevocationList, build_list, parse_list
from ehrcore.der import ATTRIBUTES, SEQUENCE, write_element, write_integer
from ehrcore.errors import IdentityError, SignatureError
from ehrcore.identity import Capacity, CertificateBody
from ehrcore.rules import AUTHORITY
from ehrcore.signing import CURVES, PrivateKey, find_scheme
from ehrcore.types import Nanos, NodeId, Role
from ehrcore.x509_parts import (
    ANY_SIGNER,
    EPOCH,
    LAST,
    STATEMENT_OID,
    assemble,
    extension_of,
    guard,
    is_signed,
    load_point,
    point_of,
    private_extension,
    show_begin,
    show_end,
    take_apart,
)

T = TypeVar("T")
_LONGEST_NAME: Final = 64


class Remainder(msgspec.Struct, frozen=True, array_like=True, tag="statement"):
    """What X.509 has no place for, of a `CertificateBody`."""

    network: str
    kinds: tuple[int, ...]
    stake: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
    not_before: Nanos
    not_after: Nanos
    pseudonym: Annotated[bytes, msgspec.Meta(max_length=32)]
    wrap_key: Annotated[bytes, msgspec.Meta(max_length=32)]


class Issuer:
    """X.509 of one network: builds with the authority's key if it is given, reads without it.

    `IdentityError` for whatever is not the one encoding of a statement, or not signed by the authority.
    """

    def __init__(self, network: str, curve: str, public_key: bytes, key: PrivateKey | None = None) -> None:
        self._network, self._curve, self._key = network, CURVES[curve], key
        self._public_bytes = public_key
        scheme = find_scheme(f"{curve}/cryptography")
        try:
            self._verifier = scheme.verifying_key(public_key)
        except SignatureError as error:
            raise IdentityError(f"X.509: {error}; modelled signers have no certificates") from None
        self._public = load_point(curve, public_key)

    def certificate(self, body: CertificateBody) -> bytes:
        """The certificate of ``body``, in DER."""
        return self._seal(self._build(body))

    def read_certificate(self, data: bytes) -> CertificateBody:
        """The body that a certificate states; the authority's own certificate is none."""
        return self._read("certificate", data, _parse_certificate, self._build)

    def authority(self) -> bytes:
        """The authority's certificate, which it signs itself."""
        return self._seal(self._build_own())

    def read_authority(self, data: bytes) -> None:
        """Check that this is the authority's own certificate."""
        self._read("authority's certificate", data, lambda _: None, lambda _: self._build_own())

    def revocations(self, held: RevocationList) -> bytes:
        """The revocation list (CRL, version 2), in DER."""
        return self._seal(self._build_list(held))

    def read_revocations(self, data: bytes) -> RevocationList:
        """What a revocation list says."""
        return self._read("revocation list", data, parse_list, self._build_list)

    def _seal(self, content: bytes) -> bytes:
        if self._key is None:
            raise IdentityError("X.509: expected the authority's private key, found none")
        return assemble(content, self._key)

    def _read(self, what: str, data: bytes, parse: Callable[[bytes], T], build: Callable[[T], bytes]) -> T:
        content, signature = take_apart(what, data)
        statement = guard(what, parse, data)
        try:
            is_same = build(statement) == content
        except (ValueError, TypeError, OverflowError) as error:
            raise IdentityError(f"{what}: expected one of this network's, found: {error}") from None
        if not is_same:
            raise IdentityError(f"{what}: expected the one encoding of its statement, found another")
        if not is_signed(self._verifier, self._curve.name, content, signature):
            raise IdentityError(f"{what}: expected the authority's signature, found another")
        return statement

    def _build(self, body: CertificateBody) -> bytes:
        if body.network != self._network or body.role is Role.AUTHORITY:
            raise IdentityError(f"certificate of {body.subject}: expected a node or person of {self._network}")
        begin, end = show_begin(body.not_before), show_end(body.not_after)
        if begin > end:
            raise IdentityError(f"certificate of {body.subject}: expected to be valid for a second, found less")
        public = load_point(self._curve.name, body.public_key)
        rest = Remainder(
            body.network, body.kinds, body.stake, body.not_before, body.not_after, body.pseudonym, body.wrap_key
        )
        statement = private_extension(STATEMENT_OID, encode(rest))
        builder = x509.CertificateBuilder(self._name(), _subject_name(body), public, body.serial, begin, end)
        builder = self._finish(builder, public, is_authority=False).add_extension(statement, critical=False)
        return builder.sign(*ANY_SIGNER).tbs_certificate_bytes

    def _build_own(self) -> bytes:
        # Above every serial of a body, and the same each time.
        serial = (1 << 64) + int.from_bytes(hashlib.sha256(self._public_bytes).digest()[:8])
        name = self._name()
        builder = x509.CertificateBuilder(name, name, self._public, serial, EPOCH, LAST)
        return self._finish(builder, self._public, is_authority=True).sign(*ANY_SIGNER).tbs_certificate_bytes

    def _finish(
        self, builder: x509.CertificateBuilder, public: ec.EllipticCurvePublicKey, *, is_authority: bool
    ) -> x509.CertificateBuilder:
        """The standard's extensions (sections 4.2.1.1 to 4.2.1.9)."""
        others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        usage = x509.KeyUsage(
            digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority,
            **dict.fromkeys(others, False), encipher_only=False, decipher_only=False,
        )  # fmt: skip
        return (
            builder.add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._public), critical=False)
        )

    def _build_list(self, held: RevocationList) -> bytes:
        return build_list(self._name(), self._public, held)

    def _name(self) -> x509.Name:
        whole = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, self._network[:_LONGEST_NAME])]
        return x509.Name([*(whole if self._network else []), x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY)])


def request(subject: str, curve: str, key: PrivateKey) -> bytes:
    """A certification request (PKCS#10, RFC 2986): that whoever asks holds ``key``, signed with it."""
    return assemble(_build_request((subject, curve, key.public_bytes)), key)


def read_request(curve: str, data: bytes) -> tuple[str, bytes]:
    """Subject and public key that are asked for; `IdentityError` unless it is the one encoding and signed with it."""
    what = "certification request"
    content, signature = take_apart(what, data)
    subject, public_key = guard(what, lambda found: _parse_request(curve, found), data)
    if _build_request((subject, curve, public_key)) != content:
        raise IdentityError(f"{what}: expected the one encoding of what it asks for, found another")
    if not is_signed(find_scheme(f"{curve}/cryptography").verifying_key(public_key), curve, content, signature):
        raise IdentityError(f"{what}: expected a signature by the key that is to be certified, found another")
    return subject, public_key


# -- the parts --------------------------------------------------------------------------------------------------------


def _parse_certificate(data: bytes) -> CertificateBody:
    found = x509.load_der_x509_certificate(data)
    rest = decode(extension_of(found.extensions, STATEMENT_OID), Remainder)
    names = {attribute.oid: [str(item.value) for item in found.subject.get_attributes_for_oid(attribute.oid)]
             for attribute in found.subject}  # fmt: skip
    role, *capacity = names[NameOID.ORGANIZATIONAL_UNIT_NAME]
    organisation, (subject,) = names.get(NameOID.ORGANIZATION_NAME, [""]), names[NameOID.COMMON_NAME]
    body = CertificateBody(
        rest.network, found.serial_number, subject, Role(role), point_of(found.public_key()), rest.kinds, rest.stake,
        rest.not_before, rest.not_after, organisation[0], Capacity("".join(capacity)), rest.pseudonym, rest.wrap_key,
    )  # fmt: skip
    # Ranges and patterns are the codec's to check.
    return decode(encode(body), CertificateBody)


def _build_request(wanted: tuple[str, str, bytes]) -> bytes:
    subject, curve, public_key = wanted
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]).public_bytes()
    public = load_point(curve, public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return write_element(SEQUENCE, write_integer(0) + name + public + write_element(ATTRIBUTES, b""))


def _parse_request(curve: str, data: bytes) -> tuple[str, bytes]:
    found = x509.load_der_x509_csr(data)
    (common,) = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    subject = msgspec.convert(str(common.value), NodeId)
    # On the curve that is asked for, or no point at all.
    return subject, point_of(load_point(curve, point_of(found.public_key())))


def _subject_name(body: CertificateBody) -> x509.Name:
    """Organisation, role, capacity, name; what is empty is left out."""
    parts = (
        (NameOID.ORGANIZATION_NAME, body.organisation),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, body.role.value),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, body.capacity.value),
        (NameOID.COMMON_NAME, body.subject),
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])
