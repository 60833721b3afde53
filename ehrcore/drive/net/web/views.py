"""What travels as JSON: strict on the way in, and one way only to write each value.

Digests, keys and signatures are lower-case hexadecimal; times are nanoseconds since 1970, integers of 64 bits; a
record's kind is its name in lower case with dashes.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from ehrcore.block import (
    LOCATION_CHARS,
    CommitCertificate,
    EndorsedTransaction,
    LeaderCertificate,
    RecordRef,
    StakeCertificate,
    Transaction,
    TransactionBody,
    WorkCertificate,
)
from ehrcore.codec import encode
from ehrcore.errors import CodecError, ParameterError
from ehrcore.hashing import HashSuite
from ehrcore.ledger import Entry
from ehrcore.records import RecordKind
from ehrcore.wording import say_payload

JSON_MEDIA: Final = "application/json"
TRANSACTION_MEDIA: Final = "application/vnd.ehrcore.transaction"
BLOCKS_MEDIA: Final = "application/vnd.ehrcore.blocks"
RECEIPT_MEDIA: Final = "application/vnd.ehrcore.receipt"
IDS_MEDIA: Final = "application/vnd.ehrcore.ids"
FLAGS_MEDIA: Final = "application/vnd.ehrcore.flags"

# Python's `$` also matches before a last newline, that of JSON Schema does not; the look-ahead makes them agree.
_END: Final = r"$(?!\n)"
DIGEST_PATTERN: Final = rf"^([0-9a-f]{{2}}){{16,32}}{_END}"
DigestHex = Annotated[str, msgspec.Meta(min_length=32, max_length=64, pattern=DIGEST_PATTERN)]
AgreementHex = Annotated[str, msgspec.Meta(max_length=64, pattern=rf"^(?:[0-9a-f]{{2}}){{0,32}}{_END}")]
SignatureHex = Annotated[str, msgspec.Meta(min_length=128, max_length=128, pattern=rf"^[0-9a-f]{{128}}{_END}")]
Author = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=rf"^[a-z][a-z0-9-]*{_END}")]
Nonce = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Time = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1, extra_json_schema={"format": "int64"})]
Location = Annotated[str, msgspec.Meta(min_length=1, max_length=LOCATION_CHARS)]


class KindName(StrEnum):
    """The kinds of records, by name."""

    MEDICATION = "medication"
    DIAGNOSTIC_REPORT = "diagnostic-report"
    BILL = "bill"
    INSURANCE = "insurance"
    BIRTH = "birth"
    DEATH = "death"
    SENSOR = "sensor"


class RecordView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the chain keeps of a record; ``agreement`` is the id of the one that it cites, if it does."""

    kind: KindName
    pseudonym: DigestHex
    digest: DigestHex
    location: Location
    size_bytes: Annotated[int, msgspec.Meta(ge=0, lt=1 << 48)]
    agreement: AgreementHex = ""


class TransactionView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A visitor's transaction; ``signature`` is over the canonical bytes of all else, not over this text."""

    chain: DigestHex
    author: Author
    nonce: Nonce
    submitted_at: Time
    record: RecordView
    signature: SignatureHex


def transaction_view(tx: Transaction) -> TransactionView:
    """A transaction about a record as JSON has it; `ParameterError` for the authority's orders, which have no JSON."""
    body, record = tx.body, tx.body.payload
    if not isinstance(record, RecordRef):
        raise ParameterError(f"transaction: expected one about a record, found {type(record).__name__}")
    kind = KindName[RecordKind(record.kind).name]
    digests = record.pseudonym.hex(), record.digest.hex()
    view = RecordView(kind, *digests, record.location, record.size_bytes, record.agreement.hex())
    return TransactionView(body.chain.hex(), body.author, body.nonce, body.submitted_at, view, tx.signature.hex())


def parse_transaction(view: TransactionView) -> Transaction:
    """The transaction that a decoded view stands for."""
    record = view.record
    payload = RecordRef(
        int(RecordKind[record.kind.name]),
        bytes.fromhex(record.pseudonym),
        bytes.fromhex(record.digest),
        record.location,
        record.size_bytes,
        bytes.fromhex(record.agreement),
    )
    body = TransactionBody(bytes.fromhex(view.chain), view.author, view.nonce, view.submitted_at, payload)
    return Transaction(body, bytes.fromhex(view.signature))


_decoder = msgspec.json.Decoder(TransactionView)


