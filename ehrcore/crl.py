"""Revocation lists (CRL, version 2: RFC 5280, section 5) of what a registry holds: the list of `ehrcore.x509`.

A date says little to a chain: each entry has the height from whose block on it holds, too, and its times to the
nanosecond, in an extension of its own.
"""

from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ehrcore.codec import decode, encode
from ehrcore.errors import IdentityError
from ehrcore.identity import Cause, Revoked
from ehrcore.types import Height, Nanos
from ehrcore.x509_parts import ANY_SIGNER, HEIGHT_OID, STATEMENT_OID, extension_of, private_extension, show_end

_CRL_CODES: Final = {
    Cause.KEY_COMPROMISE: "key_compromise",
    Cause.AFFILIATION_CHANGED: "affiliation_changed",
    Cause.SUPERSEDED: "superseded",
    Cause.CESSATION: "cessation_of_operation",
    Cause.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
}


class RevocationList(msgspec.Struct, frozen=True, array_like=True, tag="revocations"):
    """All that is revoked after the block at ``height``, as told at ``at``; the next list comes before ``until``."""

    height: Height
    at: Nanos
    until: Nanos
    entries: tuple[Revoked, ...]


def build_list(name: x509.Name, issuer: ec.EllipticCurvePublicKey, held: RevocationList) -> bytes:
    """The TBSCertList of what ``held`` says; `IdentityError` if serials are not in order."""
    if [item.serial for item in held.entries] != sorted({item.serial for item in held.entries}):
        raise IdentityError("revocation list: expected serials in order, found others")
    builder = (
        x509.CertificateRevocationListBuilder(name, show_end(held.at + 1), show_end(held.until))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        .add_extension(x509.CRLNumber(held.height), critical=False)
        .add_extension(private_extension(STATEMENT_OID, encode((held.at, held.until))), critical=False)
    )
    for item in held.entries:
        builder = builder.add_revoked_certificate(_build_entry(item))
    return builder.sign(*ANY_SIGNER).tbs_certlist_bytes


def parse_list(data: bytes) -> RevocationList:
    """What a list says, not yet compared with its one encoding."""
    found = x509.load_der_x509_crl(data)
    at, until = decode(extension_of(found.extensions, STATEMENT_OID), tuple[Nanos, Nanos])
    height = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return decode(encode(RevocationList(height, at, until, tuple(map(_parse_entry, found)))), RevocationList)


def _build_entry(item: Revoked) -> x509.RevokedCertificate:
    # Nothing is said of a cause that is not known (section 5.3.1).
    builder = x509.RevokedCertificateBuilder(item.serial, show_end(item.at + 1))
    if item.cause in _CRL_CODES:
        reason = x509.CRLReason(x509.ReasonFlags[_CRL_CODES[item.cause]])
        builder = builder.add_extension(reason, critical=False)
    if item.since:
        builder = builder.add_extension(x509.InvalidityDate(show_end(item.since + 1)), critical=False)
    exact = private_extension(HEIGHT_OID, encode((item.height, item.at, item.since)))
    return builder.add_extension(exact, critical=False).build()


def _parse_entry(found: x509.RevokedCertificate) -> Revoked:
    height, at, since = decode(extension_of(found.extensions, HEIGHT_OID), tuple[Height, Nanos, Nanos])
    cause = Cause.UNSPECIFIED
    for extension in found.extensions:
        if isinstance(extension.value, x509.CRLReason):
            cause = {name: code for code, name in _CRL_CODES.items()}[extension.value.reason.name]
    return Revoked(found.serial_number, cause, height, at, since)
