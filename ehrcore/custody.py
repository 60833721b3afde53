"""Custody of records' keys: each contributor holds a share of each key, and hands it out on the chain's word alone.

The author of a record deals the shares of its key, signs digests of them all, and deposits one with each custodian,
sealed to it (RFC 9180).  Who wants to read puts an `Access` on the chain; once it is final and accepted, custodians
release: the share, sealed to the asker, and a link, which the asker may use once to fetch the sealed object.  What is
here is what is said; how a custodian judges it stands in `ehrcore.custodian`.
"""

import hashlib
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from ehrcore.block import LOCATION_CHARS, RecordRef
from ehrcore.codec import encode
from ehrcore.consent import Purpose
from ehrcore.crypto import Crypto
from ehrcore.errors import StorageError
from ehrcore.sealing import RECORD_KEY_BYTES
from ehrcore.sharing import Share
from ehrcore.types import Digest, Height, Nanos, NodeId, Signature

#: A share as it is kept and sent: threshold, index and as many bytes as a record's key.
SHARE_BYTES: Final = 2 + RECORD_KEY_BYTES
#: HPKE adds an encapsulated key and a tag.
SEALED_BYTES: Final = 32 + SHARE_BYTES + 16

Nonce = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Sealed = Annotated[bytes, msgspec.Meta(min_length=SEALED_BYTES, max_length=SEALED_BYTES)]
Sha256 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Denial(StrEnum):
    """Why a custodian does not do as it is asked; it counts these, and tells nobody."""

    NONE = ""
    CLOCK = "clock"
    OTHER_CHAIN = "other-chain"
    OTHER_CUSTODIAN = "other-custodian"
    NO_CERTIFICATE = "no-certificate"
    NO_WRAP_KEY = "no-wrap-key"
    BAD_SIGNATURE = "bad-signature"
    BAD_DEALING = "bad-dealing"
    BAD_SHARE = "bad-share"
    OTHER_SHARE = "other-share"
    TOO_MANY = "too-many"
    UNKNOWN_ACCESS = "unknown-access"
    DENIED_ACCESS = "denied-access"
    OTHER_ACCESS = "other-access"
    STALE_ACCESS = "stale-access"
    WITHDRAWN = "withdrawn"
    UNKNOWN_RECORD = "unknown-record"
    OTHER_RECORD = "other-record"
    ERASED = "erased"
    NO_SHARE = "no-share"
    FORGED_LINK = "forged-link"
    EXPIRED_LINK = "expired-link"
    OTHER_PERSON = "other-person"
    USED_LINK = "used-link"


class Pledge(msgspec.Struct, frozen=True, array_like=True):
    """Whose a share is, and what it hashes to (`share_digest`)."""

    custodian: NodeId
    digest: Sha256


class Dealing(msgspec.Struct, frozen=True, array_like=True, tag="dealing"):
    """What an author signs of a record's shares: by it, each share can be told from a wrong one without the others.

    ``record`` is the digest of the `RecordRef` as a struct, as in `Access`; any ``threshold`` shares make the key.
    """

    chain: Digest
    author: NodeId
    record: Digest
    threshold: Annotated[int, msgspec.Meta(ge=1, le=255)]
    pledges: Annotated[tuple[Pledge, ...], msgspec.Meta(min_length=1, max_length=255)]
    dealt_at: Nanos


class Deposit(msgspec.Struct, frozen=True, array_like=True, tag="deposit"):
    """Author to one custodian: the signed dealing, and the custodian's share, sealed to it."""

    dealing: Dealing
    signature: Signature
    sealed: Sealed


class ReleaseBody(msgspec.Struct, frozen=True, array_like=True, tag="ask-release"):
    """``person`` asks ``custodian`` for its share of the key of what transaction ``record`` is about.

    ``access`` is the id of the `Access` that permits it.
    """

    chain: Digest
    custodian: NodeId
    person: NodeId
    access: Digest
    record: Digest
    asked_at: Nanos


class SearchBody(msgspec.Struct, frozen=True, array_like=True, tag="ask-search"):
    """``person`` asks for the records that the search ``access`` is about, after a place in the chain."""

    chain: Digest
    custodian: NodeId
    person: NodeId
    access: Digest
    after_height: Height
    after_position: Annotated[int, msgspec.Meta(ge=-1, le=65_535)]
    asked_at: Nanos


class ReleaseRequest(msgspec.Struct, frozen=True, array_like=True, tag="release-request"):
    """A body with the asker's signature.  To repeat it yields nothing: the answer is sealed to who asked."""

    body: ReleaseBody
    signature: Signature


