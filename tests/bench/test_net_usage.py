"""What a step of load came to: rates from block to block, a transaction's share, the bottleneck that was planted."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.net.step import GENERATOR, Moment, Played
from bench.net.usage import (
    compute_rate,
    describe_processes,
    describe_throughput,
    describe_use,
    find_bottleneck,
    split_medians,
    split_rates,
)
from ehrcore.types import SECOND

BLOCKS = st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 15)), min_size=1, max_size=20)


def instants(blocks: list[tuple[int, int]]) -> list[int]:
    """Completions of blocks with these distances and sizes."""
    at, found = 0, []
    for distance, size in blocks:
        at += distance
        found += [at] * size
    return found


@given(BLOCKS)
def test_a_rate_counts_from_the_first_block_to_the_last(blocks: list[tuple[int, int]]) -> None:
    done = instants(blocks)
    found = compute_rate(done)
    if len(blocks) == 1:
        assert found is None
    else:
        assert found == pytest.approx(sum(size for _, size in blocks[1:]) * SECOND / (done[-1] - done[0]))


def test_where_one_never_arrives_the_time_runs_on() -> None:
    done = instants([(1, 15), (SECOND, 15)])
    assert compute_rate(done, 1 + 3 * SECOND) == pytest.approx(5.0)
    assert compute_rate([]) is None


@given(BLOCKS, st.integers(1, 8))
def test_parts_cover_the_whole_time_once(blocks: list[tuple[int, int]], parts: int) -> None:
    done = instants(blocks)
    rates = split_rates(done, parts)
    assert len(rates) == min(parts, len(blocks) - 1)
    if len(rates) == 1:
        assert rates[0] == pytest.approx(compute_rate(done))
    if rates:
        whole = compute_rate(done) or math.nan
        assert min(rates) <= whole * (1 + 1e-9)
        assert max(rates) >= whole * (1 - 1e-9)


def test_medians_of_parts() -> None:
    assert split_medians([1_000_000, 3_000_000, 2_000_000, 9_000_000, None, None], 2) == [2.0, None]
    assert split_medians([5_000_000, None, 4_000_000], 1) == [5.0]
    assert split_medians([], 2) == [None, None]


# -- statuses ----------------------------------------------------------------------------------------------------


def status(role: str, at_s: float, cpu_s: float, **more: Any) -> dict[str, Any]:
    return {
        "role": role, "now_ns": round(at_s * SECOND), "cpu_s": cpu_s, "rss_bytes": 50_000_000, "queued": 2,
        "voluntary_switches": 0, "involuntary_switches": 0, "frames_in": 0, "frames_out": 0, "sent": {}, "received": {},
        "waiting": None, "transactions": None, "dropped": {}, "durable_commits": 0, "signs": 0, "verifies": 0,
        "hashes": 0, "grind_tries": 0, **more,
    }  # fmt: skip


def flow(messages: int, size_bytes: int) -> dict[str, int]:
    return {"messages": messages, "size_bytes": size_bytes}


def played(moments: list[Moment], seconds: float = 10.0, **changes: Any) -> Played:
    """An agent took 500 and refused 20, a contributor kept 400; clocks of the processes differ."""
    before = {
        GENERATOR: status("visitor", 100, 1.0),
        "agent-0": status("agent", 50, 2.0, received={"visitor": flow(100, 0)}),
        "contributor-0": status("contributor", 0, 0.0, transactions=100),
    }
    after = {
        GENERATOR: status("visitor", 100 + seconds, 2.0, sent={"agent": flow(500, 150_000)}),
        "agent-0": status(
            "agent", 50 + seconds, 7.0, received={"visitor": flow(600, 0)}, dropped={"bad-signature": 20},
            sent={"coordinator": flow(480, 200_000)}, waiting=30, durable_commits=40, signs=500,
        ),
        "contributor-0": status("contributor", seconds, 4.0, transactions=500, durable_commits=4, frames_out=7),
    }  # fmt: skip
    given = {
        "since": 0, "until": round(seconds * SECOND), "ended_at": round(20 * SECOND), "is_out_of_stock": False,
        "moments": moments, "completions": sorted(m.everyone for m in moments if m.everyone is not None),
        "before": before, "after": after, "unsettled": 0,
    }  # fmt: skip
    return Played(**{**given, **changes})


def moment(at_s: float, took_s: float | None, verdict: str = "") -> Moment:
    at = round(at_s * SECOND)
    done = None if took_s is None else at + round(took_s * SECOND)
    return Moment(at, at, done, done, done, None, verdict)


def test_four_throughputs() -> None:
    moments = [moment(number / 10, 1.0) for number in range(100)]
    moments[5].verdict = "contract"
    row = describe_throughput(played(moments), 5 * SECOND, seconds=10.0)
    assert row["offered_per_s"] == 10.0
    assert row["accepted_per_s"] == pytest.approx(48.0), "500 taken less 20 refused, by the agent's clock"
    assert row["committed_per_s"] == pytest.approx(10.0)
    assert row["goodput_per_s"] == pytest.approx(9.9), "what is not valid is committed, too"
    assert (row["measured_tx"], row["refused_tx"], row["unanswered_tx"]) == (100, 0, 0)


def test_what_comes_too_late_is_no_goodput() -> None:
    moments = [moment(number / 10, 1.0 if number % 2 else 6.0) for number in range(100)]
    row = describe_throughput(played(moments), 5 * SECOND, seconds=10.0)
    assert row["goodput_per_s"] == pytest.approx(row["committed_per_s"] / 2)


def test_a_transaction_that_never_arrives_lengthens_the_time() -> None:
    moments = [moment(number / 10, 1.0) for number in range(99)] + [moment(9.9, None)]
    row = describe_throughput(played(moments), 5 * SECOND, seconds=10.0)
    assert row["unanswered_tx"] == 1
    assert row["committed_per_s"] == pytest.approx(98 / 19.0), "from the first completion to the end of the step"


@given(st.integers(1, 14), st.integers(20, 400))
def test_what_shares_a_block_with_the_measured_ones_is_counted_with_them(offset: int, rate: int) -> None:
    """Blocks of 15 at a steady pace, of which some are measured: the pace is found whatever part of a block that is."""
    block_ns = 15 * SECOND // rate
    done = [(number // 15 + 1) * block_ns for number in range(15 * 12)]
    moments = [Moment(0, 0, at, at, at) for at in done[offset : offset + 120]]
    row = describe_throughput(played(moments, completions=done), SECOND, seconds=1.0)
    assert row["committed_per_s"] == pytest.approx(rate, rel=1e-3)


def test_a_closed_loop_counts_what_was_completed_while_load_was_on() -> None:
    completions = instants([(SECOND, 15)] * 12)
    row = describe_throughput(played([moment(1, 1.0)], completions=completions), SECOND)
    assert row["committed_per_s"] == pytest.approx(15.0)


def test_shares_of_a_transaction_are_taken_by_each_process_own_clock() -> None:
    processes = describe_processes(played([]))
    use = describe_use(processes, 1_000_000, cores=2)
    # 40 transactions a second are in the ledger; the agent worked half of the time.
    assert use["cpu_s_per_tx_agent"] == pytest.approx(0.5 / 40)
    assert use["cpu_s_per_tx_visitor"] == pytest.approx(0.1 / 40)
    assert use["cpu_s_per_tx"] == pytest.approx(1.0 / 40)
    assert use["messages:agent>coordinator"] == pytest.approx(48 / 40)
    assert use["bytes:visitor>agent"] == pytest.approx(15_000 / 40)
    assert use["messages_per_tx"] == pytest.approx((48 + 50) / 40)
    assert use["commits_per_tx"] == pytest.approx(4.4 / 40)
    assert use["frames_per_tx"] == pytest.approx(0.7 / 40)
    assert use["rss_bytes"] == 150_000_000
    assert use["queued"] == 3 * 2 + 30
    assert use["cores_busy"] == pytest.approx(1.0)


def test_without_a_transaction_there_is_nothing_to_share() -> None:
    processes = describe_processes(played([]))
    for item in processes:
        item["transactions_per_s"] = 0.0
    with pytest.raises(TimeoutError, match="found no new ones"):
        describe_use(processes, 1_000_000, cores=2)


def process(name: str, cores: float, commits: float = 0.0) -> dict[str, Any]:
    role = "visitor" if name == GENERATOR else name.partition("-")[0]
    return {"process": name, "role": role, "cpu_cores": cores, "commits_per_s": commits}


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        ([process("agent-0", 0.9), process("coordinator-0", 0.95)], "CPU, all cores (most: coordinator, 51%)"),
        ([process("agent-0", 0.3), process("coordinator-0", 0.95)], "CPU of one coordinator"),
        ([process(GENERATOR, 0.97), process("agent-0", 0.3)], "CPU of one load generator"),
        ([process("contributor-0", 0.2, 400), process("agent-0", 0.3)], "disk of one contributor"),
        ([process("contributor-0", 0.2, 40), process("agent-0", 0.3)], "waiting (network, timers)"),
    ],
)
def test_the_bottleneck_that_was_planted_is_named(processes: list[dict[str, Any]], expected: str) -> None:
    found = find_bottleneck(processes, 2_000_000, cores=2)
    assert found["bottleneck"] == expected
    assert found["cores_busy"] == pytest.approx(sum(item["cpu_cores"] for item in processes))
