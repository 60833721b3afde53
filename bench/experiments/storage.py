"""What nodes keep of a chain that grows: files by role, what they are made of, what it takes to load and prune them.

Chains have real signatures and are written by the code that nodes write with, to the run's own disk.  Growth is a plane
fitted to chains of several lengths and fills; what it says of days and years is extrapolated, and says so.
"""

from typing import TYPE_CHECKING, Final

from bench.analysis.linear import fit_linear
from bench.experiments.base import Case, Column, Experiment, Figure, Row, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.storage_figures import draw_growth, draw_restart
from bench.experiments.storage_rates import PAPER_DAY_BYTES, answer, build_days

if TYPE_CHECKING:
    import pandas as pd

    from bench.scenario import Scenario


def declare_cases(scenario: "Scenario") -> list[Case]:
    """Chains of each fill; administrators; restarts and pruning; proofs; packing and sealing."""
    fills = (Case(f"growth-{fill}", "storage-growth", {"fill": fill}) for fill in scenario.storage.fills)
    names = ("administrators", "restart", "proofs", "packing")
    return [*fills, *(Case(name, f"storage-{name}") for name in names)]


def _select(raw: "pd.DataFrame", kind: str, columns: dict[str, Column]) -> "pd.DataFrame":
    rows = raw[raw["kind"] == kind].reindex(columns=list(columns)).reset_index(drop=True)
    whole = [name for name, column in columns.items() if column.form.endswith("d") and rows[name].notna().all()]
    return rows.astype(dict.fromkeys(whole, int))


