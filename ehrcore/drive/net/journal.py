"""What a node must not forget over a crash besides the ledger: one SQLite file per node, durable at `commit`.

- An agent keeps what it has accepted until it is final, and sends it again until then.
- An administrator keeps its last blocks for those that missed them (the paper has it keep the last hash; the others
  are a delivery queue, bounded), and what it has said and heard at the height being decided, so that it never says
  otherwise.
- Both keep the orders that change who may do what, which they carry out without a ledger.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from ehrcore.consensus.seam import Tip
from ehrcore.drive.net.database import Format, check_database, create_database
from ehrcore.errors import LedgerError

#: Final blocks that an administrator keeps for those that missed them.
KEPT_BLOCKS: Final = 4_096
FORMAT: Final = Format(
    0x4548524A,  # "EHRJ"
    3,
    """
CREATE TABLE chain (id INTEGER PRIMARY KEY CHECK (id = 0), chain BLOB NOT NULL, node TEXT NOT NULL,
epoch INTEGER NOT NULL);
CREATE TABLE pending (tx BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE orders (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, content BLOB NOT NULL);
CREATE TABLE finals (height INTEGER PRIMARY KEY, hash BLOB NOT NULL, timestamp INTEGER NOT NULL, content BLOB NOT NULL);
CREATE TABLE said (number INTEGER PRIMARY KEY, height INTEGER NOT NULL, content BLOB NOT NULL);
""",
)


#: A statement and its values.
Operation = tuple[str, tuple[object, ...]]


class Journal:
    """One node's journal: changes are gathered, taken and written; reading sees what is written.

    `write` may run in another thread than all else, which then reads through a connection of its own.  Every method
    may raise `LedgerError`.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path, self._db = path, db
        self._reader = sqlite3.connect(path, isolation_level=None)
        self.commits = 0
        self._operations: list[Operation] = []
        self._words: set[bytes] = set()
        self.is_urgent = False

    @classmethod
    def open(cls, path: Path, chain: bytes, node: str) -> "Journal":
        """Open or create the journal of ``node``; `LedgerError` names what is wrong with the file."""
        try:
            if not path.exists():
                _create(path, chain, node)
            with ExitStack() as stack:
                db = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)))
                _check(path, db, chain, node)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                stack.pop_all()
                return cls(path, db)
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            raise LedgerError(f"{path}: expected a node's journal, found: {error}") from None

    def close(self) -> None:
        """Write what is left and release the file."""
        try:
            self.is_urgent = bool(self._operations)
            self.commit()
        finally:
            self._reader.close()
            self._db.close()

    def take(self) -> list[Operation]:
        """What has to be written now: nothing, unless something urgent is among what was gathered."""
        if not self.is_urgent:
            return []
        operations, self._operations, self.is_urgent = self._operations, [], False
        return operations

    def write(self, operations: Sequence[Operation]) -> None:
        """Carry out what was taken, all of it or nothing; it is durable when this returns."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, values in operations:
                self._db.execute(statement, values)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: expected a journal that can be written, found: {error}") from None
        self.commits += 1

    def commit(self) -> None:
        if self.is_urgent:
            self.write(self.take())

    def _change(self, statement: str, values: tuple[object, ...], *, is_urgent: bool = True) -> None:
        self._operations.append((statement, values))
        self.is_urgent |= is_urgent

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        try:
            return self._reader.execute(query, values).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise LedgerError(f"{self.path}: expected a journal that can be read, found: {error}") from None

    def begin_epoch(self, now: int) -> int:
        """A number for this start that is greater than that of any start before, whatever the clock says; durable."""
        ((last,),) = self._read("SELECT epoch FROM chain")
        epoch = max(now, last + 1)  # type: ignore[operator]  # as the schema has it
        self._change("UPDATE chain SET epoch = ?", (epoch,))
        self.commit()
        return epoch

    # -- accepted, not final ------------------------------------------------------------------------------------

    def add_pending(self, tx_id: bytes, content: bytes) -> None:
        """Keep what an agent has accepted."""
        self._change("INSERT OR REPLACE INTO pending VALUES (?, ?)", (tx_id, content))

    def settle(self, tx_ids: Iterable[bytes]) -> None:
        """Forget what has become final; to forget it a little later does no harm."""
        for tx_id in tx_ids:
            self._change("DELETE FROM pending WHERE tx = ?", (tx_id,), is_urgent=False)

    def pending(self) -> dict[bytes, bytes]:
        """Everything accepted that is not known to be final."""
        return dict(self._read("SELECT tx, content FROM pending"))  # type: ignore[arg-type]  # as the schema has it

    # -- orders ------------------------------------------------------------------------------------------------

    def add_order(self, name: bytes, content: bytes) -> None:
        """Keep, once, what changes who may do what: an agent the transaction, an administrator a block's orders."""
        self._change("INSERT OR IGNORE INTO orders (id, content) VALUES (?, ?)", (name, content))

    def orders(self) -> list[bytes]:
        return [row[0] for row in self._read("SELECT content FROM orders ORDER BY number")]  # type: ignore[misc]

    # -- final blocks -------------------------------------------------------------------------------------------

    def add_final(self, tip: Tip, content: bytes) -> None:
        """Keep a final block; the oldest one beyond `KEPT_BLOCKS` goes, and what was said up to it with it."""
        self._change(
            "INSERT OR REPLACE INTO finals VALUES (?, ?, ?, ?)", (tip.height, tip.block_hash, tip.timestamp, content)
        )
        self._change("DELETE FROM finals WHERE height <= ?", (tip.height - KEPT_BLOCKS,))
        self._change("DELETE FROM said WHERE height <= ?", (tip.height,))
        self._words.clear()

    def tip(self) -> Tip | None:
        """The last final block, if there is one."""
        rows = self._read("SELECT height, hash, timestamp FROM finals ORDER BY height DESC LIMIT 1")
        return Tip(*rows[0]) if rows else None  # type: ignore[arg-type]  # as the schema has it

    def finals(self, first: int, limit: int) -> list[bytes]:
        """Up to ``limit`` final blocks from height ``first`` on; none if that one is gone."""
        query = "SELECT height, content FROM finals WHERE height >= ? ORDER BY height LIMIT ?"
        rows = self._read(query, (first, limit))
        return [row[1] for row in rows] if rows and rows[0][0] == first else []  # type: ignore[misc]

    # -- words given --------------------------------------------------------------------------------------------

    def say(self, height: int, content: bytes, *, is_own: bool) -> None:
        """Keep a proposal or a vote: the node's own before it is sent, others' before anything that rests on them.

        Nodes that are stuck say the same again and again; it is kept once, where it stood first.
        """
        if content not in self._words:
            self._words.add(content)
            self._change("INSERT INTO said (height, content) VALUES (?, ?)", (height, content), is_urgent=False)
        self.is_urgent |= is_own and bool(self._operations)

    def said(self, height: int) -> list[bytes]:
        """What was said and heard at ``height``, in order."""
        return [row[0] for row in self._read("SELECT content FROM said WHERE height = ? ORDER BY number", (height,))]  # type: ignore[misc]


def _create(path: Path, chain: bytes, node: str) -> None:
    row = ("INSERT INTO chain VALUES (0, ?, ?, 0)", (chain, node))
    create_database(path, FORMAT, lambda db: db.execute(*row))


def _check(path: Path, db: sqlite3.Connection, chain: bytes, node: str) -> None:
    """Refuse a file that is no journal, is damaged, or is another node's."""
    check_database(path, db, FORMAT)
    row = db.execute("SELECT chain, node FROM chain").fetchone()
    if row != (chain, node):
        raise LedgerError(f"{path}: expected the journal of {node} on chain {chain.hex()[:16]}, found another's")
