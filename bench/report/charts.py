"""Charts of the page that answer the pointer: Vega-Lite specifications, made of the tables that a figure is made of.

A specification is JSON and is written as such: Altair, which validates them in the tests, would add a second to every
report, and numbers its views through the whole process, so that a second report would differ from the first.  Each has
the signal ``engine`` if it shows several, by which the page switches.  None is drawn where there is nothing to show.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from bench.report.chart_parts import (
    ENGINE,
    LINE,
    OF_ENGINE,
    POINT,
    Frames,
    Records,
    Spec,
    axis,
    keep,
    list_rows,
    make_chart,
    name_configuration,
    name_rule,
    named,
    picked,
    round_number,
    select,
    tips,
)
from bench.report.engines import ENGINES

_MODES: Final = {
    "calibrated_tx_per_6min": ("calibrated", "Paper-calibrated", 1),
    "tx_per_s": ("simulated", "Simulated, a machine per node", 360),
    "shared_tx_per_s": ("simulated", "Simulated, shared cores", 360),
    "net_tx_per_s": ("real", "Real nodes", 360),
}


def draw_table1(frames: Frames) -> Spec | None:
    """Ours against the paper's throughput, each configuration by name."""
    records: Records = []
    for row in list_rows(frames, "table1"):
        shared = {"row": row["row"], "name": name_configuration(row), "flag": round_number(row["flag"]) or "as printed"}
        for column, (engine, mode, factor) in _MODES.items():
            if (ours := round_number(row[column])) is not None:
                printed = float(row["paper_tx_per_6min"])
                records.append({**shared, "engine": engine, "mode": mode, "paper": printed, "ours": ours * factor})
    told = tips(
        records, row="Row of Table 1", name="Configuration", mode="Mode", paper="Paper", ours="Ours", flag="Row"
    )
    encoding = {
        "x": {**axis("paper", "Paper, as printed [tx/6 min]", zero=False, padding=15), "axis": {"format": "d"}},
        "y": axis("ours", "Ours [tx/6 min]", is_log=True),
        "color": named("mode", "Mode"),
        "shape": named("flag", "Row"),
        "tooltip": told,
    }
    return make_chart(records, params=[ENGINE], transform=[OF_ENGINE], mark=POINT, encoding=encoding)


_OVER: Final = "Time over SHA-256"


def draw_hashes(frames: Frames) -> Spec | None:
    """Time over SHA-256's by message size, for one library, with the SHA instructions or without."""
    columns = ("instructions", "library", "variant", "size_bytes", "ratio", "ratio_low", "ratio_high", "verdict",
               "median_ns")  # fmt: skip
    rows = [row for row in list_rows(frames, "hashes") if not row["is_control"] and row["variant"] != row["base"]]
    records = [keep(row, *columns) for row in rows]
    sizes = {"values": sorted({record["size_bytes"] for record in records}), "format": ",d"}
    along = {**axis("size_bytes", "Message [bytes]", is_log=True, nice=False, padding=15), "axis": sizes}
    base, over = {"x": along, "color": named("variant", "Function")}, axis("ratio", _OVER, is_log=True)
    told = tips(records, variant="Function", size_bytes="Bytes", ratio=_OVER, ratio_low="from", ratio_high="to",
                verdict="Verdict", median_ns="Median [ns]")  # fmt: skip
    layers = [
        {"mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": {"y": {"datum": 1, "title": _OVER}}},
        {"mark": "rule", "encoding": {**base, "y": axis("ratio_low", _OVER), "y2": {"field": "ratio_high"}}},
        {"mark": LINE, "encoding": {**base, "y": over, "tooltip": told}},
    ]
    params = [select("instructions", "Processor", records), select("library", "Library", records)]
    return make_chart(records, params=params, transform=[picked("instructions"), picked("library")], layer=layers)


_METRICS: Final = {
    "saturated_tx_per_s": "Throughput, saturated [tx/s]", "cpu_ms_per_tx": "CPU [ms/tx]",
    "latency_quorum_p50_ms": "Latency p50 at the offered load [ms]", "energy_mj_mid": "Active energy, mid [mJ/tx]",
    "messages_per_tx": "Messages [1/tx]", "kilobytes_per_tx": "Traffic [kB/tx]",
}  # fmt: skip


def draw_variants(frames: Frames) -> Spec | None:
    """Each rule with each hash, by one of several measures."""
    records: Records = []
    for table, engine in (("variants", "simulated"), ("variants_net", "real")):
        for row in list_rows(frames, table):
            for column, metric in _METRICS.items():
                value = round_number(row.get(column, row.get(column.replace("_quorum", ""))))
                if value is not None and not row.get("is_control"):
                    records.append({"engine": engine, "kind": ENGINES[engine], "rule": name_rule(row),
                                    "suite": row["suite"], "metric": metric, "value": value})  # fmt: skip
    encoding = {
        "x": {**named("rule", ""), "sort": None, "axis": {"labelAngle": -30}},
        "xOffset": {"field": "suite"},
        "y": axis("value", "", is_log=True),
        "color": named("suite", "Hash"),
        "shape": named("kind", "Engine"),
        "tooltip": tips(records, rule="Rule", suite="Hash", kind="Engine", metric="Measure", value="Value"),
    }
    params = [ENGINE, select("metric", "Measure", records)]
    return make_chart(records, params=params, transform=[OF_ENGINE, picked("metric")], mark=POINT, encoding=encoding)


