"""Engines of experiment `storage`: real chains in real files, measured, restarted, pruned and packed."""

import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.engines.base import Context
from bench.experiments.base import Case, Row
from bench.storage.chains import Maker
from bench.storage.files import encode_final, measure_files, write_administrator, write_agent, write_keeper
from ehrcore.codec import encode
from ehrcore.drive.net.journal import KEPT_BLOCKS
from ehrcore.drive.pruned import PrunedLedger, prune
from ehrcore.effects import Persist
from ehrcore.ledger import Entry, SqliteLedger, open_crypto
from ehrcore.merkle import verify_inclusion
from ehrcore.proof import build_proof, encode_proof, verify_proof
from ehrcore.sealing import seal

#: What a day of the paper's longest wait has: 240 blocks.
FULL: Final = 15
VERIFY, RESTART, VERIFY_PRUNED = "verify, whole", "restart, whole", "verify, pruned"
_SEALED_SIZES: Final = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)


def _make(context: Context, fill: int) -> Maker:
    return Maker(
        context.scenario.storage.topology, fill, context.workload.records, f"{context.scenario.seed}|storage"
    )  # fmt: skip


def run_growth(context: Context, case: Case) -> list[Row]:
    """A row of kind ``file`` per role's file and chain length, the parts of its content, and whether it verifies.

    Settings: ``fill``, how many transactions each block has.
    """
    plan, fill, rows = context.scenario.storage, case.settings["fill"], list[Row]()
    maker = _make(context, fill)
    persists = list(maker.make(max(plan.blocks)))
    with context.scratch() as folder:
        for blocks in plan.blocks:
            part = persists[:blocks]
            sizes = write_keeper(folder / f"keeper-{blocks}", maker, part)
            finals = ((item.block.header.height, encode_final(item)) for item in part)
            ordering = write_administrator(folder / f"administrator-{blocks}.db", maker.network.chain, finals, blocks)
            agent = write_agent(folder / f"agent-{blocks}.db", maker.network.chain, part)
            given = {"kind": "file", "fill": fill, "blocks": blocks, "transactions": fill * blocks}
            content = sum(len(_entry(item)) for item in part)
            files = [("keeper", name, sum(item.values())) for name, item in sizes.items()]
            files += [("administrator", "journal", ordering[blocks]), ("agent", "journal", agent)]
            files.append(("keeper", "content alone", content))
            rows += [{**given, "role": role, "file": name, "size_bytes": size} for role, name, size in files]
        with SqliteLedger.open(folder / f"keeper-{min(plan.blocks)}" / "ledger.sqlite") as ledger:
            held = ledger.verify().height == min(plan.blocks)
    rows.append({"kind": "check", "check": f"blocks of {fill}: the ledger verifies from genesis", "holds": held})
    return rows + [{"kind": "part", "fill": fill, **row} for row in split_block(persists[-1])]


def _entry(persist: Persist) -> bytes:
    return encode(Entry(persist.block, persist.certificate, persist.reasons, persist.state))


def split_block(persist: Persist) -> list[Row]:
    """What the bytes of one block's entry are, by part; they sum to all of them."""
    block, endorsed = persist.block, persist.block.transactions
    parts = {
        "header": len(encode(block.header)),
        "certificate": len(encode(persist.certificate)),
        "verdicts and state": len(encode(persist.reasons)) + len(encode(persist.state)),
        "record: who, whose, what, where": sum(len(encode(item.transaction.body)) for item in endorsed),
        "author's signature": sum(len(encode(item.transaction.signature)) for item in endorsed),
        "endorsements": sum(len(encode(item.endorsements)) for item in endorsed),
        "contracts' outcome": sum(len(encode(item.outcome)) for item in endorsed),
        "approvals": sum(len(encode(item.approvals)) for item in endorsed),
    }
    parts["framing"] = len(_entry(persist)) - sum(parts.values())
    per_block = {"header", "certificate", "verdicts and state"}
    return [{"piece": name, "per": "block" if name in per_block else "transaction", "size_bytes": size,
             "transactions": len(endorsed)} for name, size in parts.items()]  # fmt: skip


