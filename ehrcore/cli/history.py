"""What all nodes have said of themselves in the last seconds, and what follows from it: rates, loads, latencies."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ehrcore.cli.format import show_number
from ehrcore.cli.status import processes
from ehrcore.drive.net.plan import NetworkPlan
from ehrcore.drive.net.status import NodeStatus
from ehrcore.types import SECOND

#: Rates are over this many seconds: long enough to be steady, short enough to follow.
SPAN_S: Final = 10.0


@dataclass(slots=True)
class Sample:
    """What all nodes said at one moment."""

    at_s: float
    nodes: Mapping[str, NodeStatus]

    def ledger(self) -> NodeStatus | None:
        """The node whose ledger has the most blocks."""
        keepers = [node for node in self.nodes.values() if node.transactions is not None]
        return max(keepers, key=lambda node: node.height, default=None)


@dataclass(slots=True)
class History:
    """The last samples, and what follows from them."""

    plan: NetworkPlan
    samples: deque[Sample] = field(default_factory=deque)

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        while len(self.samples) > 2 and sample.at_s - self.samples[1].at_s >= SPAN_S:  # noqa: PLR2004 - a span has two ends
            self.samples.popleft()

    def rates(self) -> tuple[float | None, float | None]:
        """Blocks and transactions per second in the ledger that is furthest; None while there is nothing to compare."""
        first, last = self.samples[0].ledger(), self.samples[-1].ledger()
        span_s = self.samples[-1].at_s - self.samples[0].at_s
        if first is None or last is None or not span_s:
            return None, None
        transactions = (last.transactions or 0) - (first.transactions or 0)
        return max(last.height - first.height, 0) / span_s, max(transactions, 0) / span_s

    def cpu_percent(self, name: str) -> float | None:
        """Share of one core that the node has used over the samples since it started."""
        last = self.samples[-1].nodes.get(name)
        if last is None:
            return None
        told = (sample.nodes[name] for sample in self.samples if name in sample.nodes)
        first = next(node for node in told if node.pid == last.pid)
        span_s = (last.now_ns - first.now_ns) / SECOND
        return 100 * (last.cpu_s - first.cpu_s) / span_s if span_s else None

    def down(self) -> list[str]:
        """Nodes that did not answer."""
        return [name for name in processes(self.plan) if name not in self.samples[-1].nodes]

    def latency_ms(self) -> tuple[float | None, float | None]:
        """Median and 95th percentile of the last transactions, from their author's signature to the ledger."""
        node = self.samples[-1].ledger()
        found = node.commit_latency_ms if node else None
        return (found.p50, found.p95) if found else (None, None)

    def pace(self) -> list[str]:
        """How far the chain is, how fast it goes and how long a transaction takes, each with its unit."""
        ledger, (blocks, rate), (p50, p95) = self.samples[-1].ledger(), self.rates(), self.latency_ms()
        return [
            f"block {show_number(ledger.height if ledger else None)}",
            f"{show_number(blocks, 1)} blocks/s",
            f"{show_number(ledger.transactions if ledger else None)} tx",
            f"{show_number(rate, 1)} tx/s",
            f"p50 {show_number(p50)} ms",
            f"p95 {show_number(p95)} ms",
        ]