def draw_extrapolation(frames: Frames) -> Spec | None:
    """Proof of work over its difficulty, simulated and by the model, beside proof of stake."""
    columns = ("quantity", "difficulty_bits", "source", "simulated", "model", "over_stake")
    records = [
        keep(row, *columns) for row in list_rows(frames, "variants_extrapolation") if math.isfinite(row["model"])
    ]
    for record in records:
        at = record["simulated"] or record["model"]
        record |= {"at": at, "stake": at / record["over_stake"] if record["over_stake"] else None}
    x = {"x": axis("difficulty_bits", "Difficulty [bits]", zero=False, padding=15)}
    told = tips(records, difficulty_bits="Bits", source="Source", model="Model", simulated="Simulated",
                over_stake="Over stake")  # fmt: skip
    layers = [
        {"mark": {"type": "line", "strokeDash": [6, 3]}, "encoding": {**x, "y": axis("model", "", is_log=True)}},
        {"mark": "line", "encoding": {**x, "y": axis("stake", ""), "color": {"datum": "proof of stake"}}},
        {"mark": POINT, "encoding": {**x, "y": axis("at", ""), "color": named("source", ""), "tooltip": told}},
    ]
    params = [select("quantity", "Quantity", records)]
    return make_chart(records, params=params, transform=[picked("quantity")], layer=layers)


def draw_factors(frames: Frames) -> Spec | None:
    """Which choice explains how much of the variance."""
    columns = ("scope", "response", "term", "share", "share_low", "share_high")
    records = [keep(row, *columns) for row in list_rows(frames, "variants_factors")]
    encoding = {
        "x": axis("share", "Share of the variance", domain=[0, 1]),
        "y": named("response", ""),
        "color": {**named("term", "Term"), "sort": None, "scale": {"scheme": "tableau20"}},
        "tooltip": tips(records, response="Response", term="Term", share="Share", share_low="Least repeat",
                        share_high="Greatest repeat"),
    }  # fmt: skip
    params = [select("scope", "Design", records)]
    return make_chart(records, 200, params=params, transform=[picked("scope")], mark="bar", encoding=encoding)


def draw_latency(frames: Frames) -> Spec | None:
    """What share of the requests took at most how long, with a stall and without."""
    columns = ("stall", "share", "inverse", "latency_ms")
    rows = list_rows(frames, "latency_curves")
    records = [{**keep(row, *columns), "curve": f"{row['method']}, {row['stage']}"} for row in rows]
    labels = {"labelExpr": "format(1 - 1 / datum.value, '.4~%')", "values": [1, 2, 10, 100, 1000]}
    encoding = {
        "x": {**axis("inverse", "Share of the requests", is_log=True), "axis": labels},
        "y": axis("latency_ms", "Latency, at most [ms]", is_log=True),
        "color": named("curve", "Method, contributors"),
        "tooltip": tips(records, curve="Method, contributors", share="Share", latency_ms="Latency [ms]"),
    }
    curves = {(record["stall"], record["curve"]) for record in records}
    params = [select("stall", "What stalls", records, first=Counter(stall for stall, _ in sorted(curves)))]
    mark = {"type": "line", "point": {"size": 15}}
    return make_chart(records, params=params, transform=[picked("stall")], mark=mark, encoding=encoding)


_RUNGS: Final = {
    "committed_per_s": "Committed [tx/s]", "goodput_per_s": "Goodput [tx/s]", "quorum_p50_ms": "Latency p50 [ms]",
    "quorum_p95_ms": "Latency p95 [ms]", "quorum_p99_ms": "Latency p99 [ms]", "cores_busy": "Cores at work",
}  # fmt: skip


def draw_load(frames: Frames) -> Spec | None:
    """What comes of the load that is offered to real nodes."""
    records: Records = [
        {"name": name_configuration(row), "offered": row["offered_per_s"], "metric": metric, "value": row[column],
         "low": row.get(f"{column}_low"), "high": row.get(f"{column}_high"), "verdict": row["verdict"]}
        for row in list_rows(frames, "load_ladder") for column, metric in _RUNGS.items()
    ]  # fmt: skip
    base = {"x": axis("offered", "Offered [tx/s]"), "color": named("name", "Network")}
    told = tips(records, name="Network", offered="Offered [tx/s]", metric="Measure", value="Value", low="from",
                high="to", verdict="Verdict")  # fmt: skip
    layers = [
        {"mark": "rule", "encoding": {**base, "y": axis("low", ""), "y2": {"field": "high"}}},
        {"mark": LINE, "encoding": {**base, "y": axis("value", ""), "tooltip": told}},
    ]
    params = [select("metric", "Measure", records)]
    return make_chart(records, params=params, transform=[picked("metric")], layer=layers)


