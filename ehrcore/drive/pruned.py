"""A pruned ledger: what a keeper can live with that lets go of old records, and what it can then no longer show.

Of blocks older than the last N it keeps header, certificate, verdicts, and every transaction that later verdicts rest
on (orders, consents, accesses: all but records, unless these count as uses of an agreement) with its inclusion proof;
of the last N it keeps everything.  So the chain of headers is verified from genesis as ever, with voters followed
through their changes, and the last N blocks to the last signature.  What it cannot show any more is taken on the word
of who pruned: `UNCHECKED`.  It is a file to keep and to check, not one that a node starts from: a network needs a whole
ledger somewhere.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ehrcore.block import (
    Block,
    CommitCertificate,
    EndorsedTransaction,
    Genesis,
    Header,
    Payload,
    RecordRef,
    genesis_hash,
)
from ehrcore.codec import decode, encode
from ehrcore.consensus.finality import header_hash, verify_certificate
from ehrcore.drive.net.database import Format, create_database
from ehrcore.errors import EhrError, LedgerError
from ehrcore.identity import Reason
from ehrcore.ledger import Entry, SqliteLedger, open_crypto
from ehrcore.merkle import MerkleTree, verify_inclusion
from ehrcore.replay import ReplayWindows
from ehrcore.state import ChainState, Verdict
from ehrcore.types import Digest

FORMAT: Final = Format(
    0x45485250,  # "EHRP"
    1,
    """
