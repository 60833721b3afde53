"""Ledger files in an attacker's hands, and the product's own checks of them."""

import contextlib
import io
import shutil
import sqlite3
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

from bench.attacks.chain import Chain
from ehrcore.auditing import Trail
from ehrcore.block import genesis_hash
from ehrcore.cli import ledger as command
from ehrcore.cli.audit import Audit
from ehrcore.codec import encode
from ehrcore.drive.net.objects import FileStore
from ehrcore.effects import Persist
from ehrcore.errors import CodecError, EhrError, LedgerError, ValidationError
from ehrcore.ledger import SqliteLedger, open_crypto
from ehrcore.messages import Finalised
from ehrcore.state import ChainState

#: Raises an `EhrError` unless the ledger at this path holds.
Check = Callable[[Path], object]
_TRIGGERS: Final = (
    "genesis_is_kept",
    "genesis_stays",
    "genesis_is_one",
    "blocks_are_kept",
    "blocks_stay",
    "blocks_follow",
)
_RULES: Final = (
    ("cannot be read", "canonical form"),
    ("expected hash", "kept hash"),
    ("expected state", "state digest"),
    ("expected block", "height"),
    ("expected tip", "pinned tip"),
    ("expected chain", "pinned chain"),
    ("whole database", "page check"),
    ("genesis", "genesis"),
)


def write_ledger(path: Path, chain: Chain) -> None:
    """Keep ``chain`` as a node does, in a new file."""
    with SqliteLedger.create(path, chain.genesis, is_synced=False) as ledger:
        ledger.append_all([Persist(item.block, item.certificate, item.reasons, item.state) for item in chain.entries])


def copy_ledger(original: Path, path: Path) -> None:
    """A copy that may be tampered with, of a ledger that nobody has open."""
    shutil.copyfile(original, path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def overwrite(path: Path, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
    """Put rows (height, hash, content) in the place of those in the file, and past its triggers.

    Who can write to the file can do so: that SQLite refuses it is a protection against mistakes.
    """
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous=OFF")
        for name in _TRIGGERS:
            db.execute(f"DROP TRIGGER {name}")
        db.execute("DELETE FROM blocks WHERE height > ?", (len(rows),))
        db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", rows)
        db.commit()


def list_rows(chain: Chain) -> list[tuple[int, bytes, bytes]]:
    """The rows of a ledger of ``chain``: every block under the hash of its own header, as it has to be."""
    crypto = open_crypto(chain.genesis.params)
    return [
        (height, crypto.hash_struct(entry.block.header), encode(entry)) for height, entry in enumerate(chain.entries, 1)
    ]


def read_chain(path: Path) -> Chain:
    """All that the ledger holds; raises `LedgerError` if that cannot be read."""
    with SqliteLedger.open(path) as ledger:
        return Chain(ledger.genesis, tuple(ledger.entries()))


# -- the product's checks ----------------------------------------------------------------------------------------------


def check_hashes(path: Path) -> None:
    """What hashes alone can show: `ChainState.replay` over the file, which verifies no signature and no certificate."""
    with SqliteLedger.open(path) as ledger:
        genesis = ledger.genesis
        crypto = open_crypto(genesis.params)
        chain = genesis_hash(crypto, genesis.params, genesis.certificates)
        state = ChainState(genesis.params, chain, genesis.certificates, crypto)
        for entry in ledger.entries():
            if state.replay(entry.block, entry.certificate, entry.reasons) != entry.state:
                raise LedgerError(f"{path}: block {state.height}: expected state {state.digest.hex()}, found another")


def check_all(path: Path) -> None:
    """`ehrcore ledger verify`."""
    with SqliteLedger.open(path) as ledger:
        ledger.verify()


def check_restart(path: Path) -> None:
    """What a node does when it starts: it trusts the verdicts that it has kept."""
    with SqliteLedger.open(path) as ledger:
        ledger.restore(open_crypto(ledger.genesis.params))


def check_pinned(path: Path, *, chain: str | None = None, tip: str | None = None) -> None:
    """`ehrcore ledger verify --chain --tip`, by a reader who knows them from elsewhere."""
    with contextlib.redirect_stdout(io.StringIO()):
        command.verify(Namespace(file=path, chain=chain, tip=tip))


def audit(paths: Sequence[Path], store: FileStore) -> list[str]:
    """The findings of `ehrcore audit` over the ledgers of all keepers, the longest of which are replayed first.

    What the command asks the keepers for over HTTP is read from their files here; every check is the command's own.
    """
    chains = {path: read_chain(path) for path in paths}
    most = max(chains.values(), key=lambda chain: len(chain.entries))
    genesis = most.genesis
    crypto = open_crypto(genesis.params)
    chain_id = genesis_hash(crypto, genesis.params, genesis.certificates)
    done = Audit(ChainState(genesis.params, chain_id, genesis.certificates, crypto), crypto, store, Trail(crypto))
    for path, chain in sorted(chains.items(), key=lambda item: -len(item[1].entries)):
        try:
            for entry in chain.entries[done.state.height :]:
                done.take(Finalised(entry.block, entry.certificate))
        except ValidationError as error:
            done.findings.append(f"{path.stem}: block {done.state.height + 1}: {error}")
    done.settle()
    for path, chain in chains.items():
        _compare(done, path.stem, chain)
    return done.findings


def _compare(done: Audit, name: str, chain: Chain) -> None:
    """Hold one keeper's file against what was replayed, as `ehrcore audit` does with what the keeper says."""
    tips = [open_crypto(chain.genesis.params).hash_struct(entry.block.header).hex() for entry in chain.entries]
    last = chain.entries[-1]
    status = SimpleNamespace(name=name, height=len(tips), tip=tips[-1], state=last.state.hex())
    done.compare(cast("object", status))  # type: ignore[arg-type]  # of a status it asks for these four alone
    for height, entry in enumerate(chain.entries[: done.state.height], 1):
        contents = [{"reason": reason.value} for reason in entry.reasons]
        told = {"hash": tips[height - 1], "state": entry.state.hex(), "contents": contents}
        done.compare_block(name, height, told)


def find_rule(error: EhrError) -> str:
    """The short name of the rule that an error is about: of the chain's rules, or of the file's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ValidationError):
            return cause.rule
        cause = cause.__context__
    if isinstance(error, CodecError):
        return "canonical form"
    return next((rule for words, rule in _RULES if words in str(error)), "file format")


def run_check(check: Check, path: Path) -> str | None:
    """The rule that finds something wrong with the ledger at ``path``, or None."""
    try:
        check(path)
    except EhrError as error:
        return find_rule(error)
    return None
