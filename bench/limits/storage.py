"""Durability: one block of the paper's 30 KB into the SQLite ledger, beside appending as many bytes to a plain file.

The peer is what a ledger without a database would do: write at the end, then sync.  SQLite's log overwrites itself
once it has been copied into the database, which spares it a growing file; so the note also gives the time of
overwriting in place, which is the disk's own.
"""

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from bench.limits.base import MICROSECOND, Demand, Finding, Metric, Part, take_turns, wall_ns
from ehrcore.block import (
    Attestation,
    Block,
    EndorsedTransaction,
    Genesis,
    Header,
    OrdererCertificate,
    RecordRef,
    Transaction,
    TransactionBody,
)
from ehrcore.codec import encode
from ehrcore.effects import Persist
from ehrcore.identity import Reason
from ehrcore.ledger import SqliteLedger
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Topology

BLOCK_BYTES: Final = 30_720
#: Size at which SQLite copies its log back by default: 1,000 pages of 4 KiB.
_LOG_BYTES: Final = 4_096_000
_BLOCKS: Final = 31
_COMMITS: Final = 20

#: Not everywhere does a file's data sync alone.
sync = getattr(os, "fdatasync", os.fsync)


def make_persist(chain: bytes) -> Persist:
    """Block 1 of fifteen transactions, `BLOCK_BYTES` in canonical form; nothing in it is signed for real."""
    header = Header(chain, 1, chain, chain, 15, 0, "administrator-0", chain, chain, 0, bytes(8))
    spare = BLOCK_BYTES - len(encode(Block(header, (_transaction(chain, 0, ""),) * 15)))
    names = ["x" * (spare // 15 + (index < spare % 15)) for index in range(15)]
    block = Block(header, tuple(_transaction(chain, index, name) for index, name in enumerate(names)))
    return Persist(block, OrdererCertificate(bytes(64)), (Reason.ACCEPTED,) * 15, chain)


def _transaction(chain: bytes, nonce: int, padding: str) -> EndorsedTransaction:
    word = Attestation("agent-0", bytes(64))
    body = TransactionBody(chain, "visitor-0", nonce, nonce, RecordRef(7, chain, chain, "x" * 300 + padding, 1_024))
    return EndorsedTransaction(Transaction(body, bytes(64)), (word,) * 3, chain, (word,) * 3)


class Commits:
    """A ledger that is given the same block at ever greater heights."""

    def __init__(self, folder: Path) -> None:
        network = found_network(ChainParams("limits", Topology(1, 1, 1, 1), 1, 1), "cryptography", "limits")
        self.ledger = SqliteLedger.create(folder / "commits.db", Genesis(network.params, network.certificates))
        self._first = make_persist(network.chain)

    def turn_ns(self) -> float:
        """Median nanoseconds of one commit."""
        return median(self._commit_ns() for _ in range(_COMMITS))

    def _commit_ns(self) -> int:
        block = self._first.block
        header = msgspec.structs.replace(block.header, height=self.ledger.height + 1)
        persist = msgspec.structs.replace(self._first, block=Block(header, block.transactions))
        return wall_ns(lambda: self.ledger.append(persist))


class Syncs:
    """A file that is written in pieces of `BLOCK_BYTES`, each one synced: at its end, or over what it holds."""

    def __init__(self, path: Path, *, is_growing: bool) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        self._at, self._piece = 0, os.urandom(BLOCK_BYTES)
        self._end = _LOG_BYTES - BLOCK_BYTES
        if is_growing:
            self._end = 1 << 40
        else:
            os.pwrite(self._file, bytes(_LOG_BYTES), 0)
            os.fsync(self._file)

    def turn_ns(self) -> float:
        """Median nanoseconds of one write with its sync."""
        return median(wall_ns(self._write) for _ in range(_COMMITS))

    def _write(self) -> None:
        os.pwrite(self._file, self._piece, self._at)
        sync(self._file)
        self._at = (self._at + BLOCK_BYTES) % self._end

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


def measure(folder: Path) -> list[Finding]:
    """Microseconds per commit and per synced write, on the disk of ``folder``."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        commits = Commits(Path(scratch))
        appends = Syncs(Path(scratch, "appended"), is_growing=True)
        overwrites = Syncs(Path(scratch, "overwritten"), is_growing=False)
        with commits.ledger:
            for _ in range(_LOG_BYTES // BLOCK_BYTES // _COMMITS + 1):
                commits.turn_ns()
            ours, peers, least = take_turns(_BLOCKS, commits.turn_ns, appends.turn_ns, overwrites.turn_ns)
        appends.close()
        overwrites.close()
    note = f"medians of {_COMMITS}; WAL, synchronous=FULL; overwriting in place: {median(least) / 1e3:.0f} µs"
    return [Finding.in_unit(MICROSECOND, ours, peers, note)]


PART: Final = Part(
    (Metric("ledger commit of 30 KB", "µs", f"append and {sync.__name__}", Demand("at most", 1.5)),), measure
)