CREATE TABLE chain (id INTEGER PRIMARY KEY CHECK (id = 0), genesis BLOB NOT NULL, windows BLOB NOT NULL);
CREATE TABLE heads (height INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE blocks (height INTEGER PRIMARY KEY, content BLOB NOT NULL);
""",
)
#: What nobody can check in a pruned ledger of the blocks that were let go of.
UNCHECKED: Final = (
    "their records: who wrote, endorsed and approved them, and where they lie",
    "that these records were valid or void, as their verdicts say",
    "that nothing but records was left out of them, and which nonces they had used up",
)
Windows = tuple[tuple[str, int, bytes], ...]


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A transaction that later verdicts rest on, where it stood, and the proof that it did."""

    index: int
    endorsed: EndorsedTransaction
    path: tuple[Digest, ...]


class Head(msgspec.Struct, frozen=True, array_like=True, tag="head"):
    """What is left of a block without its records."""

    header: Header
    certificate: CommitCertificate
    reasons: tuple[Reason, ...]
    state: bytes
    kept: tuple[Kept, ...]


class _Reader(ChainState):
    """A chain's state that also advances over heads."""

    _is_skimming = False

    def windows(self) -> Windows:
        """The nonces that were used, as they are written down."""
        return self._replay.entries()

    def take_windows(self, windows: Windows) -> None:
        """Believe the nonces of blocks that are gone."""
        self._replay = ReplayWindows.restore(windows)

    def skim(self, head: Head) -> bytes:
        """Advance over a block whose records are gone; returns the digest of the new state, or raises `EhrError`."""
        header, crypto, before = head.header, self._crypto, self.digest
        self._validate_link(header)
        digest = header_hash(crypto, header)
        verify_certificate(
            crypto, self.params, self.validators, header, digest, head.certificate, tuple(self._recent)
        )  # fmt: skip
        if len(head.reasons) != header.size or [*{item.index: 0 for item in head.kept}] != [i.index for i in head.kept]:
            raise LedgerError(f"expected {header.size} verdicts and each transaction once, found others")
        for item in head.kept:
            leaf = encode(item.endorsed)
            verify_inclusion(crypto.suite, header.merkle_root, header.size, item.index, leaf, item.path)
        self._is_skimming = True
        try:
            left = Block(header, tuple(item.endorsed for item in head.kept))
            self.replay(left, head.certificate, tuple(head.reasons[item.index] for item in head.kept))
        finally:
            self._is_skimming = False
        codes = tuple(reason.value for reason in head.reasons)
        self.digest = crypto.hash(encode(("state", before, self.tip, codes)))
        return self.digest

    def _validate_limits(self, block: Block, leaves: tuple[bytes, ...]) -> None:
        if not self._is_skimming:
            super()._validate_limits(block, leaves)

    def _build_tree(self, header: Header, leaves: tuple[bytes, ...]) -> MerkleTree:
        return MerkleTree(self._crypto.suite, leaves) if self._is_skimming else super()._build_tree(header, leaves)


def open_reader(genesis: Genesis) -> _Reader:
    """The state before block 1."""
    crypto = open_crypto(genesis.params)
    chain = genesis_hash(crypto, genesis.params, genesis.certificates)
    return _Reader(genesis.params, chain, genesis.certificates, crypto)


def prune(source: SqliteLedger, target: Path, keep: int) -> int:
    """Verify the whole of ``source`` and write what is left without the records before its last ``keep`` blocks.

    Returns the height up to which they are gone (0: nothing was to go).  The source stays as it is.  `LedgerError` for
    a ledger that does not verify, a target that exists or cannot be written.
    """
    if keep < 1:
        raise LedgerError(f"keep: expected at least 1 block, found {keep}")
    state, cut = open_reader(source.genesis), max(source.height - keep, 0)
    heads, blocks, windows, height = list[tuple[int, bytes]](), list[tuple[int, bytes]](), state.windows(), 0
    try:
        for height, entry in enumerate(source.entries(), start=1):
            verdict = _check(state, entry)
            if height <= cut:
                heads.append((height, encode(_behead(entry, verdict.tree))))
                windows = state.windows()
            else:
                blocks.append((height, encode(entry)))
    except LedgerError:
        raise
    except EhrError as error:
        raise LedgerError(f"{source.path}: block {height}: {error}") from None
    _write(target, (encode(source.genesis), encode(windows)), heads, blocks)
    return cut


def _check(state: _Reader, entry: Entry) -> Verdict:
    verdict = state.validate(entry.block, entry.certificate)
    digest = state.apply(entry.block, verdict)
    if (verdict.reasons, digest) != (entry.reasons, entry.state):
        raise LedgerError(f"expected state {digest.hex()}, found another")
    return verdict


def _behead(entry: Entry, tree: MerkleTree) -> Head:
    kept = tuple(
        Kept(index, item, tree.prove_inclusion(index))
        for index, item in enumerate(entry.block.transactions)
        if not _is_let_go(item.transaction.body.payload)
    )
    return Head(entry.block.header, entry.certificate, entry.reasons, entry.state, kept)


def _is_let_go(payload: Payload) -> bool:
    """Whether nothing rests on it later: a record under an agreement is one of the uses that clauses may count."""
    return isinstance(payload, RecordRef) and not payload.agreement


def _write(target: Path, chain: tuple[bytes, bytes], heads: Any, blocks: Any) -> None:
    def fill(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO chain VALUES (0, ?, ?)", chain)
        db.executemany("INSERT INTO heads VALUES (?, ?)", heads)
        db.executemany("INSERT INTO blocks VALUES (?, ?)", blocks)

    try:
        create_database(target, FORMAT, fill)
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(f"{target}: expected a place to write a pruned ledger, found: {error}") from None


class PrunedLedger:
    """A pruned ledger's content, as it stands in its file; `verify` before believing it.  See `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise LedgerError(f"{path}: expected a pruned ledger, found none")
        try:
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            found = self._db.execute("PRAGMA application_id").fetchone()[0]
            if found != FORMAT.application_id:
                raise LedgerError(f"{path}: expected application_id {FORMAT.application_id}, found {found}")
            genesis, windows = self._db.execute("SELECT genesis, windows FROM chain").fetchone()
            self.genesis, self._windows = decode(genesis, Genesis), decode(windows, Windows)
        except (sqlite3.Error, EhrError, TypeError, UnicodeDecodeError) as error:  # sqlite3 decodes a damaged schema
            raise LedgerError(f"{path}: expected a pruned ledger, found: {error}") from None

    def close(self) -> None:
        self._db.close()

    def _read(self, table: str, kind: Any) -> Iterator[Any]:
        try:
            for _, content in self._db.execute(f"SELECT height, content FROM {table} ORDER BY height"):  # noqa: S608
                yield decode(content, kind)
        except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:
            raise LedgerError(f"{self.path}: expected {table} that can be read, found: {error}") from None

    def heads(self) -> Iterator[Head]:
        """What is left of the older blocks, in order."""
        return self._read("heads", Head)

    def entries(self) -> Iterator[Entry]:
        """The last blocks, whole, in order: proofs of what is in them come from here as from any ledger."""
        return self._read("blocks", Entry)

    def verify(self) -> tuple[ChainState, int]:
        """Check all that can still be checked, from genesis on; the state at the end, and where whole blocks begin.

        `LedgerError` names the first block that does not hold.
        """
        state, first = open_reader(self.genesis), 0
        try:
            for head in self.heads():
                if state.skim(head) != head.state:
                    raise LedgerError(f"expected state {state.digest.hex()}, found another")
            first = state.height + 1
            state.take_windows(self._windows)
            for entry in self.entries():
                _check(state, entry)
        except EhrError as error:
            raise LedgerError(f"{self.path}: block {state.height + 1}: {error}") from None
        return state, first


def is_pruned(path: Path) -> bool:
    """Whether the file says that it is a pruned ledger; never an error."""
    try:
        with path.open("rb") as file:
            return file.read(72)[68:72] == FORMAT.application_id.to_bytes(4)  # SQLite's header has it there
    except OSError:
        return False
