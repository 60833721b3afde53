"""The tables of experiment `policy`, from its raw rows."""

import math
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.paired import AMOUNT, RATE, TIME, compare
from bench.experiments.base import Column
from bench.experiments.rows import select_rows
from ehrcore.params import majority

if TYPE_CHECKING:
    import pandas as pd

_ROLES: Final = ("visitor", "agent", "coordinator", "administrator", "contributor")
#: What is compared -> the raw column, and what a ratio below and above 1 is called.
QUANTITIES: Final = {
    "throughput, shared cores": ("shared_tx_per_s", RATE),
    "throughput, a machine per node": ("tx_per_s", RATE),
    "latency p50": ("latency_quorum_p50_ms", TIME),
    "CPU": ("cpu_s_per_tx", AMOUNT),
    "messages": ("messages_per_tx", AMOUNT),
}
#: What of these says that something is saved, and the word for it.
_SAVED: Final = {"CPU": ("less", "work"), "latency p50": ("faster", "waiting"), "messages": ("less", "messages")}
_KEYS: Final = ["who", "asked", "of", "is_control"]


def build_ratios(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Each number asked over all of them, repeat by repeat, with simultaneous intervals; a row per quantity."""
    import pandas as pd

    raw = _policies(raw)
    is_base = (raw["asked"] == raw["of"]) & ~raw["is_control"]
    bases = {who: part.set_index("repeat") for who, part in raw[is_base].groupby("who")}
    groups: list[Any] = list(raw[~is_base].groupby(_KEYS, sort=False))
    families = {control: sum(keys[3] == control for keys, _ in groups) * len(QUANTITIES) for control in (False, True)}
    rows = []
    for keys, group in groups:
        who, asked, of, is_control = keys[0], int(keys[1]), int(keys[2]), bool(keys[3])
        for quantity, (column, words) in QUANTITIES.items():
            pairs = zip(group[column], bases[who].loc[group["repeat"], column], strict=True)
            clusters = [[math.log(ours / theirs)] for ours, theirs in pairs if ours > 0 and theirs > 0]
            if not clusters:
                continue  # a latency that is void in each repeat
            found = compare(clusters, families[is_control], is_control=is_control, words=words)
            ends = (found.ratio, found.low, found.high)
            speed = {RATE: ends, TIME: (1 / ends[0], 1 / ends[2], 1 / ends[1])}.get(words, (math.nan,) * 3)
            rows.append({
                "who": who, "asked": asked, "of": of, "level": _name_level(asked, of), "quantity": quantity,
                "is_control": is_control, "pairs": len(clusters), **found.as_columns(),
                **dict(zip(("speedup", "speedup_low", "speedup_high"), speed, strict=True)),
            })  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(RATIO_COLUMNS))
    return frame.sort_values(["who", "is_control", "asked"], kind="stable", ignore_index=True)


def _policies(raw: "pd.DataFrame") -> "pd.DataFrame":
    rows = raw[raw["kind"] == "policy"]
    return rows.astype({"asked": int, "of": int, "is_control": bool, "latency_quorum_p50_ms": float})


def _name_level(asked: int, of: int) -> str:
    """What so many are called; a majority that is all of them is all."""
    return {1: "one", majority(of): "majority", of: "all"}.get(asked, "")


RATIO_COLUMNS: Final = {
    "who": Column("Fewer"),
    "asked": Column("Asked", "", "d"),
    "of": Column("Of", "", "d"),
    "level": Column("That is"),
    "quantity": Column("Quantity"),
    "is_control": Column("A/A control"),
    "pairs": Column("Pairs", "", "d"),
    "ratio": Column("Over all asked", "ratio", ".3f"),
    "ratio_low": Column("Low", "ratio", ".3f"),
    "ratio_high": Column("High", "ratio", ".3f"),
    "verdict": Column("Is"),
    "speedup": Column("Speed-up", "ratio", ".3f"),
    "speedup_low": Column("Speed-up, low", "ratio", ".3f"),
    "speedup_high": Column("Speed-up, high", "ratio", ".3f"),
}


def build_main(raw: "pd.DataFrame") -> "pd.DataFrame":
    """Medians over repeats, one row per number asked, with what it saves beside asking all."""
    ratios, raw = build_ratios(raw), _policies(raw)
    columns = {name: raw[source].astype(float) * scale for name, (source, scale) in _MEDIANS.items()}
    kept = raw[[*_KEYS, "busiest_role"]].assign(**columns, latency_void=raw["latency_status"] == "void")
    groups = kept.groupby(_KEYS, sort=False)
    frame = groups[list(_MEDIANS)].median().reset_index()
    frame["repeats"], frame["latency_void"] = groups.size().to_numpy(), groups["latency_void"].sum().to_numpy()
    frame["busiest_role"] = groups["busiest_role"].first().to_numpy()
    frame["level"] = [_name_level(*pair) for pair in zip(frame["asked"], frame["of"], strict=True)]
    frame["saves"] = [_describe_saved(ratios, row) for row in frame.to_dict("records")]
    return frame.sort_values([*_KEYS[:1], *_KEYS[3:], "asked"], kind="stable").reset_index(drop=True)[list(COLUMNS)]


def _describe_saved(ratios: "pd.DataFrame", row: dict[Any, Any]) -> str:
    """Work, waiting, messages: what is resolved as less."""
    if row["is_control"] or row["asked"] == row["of"]:
        return ""
    own = ratios[(ratios["who"] == row["who"]) & (ratios["asked"] == row["asked"]) & ~ratios["is_control"]]
    verdicts = dict(zip(own["quantity"], own["verdict"], strict=True))
    found = [word for quantity, (wanted, word) in _SAVED.items() if verdicts.get(quantity) == wanted]
    return ", ".join(found) or "nothing resolved"


#: Column -> raw column and factor.
_MEDIANS: Final = {
    "tx_per_s": ("tx_per_s", 1.0),
    "shared_tx_per_s": ("shared_tx_per_s", 1.0),
    "offered_per_s": ("offered_per_s", 1.0),
    "latency_p50_ms": ("latency_quorum_p50_ms", 1.0),
    "cpu_ms_per_tx": ("cpu_s_per_tx", 1e3),
    **{f"{role}_ms_per_tx": (f"cpu_s_per_tx_{role}", 1e3) for role in _ROLES},
    "messages_per_tx": ("messages_per_tx", 1.0),
    "kilobytes_per_tx": ("bytes_per_tx", 1e-3),
}
_CPU: Final = {f"{role}_ms_per_tx": Column(f"CPU, {role}s", "ms/tx", ".2f")
               for role in _ROLES}  # fmt: skip
COLUMNS: Final = {
    **{name: RATIO_COLUMNS[name] for name in ("who", "asked", "of", "level", "is_control")},
    "repeats": Column("Repeats", "", "d"),
    "saves": Column("Saves, beside asking all"),
    "tx_per_s": Column("Saturated, a machine per node", "tx/s", ".0f"),
    "shared_tx_per_s": Column("Saturated, shared cores", "tx/s", ".0f"),
    "busiest_role": Column("Busiest role, a machine per node"),
    "offered_per_s": Column("Offered", "tx/s", ".0f"),
    "latency_p50_ms": Column("Latency p50", "ms", ".2f"),
    "latency_void": Column("Void", "", "d"),
    "cpu_ms_per_tx": Column("CPU", "ms/tx", ".2f"),
    **_CPU,
    "messages_per_tx": Column("Messages", "1/tx", ".1f"),
    "kilobytes_per_tx": Column("Traffic", "kB/tx", ".1f"),
}


def build_failures(raw: "pd.DataFrame") -> "pd.DataFrame":
    """As measured, one row per number asked and failure."""
    rows = select_rows(raw, "failure", FAILURE_COLUMNS)
    return rows.assign(level=[_name_level(*pair) for pair in zip(rows["asked"], rows["of"], strict=True)])


FAILURE_COLUMNS: Final = {
    **{name: RATIO_COLUMNS[name] for name in ("who", "asked", "of", "level")},
    "failure": Column("Of these nodes"),
    "offered": Column("Offered", "tx", "d"),
    "committed": Column("Committed", "tx", "d"),
    "expected": Column("Expected", "tx", "d"),
    "tx_per_s": Column("Saturated", "tx/s", ".0f"),
}


def build_defences(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per line of defence, CPU in milliseconds."""
    rows = raw[raw["kind"] == "rejection"]
    columns = {name: rows[source].astype(float) * 1e3 for name, source in _DEFENCE_CPU.items()}
    plain = rows[["defence", "valid", "invalid", "bad_messages_per_tx"]]
    return plain.assign(**columns)[list(DEFENCE_COLUMNS)].astype({"valid": int, "invalid": int}).reset_index(drop=True)


_DEFENCE_CPU: Final = {
    "good_cpu_ms": "good_cpu_s_per_tx",
    "bad_cpu_ms": "bad_cpu_s_per_tx",
    **{f"bad_{role}_ms": f"bad_cpu_s_per_tx_{role}" for role in _ROLES},
}
DEFENCE_COLUMNS: Final = {
    "defence": Column("Who looks first"),
    "valid": Column("Valid in the ledger", "tx", "d"),
    "invalid": Column("Marked invalid", "tx", "d"),
    "good_cpu_ms": Column("CPU of a good one", "ms/tx", ".2f"),
    "bad_cpu_ms": Column("CPU of a bad one", "ms/tx", ".2f"),
    **{name: Column(f"of it, {name.split('_')[1]}s", "ms/tx", ".2f") for name in list(_DEFENCE_CPU)[2:]},
    "bad_messages_per_tx": Column("Messages of a bad one", "1/tx", ".1f"),
}


def build_networks(raw: "pd.DataFrame") -> "pd.DataFrame":
    """A row per real network."""
    return select_rows(raw, "net", NET_COLUMNS)


NET_COLUMNS: Final = {
    **{name: RATIO_COLUMNS[name] for name in ("who", "asked", "of")},
    "committed_per_s": Column("Saturated", "tx/s", ".0f"),
    "cpu_ms_per_tx": Column("CPU", "ms/tx", ".2f"),
    "messages_per_tx": Column("Messages", "1/tx", ".1f"),
    "bottleneck": Column("Bottleneck"),
    "audited_tx": Column("Audited in the ledgers", "tx", "d"),
}