def decode_transaction(data: bytes) -> Transaction:
    """A transaction from JSON; `CodecError` says what is wrong and where."""
    try:
        return parse_transaction(_decoder.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError(f"transaction: expected an object of the described fields, found: {error}") from None


class HealthView(msgspec.Struct, frozen=True):
    """Who a node is and where it stands."""

    name: str
    role: str
    phase: str
    height: int


class SubmittedView(msgspec.Struct, frozen=True):
    """An agent's receipt of a transaction: ``accepted``, or ``known`` if it had been before."""

    id: str
    status: str
    agent: str


class Statement(msgspec.Struct, frozen=True):
    """One thing that a payload says, in words."""

    name: str
    text: str


class FoundView(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction in the ledger.

    ``reason`` is empty if it counts, else why it was marked invalid; ``committed_at`` is its block's time; the fields
    of a record are null for anything else, and ``says`` is what any payload says in words, each with its name.
    """

    id: str
    status: str
    reason: str
    height: int
    position: int
    block: str
    author: str
    kind: str
    pseudonym: str | None
    digest: str | None
    location: str | None
    submitted_at: int
    committed_at: int
    says: tuple[Statement, ...]


class BlockSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line about a block; ``invalid`` of its transactions were marked so by validation."""

    height: int
    hash: str
    timestamp: int
    proposer: str
    transactions: int
    invalid: int


class BlockTransaction(msgspec.Struct, frozen=True):
    """A transaction in its block, and the nodes whose signatures stand beside it."""

    id: str
    author: str
    kind: str
    reason: str
    endorsed_by: tuple[str, ...]
    approved_by: tuple[str, ...]


class CertificateView(msgspec.Struct, frozen=True):
    """What makes a block final: the rule, and who signed, or, for work, how many blocks confirm it."""

    rule: str
    signed_by: tuple[str, ...]
    confirmations: int


class BlockView(BlockSummary, frozen=True, kw_only=True):
    """A block of the ledger; ``state`` is the digest of the chain's state after it."""

    previous: str
    merkle_root: str
    state: str
    certificate: CertificateView
    contents: tuple[BlockTransaction, ...]


def payload_kind(tx: Transaction) -> str:
    """The kind of a transaction's record, or of an order."""
    payload = tx.body.payload
    if isinstance(payload, RecordRef):
        return KindName[RecordKind(payload.kind).name].value
    return type(payload).__name__.lower()


def certificate_view(certificate: CommitCertificate, proposer: str) -> CertificateView:
    """Who certified a block of ``proposer``."""
    match certificate:
        case StakeCertificate(votes=votes):
            return CertificateView("pos", tuple(vote.node for vote in votes), 0)
        case WorkCertificate(successors=successors):
            return CertificateView("pow", (), len(successors))
        case LeaderCertificate(leader=leader):
            return CertificateView("leader", (leader,), 0)
        case _:
            return CertificateView("single", (proposer,), 0)


def block_summary(suite: HashSuite, entry: Entry) -> BlockSummary:
    """One line about an entry of the ledger."""
    header = entry.block.header
    return BlockSummary(
        height=header.height,
        hash=suite.hash(encode(header)).hex(),
        timestamp=header.timestamp,
        proposer=header.proposer,
        transactions=header.size,
        invalid=sum(map(bool, entry.reasons)),
    )


def block_view(suite: HashSuite, entry: Entry) -> BlockView:
    """An entry of the ledger in full, but for signatures."""
    header = entry.block.header
    pairs = zip(entry.block.transactions, entry.reasons, strict=True)
    return BlockView(
        **msgspec.structs.asdict(block_summary(suite, entry)),
        previous=header.previous.hex(),
        merkle_root=header.merkle_root.hex(),
        state=entry.state.hex(),
        certificate=certificate_view(entry.certificate, header.proposer),
        contents=tuple(_block_transaction(suite, endorsed, reason.value) for endorsed, reason in pairs),
    )


def _block_transaction(suite: HashSuite, endorsed: EndorsedTransaction, reason: str) -> BlockTransaction:
    body = endorsed.transaction.body
    return BlockTransaction(
        suite.hash(encode(body)).hex(),
        body.author,
        payload_kind(endorsed.transaction),
        reason,
        tuple(item.node for item in endorsed.endorsements),
        tuple(item.node for item in endorsed.approvals),
    )


def found_view(suite: HashSuite, entry: Entry, position: int) -> FoundView:
    """The transaction at ``position`` of a block."""
    header, tx = entry.block.header, entry.block.transactions[position].transaction
    record = tx.body.payload if isinstance(tx.body.payload, RecordRef) else None
    return FoundView(
        id=suite.hash(encode(tx.body)).hex(),
        status="final",
        reason=entry.reasons[position].value,
        height=header.height,
        position=position,
        block=suite.hash(encode(header)).hex(),
        author=tx.body.author,
        kind=payload_kind(tx),
        pseudonym=record.pseudonym.hex() if record else None,
        digest=record.digest.hex() if record else None,
        location=record.location if record else None,
        submitted_at=tx.body.submitted_at,
        committed_at=header.timestamp,
        says=tuple(Statement(*said) for said in say_payload(tx.body.payload)),
    )
