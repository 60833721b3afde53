"""Load: a closed loop keeps its number, an open loop counts from the intended instant, snapshots add up."""

from collections import Counter
from itertools import count, pairwise

import pytest

from bench.engines.load import Collector, LoadedSimulation, sample_block
from bench.engines.snapshot import compare_snapshots, take_snapshot
from bench.measure.openloop import constant, poisson
from bench.workload import make_record, vital_signs
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.links import LinkModel
from ehrcore.drive.sim import SimSetup
from ehrcore.effects import Observed, ObservedKind, Requested
from ehrcore.messages import Finalised
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import RecordKind
from ehrcore.types import MILLISECOND, MINUTE, SECOND, Role

RECORDS = (make_record(RecordKind.BILL, "p", "Claim", b"{}"), *vital_signs(1, 3, 1).records)
LINKS = LinkModel()
PARAMS = ChainParams("load", Topology(2, 2, 3, 2), 2, 2, is_modelled=True)


def load(params: ChainParams = PARAMS, links: LinkModel = LINKS, seed: str = "seed") -> LoadedSimulation:
    network = found_network(params, "modelled", seed)
    return LoadedSimulation(network, SimSetup(seed, EXAMPLE, links), RECORDS)


# -- closed loop -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outstanding", [15, 40])
def test_a_closed_loop_keeps_exactly_its_number_under_way(outstanding: int) -> None:
    loaded = load()
    loaded.close_loop(outstanding)
    collector, seen = loaded.collector, Counter[int]()
    while collector.receipts < 90:
        assert loaded.simulation.run(10 * MINUTE, 1) == 1
        seen[len(collector.requested) - collector.receipts - collector.refused] += 1
    assert set(seen) == {outstanding}


def test_a_closed_loop_measures_between_instants_at_which_a_block_is_everywhere() -> None:
    loaded = load()
    loaded.close_loop(30)
    begin = loaded.run_until_finished(30, 10 * MINUTE)
    end = loaded.run_until_finished(begin.finished + 45, 10 * MINUTE)
    instants = {flow.everyone for flow in loaded.collector.requested}
    assert {begin.at, end.at} <= instants
    for snapshot in (begin, end):
        done = [flow for flow in loaded.collector.requested if flow.everyone and flow.everyone <= snapshot.at]
        assert snapshot.finished == len(done)
    assert end.finished - begin.finished >= 45


def test_what_does_not_finish_in_time_is_said_with_how_far_it_came() -> None:
    loaded = load()
    loaded.close_loop(5)  # a block takes 15, and the loop offers no more until the wait of six minutes
    with pytest.raises(TimeoutError, match="^expected 15 transactions in every ledger, found 0 "):
        loaded.run_until_finished(15, MINUTE)


