"""Metrics are the status, by Prometheus's rules."""

import asyncio
import re
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ehrcore.drive.net.links import Flow
from ehrcore.drive.net.status import CommitLatency, NodeStatus
from ehrcore.drive.net.web.metrics import write_metrics
from tests.core.net.conftest import Local, Written

FULL = NodeStatus(
    name="contributor-0", role="contributor", phase="ready", pid=1, started_at_ns=1_500_000_000, now_ns=2_000_000_000,
    height=7, tip="aa", state="bb", transactions=31, waiting=2, queued=3, cpu_s=1.25, rss_bytes=1_048_576,
    voluntary_switches=11, involuntary_switches=12, durable_commits=13,
    received={"agent": Flow(14, 1_400), "visitor": Flow(15, 1_500)}, sent={"coordinator": Flow(16, 1_600)},
    frames_in=17, frames_out=18, retries=19, resent=20, expired=30, dropped_messages=21, refused_messages=22,
    http={"GET /v1/health 200": 23, "POST /v1/frames 401": 24}, problems={"not-authentic": 24},
    dropped={'odd "reason"\n\\': 25}, signs=26, verifies=27, hashes=28, grind_tries=29, lacking_shares=34,
    stale_blocks={"administrator-1": 32}, reorganisations={"2": 33},
    commit_latency_ms=CommitLatency(10.0, 20.0, 30.0, 40.0, 5),
)  # fmt: skip


def samples(status: NodeStatus) -> dict[tuple[str, ...], float]:
    """Value by name and the values of its labels (but the role's), in order of their names."""
    found = {}
    for family in text_string_to_metric_families(write_metrics(status)[0].decode()):
        for sample in family.samples:
            labels = [value for name, value in sorted(sample.labels.items()) if name != "role"]
            assert sample.labels["role"] == status.role
            found[sample.name.removeprefix("ehrcore_"), *labels] = sample.value
    return found


def test_every_count_of_a_status_is_a_metric() -> None:
    assert samples(FULL) == {
        ("node_info", "contributor-0", "ready"): 1,
        ("block_height",): 7,
        ("waiting_transactions",): 2,
        ("lacking_shares",): 34,
        ("queued_messages",): 3,
        ("resident_memory_bytes",): 1_048_576,
        ("start_time_seconds",): 1.5,
        ("ledger_transactions_total",): 31,
        ("cpu_seconds_total",): 1.25,
        ("durable_commits_total",): 13,
        ("frames_received_total",): 17,
        ("frames_sent_total",): 18,
        ("frame_retries_total",): 19,
        ("messages_repeated_total",): 20,
        ("transactions_expired_total",): 30,
        ("messages_overflowed_total",): 21,
        ("messages_refused_total",): 22,
        ("signatures_made_total",): 26,
        ("signatures_verified_total",): 27,
        ("hashes_total",): 28,
        ("work_hashes_total",): 29,
        ("stale_blocks_total", "administrator-1"): 32,
        ("reorganisations_total", "2"): 33,
        ("messages_received_total", "agent"): 14,
        ("messages_received_total", "visitor"): 15,
        ("received_bytes_total", "agent"): 1_400,
        ("received_bytes_total", "visitor"): 1_500,
        ("messages_sent_total", "coordinator"): 16,
        ("sent_bytes_total", "coordinator"): 1_600,
        ("context_switches_total", "voluntary"): 11,
        ("context_switches_total", "involuntary"): 12,
        ("http_requests_total", "GET", "/v1/health", "200"): 23,
        ("http_requests_total", "POST", "/v1/frames", "401"): 24,
        ("problems_total", "not-authentic"): 24,
        ("dropped_total", 'odd "reason"\n\\'): 25,
        ("commit_latency_seconds", "0.5"): 0.01,
        ("commit_latency_seconds", "0.95"): 0.02,
        ("commit_latency_seconds", "0.99"): 0.03,
        ("commit_latency_seconds", "1"): 0.04,
    }


#: Names and identities, which are no numbers.
NO_METRICS = {"name", "role", "phase", "pid", "now_ns", "tip", "state"}
OTHERS = {int: 999, float: 999.5, dict: {}}


@pytest.mark.parametrize("field", sorted(set(NodeStatus.__struct_fields__) - NO_METRICS))
def test_no_count_is_forgotten(field: str) -> None:
    value = getattr(FULL, field)
    changed = msgspec.structs.replace(FULL, **{field: OTHERS.get(type(value))})
    assert samples(changed) != samples(FULL)


def test_what_a_node_does_not_have_is_left_out() -> None:
    bare = msgspec.structs.replace(FULL, transactions=None, waiting=None, commit_latency_ms=None)
    names = {name[0] for name in samples(bare)}
    assert not names & {"ledger_transactions_total", "waiting_transactions", "commit_latency_seconds"}
    assert "block_height" in names


def test_names_are_as_prometheus_wants_them() -> None:
    text, media = write_metrics(FULL)
    assert media.startswith("text/plain; version=")
    for family in text_string_to_metric_families(text.decode()):
        assert re.fullmatch(r"ehrcore_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert all(sample.name.endswith("_total") == (family.type == "counter") for sample in family.samples)


def test_a_running_node_counts(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, "contributor-0") as net:
            for _ in range(3):
                answer = await net.ask("contributor-0", "/metrics")
                assert answer.status == 200
            value: Any = {
                (sample.name, sample.labels.get("route")): sample.value
                for family in text_string_to_metric_families(answer.body.decode())
                for sample in family.samples
            }
            assert value["ehrcore_http_requests_total", "/metrics"] == 2
            assert value["ehrcore_block_height", None] == net.hosts["contributor-0"].height
            assert value["ehrcore_ledger_transactions_total", None] == len(written.tx_ids)
            assert value["ehrcore_resident_memory_bytes", None] > 1 << 20

    asyncio.run(check())
