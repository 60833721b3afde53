"""Smart contracts: deterministic checks that every coordinator runs before it approves (paper, step 2).

The paper's example looks a file up by its path.  That shows that something lies there, not that it is what was
declared (claim C19), so ours reads the object and compares its digest with the one on the chain.  A contract returns
bytes, and coordinators sign their digest: contracts that do not agree (claim C24) gather no approvals.
"""

from collections.abc import Callable
from typing import Final

from ehrcore.agreements import UNKNOWN, AgreementBook
from ehrcore.block import RecordRef, Transaction, TransactionBody
from ehrcore.consent import Access
from ehrcore.crypto import Crypto
from ehrcore.errors import StorageError
from ehrcore.storage import DigestedStore, ObjectStore, StreamedStore

#: Longest object that is read whole, in bytes.
WHOLE_BYTES: Final = 1 << 20

#: A contract takes the node's cryptography, the store and the record; it returns its output, or None to refuse.
Contract = Callable[[Crypto, ObjectStore, RecordRef], bytes | None]


def digest_object(crypto: Crypto, store: ObjectStore, record: RecordRef) -> bytes | None:
    """Digest of what lies at the declared path, empty if its size is not the declared one; None if nothing does.

    Large objects are hashed as they come, if the store can, and no further than declared.  `StorageError` if the store
    does not answer.
    """
    if isinstance(store, DigestedStore):
        crypto.meter.hashes += 1
        crypto.meter.hashed_bytes += record.size_bytes
        return store.digest(record)
    if record.size_bytes <= WHOLE_BYTES or not isinstance(store, StreamedStore):
        body = store.get(record.location)
        return None if body is None else crypto.hash(body) if len(body) == record.size_bytes else b""
    chunks = store.open(record.location)
    if chunks is None:
        return None
    digest, size = crypto.hash_stream(chunks, record.size_bytes)
    return digest if size == record.size_bytes else b""


def look_up(crypto: Crypto, store: ObjectStore, record: RecordRef) -> bytes | None:
    """Confirm that the object at the declared path has the declared size and digest (constant output: the digest).

    A store that does not answer confirms nothing: the record is refused, and may be submitted again.
    """
    try:
        return record.digest if digest_object(crypto, store, record) == record.digest else None
    except StorageError:
        return None


#: The contract that two parties have written; it stands before those that are the same for all.
AGREEMENT: Final = "agreement"
CONTRACTS: Final[dict[str, Contract]] = {"look-up": look_up}


def follow_agreement(book: AgreementBook, body: TransactionBody) -> bytes | None:
    """What the clauses of the agreement that is cited say; None if they refuse, or if there is no such agreement.

    A denied access is an audit event, which ledger keepers find at its place on the chain: it is let pass.  The time
    is the author's and the output leaves uses out, so that coordinators at different heights say the same.
    """
    payload = body.payload
    if not isinstance(payload, RecordRef | Access) or book.find(payload.agreement) is UNKNOWN:
        return None
    if isinstance(payload, RecordRef) and book.judge(body.author, body.submitted_at, payload, body.submitted_at):
        return None
    return book.outline(body.author, body.submitted_at, payload)


def run_contracts(
    crypto: Crypto,
    store: ObjectStore,
    transaction: Transaction,
    contracts: dict[str, Contract] = CONTRACTS,
    book: AgreementBook | None = None,
) -> tuple[bytes, str]:
    """Digest of all outputs in order of name, and the name of the contract that refused ('' if none did).

    Transactions of the authority carry no record and run no contract.  ``book`` holds the agreements that records and
    accesses may cite; without one, whatever cites an agreement is refused.
    """
    record = transaction.body.payload
    outputs: list[tuple[str, bytes]] = []
    if isinstance(record, RecordRef | Access) and record.agreement:
        output = follow_agreement(book or AgreementBook(), transaction.body)
        if output is None:
            return b"", AGREEMENT
        outputs.append((AGREEMENT, output))
    if isinstance(record, RecordRef):
        for name, contract in sorted(contracts.items()):
            output = contract(crypto, store, record)
            if output is None:
                return b"", name
            outputs.append((name, output))
    return crypto.hash_struct(("outcome", tuple(outputs))), ""