def test_paced_users_ask_once_per_period_and_not_before_their_answer() -> None:
    """While a node stalls, each user has one request out and makes no other: that is what a naive load test omits."""
    period, users = 200 * MILLISECOND, 20
    loaded = load()
    loaded.simulation.stall(SECOND, "agent-0", SECOND)
    loaded.simulation.stall(SECOND, "agent-1", SECOND)
    loaded.close_loop(users, period)
    loaded.simulation.run(3 * SECOND)
    asked = [flow.intended for flow in loaded.collector.requested]
    assert asked[:users] == [user * period // users for user in range(users)]
    assert asked == sorted(asked)
    for before, after in pairwise(asked[: 4 * users]):
        assert after - before == period // users, "answers come well within a period"
    silence = [flow for flow in loaded.collector.requested if SECOND < flow.intended < 2 * SECOND]
    assert 0 < len(silence) <= users
    for at in range(0, 3 * SECOND, 10 * MILLISECOND):
        assert sum(at <= instant < at + period for instant in asked) <= 2 * users


# -- open loop ---------------------------------------------------------------------------------------------------


def test_an_open_loop_counts_from_the_instant_that_was_intended() -> None:
    """A stalled visitor submits late; its users have waited all the while (no coordinated omission)."""
    loaded = load(links=LinkModel(latency_ns=0, bytes_per_second=0))
    visitor = next(node for node in loaded.simulation.nodes if node.role is Role.VISITOR)
    handle, stalls = visitor.machine.handle, iter([True])

    class Stalled:
        def handle(self, event, now):  # type: ignore[no-untyped-def]
            if isinstance(event, Requested) and next(stalls, False):
                visitor.crypto.meter.signs += 25_000  # half a second of work
            return handle(event, now)

    visitor.machine = Stalled()  # type: ignore[assignment]
    due = [10 * MILLISECOND * number for number in range(1, 200)]
    assert loaded.offer(iter(due), 15)
    flows = loaded.collector.requested[:15]
    assert [flow.intended for flow in flows] == due[:15]
    stalled_ns = 25_000 * EXAMPLE.sign_ns
    for flow, at in zip(flows, due, strict=False):
        assert flow.sent is not None
        assert flow.everyone is not None
        assert flow.everyone - flow.intended > flow.sent - flow.intended >= due[0] + stalled_ns - at


def test_requests_are_measured_in_the_order_of_their_instants_whichever_visitor_is_slow() -> None:
    """A visitor that lags must not have its share of the sample taken by one that does not."""
    params = ChainParams("load", Topology(1, 1, 1, 1, visitors=2), 1, 1, is_modelled=True)
    loaded = load(params)
    loaded.simulation.stall(0, "visitor-1", 10 * SECOND)
    loaded.offer(constant(100), 40)
    measured = loaded.collector.requested[:40]
    assert [flow.intended for flow in measured] == [10 * MILLISECOND * number for number in range(1, 41)]
    assert sum(flow.sent is None for flow in measured) == 30, "three of four records are the slow gateway's"


def test_stages_are_reached_in_order() -> None:
    loaded = load(links=LinkModel(jitter_ns=MILLISECOND))
    assert loaded.offer(poisson("a", 200), 30)
    for flow in loaded.collector.requested[:30]:
        assert flow.sent is not None
        assert flow.first is not None
        assert flow.quorum is not None
        assert flow.everyone is not None
        assert flow.intended < flow.sent < flow.first <= flow.quorum <= flow.everyone


def test_an_open_loop_goes_on_until_what_is_measured_is_everywhere() -> None:
    loaded = load()
    assert loaded.offer(poisson("b", 50), 20)
    assert all(flow.everyone for flow in loaded.collector.requested[:20])
    assert len(loaded.collector.requested) > 20


def test_an_open_loop_gives_up_on_a_network_that_does_not_keep_up() -> None:
    loaded = load(links=LinkModel(loss=0.999))
    offered = count(MILLISECOND, MILLISECOND)
    assert not loaded.offer(offered, 10)
    assert next(offered) // MILLISECOND == 8 * 10 + 2, "eight times as many requests as are measured, and one look more"


# -- the collector -----------------------------------------------------------------------------------------------


def _see(collector: Collector, kind: ObservedKind, *subjects: bytes, at: int = 1, detail: str = "") -> bool:
    return collector.observe(at, "visitor-0", Observed(kind, subjects, detail))


def test_a_transaction_is_followed_from_intent_to_the_last_contributor() -> None:
    collector = Collector(contributors=5)
    collector.expect(7, "visitor-0")
    assert not _see(collector, ObservedKind.SUBMITTED, b"a", at=9)
    for at in (10, 20, 30, 40, 50):
        assert collector.finished == 0
        assert not _see(collector, ObservedKind.COMMITTED, b"a", b"not ours", at=at)
    (flow,) = collector.requested
    assert (flow.intended, flow.sent, flow.first, flow.quorum, flow.everyone) == (7, 9, 10, 30, 50)
    assert collector.finished == 1


@pytest.mark.parametrize(
    ("kind", "detail", "goes_on"),
    [
        (ObservedKind.FINAL, "", True),
        (ObservedKind.FINAL, "contract", True),
        (ObservedKind.REFUSED, "no-right", True),
        (ObservedKind.COMMITTED, "", False),
        (ObservedKind.DECIDED, "0", False),
        (ObservedKind.DROPPED, "previous: expected a, found b", False),
    ],
)
def test_a_closed_loop_goes_on_after_every_end_of_a_transaction(kind: ObservedKind, detail: str, goes_on: bool) -> None:
    assert _see(Collector(1), kind, b"a", detail=detail) is goes_on


def test_what_becomes_of_transactions_and_blocks_is_counted() -> None:
    collector = Collector(1)
    _see(collector, ObservedKind.FINAL, b"a")
    _see(collector, ObservedKind.FINAL, b"b", detail="contract")
    _see(collector, ObservedKind.REFUSED, b"c", detail="no-right")
    _see(collector, ObservedKind.DECIDED, b"d", detail="15")
    _see(collector, ObservedKind.DECIDED, b"e", detail="0")
    _see(collector, ObservedKind.DROPPED, b"f", detail="previous: one thing")
    _see(collector, ObservedKind.DROPPED, b"f", detail="previous: another")
    assert (collector.receipts, collector.invalid, collector.refused) == (2, 1, 1)
    assert (collector.decided, collector.empty, collector.dropped) == (2, 1, {"previous": 2})


# -- snapshots ---------------------------------------------------------------------------------------------------


def test_use_per_transaction_adds_up_to_the_totals() -> None:
    loaded = load()
    loaded.close_loop(30)
    begin = loaded.run_until_finished(30, 10 * MINUTE)
    end = loaded.run_until_finished(begin.finished + 60, 10 * MINUTE)
    row, done = compare_snapshots(loaded, begin, end), end.finished - begin.finished
    spent = sum(end.cpu_ns.values()) - sum(begin.cpu_ns.values())
    assert row["cpu_s_per_tx"] * done == pytest.approx(spent / SECOND)
    roles = [f"cpu_s_per_tx_{role}" for role in ("visitor", "agent", "coordinator", "administrator", "contributor")]
    assert sum(row[name] for name in roles) == pytest.approx(row["cpu_s_per_tx"])
    for unit, place in (("messages", 0), ("bytes", 1)):
        total = sum(leg[place] for leg in end.legs.values()) - sum(leg[place] for leg in begin.legs.values())
        assert row[f"{unit}_per_tx"] * done == pytest.approx(total)
        assert sum(value for key, value in row.items() if key.startswith(f"{unit}:")) == pytest.approx(total / done)
    assert set(end.cpu_ns) == {node.name for node in loaded.simulation.nodes}


def test_the_bottleneck_is_the_node_that_was_busiest() -> None:
    loaded = load()
    loaded.close_loop(60)
    begin = loaded.run_until_finished(60, 10 * MINUTE)
    end = loaded.run_until_finished(begin.finished + 60, 10 * MINUTE)
    row = compare_snapshots(loaded, begin, end)
    busy = {name: end.cpu_ns[name] - begin.cpu_ns[name] for name in end.cpu_ns}
    name = max(busy, key=lambda name: busy[name])
    assert row["busiest_role"] == name.rpartition("-")[0]
    assert row["busiest_share"] == pytest.approx(busy[name] / (end.at - begin.at))
    # An event is charged when it begins, so the share of a saturated node can be a little above 1.
    assert 0.5 < row["busiest_share"] < 1.1


def test_a_leg_that_did_not_exist_at_the_first_snapshot_counts_from_nothing() -> None:
    loaded = load()
    empty = take_snapshot(loaded)
    loaded.close_loop(15)
    end = loaded.run_until_finished(15, 10 * MINUTE)
    assert empty.legs == {}
    assert compare_snapshots(loaded, empty, end)["messages:visitor>agent"] == 2.0


# -- records and samples --------------------------------------------------------------------------------------------


def test_records_are_taken_in_order_and_sensors_have_a_gateway_of_their_own() -> None:
    params = ChainParams("load", Topology(1, 1, 1, 1, visitors=2), 1, 1, is_modelled=True, limits=Limits(4))
    loaded = load(params)
    for _ in range(8):
        loaded.request(0)
    loaded.simulation.run(MINUTE)
    signed = {node.name: node.crypto.meter.signs for node in loaded.simulation.nodes}
    assert (signed["visitor-0"], signed["visitor-1"]) == (2, 6)
    assert loaded.collector.receipts == 8
    assert {record.location for record in RECORDS} == set(loaded.simulation.store._objects)


@pytest.mark.parametrize("suite", ["sha256", "md5"])
def test_a_sample_block_is_full_real_and_always_the_same(suite: str) -> None:
    block = sample_block(suite=suite)
    assert isinstance(block, Finalised)
    assert len(block.block.transactions) == 15
    sample_block.cache_clear()
    assert sample_block(suite=suite) == block
