"""The critical path of a transaction on one core, beside the C library's time for its signatures alone.

One signature is made (the author's), three are verified (the agents' endorsements); the endorsed transaction is encoded
canonically; fifteen make a block with its Merkle tree and header, which the SQLite ledger commits durably.  Every
transaction is distinct and no verification is remembered.  Work counts as processor time, as it does for the peer;
the ledger's append counts by the clock, since what it waits for is the disk.
"""

import tempfile
import time
from pathlib import Path
from typing import Final

from bench.limits.base import BLOCKS, Demand, Finding, Metric, Part, invert, take_turns, wall_ns
from bench.limits.openssl import cryptography_text, p256_ns, versions_note
from ehrcore.block import (
    Attestation,
    Block,
    EndorsedTransaction,
    EndorsementBody,
    Genesis,
    Header,
    OrdererCertificate,
    RecordRef,
    Transaction,
    TransactionBody,
    leaf_bytes,
)
from ehrcore.crypto import Crypto
from ehrcore.effects import Persist
from ehrcore.hashing import find_suite
from ehrcore.identity import Reason
from ehrcore.ledger import SqliteLedger
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Topology
from ehrcore.signing import find_scheme

ENDORSEMENTS: Final = 3
BLOCK_SIZE: Final = 15
_BLOCKS_PER_TURN: Final = 60
_VISITOR: Final = "visitor-0"
_AGENTS: Final = tuple(f"agent-{index}" for index in range(ENDORSEMENTS))

#: A transaction to be: its body, its id and the endorsements that have arrived for it.
Waiting = tuple[TransactionBody, bytes, tuple[Attestation, ...]]


class CriticalPath:
    """A chain, its ledger on disk and what processes transactions into it."""

    def __init__(self, folder: Path, *, is_synced: bool = True) -> None:
        topology = Topology(ENDORSEMENTS, 1, 1, 1)
        self.network = found_network(ChainParams("limits", topology, ENDORSEMENTS, 1), "cryptography", "limits")
        genesis = Genesis(self.network.params, self.network.certificates)
        self.ledger = SqliteLedger.create(folder / f"critical-{is_synced}.db", genesis, is_synced=is_synced)
        key = self.network.keys[_VISITOR]
        self.crypto = Crypto(find_suite("sha256"), find_scheme("p256/cryptography"), key, memo_size=0)
        self._previous, self._made = self.network.chain, 0
        #: Nanoseconds so far: of work, and in the ledger.
        self.work_ns = self.ledger_ns = 0

    def make_waiting(self, count: int) -> list[Waiting]:
        """``count`` new transactions with their endorsements, as their agents would send them."""
        return [self._make_one() for _ in range(count)]

    def _make_one(self) -> Waiting:
        chain, digest = self.network.chain, self._made.to_bytes(32)
        record = RecordRef(7, digest, digest, f"/hospital/report-store/sensor/{self._made:08}.json", 1_024)
        body = TransactionBody(chain, _VISITOR, self._made, self._made, record)
        self._made += 1
        tx_id = self.crypto.hash_struct(body)
        endorsements = (
            Attestation(agent, self.network.crypto(agent).sign(EndorsementBody(chain, tx_id, agent, Reason.ACCEPTED)))
            for agent in _AGENTS
        )
        return body, tx_id, tuple(endorsements)

    def process(self, waiting: Waiting) -> EndorsedTransaction:
        """Sign one transaction and verify its endorsements."""
        body, tx_id, endorsements = waiting
        chain, keys = self.network.chain, self.network.keys
        transaction = Transaction(body, self.crypto.sign(body))
        for word in endorsements:
            endorsement = EndorsementBody(chain, tx_id, word.node, Reason.ACCEPTED)
            if not self.crypto.verify(keys[word.node].public_bytes, endorsement, word.signature):
                raise AssertionError(f"endorsement by {word.node}: expected a valid signature, found another")
        return EndorsedTransaction(transaction, endorsements, tx_id, ())

    def build(self, transactions: tuple[EndorsedTransaction, ...]) -> Persist:
        """The next block, as the ledger takes it."""
        crypto, chain, height = self.crypto, self.network.chain, self.ledger.height + 1
        root = crypto.merkle_tree(tuple(map(leaf_bytes, transactions))).root
        header = Header(
            chain, height, self._previous, root, len(transactions), height, "administrator-0", chain, chain, 0, bytes(8)
        )
        self._previous = crypto.hash_struct(header)
        reasons = (Reason.ACCEPTED,) * len(transactions)
        return Persist(Block(header, transactions), OrdererCertificate(bytes(64)), reasons, chain)

    def turn_ns(self) -> float:
        """Nanoseconds per transaction, work and ledger."""
        waiting = self.make_waiting(_BLOCKS_PER_TURN * BLOCK_SIZE)
        before = self.work_ns + self.ledger_ns
        for first in range(0, len(waiting), BLOCK_SIZE):
            start = time.process_time_ns()
            persist = self.build(tuple(map(self.process, waiting[first : first + BLOCK_SIZE])))
            self.work_ns += time.process_time_ns() - start
            self.ledger_ns += wall_ns(lambda persist=persist: self.ledger.append(persist))  # type: ignore[misc]
        return (self.work_ns + self.ledger_ns - before) / len(waiting)


def limit_ns() -> float:
    """C's processor time for one signature and `ENDORSEMENTS` verifications, in nanoseconds."""
    sign, verify = p256_ns()
    return sign + ENDORSEMENTS * verify


def measure(folder: Path) -> list[Finding]:
    """Transactions per second, ours and of C's signatures alone: left to the system to sync, and synced per block."""
    return [_measure(folder, is_synced=is_synced) for is_synced in (False, True)]


def _measure(folder: Path, *, is_synced: bool) -> Finding:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = CriticalPath(Path(scratch), is_synced=is_synced)
        with path.ledger:
            path.turn_ns()
            ours, peers = take_turns(BLOCKS, path.turn_ns, limit_ns)
    share = path.ledger_ns / (path.work_ns + path.ledger_ns)
    note = f"{share:.0%} of the time in the ledger; {versions_note(cryptography_text())}"
    return Finding(invert(ours), invert(peers), note)


_PEER: Final = "openssl speed ecdsap256"
_DEMAND: Final = Demand("at least", 0.8)
PART: Final = Part(
    (
        Metric("critical path, 1 sign + 3 verify, SQLite WAL", "tx/s", _PEER, _DEMAND),
        Metric("critical path, the same, synced per block", "tx/s", _PEER, _DEMAND),
    ),
    measure,
)
