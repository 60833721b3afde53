"""What a node says of itself: plain counts, as JSON of ``GET /v1/status``."""

import os
import resource
import time
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ehrcore.drive.net.links import Flow

if TYPE_CHECKING:
    from ehrcore.drive.net.host import NodeHost

#: Commit latencies that are remembered, in transactions.
LATENCIES: Final = 1_024
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Counters:
    """What a node has counted since it started; the web layer counts ``http`` and ``problems``.

    Under proof of work, ``stale`` counts blocks by proposer and ``reorganisations`` by the blocks that were left.
    """

    received: dict[str, Flow] = field(default_factory=dict)
    frames_in: int = 0
    http: dict[tuple[str, str, int], int] = field(default_factory=dict)
    problems: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    stale: dict[str, int] = field(default_factory=dict)
    reorganisations: dict[str, int] = field(default_factory=dict)
    resent: int = 0
    expired: int = 0
    latencies_ns: deque[int] = field(default_factory=lambda: deque(maxlen=LATENCIES))


class CommitLatency(msgspec.Struct, frozen=True):
    """From a transaction's own time to its place in this ledger, over the last transactions (milliseconds)."""

    p50: float
    p95: float
    p99: float
    max: float
    count: int


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One node at one moment.

    ``transactions`` is None without a ledger, ``waiting`` but for agents, and ``lacking_shares`` (of how many sealed
    records it has no share of the key) but for contributors.
    """

    name: str
    role: str
    phase: str
    pid: int
    started_at_ns: int
    now_ns: int
    height: int
    tip: str
    state: str
    transactions: int | None
    waiting: int | None
    queued: int
    cpu_s: float
    rss_bytes: int
    voluntary_switches: int
    involuntary_switches: int
    durable_commits: int
    received: dict[str, Flow]
    sent: dict[str, Flow]
    frames_in: int
    frames_out: int
    retries: int
    resent: int
    expired: int
    dropped_messages: int
    refused_messages: int
    http: dict[str, int]
    problems: dict[str, int]
    dropped: dict[str, int]
    signs: int
    verifies: int
    hashes: int
    grind_tries: int
    lacking_shares: int | None = None
    stale_blocks: dict[str, int] = {}
    reorganisations: dict[str, int] = {}
    commit_latency_ms: CommitLatency | None


def summarise_latency(latencies_ns: deque[int]) -> CommitLatency | None:
    """Nearest-rank percentiles, or None if there is nothing yet."""
    if not latencies_ns:
        return None
    ordered, count = sorted(latencies_ns), len(latencies_ns)
    p50, p95, p99 = (ordered[-(-count * share // 100) - 1] / 1e6 for share in (50, 95, 99))
    return CommitLatency(p50, p95, p99, ordered[-1] / 1e6, count)


def read_rss_bytes() -> int:
    """Resident memory now (Linux), or the most so far where only that is known."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def build_status(host: "NodeHost") -> NodeStatus:
    """The node's status now."""
    counters, sent, meter, library = host.counters, host.links.sent, host.crypto.meter, host.library
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return NodeStatus(
        name=host.name,
        role=host.role.value,
        phase=host.phase.value,
        pid=os.getpid(),
        started_at_ns=host.started_at,
        now_ns=host.now(),
        height=host.height,
        tip=host.tip.hex(),
        state=host.state.digest.hex() if host.state else "",
        transactions=library.transactions if library else None,
        waiting=host.waiting if host.role.value == "agent" else None,
        queued=host.links.queued,
        cpu_s=time.process_time(),
        rss_bytes=read_rss_bytes(),
        voluntary_switches=usage.ru_nvcsw,
        involuntary_switches=usage.ru_nivcsw,
        durable_commits=host.journal.commits + (library.commits if library else 0),
        received=deepcopy(counters.received),
        sent=deepcopy(sent.by_role),
        frames_in=counters.frames_in,
        frames_out=sent.frames,
        retries=sent.retries,
        resent=counters.resent,
        expired=counters.expired,
        dropped_messages=sent.dropped,
        refused_messages=sent.refused,
        http={f"{method} {route} {status}": count for (method, route, status), count in counters.http.items()},
        problems=dict(counters.problems),
        dropped=dict(counters.dropped),
        signs=meter.signs,
        verifies=meter.verifies,
        hashes=meter.hashes,
        grind_tries=host.out.search.tries,
        lacking_shares=host.custody.lacking if host.custody else None,
        stale_blocks=dict(counters.stale),
        reorganisations=dict(counters.reorganisations),
        commit_latency_ms=summarise_latency(counters.latencies_ns),
    )
