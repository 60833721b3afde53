"""Who is who: the certificates of the authentication and authorisation agency (AAA), and a node's view of them.

The paper (section 3) asks that the AAA identify everyone and that only certified entities act, each within its
rights; a valid signature alone is no permission (claim C38).  Enrolments and revocations are themselves
transactions, signed by the authority: every replica applies them at the same place in the chain.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from ehrcore.crypto import Crypto
from ehrcore.errors import IdentityError
from ehrcore.types import Nanos, NodeId, PublicKey, Role, Signature

FOREVER: Final = (1 << 63) - 1


class Reason(StrEnum):
    """Why a transaction or a node's word is refused; empty means that it is not."""

    ACCEPTED = ""
    BAD_SIGNATURE = "bad-signature"
    UNKNOWN_AUTHOR = "unknown-author"
    WRONG_ROLE = "wrong-role"
    NO_RIGHT = "no-right"
    REVOKED = "revoked"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    REPLAYED = "replayed"
    STALE = "stale"
    FUTURE = "future-dated"
    WRONG_CHAIN = "wrong-chain"
    TOO_LARGE = "too-large"
    POLICY = "endorsement-policy"
    APPROVALS = "approval-policy"
    CONTRACT = "contract"
    BAD_CERTIFICATE = "bad-certificate"
    FIXED_ADMINISTRATORS = "administrators-are-fixed"
    UNKNOWN_ADMINISTRATOR = "unknown-administrator"
    NO_STAKE = "no-such-stake"
    BAD_EVIDENCE = "bad-evidence"
    PUNISHED = "already-punished"
    MALFORMED_CONSENT = "malformed-consent"
    MALFORMED_ACCESS = "malformed-access"
    # What ledger keepers alone find, at the transaction's place in its block (`ehrcore.judging`).
    NO_CONSENT = "no-consent"
    DENIED = "denied-by-patient"
    UNKNOWN_CONSENT = "unknown-consent"
    TOO_MANY_CONSENTS = "too-many-consents"
    ERASED = "record-erased"


class Capacity(StrEnum):
    """What a visitor is: a hospital's system (a node), or a person or device that acts by it."""

    SYSTEM = ""
    PATIENT = "patient"
    PRACTITIONER = "practitioner"
    DEVICE = "device"


class CertificateBody(msgspec.Struct, frozen=True, array_like=True, tag="certificate"):
    """What the authority attests: this key acts as ``subject`` in one role, from ``not_before`` until ``not_after``.

    ``kinds`` are the record kinds that a visitor may submit; ``stake`` is an administrator's voting weight, else 0.
    ``pseudonym`` is a patient's own on this chain; ``wrap_key`` is the X25519 key that secrets for the subject are
    sealed to.  Names of persons are the authority's to make up: nothing here may identify one.
    """

    network: str
    serial: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    subject: NodeId
    role: Role
    public_key: PublicKey
    kinds: tuple[int, ...]
    stake: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
    not_before: Nanos
    not_after: Nanos
    organisation: Annotated[str, msgspec.Meta(max_length=64)] = ""
    capacity: Capacity = Capacity.SYSTEM
    pseudonym: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
    wrap_key: Annotated[bytes, msgspec.Meta(max_length=32)] = b""


class Certificate(msgspec.Struct, frozen=True, array_like=True, tag="signed-certificate"):
    """A certificate body with the authority's signature."""

    body: CertificateBody
    signature: Signature


class Registry:
    """One node's view of the certificates in force; the authority's key is given, never learned."""

    __slots__ = ("_by_subject", "_revoked", "authority_key", "network")

    def __init__(self, network: str, authority_key: bytes) -> None:
        self.network, self.authority_key = network, authority_key
        self._by_subject: dict[str, Certificate] = {}
        self._revoked: set[int] = set()

    def copy(self) -> "Registry":
        """An independent registry with the same content."""
        twin = Registry(self.network, self.authority_key)
        twin._by_subject = dict(self._by_subject)
        twin._revoked = set(self._revoked)
        return twin

    def enrol(self, certificate: Certificate, crypto: Crypto) -> None:
        """Accept a certificate after checking it; `IdentityError` if it is not the authority's or not of this network.

        A later serial replaces an earlier one of the same subject (key rotation); an earlier one is refused.
        """
        body = certificate.body
        if body.network != self.network:
            raise IdentityError(f"certificate of {body.subject}: expected network {self.network}, found {body.network}")
        held = self._by_subject.get(body.subject)
        if held is not None and held.body.serial >= body.serial:
            raise IdentityError(
                f"certificate of {body.subject}: expected a serial above {held.body.serial}, found {body.serial}"
            )
        if not crypto.verify(self.authority_key, body, certificate.signature):
            raise IdentityError(f"certificate of {body.subject}: expected the authority's signature, found another")
        self._by_subject[body.subject] = certificate

    def revoke(self, serial: int) -> None:
        """Refuse the certificate with this serial from now on, whether it is known yet or not."""
        self._revoked.add(serial)

    def check(self, subject: str, role: Role, now: int) -> tuple[Reason, CertificateBody | None]:
        """The certificate body of ``subject`` if it may act in ``role`` at ``now``; else the reason why not."""
        if role is Role.AUTHORITY:
            return Reason.UNKNOWN_AUTHOR, None
        certificate = self._by_subject.get(subject)
        if certificate is None:
            return Reason.UNKNOWN_AUTHOR, None
        body = certificate.body
        if body.role is not role:
            return Reason.WRONG_ROLE, None
        if body.serial in self._revoked:
            return Reason.REVOKED, None
        if now < body.not_before:
            return Reason.NOT_YET_VALID, None
        if now >= body.not_after:
            return Reason.EXPIRED, None
        return Reason.ACCEPTED, body

    def role_of(self, subject: str) -> Role | None:
        """The role of the certificate of ``subject``, whether it is in force or not; None if there is none."""
        certificate = self._by_subject.get(subject)
        return None if certificate is None else certificate.body.role

    def holds(self, serial: int, role: Role) -> bool:
        """Whether the certificate with this serial, if it is known, is of ``role``."""
        return any(item.body.serial == serial and item.body.role is role for item in self._by_subject.values())

    def members(self, role: Role) -> tuple[CertificateBody, ...]:
        """Certificates of a role, by subject; revoked ones left out."""
        bodies = (certificate.body for certificate in self._by_subject.values())
        held = (body for body in bodies if body.role is role and body.serial not in self._revoked)
        return tuple(sorted(held, key=lambda body: body.subject))