def draw_faults(frames: Frames) -> Spec | None:
    """What is committed before, during and after a fault, one cell at a time; grey while it lasts."""
    columns = ("cell", "offered_per_s", "fault_s", "heal_s", "at_s", "commits_per_s")
    records: Records = []
    for row in list_rows(frames, "faults_course"):
        engine = "simulated" if row["engine"] == "simulated" else "real"
        records.append({**keep(row, *columns), "engine": engine, "kind": row["engine"]})
    engines = Counter(cell for cell, _ in sorted({(record["cell"], record["engine"]) for record in records}))
    times = [{"op": "min", "field": "fault_s", "as": "from"}, {"op": "max", "field": "heal_s", "as": "to"}]
    offered = [{"op": "mean", "field": "offered_per_s", "as": "offered"}]
    told = tips(records, kind="Engine", at_s="Time [s]", commits_per_s="Committed [tx/s]")
    time, rate = "Time [s]", "Committed [tx/s]"
    course = {"x": axis("at_s", time), "y": axis("commits_per_s", rate)}
    layers = [
        {"transform": [{"aggregate": times}], "mark": {"type": "rect", "opacity": 0.15, "color": "#7F7F7F"},
         "encoding": {"x": axis("from", time), "x2": {"field": "to"}}},
        {"transform": [{"aggregate": offered}], "mark": {"type": "rule", "strokeDash": [2, 3]},
         "encoding": {"y": axis("offered", rate)}},
        {"mark": {"type": "line", "interpolate": "step-after", "point": {"size": 20}},
         "encoding": {**course, "color": named("kind", "Engine"), "tooltip": told}},
    ]  # fmt: skip
    params = [ENGINE, select("cell", "Fault", records, first=engines)]
    return make_chart(records, params=params, transform=[OF_ENGINE, picked("cell")], layer=layers)


_AGREED: Final = {"per_s": "Throughput [tx/s]", "p50_ms": "Latency p50 [ms]", "cpu_ms": "CPU [ms/tx]"}


def draw_agreement(frames: Frames) -> Spec | None:
    """What the simulator predicted against what real networks did; on the line both are equal."""
    records: Records = [
        {"name": name_configuration(row), "use": row["use"], "metric": metric, "real": row[f"net_{column}"],
         "low": row.get(f"net_{column}_low"), "high": row.get(f"net_{column}_high"),
         "predicted": row[f"predicted_{column}"]}
        for row in list_rows(frames, "agree") for column, metric in _AGREED.items()
    ]  # fmt: skip
    base = {"x": axis("predicted", "Simulated", is_log=True), "color": named("use", "Network")}
    told = tips(records, name="Network", use="Use", metric="Measure", predicted="Simulated", real="Real", low="from",
                high="to")  # fmt: skip
    layers = [
        {"mark": {"type": "line", "strokeDash": [4, 3], "color": "#7F7F7F"},
         "encoding": {"x": axis("predicted", "Simulated"), "y": axis("predicted", "Real nodes")}},
        {"mark": "rule", "encoding": {**base, "y": axis("low", "Real nodes"), "y2": {"field": "high"}}},
        {"mark": POINT, "encoding": {**base, "y": axis("real", "Real nodes", is_log=True), "tooltip": told}},
    ]  # fmt: skip
    params = [select("metric", "Measure", records)]
    return make_chart(records, params=params, transform=[picked("metric")], layer=layers)


def draw_tamper(frames: Frames) -> Spec | None:
    """What share of the tries of each attack got past each protection."""
    columns = ("attack", "variant", "protection", "expected", "tries", "succeeded", "detected", "where")
    rows = [row for row in list_rows(frames, "tamper") if row["tries"]]
    records = [{**keep(row, *columns), "share": row["succeeded"] / row["tries"]} for row in rows]
    encoding = {
        "x": {**named("protection", ""), "sort": None, "axis": {"labelAngle": -20}},
        "y": {**named("attack", ""), "sort": None},
        "color": axis("share", "Succeeded", domain=[0, 1], range=["#dfe7ee", "#D55E00"], interpolate="rgb"),
        "tooltip": tips(records, attack="Attack", protection="Protection", variant="Hash", succeeded="Succeeded",
                        tries="Tries", detected="Detected", where="Found by", expected="Expected"),
    }  # fmt: skip
    mark = {"type": "rect", "stroke": "#7F7F7F", "strokeWidth": 0.3}
    return make_chart(
        records,
        {"step": 15},
        params=[select("variant", "Hash", records)],
        transform=[picked("variant")],
        mark=mark,
        encoding=encoding,
    )


#: Figure -> what draws its chart; the figure itself stays for print and for readers without scripts.
CHARTS: Final[Mapping[str, Callable[[Frames], Spec | None]]] = {
    "table1_throughput": draw_table1, "hashes_ratios": draw_hashes, "variants_difficulty": draw_variants,
    "variants_extrapolation": draw_extrapolation, "variants_factors": draw_factors, "latency_stall": draw_latency,
    "load_curves": draw_load, "faults_course": draw_faults, "agree": draw_agreement, "tamper": draw_tamper,
}  # fmt: skip