class SearchRequest(msgspec.Struct, frozen=True, array_like=True, tag="search-request"):
    """As `ReleaseRequest`."""

    body: SearchBody
    signature: Signature


class LinkBody(msgspec.Struct, frozen=True, array_like=True, tag="link"):
    """What a link permits: ``person`` may fetch the object at ``location`` from ``custodian``, once, until it expires.

    It is for the access's purpose, and holds while the record of transaction ``record`` is not erased.
    """

    chain: Digest
    custodian: NodeId
    person: NodeId
    purpose: Purpose
    record: Digest
    location: Annotated[str, msgspec.Meta(min_length=1, max_length=LOCATION_CHARS)]
    digest: Digest
    expires_at: Nanos
    nonce: Nonce


class Link(msgspec.Struct, frozen=True, array_like=True):
    """A capability: the body, and HMAC-SHA256 over it (RFC 2104) under a secret of the custodian alone."""

    body: LinkBody
    mac: Sha256


class LinkUseBody(msgspec.Struct, frozen=True, array_like=True, tag="use-link"):
    """What the person signs to use a link: who has merely seen it cannot."""

    link: Link


class LinkUse(msgspec.Struct, frozen=True, array_like=True, tag="link-use"):
    """A link with its person's signature over `LinkUseBody`."""

    link: Link
    signature: Signature


class Release(msgspec.Struct, frozen=True, array_like=True, tag="release"):
    """Custodian to asker: the dealing as it was deposited, the share sealed to the asker, and a link to the object."""

    dealing: Dealing
    signature: Signature
    sealed: Sealed
    link: Link


class Hit(msgspec.Struct, frozen=True, array_like=True):
    """A record that a search has found; the key of one that ``is_erased`` is destroyed."""

    transaction: Digest
    record: RecordRef
    height: Height
    position: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    is_erased: bool


class Page(msgspec.Struct, frozen=True, array_like=True, tag="page"):
    """Hits in the order of the chain; if ``has_more``, the search goes on after this place."""

    hits: tuple[Hit, ...]
    has_more: bool
    height: Height
    position: Annotated[int, msgspec.Meta(ge=-1, le=65_535)]


class PageBody(msgspec.Struct, frozen=True, array_like=True, tag="page-of"):
    """What a custodian signs of a page: that it answers this request.  To seal it proves nothing: anyone can."""

    request: SearchBody
    page: Page


class SignedPage(msgspec.Struct, frozen=True, array_like=True, tag="signed-page"):
    """A page with its custodian's signature over `PageBody`."""

    page: Page
    signature: Signature


def pack_share(share: Share) -> bytes:
    """A share of a record's key in `SHARE_BYTES`."""
    return bytes((share.threshold, share.index)) + share.value


def unpack_share(data: bytes) -> Share:
    """The share in these bytes; `StorageError` if they are none."""
    if len(data) != SHARE_BYTES or 0 in data[:2]:
        raise StorageError(f"share: expected {SHARE_BYTES} bytes of one, found others")
    return Share(data[0], data[1], data[2:])


def share_digest(share: bytes) -> bytes:
    """What an author pledges of a packed share, which is as random as the key: SHA-256 under a label of its own."""
    return hashlib.sha256(b"ehrcore-share|" + share).digest()


def deposit_info(chain: bytes, custodian: str, record: bytes) -> bytes:
    """HPKE's ``info`` for an author's share: it opens for this custodian and this record alone (RFC 9180 section 8)."""
    return encode(("deposit", chain, custodian, record))


def release_info(chain: bytes, custodian: str, person: str, record: bytes) -> bytes:
    """HPKE's ``info`` for a share on its way from a custodian to an asker."""
    return encode(("release", chain, custodian, person, record))


def search_info(body: SearchBody) -> bytes:
    """HPKE's ``info`` for what a search has found: it answers this request."""
    return encode(("search", body))


def deal(
    crypto: Crypto, chain: bytes, author: str, record: bytes, threshold: int, shares: dict[str, bytes], now: int
) -> tuple[Dealing, bytes]:
    """The author's signed word about packed ``shares`` by custodian; ``crypto`` signs for the author."""
    pledges = tuple(Pledge(name, share_digest(share)) for name, share in shares.items())
    dealing = Dealing(chain, author, record, threshold, pledges, now)
    return dealing, crypto.sign(dealing)


def pledged(dealing: Dealing, custodian: str) -> bytes | None:
    """The digest of the custodian's share; None if it has none, or not exactly one."""
    found = [pledge.digest for pledge in dealing.pledges if pledge.custodian == custodian]
    return found[0] if len(found) == 1 else None
