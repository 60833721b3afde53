"""Where in the ledger a transaction is: derived from the ledger, never trusted before it, made anew if it is lost."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ehrcore.errors import LedgerError

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS places (tx BLOB PRIMARY KEY, height INTEGER NOT NULL, position INTEGER NOT NULL)
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reach (id INTEGER PRIMARY KEY CHECK (id = 0), height INTEGER NOT NULL, tip BLOB NOT NULL);
"""


class TransactionIndex:
    """Transaction id to height and position; not durable, for it can be made from the ledger at any time."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = _open(path)
        except sqlite3.Error:
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
            try:
                self._db = _open(path)
            except sqlite3.Error as error:
                raise LedgerError(f"{path}: expected room for an index, found: {error}") from None
        self._path = path

    def reach(self) -> tuple[int, bytes]:
        """Height and hash of the last block that is in the index; height 0 if none is."""
        row = self._db.execute("SELECT height, tip FROM reach").fetchone()
        return (row[0], row[1]) if row else (0, b"")

    def clear(self) -> None:
        """Forget everything: the ledger is another than it was."""
        self._db.execute("DELETE FROM places")
        self._db.execute("DELETE FROM reach")

    def add(self, blocks: Iterable[tuple[int, bytes, Sequence[bytes]]]) -> None:
        """Blocks as height, hash and the ids of their transactions; the first of two places is kept."""
        try:
            self._db.execute("BEGIN")
            for height, tip, tx_ids in blocks:
                rows = [(tx_id, height, position) for position, tx_id in enumerate(tx_ids)]
                self._db.executemany("INSERT OR IGNORE INTO places VALUES (?, ?, ?)", rows)
                self._db.execute("INSERT OR REPLACE INTO reach VALUES (0, ?, ?)", (height, tip))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise LedgerError(f"{self._path}: expected an index that can be written, found: {error}") from None

    def find(self, tx_id: bytes) -> tuple[int, int] | None:
        """Height and position, or None."""
        row: tuple[int, int] | None = self._db.execute(
            "SELECT height, position FROM places WHERE tx = ?", (tx_id,)
        ).fetchone()
        return row

    def count(self) -> int:
        found: int = self._db.execute("SELECT count(*) FROM places").fetchone()[0]
        return found

    def close(self) -> None:
        self._db.close()


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=OFF")
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("damaged")
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db