def run_administrators(context: Context, case: Case) -> list[Row]:
    """What an administrator keeps at heights up to and far beyond its queue, and what its role asks it to keep."""
    del case
    maker = _make(context, 1)
    persist = next(maker.make(1))
    content = encode_final(persist)
    with context.scratch() as folder:
        # The same block at each height: what is asked is how many are kept.
        finals = ((height, content) for height in range(1, 3 * KEPT_BLOCKS + 1))
        found = write_administrator(folder / "journal.db", maker.network.chain, finals, KEPT_BLOCKS // 2)
    tip = len(maker.network.chain)
    return [
        {"kind": "administrator", "blocks": height, "queue_bytes": size, "tip_bytes": tip, "block_bytes": len(content),
         "is_full": height >= KEPT_BLOCKS} for height, size in found.items()
    ]  # fmt: skip


def run_restart(context: Context, case: Case) -> list[Row]:
    """How long a ledger takes to verify and to restart from, whole and pruned, by its length; and what memory."""
    del case
    plan, rows = context.scenario.storage, list[Row]()
    maker = _make(context, FULL)
    persists = list(maker.make(max(plan.restart_blocks)))
    with context.scratch() as folder:
        ways: dict[int, tuple[Path, Path]] = {}
        for blocks in plan.restart_blocks:
            whole, pruned = ways[blocks] = _prepare(folder / str(blocks), maker, persists[:blocks], plan.keep)
            sizes = {"whole_bytes": sum(measure_files(whole).values()), "pruned_bytes": pruned.stat().st_size}
            rows.append({"kind": "pruned", "blocks": blocks, "transactions": FULL * blocks, "keep": plan.keep, **sizes})
        for turn in range(plan.repeats):
            for blocks, (whole, pruned) in ways.items():
                for name, path in ((VERIFY, whole), (RESTART, whole), (VERIFY_PRUNED, pruned)):
                    begin_ns = time.perf_counter_ns()
                    _load(name, path)
                    rows.append({"kind": "time", "what": name, "blocks": blocks, "transactions": FULL * blocks,
                                 "round": turn, "seconds": (time.perf_counter_ns() - begin_ns) / 1e9})  # fmt: skip
        for blocks, (whole, _) in ways.items():
            peak = measure_memory(whole)
            rows.append({"kind": "memory", "blocks": blocks, "transactions": FULL * blocks, "peak_bytes": peak})
    return rows


def _prepare(folder: Path, maker: Maker, persists: Sequence[Persist], keep: int) -> tuple[Path, Path]:
    folder.mkdir()
    write_keeper(folder / "keeper", maker, persists)
    whole, pruned = folder / "keeper" / "ledger.sqlite", folder / "pruned.sqlite"
    with SqliteLedger.open(whole) as ledger:
        prune(ledger, pruned, keep)
    return whole, pruned


def _load(way: str, path: Path) -> None:
    """From a file to a state that goes on: all signatures checked, or as a node that trusts its own disk starts."""
    if way == VERIFY_PRUNED:
        with closing(PrunedLedger(path)) as pruned:
            pruned.verify()
        return
    with SqliteLedger.open(path) as ledger:
        if way == VERIFY:
            ledger.verify()
        else:
            ledger.restore(open_crypto(ledger.genesis.params))


#: Linux starts a new program's peak at that of the process which it was forked from, which here is a large one: so a
#: small process starts the one that is measured, and tells its peak and its exit code.
_LAUNCH: Final = """
import os, sys
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
_, status, usage = os.wait4(os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ,
                                           file_actions=quiet), 0)
print(usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def measure_memory(path: Path) -> int:
    """Peak resident bytes of a process that verifies the ledger, as `ehrcore ledger verify` does."""
    words = [sys.executable, "-S", "-c", _LAUNCH, "-m", "ehrcore", "ledger", "verify", str(path)]
    told = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    peak, code = map(int, told)
    if code:
        raise ChildProcessError(f"{path}: expected a ledger that verifies, found code {code}")
    return peak * (1 if sys.platform == "darwin" else 1_024)


def run_proofs(context: Context, case: Case) -> list[Row]:
    """The proof of one transaction out of blocks of each size: its path, its receipt, its file; each one verified."""
    del case
    rows = []
    for size in context.scenario.storage.block_sizes:
        maker = _make(context, size)
        persist = next(maker.make(1))
        receipt, words = maker.receipt(persist, size // 2)
        entry, root = receipt.entries[0], persist.block.header.merkle_root
        verify_inclusion(open_crypto(maker.network.params).suite, root, size, entry.index, entry.leaf, entry.path)
        proof = build_proof(maker.genesis, receipt, words)
        verify_proof(proof, maker.network.chain)
        rows.append({
            "kind": "proof", "block_size": size, "path_digests": len(entry.path),
            "path_bytes": sum(map(len, entry.path)), "leaf_bytes": len(entry.leaf),
            "receipt_bytes": len(encode(receipt)), "file_bytes": len(encode_proof(proof)),
            "genesis_bytes": len(encode(maker.genesis)), "block_bytes": len(encode(persist.block)),
        })  # fmt: skip
    return rows


def run_packing(context: Context, case: Case) -> list[Row]:
    """How far a chain's content can be compressed (zlib, 6 and 9), and what sealing adds to an object."""
    del case
    maker = _make(context, FULL)
    entries = [_entry(persist) for persist in maker.make(min(context.scenario.storage.blocks))]
    raw = sum(map(len, entries))
    rows: list[Row] = []
    for level in (6, 9):
        for name, parts in (("each block", entries), ("all blocks at once", [b"".join(entries)])):
            begin_ns = time.process_time_ns()
            packed = sum(len(zlib.compress(part, level)) for part in parts)
            rows.append({"kind": "packed", "what": f"{name}, zlib {level}", "size_bytes": raw, "packed_bytes": packed,
                         "mb_per_s": raw / 1e3 / max((time.process_time_ns() - begin_ns) / 1e6, 1e-6)})  # fmt: skip
    return rows + [
        {"kind": "sealed", "plain_bytes": size, "sealed_bytes": len(seal(bytes(32), b"", bytes(size)))}
        for size in _SEALED_SIZES
    ]  # fmt: skip
