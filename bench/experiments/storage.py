"""What nodes keep of a chain that grows: files by role, what they are made of, what it takes to load and prune them.

Chains have real signatures and are written by the code that nodes write with, to the run's own disk.  Growth is a plane
fitted to chains of several lengths and fills; what it says of days and years is extrapolated, and says so.
"""

from functools import partial
from typing import Final

from bench.experiments import storage_tables as tables
from bench.experiments.base import Case, Experiment, Figure, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.rows import select_rows
from bench.experiments.storage_figures import draw_growth, draw_restart
from bench.experiments.storage_rates import PAPER_DAY_BYTES, answer


def declare_cases(scenario: Scenario) -> list[Case]:
    """Chains of each fill; administrators; restarts and pruning; proofs; packing and sealing."""
    fills = (Case(f"growth-{fill}", "storage-growth", {"fill": fill}) for fill in scenario.storage.fills)
    names = ("administrators", "restart", "proofs", "packing")
    return [*fills, *(Case(name, f"storage-{name}") for name in names)]


EXPERIMENT: Final = Experiment(
    "storage", QUESTIONS["storage"], ("C12", "C21", "C39", "C40", "C44", "C45"), declare_cases,
    (
        Table(
            "storage_files",
            "Measured size of each role's files by the length of the chain and the transactions in a block; running: "
            "with the write-ahead log, before it is closed. Keeper: contributors and coordinators. Content alone: what "
            "the ledger holds without SQLite around it. An agent's journal once all it accepted is final; an "
            "administrator's holds its delivery queue.",
            tables.FILE_COLUMNS, tables.build_files,
            ("role", "file", "fill", "blocks", "size_bytes", "per_tx"),
            keys=("role", "file", "fill", "blocks"),
        ),
        Table(
            "storage_growth",
            "Growth of each file: a plane through all chains, bytes = once + blocks × a + transactions × b, with 95 % "
            "Student intervals. Files grow by whole pages of 4,096 bytes, which the intervals take for noise.",
            tables.GROWTH_COLUMNS, tables.build_growth,
            ("role", "file", "tx_bytes", "tx_low", "tx_high", "block_bytes", "r2"),
            keys=("role", "file"),
        ),
        Table(
            "storage_days",
            "Extrapolated from that plane: what a keeper's ledger and index take in a day and a year. The paper's "
            f"limits: 240 blocks of 30 KB a day, {PAPER_DAY_BYTES:,} bytes, which the claim calls 7.2 MB. It is no "
            "upper bound: a block closes after 6 minutes *or* 15 transactions, so whoever offers more has more blocks.",
            tables.DAY_COLUMNS, tables.build_keepers_days,
            ("rate", "content_mb", "disk_mb", "year_gb", "over_claim"),
            keys=("rate",),
        ),
        Table(
            "storage_parts",
            "Exact: what the bytes of a block's entry in the ledger are, for each of its transactions. Nothing of it "
            "is a hash of the next transaction (C40): a block names the one before by one digest in its header.",
            tables.PART_COLUMNS, tables.build_parts,
            tuple(tables.PART_COLUMNS),
            keys=("fill", "part"), exact=("per_tx",),
        ),
        Table(
            "storage_administrators",
            "What an administrator keeps (C21). Its role needs the last block's hash; its node also keeps the last "
            "4,096 blocks for those that missed them, so its file grows to that and stays. The same small block at "
            "each height.",
            tables.ADMINISTRATOR_COLUMNS,
            partial(select_rows, kind="administrator", columns=tables.ADMINISTRATOR_COLUMNS),
            tuple(tables.ADMINISTRATOR_COLUMNS),
            keys=("blocks",), exact=("tip_bytes", "block_bytes", "is_full"),
        ),
        Table(
            "storage_restart",
            "Measured time from a file to a state to go on from, and what a transaction takes of it (line through all "
            "runs, 95 % Student intervals). Verify: every signature from genesis on. Restart: as a node starts from "
            "its own disk, with links, contents and the last certificate checked, the other signatures trusted. "
            "Pruned: headers and certificates, then the last blocks in full. There is no snapshot to trust instead.",
            tables.RESTART_COLUMNS, tables.build_restart,
            ("what", "transactions", "seconds", "tx_us", "tx_low_us", "tx_high_us", "tx_per_s"),
            keys=("what",),
        ),
        Table("storage_times", "Measured: every run behind the line.", tables.TIME_COLUMNS,
              partial(select_rows, kind="time", columns=tables.TIME_COLUMNS)),
        Table(
            "storage_pruned",
            "Measured: a ledger without the records of all but its last blocks, headers, certificates and verdicts "
            "kept (`ehrcore ledger prune`); and the peak memory of a process that verifies the whole ledger, which has "
            "to fit into the paper's 4 GB (C44).",
            tables.PRUNED_COLUMNS, tables.build_pruned,
            ("blocks", "whole_bytes", "pruned_bytes", "share", "peak_mb"),
            keys=("blocks",),
        ),
        Table(
            "storage_proofs",
            "Exact: what proves one transaction, by the size of its block; each proof was verified. The path grows "
            "with the logarithm, the block with its size (C39). A proof file brings the genesis along, in base64.",
            tables.PROOF_COLUMNS, partial(select_rows, kind="proof", columns=tables.PROOF_COLUMNS),
            ("block_size", "path_bytes", "receipt_bytes", "file_bytes", "block_bytes"),
            keys=("block_size",), exact=("path_digests", "path_bytes"),
        ),
        Table(
            "storage_packing",
            "What compression leaves of a ledger, which is mostly signatures and digests, and what sealing adds to an "
            "object. Speeds are of this run, on one core.",
            tables.PACKING_COLUMNS, tables.build_packing,
            tuple(tables.PACKING_COLUMNS),
            keys=("what", "before_bytes"),
        ),
    ),
    (
        Figure(
            "storage_growth",
            "Left: measured size of each role's files at full blocks, by the length of the chain. Right: what a "
            "transaction takes in the ledger, by part and by how full blocks are.",
            draw_growth,
        ),
        Figure(
            "storage_restart",
            "Left: measured time to verify a ledger, to restart from it, and to verify it pruned, by its length; lines "
            "are fitted. Right: bytes that prove one transaction, by the size of its block.",
            draw_restart,
        ),
    ),
    answer=answer, needs_records=True, weight=2.0,
)  # fmt: skip
