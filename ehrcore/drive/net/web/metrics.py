"""A node's status as Prometheus reads it (text exposition format); names end in their unit, counters in ``_total``."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from ehrcore.drive.net.links import Flow
from ehrcore.drive.net.status import CommitLatency, NodeStatus


def write_metrics(status: NodeStatus) -> tuple[bytes, str]:
    """The text of all metrics, and its media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _StatusCollector(Collector):
    """Families made from one status; what is None is left out, never zero."""

    def __init__(self, status: NodeStatus) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        status = self._status
        info = GaugeMetricFamily("ehrcore_node_info", "The node.", labels=("node", "role", "phase"))
        info.add_metric((status.name, status.role, status.phase), 1)
        yield info
        yield from self._gauges()
        yield from self._counters()
        if status.commit_latency_ms is not None:
            yield _latency(status.role, status.commit_latency_ms)

    def _gauges(self) -> Iterator[Metric]:
        status = self._status
        for name, text, value in (
            ("block_height", "Height of the last final block.", status.height),
            ("waiting_transactions", "Transactions accepted and not known to be final.", status.waiting),
            ("lacking_shares", "Sealed records whose key it has no share of.", status.lacking_shares),
            ("queued_messages", "Messages that wait for their peers.", status.queued),
            ("resident_memory_bytes", "Resident memory.", status.rss_bytes),
            ("start_time_seconds", "Start, since 1970.", status.started_at_ns / 1e9),
        ):
            yield self._fill(GaugeMetricFamily(f"ehrcore_{name}", text, labels=("role",)), value, 0)

    def _counters(self) -> Iterator[Metric]:
        status = self._status
        switches = {"voluntary": status.voluntary_switches, "involuntary": status.involuntary_switches}
        for name, text, labels, found in (
            ("ledger_transactions", "Transactions in the ledger.", "", status.transactions),
            ("cpu_seconds", "Processor time.", "", status.cpu_s),
            ("durable_commits", "Waits for the disk.", "", status.durable_commits),
            ("frames_received", "Frames taken.", "", status.frames_in),
            ("frames_sent", "Frames sent, retries included.", "", status.frames_out),
            ("frame_retries", "Frames sent once more.", "", status.retries),
            ("messages_repeated", "Messages said again because nothing had come of them.", "", status.resent),
            ("transactions_expired", "Transactions given up because they did not become final.", "", status.expired),
            ("messages_overflowed", "Messages dropped from a full queue.", "", status.dropped_messages),
            ("messages_refused", "Messages that a peer would not take.", "", status.refused_messages),
            ("signatures_made", "Signatures made.", "", status.signs),
            ("signatures_verified", "Signatures verified.", "", status.verifies),
            ("hashes", "Hashes computed.", "", status.hashes),
            ("work_hashes", "Hashes tried for proof of work.", "", status.grind_tries),
            ("messages_received", "Messages received.", "peer_role", _messages(status.received)),
            ("received_bytes", "Bytes of messages received.", "peer_role", _sizes(status.received)),
            ("messages_sent", "Messages sent.", "peer_role", _messages(status.sent)),
            ("sent_bytes", "Bytes of messages sent.", "peer_role", _sizes(status.sent)),
            ("context_switches", "Context switches.", "kind", switches),
            ("http_requests", "Requests answered.", "method route status", status.http),
            ("problems", "Requests refused.", "problem", status.problems),
            ("dropped", "What the role dropped.", "reason", status.dropped),
            ("stale_blocks", "Blocks that lost to others.", "proposer", status.stale_blocks),
            ("reorganisations", "Times that blocks were left.", "blocks", status.reorganisations),
        ):
            family = CounterMetricFamily(f"ehrcore_{name}", text, labels=("role", *labels.split()))
            yield self._fill(family, found, len(labels.split()))

    def _fill(
        self, family: GaugeMetricFamily | CounterMetricFamily, found: Mapping[str, int] | float | None, labels: int
    ) -> Metric:
        """A number, or numbers by the values of ``labels`` labels after the role, with spaces between them."""
        if isinstance(found, Mapping):
            for key, value in found.items():
                family.add_metric((self._status.role, *key.split(" ", labels - 1)), value)
        elif found is not None:
            family.add_metric((self._status.role,), found)
        return family


def _messages(flows: Mapping[str, Flow]) -> dict[str, int]:
    return {role: flow.messages for role, flow in flows.items()}


def _sizes(flows: Mapping[str, Flow]) -> dict[str, int]:
    return {role: flow.size_bytes for role, flow in flows.items()}


def _latency(role: str, latency: CommitLatency) -> Metric:
    """Quantiles over the last transactions.  A summary's sum is not kept, so these are gauges in a summary's manner."""
    family = GaugeMetricFamily(
        "ehrcore_commit_latency_seconds",
        "From submission to this ledger, last transactions.",
        labels=("role", "quantile"),
    )
    for quantile, value in (("0.5", latency.p50), ("0.95", latency.p95), ("0.99", latency.p99), ("1", latency.max)):
        family.add_metric((role, quantile), value / 1e3)
    return family
