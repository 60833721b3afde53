"""What a transaction takes, apart: messages and bytes by leg and by role, energy with idle power in its own column."""

from typing import TYPE_CHECKING, Any, Final

from bench.experiments import columns
from bench.experiments.base import Column, Frame, Table
from bench.experiments.columns import BOUNDS, VARIANT_COLUMNS, with_bounds
from bench.experiments.rows import list_legs, to_frame
from bench.experiments.variants_rows import BASE_SUITE, KEYS, SIGNING, in_order, name_rules, rows_of

if TYPE_CHECKING:
    pass

_ROLES: Final = ("visitor", "agent", "coordinator", "administrator", "contributor")


def _base_variants(raw: Frame) -> list[tuple[dict[str, Any], Frame]]:
    """Every rule and difficulty with SHA-256, and its rows."""
    rows = in_order(raw)
    rows = rows[(rows["suite"] == BASE_SUITE) & ~rows["is_control"].astype(bool)]
    groups = rows.groupby(["rule", "difficulty_bits"], dropna=False, sort=False)
    return [({"rule": name_rules()[str(rule)], "difficulty_bits": bits}, part) for (rule, bits), part in groups]


def build_legs(raw: Frame) -> Frame:
    """A row per rule and leg that it uses: medians over repeats."""
    rows: list[dict[str, Any]] = []
    for keys, part in _base_variants(raw):
        legs = [(sender, receiver, _median(part, f"messages:{leg}"), _median(part, f"bytes:{leg}"))
                for leg, sender, receiver in list_legs(part)]  # fmt: skip
        total = sum(size for *_, messages, size in legs if messages > 0)
        rows += [{**keys, "sender": sender, "receiver": receiver, "messages_per_tx": messages,
                  "kilobytes_per_tx": size / 1e3, "share": size / total}
                 for sender, receiver, messages, size in legs if messages > 0]  # fmt: skip
    return to_frame(rows, LEG_COLUMNS).astype({"difficulty_bits": float})


def _median(part: Frame, name: str) -> float:
    """The median over repeats; a leg that a repeat did not use counts as 0."""
    return float(part[name].astype(float).fillna(0.0).median())


def build_roles(raw: Frame) -> Frame:
    """A row per rule and role: what all its nodes send, receive and compute."""
    import pandas as pd

    legs, rows = build_legs(raw), []
    for keys, part in _base_variants(raw):
        bits = keys["difficulty_bits"]
        same = legs["difficulty_bits"].isna() if pd.isna(bits) else legs["difficulty_bits"] == bits
        here = legs[(legs["rule"] == keys["rule"]) & same]
        for role in _ROLES:
            row: dict[str, Any] = {**keys, "role": role}
            for side, done in (("sender", "sent"), ("receiver", "received")):
                of_role = here[here[side] == role]
                row[f"messages_{done}_per_tx"] = of_role["messages_per_tx"].sum()
                row[f"kilobytes_{done}_per_tx"] = of_role["kilobytes_per_tx"].sum()
            known = f"cpu_s_per_tx_{role}" in part
            row["cpu_ms_per_tx"] = part[f"cpu_s_per_tx_{role}"].median() * 1e3 if known else float("nan")
            rows.append(row)
    return to_frame(rows, ROLE_COLUMNS).astype({"difficulty_bits": float})


def build_energy(raw: Frame) -> Frame:
    """A row per variant: joules per committed transaction at the offered load, idle power apart."""
    rows = in_order(raw)
    rows = rows[~rows["is_control"].astype(bool)]
    found = []
    for keys, part in rows.groupby(KEYS[:3], dropna=False, sort=False):
        row: dict[str, Any] = dict(zip(KEYS[:3], keys, strict=True)) | {"rule": name_rules()[str(keys[0])]}
        for bound in BOUNDS:
            row[f"active_mj_{bound}"] = part[f"energy_j_per_tx_{bound}"].median() * 1e3
        row["status"] = part["energy_status"].iloc[0]
        for name in ("offered_per_s", "nodes", "idle_j_per_tx"):
            row[name] = part[name].astype(float).median() if name in part else float("nan")
        row["idle_share"] = row["idle_j_per_tx"] / (row["idle_j_per_tx"] + row["active_mj_mid"] / 1e3)
        found.append(row)
    return to_frame(found, ENERGY_COLUMNS)


