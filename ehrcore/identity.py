"""Who is who: the certificates of the authentication and authorisation agency (AAA), and a node's view of them.

The paper (section 3) asks that the AAA identify everyone and that only certified entities act, each within its
rights; a valid signature alone is no permission (claim C38).  Enrolments and revocations are themselves
transactions, signed by the authority: every replica applies them at the same place in the chain.
"""

from enum import IntEnum, StrEnum
from typing import Annotated, Final

import msgspec

from ehrcore.crypto import Crypto
from ehrcore.errors import IdentityError
from ehrcore.forks import ForkedDict
from ehrcore.types import Height, Nanos, NodeId, PublicKey, Role, Signature

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
    BAD_AGREEMENT = "bad-agreement"
    # What ledger keepers alone find, at the transaction's place in its block (`ehrcore.judging`).
    NO_CONSENT = "no-consent"
    DENIED = "denied-by-patient"
    UNKNOWN_CONSENT = "unknown-consent"
    TOO_MANY_CONSENTS = "too-many-consents"
    ERASED = "record-erased"
    NO_AGREEMENT = "no-such-agreement"
    CLAUSES = "agreement-clauses"
    AGREED = "already-agreed"
    TOO_MANY_AGREEMENTS = "too-many-agreements"


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


class Cause(IntEnum):
    """Why a certificate was withdrawn: the codes of RFC 5280, section 5.3.1, that can be given for one."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION = 5
    PRIVILEGE_WITHDRAWN = 9


class Revoked(msgspec.Struct, frozen=True, array_like=True, tag="revoked"):
    """A serial that holds no more, from its place in the block at ``height`` on; that block's time is ``at``.

    ``since`` is when the key is known or thought to have been out of its owner's hands; 0 if nothing is known.
    """

    serial: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    cause: Cause
    height: Height
    at: Nanos
    since: Nanos = 0


class Registry:
    """One node's view of the certificates in force; the authority's key is given, never learned.

    Every look-up takes the same time however many certificates there are, and so does a copy.
    """

    __slots__ = ("_by_serial", "_by_subject", "_compromised", "_nodes", "_revoked", "authority_key", "network")

    def __init__(self, network: str, authority_key: bytes) -> None:
        self.network, self.authority_key = network, authority_key
        self._by_subject: ForkedDict[str, Certificate | None] = ForkedDict(None)
        self._by_serial: ForkedDict[int, CertificateBody | None] = ForkedDict(None)
        self._revoked: ForkedDict[int, Revoked | None] = ForkedDict(None)
        self._compromised: ForkedDict[bytes, int] = ForkedDict(0)
        # Subjects of the few that are no visitors.
        self._nodes: ForkedDict[Role, frozenset[str]] = ForkedDict(frozenset())

    def copy(self) -> "Registry":
        """An independent registry with the same content, in constant time."""
        twin = Registry(self.network, self.authority_key)
        twin._by_subject, twin._by_serial = self._by_subject.fork(), self._by_serial.fork()
        twin._revoked, twin._compromised = self._revoked.fork(), self._compromised.fork()
        twin._nodes = self._nodes.fork()
        return twin

    def enrol(self, certificate: Certificate, crypto: Crypto, height: int = 0, now: int = 0) -> None:
        """Accept a certificate after checking it; `IdentityError` if it is not the authority's or not of this network.

        A later serial replaces an earlier one of the same subject, which is revoked thereby (rotation of keys, in the
        block at ``height`` and of time ``now``).  A serial is never used twice, one that was revoked before it came is
        not in force, and a key that was in other hands never comes back.
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
        if body.serial in self._by_serial:
            raise IdentityError(f"certificate of {body.subject}: expected a new serial, found {body.serial}, used")
        if body.public_key in self._compromised:
            raise IdentityError(f"certificate of {body.subject}: expected a new key, found one that was compromised")
        if held is not None:
            self.revoke(held.body.serial, Cause.SUPERSEDED, height, now)
            self._index(held.body, is_member=False)
        self._by_subject[body.subject], self._by_serial[body.serial] = certificate, body
        self._index(body, is_member=True)
        early = self._revoked.get(body.serial)
        if early is not None and early.cause is Cause.KEY_COMPROMISE:
            self._compromised[body.public_key] = body.serial

    def _index(self, body: CertificateBody, *, is_member: bool) -> None:
        if body.role is not Role.VISITOR:
            subjects = self._nodes.get(body.role)
            self._nodes[body.role] = subjects | {body.subject} if is_member else subjects - {body.subject}

    def revoke(
        self, serial: int, cause: Cause = Cause.UNSPECIFIED, height: int = 0, now: int = 0, since: int = 0
    ) -> None:
        """Refuse the certificate with this serial from now on, whether it is known yet or not.

        A second revocation changes nothing, except that it may say that the key is compromised.
        """
        body, before = self._by_serial.get(serial), self._revoked.get(serial)
        if before is None or (cause is Cause.KEY_COMPROMISE and before.cause is not cause):
            start = (height, now) if before is None else (before.height, before.at)
            self._revoked[serial] = Revoked(serial, cause, *start, since)
        if cause is Cause.KEY_COMPROMISE and body is not None:
            self._compromised[body.public_key] = serial

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

    def key_of(self, subject: str) -> bytes | None:
        """The public key of the certificate of ``subject``, whether it is in force or not; None if there is none."""
        certificate = self._by_subject.get(subject)
        return None if certificate is None else certificate.body.public_key

    def role_of(self, subject: str) -> Role | None:
        """The role of the certificate of ``subject``, whether it is in force or not; None if there is none."""
        certificate = self._by_subject.get(subject)
        return None if certificate is None else certificate.body.role

    def certificate_of(self, subject: str) -> Certificate | None:
        """The last certificate of ``subject``, whether it is in force or not; None if there is none."""
        return self._by_subject.get(subject)

    def holds(self, serial: int, role: Role) -> bool:
        """Whether the certificate with this serial, if it is known, is of ``role``."""
        body = self._by_serial.get(serial)
        return body is not None and body.role is role

    def members(self, role: Role) -> tuple[CertificateBody, ...]:
        """Certificates of a role, by subject; revoked ones left out.

        Takes time by the number of its members: of nodes few, of visitors all.
        """
        if role is Role.VISITOR:
            bodies = [item.body for item in self._by_subject.content().values() if item and item.body.role is role]
        else:
            bodies = [item.body for item in map(self._by_subject.get, self._nodes.get(role)) if item]
        held = (body for body in bodies if body.serial not in self._revoked)
        return tuple(sorted(held, key=lambda body: body.subject))

    def revoked(self, serial: int) -> Revoked | None:
        """From when on the certificate with this serial holds no more, and why; None if it does."""
        return self._revoked.get(serial)

    def revocations(self) -> tuple[Revoked, ...]:
        """All that have been revoked, replaced ones included, by serial."""
        return tuple(sorted(filter(None, self._revoked.content().values()), key=lambda item: item.serial))
