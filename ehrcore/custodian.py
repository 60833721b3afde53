"""How a custodian judges what it is asked, from what it is shown and what its own ledger says; pure.

An asker who is denied is told that, and never why: `Denial` is for the node's own count.
"""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ehrcore.block import RecordRef, TransactionBody
from ehrcore.codec import encode
from ehrcore.consent import Access, Action, ConsentBook
from ehrcore.crypto import Crypto
from ehrcore.custody import Denial, Deposit, Link, LinkBody, LinkUse, LinkUseBody, ReleaseRequest, SearchRequest
from ehrcore.identity import CertificateBody, Reason, Registry
from ehrcore.judging import decide_about
from ehrcore.types import MINUTE, SECOND, Role

#: How far an asker's clock may be from the custodian's.
CLOCK_NS: Final = 2 * MINUTE
#: How long after its block an access opens a record: later, it has to be asked for again.
ACCESS_NS: Final = 10 * MINUTE
#: How long a link can be used.
LINK_NS: Final = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Placed:
    """What a ledger says of a transaction: its body, what became of it, and its block's time."""

    body: TransactionBody
    reason: Reason
    timestamp: int


def judge_deposit(
    crypto: Crypto,
    registry: Registry,
    chain: bytes,
    custodians: Collection[str],
    deposit: Deposit,
    now: int,
    due: int | None = None,
) -> Denial:
    """Whether a dealing is its author's, of now (or about ``due``), and among these custodians.

    What it is about is seen on the chain.
    """
    dealing = deposit.dealing
    if dealing.chain != chain:
        return Denial.OTHER_CHAIN
    if abs((now if due is None else due) - dealing.dealt_at) > CLOCK_NS:
        return Denial.CLOCK
    _, certificate = registry.check(dealing.author, Role.VISITOR, now)
    if certificate is None:
        return Denial.NO_CERTIFICATE
    names = [pledge.custodian for pledge in dealing.pledges]
    if sorted(names) != sorted(custodians) or dealing.threshold > len(names):
        return Denial.BAD_DEALING
    is_signed = crypto.verify(certificate.public_key, dealing, deposit.signature)
    return Denial.NONE if is_signed else Denial.BAD_SIGNATURE


def judge_asker(
    crypto: Crypto, registry: Registry, chain: bytes, me: str, request: ReleaseRequest | SearchRequest, now: int
) -> Denial | CertificateBody:
    """Who asks, if the request is theirs, to this custodian and of now.  Until then nothing is looked up for them."""
    body = request.body
    if body.chain != chain:
        return Denial.OTHER_CHAIN
    if body.custodian != me:
        return Denial.OTHER_CUSTODIAN
    if abs(now - body.asked_at) > CLOCK_NS:
        return Denial.CLOCK
    _, certificate = registry.check(body.person, Role.VISITOR, now)
    if certificate is None:
        return Denial.NO_CERTIFICATE
    if not crypto.verify(certificate.public_key, body, request.signature):
        return Denial.BAD_SIGNATURE
    return certificate if certificate.wrap_key else Denial.NO_WRAP_KEY


def judge_access(
    book: ConsentBook, asker: CertificateBody, action: Action, placed: Placed | None, now: int
) -> Denial | Access:
    """The access in what the ledger says, if it is the asker's for ``action``, not long ago, and would be accepted now.

    The chain has judged it at its place; since then consent may have been withdrawn, or a record erased (``book``).
    """
    if placed is None or not isinstance(placed.body.payload, Access):
        return Denial.UNKNOWN_ACCESS
    access = placed.body.payload
    if placed.body.author != asker.subject or access.action is not action:
        return Denial.OTHER_ACCESS
    if placed.reason is not Reason.ACCEPTED:
        return Denial.DENIED_ACCESS
    if abs(now - placed.timestamp) > ACCESS_NS:
        return Denial.STALE_ACCESS
    match decide_about(book, asker, access, now).reason:
        case Reason.ACCEPTED:
            return access
        case Reason.ERASED:
            return Denial.ERASED
        case _:
            return Denial.WITHDRAWN


def judge_release(crypto: Crypto, access: Access, placed: Placed | None) -> Denial | RecordRef:
    """The record in what the ledger says, if an access that was found good opens it.

    The chain has judged the access by the patient and the kind that it names: here they are compared with the record's
    own, so that nobody reads a record under another patient's consent.
    """
    if placed is None or placed.reason is not Reason.ACCEPTED or not isinstance(placed.body.payload, RecordRef):
        return Denial.UNKNOWN_RECORD
    record = placed.body.payload
    is_meant = (access.pseudonym, access.kind) == (record.pseudonym, record.kind)
    return record if is_meant and access.record == crypto.hash_struct(record) else Denial.OTHER_RECORD


def make_link(secret: bytes, body: LinkBody) -> Link:
    """The capability for ``body`` under the custodian's ``secret``."""
    return Link(body, hmac.digest(secret, encode(body), hashlib.sha256))


def judge_link(
    crypto: Crypto, registry: Registry, secret: bytes, use: LinkUse, used: Collection[bytes], now: int
) -> Denial:
    """Whether a link is this custodian's, in time, unused, and shown by the person that it is for.

    ``used`` are the nonces of links that have been used.  Its secret lives as long as the custodian's process: a link
    from before a restart is as good as forged, so what has been used needs no place on disk.
    """
    body = use.link.body
    if not hmac.compare_digest(hmac.digest(secret, encode(body), hashlib.sha256), use.link.mac):
        return Denial.FORGED_LINK
    if now >= body.expires_at:
        return Denial.EXPIRED_LINK
    _, certificate = registry.check(body.person, Role.VISITOR, now)
    if certificate is None:
        return Denial.NO_CERTIFICATE
    if not crypto.verify(certificate.public_key, LinkUseBody(use.link), use.signature):
        return Denial.OTHER_PERSON
    return Denial.USED_LINK if body.nonce in used else Denial.NONE
