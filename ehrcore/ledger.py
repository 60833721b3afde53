"""Where blocks are kept: in memory for simulations, in SQLite for real.

The SQLite ledger is append-only (its own triggers refuse updates and deletes) and takes one commit per block, durable
when `append` returns.  Opening it checks what it is; `verify` replays the whole chain from genesis and trusts nothing
that it reads.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, Protocol, Self
from uuid import uuid4

import msgspec

from ehrcore.block import Block, CommitCertificate, Genesis, genesis_hash
from ehrcore.codec import decode, encode
from ehrcore.consensus.finality import verify_certificate
from ehrcore.crypto import Crypto
from ehrcore.effects import Persist
from ehrcore.errors import CodecError, EhrError, LedgerError, ParameterError
from ehrcore.hashing import find_suite
from ehrcore.identity import Reason
from ehrcore.params import ChainParams
from ehrcore.signing import find_scheme
from ehrcore.state import ChainState

APPLICATION_ID: Final = 0x45485242  # "EHRB"
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE genesis (id INTEGER PRIMARY KEY CHECK (id = 0), content BLOB NOT NULL);
CREATE TABLE blocks (height INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, content BLOB NOT NULL);
CREATE TRIGGER genesis_is_kept BEFORE DELETE ON genesis BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER genesis_stays BEFORE UPDATE ON genesis BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER blocks_are_kept BEFORE DELETE ON blocks BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER blocks_stay BEFORE UPDATE ON blocks BEGIN SELECT RAISE(ABORT, 'append-only'); END;
-- INSERT OR REPLACE deletes without firing delete triggers, so what it would replace is refused beforehand.
CREATE TRIGGER genesis_is_one BEFORE INSERT ON genesis WHEN EXISTS (SELECT 1 FROM genesis)
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER blocks_follow BEFORE INSERT ON blocks
WHEN NEW.height IS NOT (SELECT coalesce(max(height), 0) + 1 FROM blocks)
OR EXISTS (SELECT 1 FROM blocks WHERE hash = NEW.hash)
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""


_ALL_BLOCKS: Final = "SELECT height, hash, content FROM blocks ORDER BY height"
_SOME_BLOCKS: Final = "SELECT height, hash, content FROM blocks WHERE height >= ? AND height < ? ORDER BY height"


class Entry(msgspec.Struct, frozen=True, array_like=True, tag="entry"):
    """One block with its certificate, what became of its transactions, and the state after it."""

    block: Block
    certificate: CommitCertificate
    reasons: tuple[Reason, ...]
    state: bytes


class Ledger(Protocol):
    """What a driver honours `Persist` with."""

    def append(self, persist: Persist) -> None:
        """Keep the next block; durable when this returns.  `LedgerError` if it is not the next."""


class MemoryLedger:
    """The last blocks, in memory, within bounds."""

    def __init__(self, keep: int = 64) -> None:
        self.entries: deque[Persist] = deque(maxlen=keep)
        self.height = 0

    def append(self, persist: Persist) -> None:
        """See `Ledger.append`."""
        self.height = _require_next(self.height, persist)
        self.entries.append(persist)


def _require_next(height: int, persist: Persist) -> int:
    found = persist.block.header.height
    if found != height + 1:
        raise LedgerError(f"ledger: expected block {height + 1}, found block {found}")
    return found


class SqliteLedger:
    """One SQLite file; use as a context manager, or call `close`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, genesis: Genesis) -> None:
        self.path, self.genesis, self._db = path, genesis, connection
        height = connection.execute("SELECT max(height) FROM blocks").fetchone()[0]
        self.height = height if isinstance(height, int) else 0
        self._crypto = open_crypto(genesis.params)

    @classmethod
    def create(cls, path: Path, genesis: Genesis, *, is_synced: bool = True) -> "SqliteLedger":
        """Start a ledger in a new file; `LedgerError` if the file exists or cannot be made.

        ``is_synced=False`` leaves it to the system when blocks reach the disk, as long as the ledger stays open: a
        crash of the machine may then lose the last ones, though never break the file.  It is there to be measured.
        """
        content = encode(genesis)
        _check_genesis(path, content)
        try:
            if path.exists():
                raise LedgerError(f"{path}: expected no file, found one")
            _make_file(path, content)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise LedgerError(f"{path}: expected a place to write a ledger, found: {error}") from None
        return cls.open(path, is_synced=is_synced)

    @classmethod
    def open(cls, path: Path, *, is_synced: bool = True) -> "SqliteLedger":
        """Open an existing ledger; `LedgerError` names what is wrong with the file.  See `create` for ``is_synced``."""
        try:
            if not path.is_file():
                raise LedgerError(f"{path}: expected a ledger file, found none")
            with ExitStack() as stack:
                db = stack.enter_context(closing(_connect(path, "rw")))
                for pragma, expected in (("application_id", APPLICATION_ID), ("user_version", SCHEMA_VERSION)):
                    found = db.execute(f"PRAGMA {pragma}").fetchone()[0]
                    if found != expected:
                        raise LedgerError(f"{path}: expected {pragma} {expected}, found {found}")
                row = db.execute("SELECT content FROM genesis").fetchone()
                if row is None:
                    raise LedgerError(f"{path}: expected a genesis, found none")
                genesis = _check_genesis(path, row[0])
                # Only now: it writes to the file, which until here might have been anybody's.
                db.execute("PRAGMA journal_mode=WAL")
                db.execute(f"PRAGMA synchronous={'FULL' if is_synced else 'NORMAL'}")
                ledger = cls(path, db, genesis)
                stack.pop_all()
                return ledger
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # sqlite3 decodes a damaged schema, too
            raise LedgerError(f"{path}: expected a ledger, found: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def append(self, persist: Persist) -> None:
        """See `Ledger.append`."""
        self.append_all((persist,))

    def append_all(self, persists: Sequence[Persist]) -> None:
        """Keep the next blocks, all of them or none, with one wait for the disk."""
        height, rows = self.height, []
        for persist in persists:
            height = _require_next(height, persist)
            entry = Entry(persist.block, persist.certificate, persist.reasons, persist.state)
            rows.append((height, self._crypto.hash_struct(persist.block.header), encode(entry)))
        try:
            with self._db:
                self._db.executemany("INSERT INTO blocks VALUES (?, ?, ?)", rows)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise LedgerError(f"{self.path}: block {self.height + 1} could not be kept: {error}") from None
        self.height = height

    def entries(self, first: int = 1, last: int | None = None) -> Iterator[Entry]:
        """Blocks of heights ``[first, last)`` in order, all by default.

        `LedgerError` at the first that cannot be read or is kept under another's hash.
        """
        expected = first
        # All of them means whatever the table holds, blocks before the first and nameless ones too: none may hide.
        query, values = (_ALL_BLOCKS, ()) if last is None else (_SOME_BLOCKS, (first, last))
        try:
            for height, kept, content in self._db.execute(query, values):
                if height != expected:
                    raise LedgerError(f"{self.path}: expected block {expected}, found block {height}")
                entry = decode(_as_blob(content), Entry)
                block_hash = self._crypto.hash_struct(entry.block.header)
                if kept != block_hash:
                    raise LedgerError(f"{self.path}: block {height}: expected hash {block_hash.hex()}, found another")
                yield entry
                expected += 1
        except (sqlite3.Error, CodecError, UnicodeDecodeError) as error:
            raise LedgerError(f"{self.path}: block {expected} cannot be read: {error}") from None

    def verify(self) -> ChainState:
        """Replay the chain from genesis, checking everything; the state after the last block.

        `LedgerError` names the first block that does not hold and the rule that it breaks.
        """

        def check(state: ChainState, entry: Entry) -> tuple[tuple[Reason, ...], bytes]:
            verdict = state.validate(entry.block, entry.certificate)
            return verdict.reasons, state.apply(entry.block, verdict)

        return self._follow(open_crypto(self.genesis.params), check)

    def require_genesis(self, genesis: Genesis) -> None:
        """Raise `LedgerError` unless this ledger starts from ``genesis``."""
        if self.genesis != genesis:
            raise LedgerError(f"{self.path}: expected the ledger of chain {genesis.params.name!r}, found another's")

    def restore(self, crypto: Crypto) -> ChainState:
        """The state after the last block, for a node that has validated the blocks itself; it goes on with ``crypto``.

        Signatures are not checked again but for the last certificate, which speaks for all before it by their hashes;
        `verify` trusts less.  `LedgerError` names what is damaged.
        """
        self._check_pages()
        voters, last = None, None

        def replay(state: ChainState, entry: Entry) -> tuple[tuple[Reason, ...], bytes]:
            nonlocal voters, last
            voters, last = state.validators, entry
            return entry.reasons, state.replay(entry.block, entry.certificate, entry.reasons)

        state = self._follow(crypto, replay)
        if voters is not None and last is not None:
            header, certificate = last.block.header, last.certificate
            try:
                verify_certificate(crypto, self.genesis.params, voters, header, state.tip, certificate, None)
            except EhrError as error:
                raise LedgerError(f"{self.path}: block {state.height}: {error}") from None
        return state

    def _follow(
        self, crypto: Crypto, step: Callable[[ChainState, Entry], tuple[tuple[Reason, ...], bytes]]
    ) -> ChainState:
        """The state after all blocks, each taken by ``step``, which gives the reasons and the state that it finds."""
        genesis, height = self.genesis, 0
        chain = genesis_hash(crypto, genesis.params, genesis.certificates)
        try:
            state = ChainState(genesis.params, chain, genesis.certificates, crypto)
            for height, entry in enumerate(self.entries(), start=1):
                reasons, digest = step(state, entry)
                if (reasons, digest) != (entry.reasons, entry.state):
                    raise LedgerError(f"{self.path}: block {height}: expected state {digest.hex()}, found another")
        except LedgerError:
            raise
        except EhrError as error:
            raise LedgerError(f"{self.path}: block {height}: {error}") from None
        return state

    def _check_pages(self) -> None:
        try:
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise LedgerError(f"{self.path}: expected a whole database, found: {error}") from None
        if found != "ok":
            raise LedgerError(f"{self.path}: expected a whole database, found: {' '.join(str(found).split())}")


def open_crypto(params: ChainParams) -> Crypto:
    """Verifying cryptography for a chain, with the default backend; `LedgerError` if it cannot be had."""
    backend = "modelled" if params.is_modelled else "cryptography"
    try:
        return Crypto(find_suite(params.hash_suite), find_scheme(f"{params.curve}/{backend}"))
    except ParameterError as error:
        raise LedgerError(f"ledger: {error}") from None


def _check_genesis(path: Path, content: Any) -> Genesis:
    """The genesis in these bytes if a ledger can be kept from it: decodable, real, with known cryptography."""
    try:
        genesis = decode(_as_blob(content), Genesis)
    except CodecError as error:
        raise LedgerError(f"{path}: expected a genesis, found: {error}") from None
    if genesis.params.is_modelled:
        raise LedgerError(f"{path}: expected a chain with real signatures, found a modelled one")
    open_crypto(genesis.params)
    return genesis


def _as_blob(value: Any) -> bytes:
    """A column that must be a blob, which SQLite does not enforce."""
    if not isinstance(value, bytes):
        raise CodecError(f"column: expected a blob, found {type(value).__name__}")
    return value


def _make_file(path: Path, genesis: bytes) -> None:
    """A ledger without blocks, made beside its place and then moved: a crash leaves a whole one or none."""
    beside = path.with_name(f".{uuid4().hex}.partial")
    try:
        with closing(_connect(beside, "rwc")) as db:
            db.executescript(
                f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION}; {_SCHEMA}"
            )
            db.execute("INSERT INTO genesis VALUES (0, ?)", (genesis,))
            db.commit()
        # Unlike a move, this never replaces what somebody else has put there meanwhile.
        path.hardlink_to(beside)
    finally:
        beside.unlink(missing_ok=True)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that never creates a file it should only open; who uses threads keeps to one at a time."""
    quoted = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file://{quoted}?mode={mode}", uri=True, check_same_thread=False)
