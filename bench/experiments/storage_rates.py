"""What measured growth means for days and years, and what experiment `storage` says of the paper's claims."""

from typing import Final

from bench.experiments.base import Frame, Tables

#: Section 3: at most 30 KB in a block, which closes after 6 minutes: 240 a day.
PAPER_BLOCKS: Final = 240
PAPER_BLOCK_BYTES: Final = 30_720
PAPER_DAY_BYTES: Final = PAPER_BLOCKS * PAPER_BLOCK_BYTES
_CLAIMED_MB: Final = 7.2
_FULL: Final = 15
_DAY_S: Final = 86_400
#: Load -> transactions a second; a block holds 15 of them, and there are at least 240 blocks.
RATES: Final = {
    "240 full blocks": PAPER_BLOCKS * _FULL / _DAY_S,
    "Table 1 at most: 16 in 6 min": 16 / 360,
    "1 a second": 1.0,
    "10 a second": 10.0,
    "100 a second": 100.0,
}


def build_days(growth: Frame, columns: list[str]) -> Frame:
    """A row per load; the first is the paper's limit in bytes, with what disks add to full blocks of them."""
    import pandas as pd

    kept = growth[growth["role"] == "keeper"]
    files = kept[kept["file"].isin(["ledger", "index"])].sum(numeric_only=True)
    content = kept[kept["file"] == "content alone"].sum(numeric_only=True)
    if kept.empty:
        return pd.DataFrame(columns=columns)

    def cost(blocks: float, tx: float, bound: str) -> float:
        """Bytes on disk; intervals are added up, which makes them wider than need be."""
        return float(blocks * files[f"block_{bound}"] + tx * files[f"tx_{bound}"])

    full = float(content["block_bytes"] + _FULL * content["tx_bytes"])
    share = {bound: cost(1, _FULL, bound) / full for bound in ("bytes", "low", "high")}
    limit = [PAPER_DAY_BYTES * part for part in share.values()]
    name, tx = "the paper's limits: 240 blocks of 30 KB", PAPER_DAY_BYTES / full * _FULL
    loads: list[tuple[str, float, float, float, list[float]]] = [(name, PAPER_BLOCKS, tx, PAPER_DAY_BYTES, limit)]
    for name, per_s in RATES.items():
        tx = per_s * _DAY_S
        blocks = max(tx / _FULL, PAPER_BLOCKS)
        inside = blocks * float(content["block_bytes"]) + tx * float(content["tx_bytes"])
        loads.append((name, blocks, tx, inside, [cost(blocks, tx, bound) for bound in share]))
    rows = [
        {"rate": name, "blocks_per_day": blocks, "tx_per_day": tx, "content_mb": inside / 1e6, "disk_mb": disk[0] / 1e6,
         "disk_low_mb": disk[1] / 1e6, "disk_high_mb": disk[2] / 1e6, "year_gb": disk[0] * 365 / 1e9,
         "over_claim": disk[0] / 1e6 / _CLAIMED_MB} for name, blocks, tx, inside, disk in loads
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def answer(tables: Tables) -> list[str]:
    """C21, C39, C40, C44, C45, in sentences of the tables' own numbers."""
    days, parts = tables["storage_days"], tables["storage_parts"]
    lines = [_answer_days(days)] if len(days) else []
    if len(parts):
        full = parts[parts["fill"] == parts["fill"].max()].set_index("part")["per_tx"]
        signed = full[["author's signature", "endorsements", "approvals"]].sum()
        lines.append(
            f"C40: a transaction takes {full.sum():,.0f} bytes of a full block, {signed:,.0f} of them signatures and "
            "who gave them; no node keeps a hash of the next one."
        )
    lines += _answer_administrators(tables["storage_administrators"])
    lines += _answer_proofs(tables["storage_proofs"])
    peaks = tables["storage_pruned"].dropna(subset="peak_mb")
    if len(peaks) > 1:
        first, last = peaks.iloc[0], peaks.iloc[-1]
        lines.append(
            f"C44: verifying {last['blocks']:,.0f} blocks takes at most {last['peak_mb']:,.0f} MB of memory, "
            f"{first['blocks']:,.0f} blocks {first['peak_mb']:,.0f} MB."
        )
    return lines


def _answer_days(days: Frame) -> str:
    limit, busy = days.iloc[0], days.iloc[-1]
    return (
        f"C45: 240 blocks of 30 KB a day are {limit['content_mb']:.2f} MB of content and {limit['disk_mb']:.2f} MB on "
        f"a keeper's disk, {limit['over_claim']:.2f} times the claimed 7.2 MB; and that is no limit, for at "
        f"{busy['rate']} the disk fills by {busy['disk_mb']:,.0f} MB a day."
    )


def _answer_administrators(table: Frame) -> list[str]:
    full = table[table["is_full"].astype(bool)] if len(table) else table
    if len(full) < 2:
        return []
    first, last = full.iloc[0], full.iloc[-1]
    return [(
        f"C21: the role needs {last['tip_bytes']} bytes, whatever the length; the node's journal is "
        f"{first['queue_bytes']:,} bytes at {first['blocks']:,} blocks, {last['queue_bytes']:,} at {last['blocks']:,}: "
        "bounded, but more than the last hash."
    )]  # fmt: skip


def _answer_proofs(proofs: Frame) -> list[str]:
    if proofs.empty:
        return []
    last = proofs.iloc[-1]
    path = f"C39: in a block of {last['block_size']:,} transactions the Merkle path takes {last['path_bytes']:,} bytes"
    return [f"{path}, the block {last['block_bytes']:,}."]
