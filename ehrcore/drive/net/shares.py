"""The shares that one contributor holds: a SQLite file of its own, durable at each deposit, and made to forget.

SQLite leaves traces of rows that move between its pages.  So a share lies, encrypted under the node's own key, in a
slot of fixed size that never moves: to destroy it is to overwrite it in place, then to empty the write-ahead log.  All
else here is public or follows from the ledger, which is read block by block: what is deposited there, what lies where,
and what is erased.  What a disk keeps of overwritten blocks is beyond a program's reach, and worth nothing without the
key file.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ehrcore.block import RecordRef
from ehrcore.codec import decode, encode
from ehrcore.consent import Erasure
from ehrcore.custody import Dealing, Denial, Deposit, Hit
from ehrcore.drive.net.share_file import KEY_FILE, KEYS_FILE, LACKING, check_file, create_file, read_key
from ehrcore.errors import LedgerError
from ehrcore.hashing import HashSuite
from ehrcore.identity import Reason
from ehrcore.ledger import Entry, SqliteLedger
from ehrcore.records import SEALED
from ehrcore.types import MINUTE, Signature

#: Deposits of one author whose records are not on the chain (yet), and how long they are kept.
AUTHOR_LIMIT: Final = 4_096
WAITING_NS: Final = 7 * 24 * 60 * MINUTE
_NONCE_BYTES: Final = 12
#: Enough of a digest to look it up by; what is found is compared in full.
_PREFIX_BYTES: Final = 16


class ShareStore:
    """One contributor's shares, beside its ledger.  One thread at a time; `LedgerError` says what the file refuses."""

    def __init__(self, path: Path, db: sqlite3.Connection, key: bytes, suite: HashSuite, ledger: SqliteLedger) -> None:
        self.path, self._db, self._aead, self._suite, self._ledger = path, db, AESGCM(key), suite, ledger
        ((self._chain, self._node),) = db.execute("SELECT chain, node FROM owner").fetchall()
        taken = {slot for (slot,) in db.execute("SELECT slot FROM deposits")}
        self._free = [slot for (slot,) in db.execute("SELECT slot FROM slots") if slot not in taken]

    @classmethod
    def open(cls, home: Path, chain: bytes, node: str, suite: HashSuite, ledger: SqliteLedger) -> "ShareStore":
        """Open or create the store of ``node``; `EhrError` names the file that is missing or damaged."""
        path = home / KEYS_FILE
        key = read_key(home / KEY_FILE, has_shares=path.exists())
        try:
            if not path.exists():
                create_file(path, chain, node)
            with ExitStack() as stack:
                db = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)))
                check_file(path, db, chain, node)
                for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                    db.execute(f"PRAGMA {pragma}")
                db.execute(LACKING)
                store = cls(path, db, key, suite, ledger)
                # A crash may have come between an erasure and the end of the log that still knows better.
                store.empty_log()
                stack.pop_all()
                return store
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            raise LedgerError(f"{path}: expected a node's shares of keys, found: {error}") from None

    def close(self) -> None:
        self._db.close()

    # -- deposits ----------------------------------------------------------------------------------------------

    def add(self, deposit: Deposit, share: bytes, now: int) -> Denial:
        """Keep a packed share durably; the same again changes nothing.  A denial says why it is not kept."""
        dealing = deposit.dealing
        kept = self.find(dealing.author, dealing.record)
        if kept is not None:
            return Denial.NONE if kept == (dealing, deposit.signature, share) else Denial.OTHER_SHARE
        known = self._find_record(dealing.record)
        if any(self.is_erased(record.pseudonym, dealing.record) for _, _, record in known):
            return Denial.ERASED
        is_claimed = any(author == dealing.author for _, author, _ in known)
        if not is_claimed and self.count_waiting(dealing.author) >= AUTHOR_LIMIT:
            return Denial.TOO_MANY
        # Not the share as it was sealed on its way here: that opens for the node's long-lived key.
        content, slot = encode((dealing, deposit.signature)), self._free[-1] if self._free else None
        with self._writing():
            slot = self._fill(slot, self._encrypt(dealing.author, dealing.record, share))
            values = (dealing.record, dealing.author, slot, content, now, is_claimed)
            self._db.execute("INSERT INTO deposits VALUES (?, ?, ?, ?, ?, ?)", values)
            self._db.execute("DELETE FROM lacking WHERE record = ? AND author = ?", values[:2])
        if self._free and self._free[-1] == slot:
            self._free.pop()
        return Denial.NONE

    def _fill(self, slot: int | None, content: bytes) -> int:
        if slot is None:
            slot = self._db.execute("INSERT INTO slots (content) VALUES (?)", (content,)).lastrowid
            assert slot is not None  # noqa: S101 - an INSERT has one
        else:
            self._db.execute("UPDATE slots SET content = ? WHERE slot = ?", (content, slot))
        return slot

    def find(self, author: str, record: bytes) -> tuple[Dealing, bytes, bytes] | None:
        """The dealing, its signature and the packed share that ``author`` has deposited for ``record``."""
        row = self._db.execute(
            "SELECT dealing, content FROM deposits JOIN slots USING (slot) WHERE record = ? AND author = ?",
            (record, author),
        ).fetchone()
        if row is None:
            return None
        dealing, signature = decode(row[0], tuple[Dealing, Signature])
        return dealing, signature, self._decrypt(author, record, row[1])

    def count_waiting(self, author: str) -> int:
        """How many deposits of ``author`` are of records that are not known to be on the chain."""
        return self._number("SELECT count(*) FROM deposits WHERE author = ? AND is_claimed = 0", author)

    def count(self) -> int:
        return self._number("SELECT count(*) FROM deposits")

    def count_lacking(self) -> int:
        """Of how many sealed records on the chain, not erased, no share is held: it was lost, or never came."""
        return self._number("SELECT count(*) FROM lacking")

    def has_placed(self, author: str, record: bytes) -> bool:
        """Whether ``author`` has put the record with this digest on the chain, as far as it has been followed."""
        return any(found == author for _, found, _ in self._find_record(record))

    def sweep(self, now: int) -> int:
        """Destroy the shares of records that have not come onto the chain for long; how many."""
        query = "SELECT slot FROM deposits WHERE is_claimed = 0 AND received_at <= ?"
        slots = [slot for (slot,) in self._db.execute(query, (now - WAITING_NS,))]
        if slots:
            with self._writing():
                self._destroy(slots)
            self.empty_log()
            self._free += slots
        return len(slots)

    # -- what the ledger says ----------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Height of the last block that has been followed."""
        return self._number("SELECT height FROM owner")

    def require_chain(self, last: int) -> None:
        """Start over if the ledger of height ``last`` does not hold the last block that was followed.

        Shares stay: what comes again is claimed, and erased, again.
        """
        height, tip = self._db.execute("SELECT height, tip FROM owner").fetchone()
        # A ledger that is being fetched anew is below for a while, and will hold the block again.
        if height and height <= last and self._name(self._entry(height)) != tip:
            with self._writing():
                self._db.execute("DELETE FROM places")
                self._db.execute("DELETE FROM lacking")
                self._db.execute("UPDATE owner SET height = 0, tip = x''")

    def follow(self, entries: Iterable[Entry]) -> int:
        """Take the next blocks: note records, claim their shares, and destroy those of what is erased; how many.

        Durable when this returns, but for the objects of what is erased (`erased_objects`).
        """
        emptied: list[int] = []
        with self._writing():
            for entry in entries:
                header = entry.block.header
                for position, (item, reason) in enumerate(zip(entry.block.transactions, entry.reasons, strict=True)):
                    payload = item.transaction.body.payload
                    if reason is not Reason.ACCEPTED:
                        continue
                    if isinstance(payload, RecordRef):
                        emptied += self._note(payload, item.transaction.body.author, place_of(header.height, position))
                    elif isinstance(payload, Erasure):
                        emptied += self._erase(payload)
                self._db.execute("UPDATE owner SET height = ?, tip = ?", (header.height, self._name(entry)))
        if emptied:
            self.empty_log()
            self._free += emptied
        return len(emptied)

    def _note(self, record: RecordRef, author: str, place: int) -> list[int]:
        """Returns the slots that it has emptied: of a record that was erased before it came."""
        digest = self._suite.hash(encode(record))
        names = (digest[:_PREFIX_BYTES], record.pseudonym[:_PREFIX_BYTES], self._locate(record.location))
        self._db.execute("INSERT OR IGNORE INTO places VALUES (?, ?, ?, ?)", (place, *names))
        query = "UPDATE deposits SET is_claimed = 1 WHERE record = ? AND author = ?"
        if not self._db.execute(query, (digest, author)).rowcount and record.location.endswith(SEALED):
            self._db.execute("INSERT OR IGNORE INTO lacking VALUES (?, ?)", (digest, author))
        return self._shred(digest, record) if self.is_erased(record.pseudonym, digest) else []

    def _erase(self, erasure: Erasure) -> list[int]:
        """The slots that it has emptied: none, unless the record is on the chain and of that patient.

        The chain keeps no index of records, so it cannot tell whose a digest is: nobody erases another's record here.
        """
        self._db.execute("INSERT OR IGNORE INTO erasures VALUES (?, ?, NULL, 1)", (erasure.record, erasure.pseudonym))
        for _, _, record in self._find_record(erasure.record):
            if record.pseudonym == erasure.pseudonym:
                return self._shred(erasure.record, record)
        return []

    def _shred(self, digest: bytes, record: RecordRef) -> list[int]:
        """Empty all slots of a record, and note that its object has to go."""
        self._db.execute(
            "UPDATE erasures SET location = ?, is_done = 0 WHERE record = ? AND pseudonym = ?",
            (record.location, digest, record.pseudonym),
        )
        slots = [slot for (slot,) in self._db.execute("SELECT slot FROM deposits WHERE record = ?", (digest,))]
        self._destroy(slots)
        self._db.execute("DELETE FROM lacking WHERE record = ?", (digest,))
        return slots

    def _destroy(self, slots: list[int]) -> None:
        rows = [(slot,) for slot in slots]
        self._db.executemany("UPDATE slots SET content = zeroblob(length(content)) WHERE slot = ?", rows)
        self._db.executemany("DELETE FROM deposits WHERE slot = ?", rows)

    def is_erased(self, pseudonym: bytes, record: bytes) -> bool:
        """Whether this patient has had the record with this digest (as a struct) erased."""
        return bool(self._number("SELECT count(*) FROM erasures WHERE record = ? AND pseudonym = ?", record, pseudonym))

    def erased_objects(self) -> list[tuple[str, bool]]:
        """Where objects of erased records may still lie, and whether another record needs the object.

        Say `forget` when one is gone, or is to stay.
        """
        rows = self._db.execute("SELECT DISTINCT location FROM erasures WHERE is_done = 0").fetchall()
        return [(location, self._is_needed(location)) for (location,) in rows]

    def _is_needed(self, location: str) -> bool:
        """Whether a record that is not erased names the same object: to name another's must not get it deleted."""
        query = "SELECT place FROM places WHERE location = ?"
        records = [self._read(place)[2] for (place,) in self._db.execute(query, (self._locate(location),)).fetchall()]
        mine = [item for item in records if item.location == location]
        return any(not self.is_erased(item.pseudonym, self._suite.hash(encode(item))) for item in mine)

    def forget(self, location: str) -> None:
        """What is to be done about the object there is done."""
        with self._writing():
            self._db.execute("UPDATE erasures SET is_done = 1 WHERE location = ?", (location,))

    def search(self, pseudonym: bytes, kind: int, after: int, limit: int) -> tuple[list[Hit], int | None]:
        """The records among the patient's next ``limit`` places after ``after`` (`place_of`), of any kind if 0.

        With it, the place after which to go on, None if these were the last.
        """
        hits: list[Hit] = []
        query = "SELECT place FROM places WHERE pseudonym = ? AND place > ? ORDER BY place LIMIT ?"
        places = [place for (place,) in self._db.execute(query, (pseudonym[:_PREFIX_BYTES], after, limit))]
        for place in places:
            tx_id, _, record = self._read(place)
            if record.pseudonym == pseudonym and kind in {0, record.kind}:
                is_erased = self.is_erased(pseudonym, self._suite.hash(encode(record)))
                hits.append(Hit(tx_id, record, *split_place(place), is_erased))
        return hits, places[-1] if len(places) == limit else None

    def _entry(self, height: int) -> Entry:
        return next(self._ledger.entries(height, height + 1))

    def _find_record(self, digest: bytes) -> list[tuple[bytes, str, RecordRef]]:
        """Id, author and record of every accepted transaction about the record with this digest."""
        rows = self._db.execute("SELECT place FROM places WHERE record = ?", (digest[:_PREFIX_BYTES],)).fetchall()
        found = [self._read(place) for (place,) in rows]
        return [item for item in found if self._suite.hash(encode(item[2])) == digest]

    def _read(self, place: int) -> tuple[bytes, str, RecordRef]:
        height, position = split_place(place)
        body = self._entry(height).block.transactions[position].transaction.body
        assert isinstance(body.payload, RecordRef)  # noqa: S101 - nothing else has a place
        return self._suite.hash(encode(body)), body.author, body.payload

    # -- the file ----------------------------------------------------------------------------------------------

    def empty_log(self) -> None:
        """Bring everything into the file itself and cut the write-ahead log, which has what was there before."""
        busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise LedgerError(f"{self.path}: expected to be its only reader, found another")

    def _number(self, query: str, *values: object) -> int:
        found: int = self._db.execute(query, values).fetchone()[0]
        return found

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All of it or nothing, durable at the end."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: expected shares that can be written, found: {error}") from None

    def _encrypt(self, author: str, record: bytes, share: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, share, self._owner(author, record))

    def _decrypt(self, author: str, record: bytes, content: bytes) -> bytes:
        try:
            return self._aead.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], self._owner(author, record))
        except InvalidTag:
            raise LedgerError(f"{self.path}: expected a share under the key in {KEY_FILE}, found another") from None

    def _owner(self, author: str, record: bytes) -> bytes:
        return encode((self._chain, self._node, author, record))

    def _name(self, entry: Entry) -> bytes:
        return self._suite.hash(encode(entry.block.header))

    @staticmethod
    def _locate(location: str) -> bytes:
        return hashlib.sha256(location.encode()).digest()[:_PREFIX_BYTES]


def place_of(height: int, position: int) -> int:
    """A transaction's place in the chain as one number; ``position`` is -1 (before the first) to 65,535."""
    return (height << 16) + position


def split_place(place: int) -> tuple[int, int]:
    """Height and position of a transaction."""
    return place >> 16, place & 0xFFFF
