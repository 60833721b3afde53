"""The files of each role, written by the code that writes them on a node, and how large they are."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.storage.chains import Maker
from ehrcore.codec import encode
from ehrcore.consensus.seam import Tip
from ehrcore.drive.net.index import TransactionIndex
from ehrcore.drive.net.journal import Journal
from ehrcore.effects import Persist
from ehrcore.hashing import find_suite
from ehrcore.ledger import SqliteLedger
from ehrcore.messages import Finalised, Submit

_ENDS: Final = ("", "-wal", "-shm")
#: Blocks that a node writes with one wait for the disk when it has much to catch up on.
_CHUNK: Final = 64
_SHA256: Final = find_suite("sha256").hash


def measure_files(path: Path) -> dict[str, int]:
    """Bytes of a database, of its write-ahead log and of what is shared beside it; 0 for what is not there."""
    names = (path.with_name(path.name + end) for end in _ENDS)
    return {
        end.lstrip("-") or "main": name.stat().st_size if name.exists() else 0
        for end, name in zip(_ENDS, names, strict=True)
    }  # fmt: skip


def write_keeper(folder: Path, maker: Maker, persists: Sequence[Persist]) -> dict[str, dict[str, int]]:
    """A ledger keeper's ledger and index (contributors and coordinators alike); sizes while open and once closed."""
    folder.mkdir()
    ledger_path, index_path = folder / "ledger.sqlite", folder / "index.sqlite"
    with (
        SqliteLedger.create(ledger_path, maker.genesis, is_synced=False) as ledger,
        closing(TransactionIndex(index_path)) as index,
    ):
        for start in range(0, len(persists), _CHUNK):
            part = persists[start : start + _CHUNK]
            ledger.append_all(part)
            index.add([
                (item.block.header.height, _SHA256(encode(item.block.header)),
                 [_SHA256(encode(endorsed.transaction.body)) for endorsed in item.block.transactions])
                for item in part
            ])  # fmt: skip
        found = {"ledger, running": measure_files(ledger_path), "index, running": measure_files(index_path)}
    return found | {"ledger": measure_files(ledger_path), "index": measure_files(index_path)}


def write_administrator(path: Path, chain: bytes, finals: Iterable[tuple[int, bytes]], every: int) -> dict[int, int]:
    """An administrator's journal, given final blocks by height: its bytes, stopped, after each ``every`` of them."""
    found: dict[int, int] = {}
    journal = Journal.open(path, chain, "administrator-0")
    for height, content in finals:
        journal.add_final(Tip(height, _SHA256(height.to_bytes(8)), height), content)
        if height % _CHUNK == 0:
            journal.commit()
        if height % every == 0:
            journal.close()
            found[height] = sum(measure_files(path).values())
            journal = Journal.open(path, chain, "administrator-0")
    journal.close()
    return found


def write_agent(path: Path, chain: bytes, persists: Sequence[Persist]) -> int:
    """An agent's journal once all that it has accepted is final; bytes."""
    with closing(Journal.open(path, chain, "agent-0")) as journal:
        for persist in persists:
            ids = []
            for endorsed in persist.block.transactions:
                ids.append(_SHA256(encode(endorsed.transaction.body)))
                journal.add_pending(ids[-1], encode(Submit(endorsed.transaction)))
            journal.commit()
            journal.settle(ids)
    return sum(measure_files(path).values())


def encode_final(persist: Persist) -> bytes:
    """What an administrator keeps of a block for those that missed it."""
    return encode(Finalised(persist.block, persist.certificate))
