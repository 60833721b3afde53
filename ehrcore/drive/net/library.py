"""A ledger with its index: what a ledger keeper answers questions from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ehrcore.block import EndorsedTransaction, Genesis, Header, leaf_bytes
from ehrcore.codec import encode
from ehrcore.crypto import Crypto
from ehrcore.drive.net.index import TransactionIndex
from ehrcore.effects import Persist
from ehrcore.identity import Reason
from ehrcore.ledger import Entry, SqliteLedger
from ehrcore.merkle import MerkleTree
from ehrcore.messages import Receipt, ReceiptEntry, sign_receipt
from ehrcore.state import ChainState

_CHUNK: Final = 256


@dataclass(frozen=True, slots=True)
class Found:
    """A transaction's place in the ledger, and what became of it."""

    height: int
    position: int
    reason: Reason
    endorsed: EndorsedTransaction


class Library:
    """One node's ledger, what it says, and where in it each transaction is.

    `append` may run in another thread than all else, which reads through connections of its own.
    """

    def __init__(self, folder: Path, genesis: Genesis, crypto: Crypto, me: str) -> None:
        path = folder / "ledger.sqlite"
        self._suite, self._crypto, self._me = crypto.suite, crypto, me
        self.ledger = SqliteLedger.open(path) if path.exists() else SqliteLedger.create(path, genesis)
        self.ledger.require_genesis(genesis)
        #: The state after the last block when this was opened; its role takes it over and goes on with it.
        self.state: ChainState = self.ledger.restore(crypto)
        self.commits = 0
        self._index = TransactionIndex(folder / "index.sqlite")
        self._reader, self._index_reader = SqliteLedger.open(path), TransactionIndex(folder / "index.sqlite")
        self._catch_up()

    @property
    def height(self) -> int:
        return self.ledger.height

    def _catch_up(self) -> None:
        """Bring the index to the ledger's height; one that has seen another ledger is made anew."""
        height, tip = self._index.reach()
        if height:
            held = self.entries(height, height + 1)
            if not held or self._suite.hash(encode(held[0].block.header)) != tip:
                self._index.clear()
                height = 0
        while height < self.height:
            entries = self.entries(height + 1, min(height + 1 + _CHUNK, self.height + 1))
            self._index.add([(*self._name(entry.block.header), self._ids(entry)) for entry in entries])
            height += len(entries)
        self.transactions = self._index.count()

    def _name(self, header: Header) -> tuple[int, bytes]:
        return header.height, self._suite.hash(encode(header))

    def _ids(self, entry: Entry | Persist) -> tuple[bytes, ...]:
        return tuple(self._suite.hash(encode(item.transaction.body)) for item in entry.block.transactions)

    def append(self, persists: Sequence[Persist]) -> None:
        """Keep blocks durably with one wait for the disk, and note where their transactions are."""
        self.ledger.append_all(persists)
        self.commits += 1
        rows = [(*self._name(persist.block.header), self._ids(persist)) for persist in persists]
        self._index.add(rows)
        self.transactions += sum(len(row[2]) for row in rows)

    def entries(self, first: int, last: int) -> list[Entry]:
        """Entries of heights ``[first, last)``, as far as there are any."""
        first = max(first, 1)
        return list(self._reader.entries(first, last)) if first < last else []

    def _place(self, tx_id: bytes) -> tuple[Entry, int] | None:
        place = self._index_reader.find(tx_id)
        if place is None:
            return None
        held = self.entries(place[0], place[0] + 1)
        if not held or place[1] >= len(held[0].block.transactions) or self._ids(held[0])[place[1]] != tx_id:
            return None
        return held[0], place[1]

    def find(self, tx_id: bytes) -> Found | None:
        held = self._place(tx_id)
        if held is None:
            return None
        entry, position = held
        return Found(entry.block.header.height, position, entry.reasons[position], entry.block.transactions[position])

    def receipt(self, tx_id: bytes) -> Receipt | None:
        held = self._place(tx_id)
        if held is None:
            return None
        entry, position = held
        leaves = tuple(map(leaf_bytes, entry.block.transactions))
        path = MerkleTree(self._suite, leaves).prove_inclusion(position)
        proven = ReceiptEntry(leaves[position], position, path, entry.reasons[position])
        header, block_hash = entry.block.header, self._name(entry.block.header)[1]
        trail = tuple(change for change in self.state.trail if change.header.height < header.height)
        return sign_receipt(self._crypto, self._me, (header, entry.certificate), block_hash, (proven,), trail)

    def holds(self, tx_id: bytes) -> bool:
        return self._index_reader.find(tx_id) is not None

    def close(self) -> None:
        self._index.close()
        self._index_reader.close()
        self.ledger.close()
        self._reader.close()
