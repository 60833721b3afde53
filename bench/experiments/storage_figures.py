"""The figures of experiment `storage`, drawn from its tables."""

from typing import Any, Final

from bench.experiments.base import Drawing, Frame, Tables

_FILES: Final = {
    ("keeper", "ledger"): "keeper: ledger",
    ("keeper", "index"): "keeper: index",
    ("keeper", "content alone"): "content alone",
    ("administrator", "journal"): "administrator: journal",
    ("agent", "journal"): "agent: journal",
}
#: What the parts of an entry have in common, so that five colours tell them apart.
_GROUPS: Final = {
    "record: who, whose, what, where": "record",
    "author's signature": "author's signature",
    "endorsements": "endorsements",
    "contracts' outcome": "approvals and outcome",
    "approvals": "approvals and outcome",
    **dict.fromkeys(("header", "certificate", "verdicts and state", "framing"), "block: header, certificate, rest"),
}
_WAYS: Final = ("verify, whole", "restart, whole", "verify, pruned")


def draw_growth(tables: Tables) -> Drawing:
    """Files over the chain's length; parts of a transaction, stacked."""
    from bench.report.style import new_figure

    figure, (left, right) = new_figure("page", 2.9, ncols=2)
    _draw_files(left, tables["storage_files"])
    _draw_parts(right, tables["storage_parts"])
    return figure


def _draw_files(axis: Any, files: Frame) -> None:
    from bench.report.style import markers, palette

    full = files[files["fill"] == files["fill"].max()]
    colours, shapes = palette(list(_FILES.values())), markers(list(_FILES.values()))
    for (role, file), label in _FILES.items():
        part = full[(full["role"] == role) & (full["file"] == file)].sort_values("blocks")
        # Administrators keep, for a while, just what ledgers hold: one line would hide the other.
        style = "--" if role == "administrator" else "-"
        sizes = part["size_bytes"] / 1e6
        axis.plot(part["blocks"], sizes, style, marker=shapes[label], color=colours[label], label=label)
    axis.set(xlabel=f"Blocks of {full['fill'].max()} transactions", ylabel="Size [MB]")
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    axis.legend(loc="upper left")


def _draw_parts(axis: Any, parts: Frame) -> None:
    from bench.report.style import palette

    grouped = parts.assign(group=parts["part"].map(_GROUPS)).groupby(["fill", "group"], sort=False)["per_tx"].sum()
    fills, groups = sorted(parts["fill"].unique()), list(dict.fromkeys(_GROUPS.values()))
    colours, bottoms = palette(groups), [0.0] * len(fills)
    for group in groups:
        heights = [float(grouped[fill, group]) for fill in fills]
        axis.bar(range(len(fills)), heights, bottom=bottoms, color=colours[group], label=group, width=0.6)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    axis.set_xticks(range(len(fills)), [str(fill) for fill in fills])
    axis.set(xlabel="Transactions in a block", ylabel="Per transaction [B]")
    axis.grid(visible=False, axis="x")
    axis.legend(loc="upper right")


def draw_restart(tables: Tables) -> Drawing:
    """Time to load over length; bytes of a proof over the block's size."""
    from bench.report.style import markers, new_figure, palette

    figure, (left, right) = new_figure("page", 2.8, ncols=2)
    times, fits = tables["storage_times"], tables["storage_restart"].set_index("what")
    colours, shapes = palette(_WAYS), markers(_WAYS)
    for way in _WAYS:
        part = times[times["what"] == way]
        left.plot(part["transactions"], part["seconds"], shapes[way], color=colours[way], label=way)
        ends, fit = [0, int(times["transactions"].max())], fits.loc[way]
        line = [fit["fixed_ms"] / 1e3 + end * fit["tx_us"] / 1e6 for end in ends]
        left.plot(ends, line, color=colours[way], linewidth=0.8)
    left.set(xlabel="Transactions in the ledger", ylabel="Time [s]")
    left.set_ylim(bottom=0)
    left.legend(loc="upper left")
    _draw_proofs(right, tables["storage_proofs"])
    return figure


def _draw_proofs(axis: Any, proofs: Frame) -> None:
    from bench.report.style import markers, palette

    lines = {"block_bytes": "whole block", "file_bytes": "proof file", "receipt_bytes": "receipt",
             "path_bytes": "Merkle path"}  # fmt: skip
    colours, shapes = palette(list(lines)), markers(list(lines))
    for column, label in lines.items():
        shown = proofs[proofs[column] > 0]  # the path of the only one is empty
        axis.plot(shown["block_size"], shown[column], marker=shapes[column], color=colours[column], label=label)
    axis.set_xscale("log", base=2)
    axis.set(yscale="log", xlabel="Transactions in the block", ylabel="Size [B]")
    axis.set_xticks(proofs["block_size"], proofs["block_size"].astype(str))
    axis.minorticks_off()
    axis.legend(loc="upper left")
