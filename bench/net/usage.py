"""What a step of load came to: throughputs, what each process used, what a transaction took, and what held it back."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, Final

from bench.experiments.base import Row
from bench.net.step import GENERATOR, Played
from ehrcore.types import MILLISECOND, SECOND, Role

#: A core, or all of them, at work for so large a share of the time are what limits a network.
BUSY_SHARE: Final = 0.9
#: Into so many consecutive parts a run is divided, for an interval where one run has to do.
PARTS: Final = 6
#: In the order of the pipeline; the load generator stands for the visitors.
ROLES: Final = tuple(role.value for role in Role if role is not Role.AUTHORITY)
#: Columns of a process, each per second, and what of its status they come from.
COUNTS: Final = {
    "cpu_cores": "cpu_s",
    "signs_per_s": "signs",
    "verifies_per_s": "verifies",
    "hashes_per_s": "hashes",
    "commits_per_s": "durable_commits",
    "frames_in_per_s": "frames_in",
    "frames_out_per_s": "frames_out",
    "grind_tries_per_s": "grind_tries",
    "voluntary_switches_per_s": "voluntary_switches",
    "involuntary_switches_per_s": "involuntary_switches",
    "transactions_per_s": "transactions",
}
Status = Mapping[str, Any]


def compute_rate(completions: Sequence[int], ended_at: int | None = None) -> float | None:
    """Completions per second from the first instant at which there were any to the last, or to ``ended_at`` (ns).

    The instants ascend; those of one block are alike, and the first block only begins the time.  None if nothing
    came after it.
    """
    if not completions:
        return None
    first, last = completions[0], completions[-1] if ended_at is None else ended_at
    later = sum(instant > first for instant in completions)
    return later * SECOND / (last - first) if later else None


def split_rates(completions: Sequence[int], parts: int) -> list[float]:
    """Completions per second in consecutive parts of about as many blocks each; ascending instants, alike in a block.

    Fewer parts where there are too few blocks.
    """
    instants = sorted(set(completions))
    ends = sorted({round(part * (len(instants) - 1) / parts) for part in range(parts + 1)})
    return [
        sum(instants[low] < at <= instants[high] for at in completions) * SECOND / (instants[high] - instants[low])
        for low, high in pairwise(ends)
    ]


def split_medians(latencies_ns: Sequence[int | None], parts: int) -> list[float | None]:
    """Medians (ms) of consecutive parts of about equal size; None where half of a part has no answer."""
    found: list[float | None] = []
    for part in range(parts):
        held = latencies_ns[part * len(latencies_ns) // parts : (part + 1) * len(latencies_ns) // parts]
        middle = median(float("inf") if value is None else value for value in held) if held else float("inf")
        found.append(None if middle == float("inf") else middle / MILLISECOND)
    return found


def describe_throughput(played: Played, timeout_ns: int, *, seconds: float | None = None) -> Row:
    """Offered, accepted by the agents, committed by all contributors, and goodput, each per second, and what failed.

    ``seconds`` are those of an open loop.  Goodput is what was committed as valid within ``timeout_ns`` of its intended
    instant.
    """
    moments = played.moments
    waits = [(moment.everyone - moment.intended, moment.verdict) for moment in moments if moment.everyone is not None]
    valid = sum(wait <= timeout_ns and not verdict for wait, verdict in waits)
    counted, committed = _find_committed(played, is_closed=seconds is None)
    seconds = seconds or (played.until - played.since) / SECOND
    accepted = [
        (_count_accepted(after) - _count_accepted(before)) / _elapsed_s(before, after)
        for name, before, after in _statuses(played)
        if after["role"] == Role.AGENT.value
    ]
    return {
        "offered_per_s": len(moments) / seconds,
        "accepted_per_s": median(accepted),
        "committed_per_s": committed,
        "committed_per_s_parts": split_rates(counted, PARTS),
        "goodput_per_s": committed and committed * valid / max(len(waits), 1),
        "measured_tx": len(moments),
        "refused_tx": sum(moment.refused is not None for moment in moments),
        "unanswered_tx": sum(moment.everyone is None and moment.refused is None for moment in moments),
    }


def _find_committed(played: Played, *, is_closed: bool) -> tuple[list[int], float | None]:
    """Instants at which transactions were committed, and how many a second, from block to block.

    In a closed loop while load was on; in an open loop from the first measured transaction's block to the last one's,
    or to the end of the step if one never arrived.
    """
    if is_closed:
        counted = [at for at in played.completions if played.since < at <= played.until]
        return counted, compute_rate(counted)
    done = sorted(moment.everyone for moment in played.moments if moment.everyone is not None)
    # With the others in these blocks: what was measured alone would lack a part of the last one.
    last = done[-1] if len(done) == len(played.moments) > 0 else played.ended_at
    counted = [at for at in played.completions if done and done[0] <= at <= last]
    return counted, compute_rate(counted, last)


def describe_processes(played: Played) -> list[Row]:
    """A row per process between the two readings, rates per second of its own clock; the generator is one of them."""
    rows = []
    for name, before, after in _statuses(played):
        elapsed_s = _elapsed_s(before, after)
        row: Row = {"kind": "process", "process": name, "role": after["role"], "elapsed_s": elapsed_s}
        for column, key in COUNTS.items():
            row[column] = ((after.get(key) or 0) - (before.get(key) or 0)) / elapsed_s
        for way in ("sent", "received"):
            for role, flow in after[way].items():
                held = before[way].get(role, {"messages": 0, "size_bytes": 0})
                row[f"{way}_messages_per_s:{role}"] = (flow["messages"] - held["messages"]) / elapsed_s
                row[f"{way}_bytes_per_s:{role}"] = (flow["size_bytes"] - held["size_bytes"]) / elapsed_s
        row |= {"rss_bytes": after["rss_bytes"], "queued": after["queued"], "waiting": after.get("waiting")}
        rows.append(row)
    return rows


def total_flow(process: Row, unit: str) -> float:
    """Messages, or bytes, that a process has sent and received a second."""
    return math.fsum(value for key, value in process.items() if key.partition(":")[0].endswith(f"_{unit}_per_s"))


def describe_use(processes: Sequence[Row], persist_ns: int, cores: int) -> Row:
    """What one transaction in the ledger took, in all and by role and leg, and what was busy.

    A durable commit is counted as ``persist_ns`` of a process's time.  `TimeoutError` if nothing was committed.
    """
    rate = median(item["transactions_per_s"] for item in processes if item["role"] == Role.CONTRIBUTOR.value)
    if not rate:
        raise TimeoutError("expected transactions in the contributors' ledgers, found no new ones")
    row: Row = {"cpu_s_per_tx": 0.0, **dict.fromkeys((f"cpu_s_per_tx_{role}" for role in ROLES), 0.0)}
    row |= {"messages_per_tx": 0.0, "bytes_per_tx": 0.0}
    for item in processes:
        row["cpu_s_per_tx"] += item["cpu_cores"] / rate
        row[f"cpu_s_per_tx_{item['role']}"] += item["cpu_cores"] / rate
        for key, value in item.items():
            name, _, receiver = key.partition(":")
            if receiver and name.startswith("sent_"):
                unit, leg = name.split("_")[1], f"{item['role']}>{receiver}"
                row[f"{unit}:{leg}"] = row.get(f"{unit}:{leg}", 0.0) + value / rate
                row[f"{unit}_per_tx"] += value / rate
    row["commits_per_tx"] = sum(item["commits_per_s"] for item in processes) / rate
    row["frames_per_tx"] = sum(item["frames_out_per_s"] for item in processes) / rate
    row["rss_bytes"] = sum(item["rss_bytes"] for item in processes)
    row["queued"] = sum(item["queued"] + (item["waiting"] or 0) for item in processes)
    return row | find_bottleneck(processes, persist_ns, cores)


def find_bottleneck(processes: Sequence[Row], persist_ns: int, cores: int) -> Row:
    """How busy everything was, and the first of these that limits: all cores, one process (its work or its disk)."""
    by_role: dict[str, float] = {}
    for item in processes:
        by_role[item["role"]] = by_role.get(item["role"], 0.0) + item["cpu_cores"]
    busy, most = sum(by_role.values()), max(by_role, key=by_role.__getitem__)
    disks = [item["commits_per_s"] * persist_ns / 1e9 for item in processes]
    fullest = max(range(len(processes)), key=lambda place: processes[place]["cpu_cores"] + disks[place])
    cpu, disk = processes[fullest]["cpu_cores"], disks[fullest]
    if busy >= BUSY_SHARE * cores:
        found = f"CPU, all cores (most: {most}, {by_role[most] / busy:.0%})"
    elif cpu + disk >= BUSY_SHARE:
        item = processes[fullest]
        where = "load generator" if item["process"] == GENERATOR else item["role"]
        found = f"{'CPU' if cpu > disk else 'disk'} of one {where}"
    else:
        found = "waiting (network, timers)"
    return {
        "cores_busy": busy,
        "busiest_role": most,
        "busiest_share": max(item["cpu_cores"] for item in processes),
        "disk_share": max(disks),
        "bottleneck": found,
    }


def _statuses(played: Played) -> Iterator[tuple[str, Status, Status]]:
    """Name and both statuses of every process."""
    for name, after in played.after.items():
        before = played.before[name]
        if before is None or after is None:
            raise AssertionError(f"{name}: the network refuses a step without its status")
        yield name, before, after


def _elapsed_s(before: Status, after: Status) -> float:
    seconds: float = (after["now_ns"] - before["now_ns"]) / SECOND
    return seconds


def _count_accepted(status: Status) -> int:
    """Transactions that an agent has taken and not refused so far."""
    taken: int = status["received"].get(Role.VISITOR.value, {}).get("messages", 0)
    refused: int = sum(status["dropped"].values())
    return taken - refused