def build_signing(raw: Frame) -> Frame:
    """A row per curve and library: unit costs, medians over repeats, over the fastest library of the curve."""
    import pandas as pd

    rows, found = rows_of(raw, SIGNING), []
    for scheme, part in rows.groupby("scheme", sort=False) if len(rows) else ():
        curve, _, library = str(scheme).partition("/")
        found.append({"curve": curve, "library": library, "sign_us": part["sign_ns"].median() / 1e3,
                      "verify_us": part["verify_ns"].median() / 1e3, "is_used": bool(part["is_used"].iloc[0]),
                      "repeats": len(part)})  # fmt: skip
    frame = pd.DataFrame(found, columns=[name for name in SIGNING_COLUMNS if name != "verify_ratio"])
    least = frame.groupby("curve")["verify_us"].transform("min") if len(frame) else 1.0
    return frame.assign(verify_ratio=frame["verify_us"] / least)[list(SIGNING_COLUMNS)]


_RULE: Final = {name: VARIANT_COLUMNS[name] for name in ("rule", "difficulty_bits")}
LEG_COLUMNS: Final = {
    **_RULE,
    **columns.LEG_COLUMNS,
    "kilobytes_per_tx": Column("Traffic", "kB/tx", ".2f"),
    "share": Column("Share of the bytes", "", ".1%"),
}
ROLE_COLUMNS: Final = {
    **_RULE,
    "role": Column("Role"),
    "messages_sent_per_tx": Column("Messages sent", "1/tx", ".2f"),
    "messages_received_per_tx": Column("Messages received", "1/tx", ".2f"),
    "kilobytes_sent_per_tx": Column("Sent", "kB/tx", ".2f"),
    "kilobytes_received_per_tx": Column("Received", "kB/tx", ".2f"),
    "cpu_ms_per_tx": Column("CPU", "ms/tx", ".2f"),
}
ENERGY_COLUMNS: Final = {
    **VARIANT_COLUMNS,
    "offered_per_s": Column("At a load of", "tx/s", ".3g"),
    **with_bounds("active_mj", "Active,"),
    "status": Column("Active energy is"),
    "nodes": Column("Nodes", "", ".0f"),
    "idle_j_per_tx": Column("Idle, estimated", "J/tx", ".3g"),
    "idle_share": Column("Idle share", "", ".1%"),
}
SIGNING_COLUMNS: Final = {
    "curve": Column("Curve"),
    "library": Column("Library"),
    "sign_us": Column("Sign", "µs", ".1f"),
    "verify_us": Column("Verify", "µs", ".1f"),
    "verify_ratio": Column("Verify, over the curve's fastest", "ratio", ".2f"),
    "is_used": Column("Stands for the curve"),
    "repeats": Column("Repeats"),
}
TRAFFIC_TABLES: Final = (
    Table(
        "variants_legs",
        "Messages and bytes per committed transaction by leg, with SHA-256, at the offered load; medians over repeats "
        "(simulated; every message at its encoded size). Empty blocks and repeated words count.",
        LEG_COLUMNS, build_legs,
    ),
    Table(
        "variants_roles",
        "The same by role, all nodes of a role together, and their CPU time, counted work times measured unit costs.",
        ROLE_COLUMNS, build_roles,
    ),
    Table(
        "variants_energy",
        "Energy per committed transaction at one offered load; medians over repeats (simulated). Active: CPU-seconds "
        "times the stated watts of a busy core. Idle: what all nodes but visitors would draw while they do nothing, "
        "at the stated watts per node, over the transactions of that time; estimated, an assumption about machines "
        "that nobody measured here, and in no column of active energy. It falls with the load, active energy does not.",
        ENERGY_COLUMNS, build_energy,
        ("rule", "difficulty_bits", "suite", "active_mj_mid", "idle_j_per_tx", "idle_share"),
    ),
    Table(
        "variants_signing",
        "Unit costs of signatures as measured for the factorial design. libsecp256k1 (coincurve) stands for secp256k1 "
        "where it is installed; `cryptography` calls OpenSSL, whose P-256 is tuned and whose secp256k1 is not, so "
        "that with it the curve would seem as slow as the last column but two says. Medians over repeats.",
        SIGNING_COLUMNS, build_signing,
    ),
)  # fmt: skip