def build_files(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per role, file, fill and length."""
    rows = raw[raw["kind"] == "file"].copy()
    rows["per_tx"] = rows["size_bytes"] / rows["transactions"]
    rows["kind"] = "files"
    return _select(rows, "files", FILE_COLUMNS)


FILE_COLUMNS: Final = {
    "role": Column("Role"),
    "file": Column("File"),
    "fill": Column("Transactions a block", "", "d"),
    "blocks": Column("Blocks", "", ",d"),
    "transactions": Column("Transactions", "", ",d"),
    "size_bytes": Column("Size", "B", ",d"),
    "per_tx": Column("Per transaction", "B", ",.0f"),
}


def build_growth(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per role and file: bytes for each block and each transaction, fitted over all chains."""
    import pandas as pd

    rows = []
    files = raw[raw["kind"] == "file"]
    for (role, file), part in files.groupby(["role", "file"], sort=False):
        points = part[["blocks", "transactions"]].astype(float).to_numpy().tolist()
        (fixed, block, tx), r2 = fit_linear(points, part["size_bytes"].astype(float).tolist())
        rows.append({
            "role": role, "file": file, "chains": len(part), "block_bytes": block.value, "block_low": block.low,
            "block_high": block.high, "tx_bytes": tx.value, "tx_low": tx.low, "tx_high": tx.high,
            "fixed_bytes": fixed.value, "r2": r2,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(GROWTH_COLUMNS))


GROWTH_COLUMNS: Final = {
    "role": Column("Role"),
    "file": Column("File"),
    "chains": Column("Chains", "", "d"),
    "tx_bytes": Column("For each transaction", "B", ",.1f"),
    "tx_low": Column("low", "B", ",.1f"),
    "tx_high": Column("high", "B", ",.1f"),
    "block_bytes": Column("For each block", "B", ",.0f"),
    "block_low": Column("low", "B", ",.0f"),
    "block_high": Column("high", "B", ",.0f"),
    "fixed_bytes": Column("Once", "B", ",.0f"),
    "r2": Column("R²", "", ".5f"),
}


def build_parts(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per part of a block's entry in the ledger, per transaction of a block of each fill."""
    import pandas as pd

    rows: list[Row] = []
    for fill, part in raw[raw["kind"] == "part"].groupby("fill", sort=True):
        total = part["size_bytes"].sum()
        rows += [
            {"fill": fill, "part": item["piece"], "per": item["per"], "share": item["size_bytes"] / total,
             "per_tx": item["size_bytes"] / item["transactions"]} for item in part.to_dict("records")
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(PART_COLUMNS)).astype({"fill": int})


PART_COLUMNS: Final = {
    "fill": Column("Transactions a block", "", "d"),
    "part": Column("Part"),
    "per": Column("Once per"),
    "per_tx": Column("Per transaction", "B", ",.1f"),
    "share": Column("Share", "", ".3f"),
}


def build_administrators(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per chain length: what the role keeps and what the node's queue does."""
    return _select(raw, "administrator", ADMINISTRATOR_COLUMNS)


ADMINISTRATOR_COLUMNS: Final = {
    "blocks": Column("Blocks", "", ",d"),
    "tip_bytes": Column("Last block's hash, the role's state", "B", "d"),
    "queue_bytes": Column("Journal with the delivery queue", "B", ",d"),
    "block_bytes": Column("One block in it", "B", ",d"),
    "is_full": Column("Queue is full"),
}


def build_restart(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per way to load a ledger: seconds at the longest chain, and the time of a transaction, fitted."""
    import pandas as pd

    rows = []
    for what, part in raw[raw["kind"] == "time"].groupby("what", sort=False):
        points = [[float(count)] for count in part["transactions"]]
        (fixed, tx), r2 = fit_linear(points, part["seconds"].tolist())
        longest = part[part["transactions"] == part["transactions"].max()]
        rows.append({
            "what": what, "runs": len(part), "transactions": int(longest["transactions"].iloc[0]),
            "seconds": float(longest["seconds"].median()), "tx_us": tx.value * 1e6, "tx_low_us": tx.low * 1e6,
            "tx_high_us": tx.high * 1e6, "fixed_ms": fixed.value * 1e3, "r2": r2,
            "tx_per_s": 1 / tx.value if tx.value > 0 else None,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(RESTART_COLUMNS))


RESTART_COLUMNS: Final = {
    "what": Column("Way"),
    "runs": Column("Runs", "", "d"),
    "transactions": Column("Longest chain", "tx", ",d"),
    "seconds": Column("takes, median", "s", ".3g"),
    "tx_us": Column("For each transaction", "us", ",.1f"),
    "tx_low_us": Column("low", "us", ",.1f"),
    "tx_high_us": Column("high", "us", ",.1f"),
    "tx_per_s": Column("Transactions", "1/s", ",.0f"),
    "fixed_ms": Column("Once", "ms", ",.1f"),
    "r2": Column("R²", "", ".4f"),
}


def build_times(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Every timed load, for the figure."""
    return _select(raw, "time", TIME_COLUMNS)


TIME_COLUMNS: Final = {
    "what": Column("Way"),
    "blocks": Column("Blocks", "", ",d"),
    "transactions": Column("Transactions", "", ",d"),
    "round": Column("Round", "", "d"),
    "seconds": Column("Took", "s", ".4g"),
}


def build_pruned(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per chain length: what pruning leaves, and the memory that verifying it whole takes."""
    rows = raw[raw["kind"] == "pruned"].copy()
    peaks = raw[raw["kind"] == "memory"].set_index("blocks")["peak_bytes"]
    rows["share"] = rows["pruned_bytes"] / rows["whole_bytes"]
    rows["peak_mb"] = rows["blocks"].map(peaks) / 1e6
    return _select(rows, "pruned", PRUNED_COLUMNS)


PRUNED_COLUMNS: Final = {
    "blocks": Column("Blocks", "", ",d"),
    "transactions": Column("Transactions", "", ",d"),
    "keep": Column("Blocks kept whole", "", "d"),
    "whole_bytes": Column("Ledger", "B", ",d"),
    "pruned_bytes": Column("Pruned", "B", ",d"),
    "share": Column("Share left", "", ".3f"),
    "peak_mb": Column("Peak memory of verifying the whole one", "MB", ",.0f"),
}


def build_proofs(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per block size: the proof of one transaction."""
    return _select(raw, "proof", PROOF_COLUMNS)


PROOF_COLUMNS: Final = {
    "block_size": Column("Transactions in the block", "", ",d"),
    "path_digests": Column("Digests on the path", "", "d"),
    "path_bytes": Column("Path", "B", ",d"),
    "leaf_bytes": Column("Transaction", "B", ",d"),
    "receipt_bytes": Column("Receipt", "B", ",d"),
    "genesis_bytes": Column("Genesis", "B", ",d"),
    "file_bytes": Column("Proof file", "B", ",d"),
    "block_bytes": Column("Whole block", "B", ",d"),
}


def build_packing(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per way of packing blocks, and per size of a sealed object."""
    import pandas as pd

    rows: list[Row] = [
        {"what": f"ledger: {row['what']}", "before_bytes": row["size_bytes"], "after_bytes": row["packed_bytes"],
         "mb_per_s": row["mb_per_s"]} for row in raw[raw["kind"] == "packed"].to_dict("records")
    ]  # fmt: skip
    rows += [
        {"what": "object: sealed", "before_bytes": row["plain_bytes"], "after_bytes": row["sealed_bytes"],
         "mb_per_s": None} for row in raw[raw["kind"] == "sealed"].to_dict("records")
    ]  # fmt: skip
    for row in rows:
        row["ratio"] = row["after_bytes"] / row["before_bytes"]
    frame = pd.DataFrame(rows, columns=list(PACKING_COLUMNS))
    return frame.astype({"before_bytes": int, "after_bytes": int})


PACKING_COLUMNS: Final = {
    "what": Column("What"),
    "before_bytes": Column("Before", "B", ",d"),
    "after_bytes": Column("After", "B", ",d"),
    "ratio": Column("After over before", "", ".4f"),
    "mb_per_s": Column("Speed", "MB/s", ",.0f"),
}

DAY_COLUMNS: Final = {
    "rate": Column("Load"),
    "blocks_per_day": Column("Blocks a day", "", ",.0f"),
    "tx_per_day": Column("Transactions a day", "", ",.0f"),
    "content_mb": Column("Content a day", "MB", ",.4g"),
    "disk_mb": Column("On a keeper's disk a day", "MB", ",.4g"),
    "disk_low_mb": Column("low", "MB", ",.4g"),
    "disk_high_mb": Column("high", "MB", ",.4g"),
    "year_gb": Column("a year", "GB", ",.4g"),
    "over_claim": Column("Over the claimed 7.2 MB", "ratio", ",.3g"),
}


def _days(raw: "pd.DataFrame") -> "pd.DataFrame":
    return build_days(build_growth(raw), list(DAY_COLUMNS))


EXPERIMENT: Final = Experiment(
    "storage",
    QUESTIONS["storage"],
    ("C12", "C21", "C39", "C40", "C44", "C45"),
    declare_cases,
    (
        Table(
            "storage_files",
            "Measured size of each role's files by the length of the chain and the transactions in a block; running: "
            "with the write-ahead log, before it is closed. Keeper: contributors and coordinators. Content alone: what "
            "the ledger holds without SQLite around it. An agent's journal once all it accepted is final; an "
            "administrator's holds its delivery queue.",
            FILE_COLUMNS,
            build_files,
            ("role", "file", "fill", "blocks", "size_bytes", "per_tx"),
            keys=("role", "file", "fill", "blocks"),
        ),
        Table(
            "storage_growth",
            "Growth of each file: a plane through all chains, bytes = once + blocks × a + transactions × b, with 95 % "
            "Student intervals. Files grow by whole pages of 4,096 bytes, which the intervals take for noise.",
            GROWTH_COLUMNS,
            build_growth,
            ("role", "file", "tx_bytes", "tx_low", "tx_high", "block_bytes", "r2"),
            keys=("role", "file"),
        ),
        Table(
            "storage_days",
            "Extrapolated from that plane: what a keeper's ledger and index take in a day and a year. The paper's "
            f"limits: 240 blocks of 30 KB a day, {PAPER_DAY_BYTES:,} bytes, which the claim calls 7.2 MB. It is no "
            "upper bound: a block closes after 6 minutes *or* 15 transactions, so whoever offers more has more blocks.",
            DAY_COLUMNS,
            _days,
            ("rate", "content_mb", "disk_mb", "year_gb", "over_claim"),
            keys=("rate",),
        ),
        Table(
            "storage_parts",
            "Exact: what the bytes of a block's entry in the ledger are, for each of its transactions. Nothing of it "
            "is a hash of the next transaction (C40): a block names the one before by one digest in its header.",
            PART_COLUMNS,
            build_parts,
            tuple(PART_COLUMNS),
            keys=("fill", "part"),
            exact=("per_tx",),
        ),
        Table(
            "storage_administrators",
            "What an administrator keeps (C21). Its role needs the last block's hash; its node also keeps the last "
            "4,096 blocks for those that missed them, so its file grows to that and stays. The same small block at "
            "each height.",
            ADMINISTRATOR_COLUMNS,
            build_administrators,
            tuple(ADMINISTRATOR_COLUMNS),
            keys=("blocks",),
            exact=("tip_bytes", "block_bytes", "is_full"),
        ),
        Table(
            "storage_restart",
            "Measured time from a file to a state to go on from, and what a transaction takes of it (line through all "
            "runs, 95 % Student intervals). Verify: every signature from genesis on. Restart: as a node starts from "
            "its own disk, with links, contents and the last certificate checked, the other signatures trusted. "
            "Pruned: headers and certificates, then the last blocks in full. There is no snapshot to trust instead.",
            RESTART_COLUMNS,
            build_restart,
            ("what", "transactions", "seconds", "tx_us", "tx_low_us", "tx_high_us", "tx_per_s"),
            keys=("what",),
        ),
        Table("storage_times", "Measured: every run behind the line.", TIME_COLUMNS, build_times),
        Table(
            "storage_pruned",
            "Measured: a ledger without the records of all but its last blocks, headers, certificates and verdicts "
            "kept (`ehrcore ledger prune`); and the peak memory of a process that verifies the whole ledger, which has "
            "to fit into the paper's 4 GB (C44).",
            PRUNED_COLUMNS,
            build_pruned,
            ("blocks", "whole_bytes", "pruned_bytes", "share", "peak_mb"),
            keys=("blocks",),
        ),
        Table(
            "storage_proofs",
            "Exact: what proves one transaction, by the size of its block; each proof was verified. The path grows "
            "with the logarithm, the block with its size (C39). A proof file brings the genesis along, in base64.",
            PROOF_COLUMNS,
            build_proofs,
            ("block_size", "path_bytes", "receipt_bytes", "file_bytes", "block_bytes"),
            keys=("block_size",),
            exact=("path_digests", "path_bytes"),
        ),
        Table(
            "storage_packing",
            "What compression leaves of a ledger, which is mostly signatures and digests, and what sealing adds to an "
            "object. Speeds are of this run, on one core.",
            PACKING_COLUMNS,
            build_packing,
            tuple(PACKING_COLUMNS),
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
    answer=answer,
    needs_records=True,
    weight=2.4,
)  # fmt: skip
