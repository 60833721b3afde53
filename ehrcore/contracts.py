"""Smart contracts: deterministic checks that every coordinator runs before it approves (paper, step 2).

The paper's example looks a file up by its path.  That shows that something lies there, not that it is what was
declared (claim C19), so ours reads the object and compares its digest with the one on the chain.  A contract returns
bytes, and coordinators sign their digest: contracts that do not agree (claim C24) gather no approvals.
"""

from collections.abc import Callable
from typing import Final

from ehrcore.block import RecordRef, Transaction
from ehrcore.crypto import Crypto
from ehrcore.storage import ObjectStore

#: A contract takes the node's cryptography, the store and the record; it returns its output, or None to refuse.
Contract = Callable[[Crypto, ObjectStore, RecordRef], bytes | None]


def look_up(crypto: Crypto, store: ObjectStore, record: RecordRef) -> bytes | None:
    """Confirm that the object at the declared path has the declared size and digest (constant output: the digest)."""
    body = store.get(record.location)
    if body is None or len(body) != record.size_bytes or crypto.hash(body) != record.digest:
        return None
    return record.digest


CONTRACTS: Final[dict[str, Contract]] = {"look-up": look_up}


def run_contracts(
    crypto: Crypto, store: ObjectStore, transaction: Transaction, contracts: dict[str, Contract] = CONTRACTS
) -> tuple[bytes, str]:
    """Digest of all outputs in order of name, and the name of the contract that refused ('' if none did).

    Transactions of the authority carry no record and run no contract.
    """
    record = transaction.body.payload
    outputs: list[tuple[str, bytes]] = []
    if isinstance(record, RecordRef):
        for name, contract in sorted(contracts.items()):
            output = contract(crypto, store, record)
            if output is None:
                return b"", name
            outputs.append((name, output))
    return crypto.hash_struct(("outcome", tuple(outputs))), ""
