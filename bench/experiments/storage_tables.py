"""The tables of experiment `storage`, from its raw rows."""

from typing import Final

from bench.analysis.regression import fit_linear
from bench.experiments.base import Column, Frame
from bench.experiments.rows import select_rows, to_frame
from bench.experiments.storage_rates import build_days


def build_files(raw: Frame) -> Frame:
    """A row per role, file, fill and length."""
    return select_rows(raw.assign(per_tx=raw["size_bytes"] / raw["transactions"]), "file", FILE_COLUMNS)


FILE_COLUMNS: Final = {
    "role": Column("Role"),
    "file": Column("File"),
    "fill": Column("Transactions a block", "", "d"),
    "blocks": Column("Blocks", "", ",d"),
    "transactions": Column("Transactions", "", ",d"),
    "size_bytes": Column("Size", "B", ",d"),
    "per_tx": Column("Per transaction", "B", ",.0f"),
}


def build_growth(raw: Frame) -> Frame:
    """A row per role and file: bytes for each block and each transaction, fitted over all chains."""
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
    return to_frame(rows, GROWTH_COLUMNS)


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


def build_parts(raw: Frame) -> Frame:
    """A row per part of a block's entry in the ledger, per transaction of a block of each fill."""
    parts = raw[raw["kind"] == "part"].sort_values("fill", kind="stable")
    sizes = parts["size_bytes"]
    parts = parts.assign(part=parts["piece"], per_tx=sizes / parts["transactions"],
                         share=sizes / sizes.groupby(parts["fill"]).transform("sum"))  # fmt: skip
    return select_rows(parts, "part", PART_COLUMNS)


PART_COLUMNS: Final = {
    "fill": Column("Transactions a block", "", "d"),
    "part": Column("Part"),
    "per": Column("Once per"),
    "per_tx": Column("Per transaction", "B", ",.1f"),
    "share": Column("Share", "", ".3f"),
}


ADMINISTRATOR_COLUMNS: Final = {
    "blocks": Column("Blocks", "", ",d"),
    "tip_bytes": Column("Last block's hash, the role's state", "B", "d"),
    "queue_bytes": Column("Journal with the delivery queue", "B", ",d"),
    "block_bytes": Column("One block in it", "B", ",d"),
    "is_full": Column("Queue is full"),
}


def build_restart(raw: Frame) -> Frame:
    """A row per way to load a ledger: seconds at the longest chain, and the time of a transaction, fitted."""
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
    return to_frame(rows, RESTART_COLUMNS)


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


TIME_COLUMNS: Final = {
    "what": Column("Way"),
    "blocks": Column("Blocks", "", ",d"),
    "transactions": Column("Transactions", "", ",d"),
    "round": Column("Round", "", "d"),
    "seconds": Column("Took", "s", ".4g"),
}


def build_pruned(raw: Frame) -> Frame:
    """A row per chain length: what pruning leaves, and the memory that verifying it whole takes."""
    peaks = raw[raw["kind"] == "memory"].set_index("blocks")["peak_bytes"]
    rows = raw.assign(share=raw["pruned_bytes"] / raw["whole_bytes"], peak_mb=raw["blocks"].map(peaks) / 1e6)
    return select_rows(rows, "pruned", PRUNED_COLUMNS)


PRUNED_COLUMNS: Final = {
    "blocks": Column("Blocks", "", ",d"),
    "transactions": Column("Transactions", "", ",d"),
    "keep": Column("Blocks kept whole", "", "d"),
    "whole_bytes": Column("Ledger", "B", ",d"),
    "pruned_bytes": Column("Pruned", "B", ",d"),
    "share": Column("Share left", "", ".3f"),
    "peak_mb": Column("Peak memory of verifying the whole one", "MB", ",.0f"),
}


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


def build_packing(raw: Frame) -> Frame:
    """A row per way of packing blocks, and per size of a sealed object."""
    packed, sealed = (raw[raw["kind"] == kind].to_dict("records") for kind in ("packed", "sealed"))
    rows = [(f"ledger: {row['what']}", row["size_bytes"], row["packed_bytes"], row["mb_per_s"]) for row in packed]
    rows += [("object: sealed", row["plain_bytes"], row["sealed_bytes"], None) for row in sealed]
    found = [(what, before, after, after / before, speed) for what, before, after, speed in rows]
    return to_frame(found, PACKING_COLUMNS).astype({"before_bytes": int, "after_bytes": int})


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


def build_keepers_days(raw: Frame) -> Frame:
    """A row per load: what a keeper takes in a day and a year, from the fitted growth."""
    return build_days(build_growth(raw), list(DAY_COLUMNS))
