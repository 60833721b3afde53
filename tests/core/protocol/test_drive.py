"""The simulator's parts against their naive definitions: the queue of events, links, processors, costs."""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.codec import encode
from ehrcore.crypto import Meter
from ehrcore.drive.cost import EXAMPLE, CostModel, HostModel, snapshot
from ehrcore.drive.kernel import Kernel
from ehrcore.drive.links import FRAME_OVERHEAD_BYTES, SEGMENT_BYTES, LinkModel, Links, Partition
from ehrcore.drive.mining import Miner
from ehrcore.drive.processors import Host, Station
from ehrcore.effects import Received, Send, Work
from ehrcore.errors import ParameterError
from ehrcore.params import ConsensusRule, WorkRule
from ehrcore.types import MICROSECOND, SECOND
from tests.core.protocol.conftest import END, Run, Scribe, check_invariants, make_network, make_params

# -- the queue of events -----------------------------------------------------------------------------------------------

KEYS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3)), max_size=60)


def filled(keys: list[tuple[int, int, int]]) -> tuple[Kernel, list[Any], list[tuple[int, ...]]]:
    """A kernel with one event per key, what it will have done, and the keys with each origin's own count."""
    kernel, done = Kernel(), list[Any]()
    counted = [(*key, counter) for counter, key in enumerate(keys)]
    for key in counted:
        kernel.schedule(*key, lambda node, argument: done.append((kernel.now, node, argument)), key)
    return kernel, done, counted


@given(keys=KEYS)
def test_events_happen_in_the_order_of_their_keys(keys: list[tuple[int, int, int]]) -> None:
    kernel, done, counted = filled(keys)
    assert kernel.run(END) == len(keys)
    assert done == [(key[0], key[1], key) for key in sorted(counted)]
    assert (kernel.pending, kernel.dispatched) == (0, len(keys))


@given(keys=KEYS, cuts=st.lists(st.integers(0, 6), max_size=4), most=st.integers(1, 5))
def test_a_run_may_be_cut_anywhere(keys: list[tuple[int, int, int]], cuts: list[int], most: int) -> None:
    whole, expected, _ = filled(keys)
    whole.run(END)
    kernel, done, counted = filled(keys)
    for until in sorted(cuts):
        kernel.run(until)
        assert [item[2] for item in done] == sorted(key for key in counted if key[0] <= until)
        assert kernel.now == until
    while kernel.run(END, most):
        pass
    assert done == expected


def test_what_an_event_schedules_happens_in_its_turn() -> None:
    kernel, done = Kernel(), list[str]()

    def first(node: int, argument: str) -> None:
        done.append(argument)
        kernel.schedule(1, 0, 9, 1, lambda _, argument: done.append(argument), "inserted")

    kernel.schedule(1, 0, 0, 0, first, "first")
    kernel.schedule(1, 1, 0, 1, lambda _, argument: done.append(argument), "last")
    kernel.run(1)
    assert done == ["first", "inserted", "last"]


# -- links -------------------------------------------------------------------------------------------------------------


def links(partitions: tuple[Partition, ...] = (), seed: str = "s", **model: Any) -> Links:
    return Links(LinkModel(**model), seed, partitions)


def test_a_message_takes_the_latency_and_its_time_on_the_wire() -> None:
    link = links(latency_ns=1_000, bytes_per_second=SECOND // 8)
    for size in (0, 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 10 * SEGMENT_BYTES):
        segments = max(-(-size // SEGMENT_BYTES), 1)
        wire = 8 * (size + segments * FRAME_OVERHEAD_BYTES)
        assert links(latency_ns=1_000, bytes_per_second=SECOND // 8).arrival("a", "b", size, 7) == 7 + wire + 1_000
    assert links(latency_ns=5, bytes_per_second=0).arrival("a", "b", 1 << 30, 0) == 5
    assert link.arrival("a", "b", 0, 0) == 8 * FRAME_OVERHEAD_BYTES + 1_000


@given(sends=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5_000), st.integers(0, 10_000)), max_size=30))
def test_a_sender_puts_one_message_after_the_other_on_the_wire(sends: list[tuple[str, int, int]]) -> None:
    link, free, now = links(latency_ns=10, bytes_per_second=SECOND), dict[str, int](), 0
    for sender, gap, size in sends:
        now += gap
        segments = max(-(-size // SEGMENT_BYTES), 1)
        free[sender] = max(free.get(sender, 0), now) + size + segments * FRAME_OVERHEAD_BYTES
        assert link.arrival(sender, "z", size, now) == free[sender] + 10


@given(gaps=st.lists(st.integers(0, 200), max_size=30))
def test_a_shared_medium_carries_one_message_at_a_time_whoever_sends(gaps: list[int]) -> None:
    link, free, now = links(shared_ns=100), 0, 0
    for index, gap in enumerate(gaps):
        now += gap
        free = max(free, now) + 100
        assert link.arrival(f"n{index % 3}", "z", index * 1_000, now) == free


def test_loss_0_loses_nothing_loss_1_everything_and_a_half_about_half() -> None:
    assert all(links(loss=0.0, jitter_ns=1).arrival("a", "b", 1, now) is not None for now in range(100))
    certain = links(loss=1.0)
    assert all(certain.arrival("a", "b", 1, now) is None for now in range(100))
    half = links(loss=0.5)
    lost = sum(half.arrival("a", "b", 1, now) is None for now in range(2_000))
    assert 850 < lost < 1_150


def test_jitter_has_the_mean_that_it_says() -> None:
    link = links(latency_ns=0, bytes_per_second=0, jitter_ns=1_000)
    delays = [link.arrival("a", "b", 0, 0) or 0 for _ in range(4_000)]
    assert 900 < sum(delays) / len(delays) < 1_100
    assert min(delays) >= 0


def test_each_link_has_a_chance_of_its_own() -> None:
    """What happens on one link changes nothing on another."""
    alone, busy = links(jitter_ns=1_000, bytes_per_second=0), links(jitter_ns=1_000, bytes_per_second=0)
    for _ in range(50):
        busy.arrival("c", "b", 1, 0)
        busy.arrival("a", "c", 1, 0)
        assert alone.arrival("a", "b", 1, 0) == busy.arrival("a", "b", 1, 0)
    other = links(seed="t", jitter_ns=1_000, bytes_per_second=0)
    assert [alone.arrival("a", "b", 1, 0) for _ in range(9)] != [other.arrival("a", "b", 1, 0) for _ in range(9)]


def test_a_partition_cuts_both_ways_from_start_until_end_and_nothing_within() -> None:
    link = links((Partition(10, 20, frozenset({"a", "b"})),))
    cut = [now for now in range(30) if link.arrival("a", "c", 1, now) is None]
    assert cut == list(range(10, 20))
    assert link.arrival("c", "a", 1, 15) is None
    assert link.arrival("a", "b", 1, 15) is not None
    assert link.arrival("c", "d", 1, 15) is not None


@pytest.mark.parametrize(
    "model",
    [{"latency_ns": -1}, {"jitter_ns": -1}, {"bytes_per_second": -1}, {"shared_ns": -1}, {"loss": -0.1},
     {"loss": 1.1}, {"loss": float("nan")}],
    ids=str,
)  # fmt: skip
def test_an_impossible_link_is_refused(model: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(model))):
        LinkModel(**model)


# -- processors --------------------------------------------------------------------------------------------------------

#: Work: when it arrives, at which of three stations, and how long it takes.
JOBS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(0, 9)), max_size=40)
#: Start and end of each job by its number.
Schedule = dict[int, tuple[int, int]]


def real_host(jobs: list[tuple[int, int, int]], cores: int) -> tuple[Schedule, int]:
    """Run the jobs on a `Host` in a `Kernel`; also the most that were at work at once."""
    kernel, done = Kernel(), Schedule()
    at_work, most, counter = 0, 0, len(jobs)

    def run(station: Station, job: int) -> bool:
        nonlocal at_work, most, counter
        length = jobs[job][2]
        done[job] = kernel.now, kernel.now + length
        if not length:
            return False
        at_work, counter = at_work + 1, counter + 1
        most = max(most, at_work)
        kernel.schedule(kernel.now + length, station.index, 0, counter, finish, None)
        return True

    def finish(index: int, _: None) -> None:
        nonlocal at_work
        at_work -= 1
        host.finish(stations[index])

    host = Host(cores, run)
    stations = [Station(index, host) for index in range(3)]
    for number, (at, index, _) in enumerate(jobs):
        kernel.schedule(at, index, 1, number, lambda index, job: host.submit(stations[index], job), number)
    kernel.run(END)
    return done, most


def naive_host(jobs: list[tuple[int, int, int]], cores: int) -> Schedule:
    """The same, one nanosecond after the other: first what ends, station by station, then what arrives."""
    done, inbox = Schedule(), [deque[int]() for _ in range(3)]
    ready, busy = deque[int](), dict[int, int]()
    for now in range(500):
        events: list[tuple[int, int, int, Callable[[int, int], None]]] = []

        def dispatch(now: int = now) -> None:
            while ready and len(busy) < cores:
                index = ready.popleft()
                job = inbox[index].popleft()
                done[job] = now, now + jobs[job][2]
                if jobs[job][2]:
                    busy[index] = now + jobs[job][2]
                elif inbox[index]:
                    ready.append(index)

        def end(index: int, _: int) -> None:
            del busy[index]
            if inbox[index]:
                ready.append(index)
            dispatch()

        def arrive(index: int, job: int) -> None:
            inbox[index].append(job)
            if index not in busy and index not in ready:
                ready.append(index)
            dispatch()

        events += [(index, 0, 0, end) for index, until in busy.items() if until == now]
        events += [(index, 1, number, arrive) for number, (at, index, _) in enumerate(jobs) if at == now]
        for index, _, number, action in sorted(events, key=lambda event: event[:3]):
            action(index, number)
    return done


@given(jobs=JOBS, cores=st.integers(1, 3))
def test_a_host_does_what_a_naive_one_does(jobs: list[tuple[int, int, int]], cores: int) -> None:
    done, most = real_host(jobs, cores)
    assert done == naive_host(jobs, cores)
    assert most <= cores
    for index in range(3):
        mine = sorted((at, number) for number, (at, station, _) in enumerate(jobs) if station == index)
        starts = [done[number] for _, number in mine]
        assert starts == sorted(starts)
        assert all(one[1] <= two[0] for one, two in pairwise(starts))


@given(jobs=JOBS, cores=st.integers(1, 3))
def test_no_core_idles_while_something_could_run(jobs: list[tuple[int, int, int]], cores: int) -> None:
    """Work is conserved: at any instant, a waiting job has its own station or all cores busy."""
    done, _ = real_host(jobs, cores)
    for number, (at, index, _) in enumerate(jobs):
        for now in range(at, done[number][0]):
            active = {jobs[job][1] for job, (start, end) in done.items() if start <= now < end}
            assert index in active or len(active) == cores


def test_a_station_that_waits_for_something_else_lends_out_its_core() -> None:
    log: list[tuple[int, Any]] = []

    def run(station: Station, job: str) -> bool:
        log.append((station.index, job))
        return True

    host = Host(1, run)
    one, two = Station(0, host), Station(1, host)
    host.submit(one, "append")
    host.submit(one, "next")
    host.submit(two, "other")
    assert log == [(0, "append")]
    host.yield_core()
    assert log == [(0, "append"), (1, "other")]
    host.finish(one, has_core=False)
    assert len(log) == 2
    host.finish(two)
    assert log[2:] == [(0, "next")]


@given(cores=st.integers(1, 3), taken=st.integers(1, 3), works=st.integers(0, 8))
def test_taken_cores_start_nothing_until_they_are_yielded(cores: int, taken: int, works: int) -> None:
    """What runs goes on, even if more is taken than was free; no core is lost or won in the end."""
    log: list[int] = []

    def run(station: Station, job: int) -> bool:
        log.append(job)
        return True

    host = Host(cores, run)
    stations = [Station(index, host) for index in range(1 + works)]
    host.submit(stations[0], -1)
    for _ in range(taken):
        host.take_core()
    for job, station in enumerate(stations[1:]):
        host.submit(station, job)
    assert log == [-1, *range(works)][: 1 + max(cores - taken - 1, 0)]
    host.finish(stations[0])
    assert log == [-1, *range(works)][: 1 + max(cores - taken, 0)]
    for _ in range(taken):
        host.yield_core()
    assert log == [-1, *range(works)][: 1 + cores]


@pytest.mark.parametrize("name", ["visitor-0", "agent-0", "coordinator-0", "administrator-0", "contributor-0"])
def test_a_stalled_node_takes_up_its_work_when_the_stall_is_over_and_is_not_charged_for_it(name: str) -> None:
    def last_final(stall: int) -> tuple[int, int]:
        run = Run(make_params((2, 2, 1, 1)), costs=EXAMPLE)
        run.sim.stall(1, name, stall)
        run.submit(15).run()
        check_invariants(run)
        return run.seen[-1][0], sum(node.cpu_ns for node in run.sim.nodes)

    (soon, busy), (late, same) = last_final(0), last_final(SECOND)
    assert same == pytest.approx(busy, rel=1e-4), "a later instant may take a byte more to write"
    assert SECOND < late <= SECOND + soon


def test_on_a_shared_host_a_durable_append_costs_latency_but_no_processor() -> None:
    def last_final(persist_ns: int) -> tuple[int, int]:
        costs = CostModel(20_000, 50_000, 400, 600, 2_000, 300, persist_ns, 400)
        params = make_params((3, 3, 4, 8))
        run = Run(params, costs=costs, host=HostModel(is_shared=True, cores=1)).submit(15).run()
        return run.seen[-1][0], sum(node.cpu_ns for node in run.sim.nodes)

    (soon, busy), (late, same) = last_final(0), last_final(50 * MICROSECOND)
    assert busy == same
    # Nine keepers append the block: if each held the core meanwhile, that would be nine waits, one after the other.
    assert 0 <= late - soon <= 100 * MICROSECOND


# -- cost --------------------------------------------------------------------------------------------------------------


def test_cost_is_counted_operations_times_unit_costs() -> None:
    costs, meter = CostModel(7, 11, 13, 17_000, 19, 23_000, 29, 31), Meter(1, 2, 3, 4)
    before = snapshot(meter)
    assert costs.crypto_ns(before, meter) == 0
    meter.signs, meter.verifies, meter.hashes, meter.hashed_bytes = 11, 22, 33, 44
    assert costs.crypto_ns(before, meter) == 10 * 7 + 20 * 11 + 30 * 13 + 40 * 17
    assert costs.message_cost_ns(100) == 19 + 2_300


class Eavesdropper:
    """A machine that adds up the bytes of what it is told and of what it says, once for all receivers."""

    def __init__(self, machine: Any) -> None:
        self.machine, self.count, self.size_bytes = machine, 0, 0

    def handle(self, event: Any, now: int) -> Any:
        effects = self.machine.handle(event, now)
        given = [event.message] if isinstance(event, Received) else []
        for message in (*given, *(effect.message for effect in effects if isinstance(effect, Send))):
            self.count += 1
            self.size_bytes += len(encode(message))
        return effects


def test_processor_time_is_what_meters_and_messages_add_up_to() -> None:
    costs = CostModel(7, 11, 13, 17_000, 19, 23_000, 29, 31)
    run = Run(make_params(), costs=costs).submit(30)
    for node in run.sim.nodes:
        node.machine = Eavesdropper(node.machine)  # type: ignore[assignment]
    run.run()
    check_invariants(run)
    for node in run.sim.nodes:
        # What opening the registry took before the first event is not charged.
        unborn = run.network.crypto(node.name)
        run.network.machine(node.name, unborn, run.sim.store)
        crypto = costs.crypto_ns(snapshot(unborn.meter), node.crypto.meter)
        ears: Any = node.machine
        assert node.cpu_ns == crypto + ears.count * 19 + ears.size_bytes * 23 > 0
        assert run.sim.cpu_ns(node) == node.cpu_ns


def test_legs_count_every_message_and_byte_by_role() -> None:
    run = Run(make_params()).submit(15).run()
    legs = {(a.value, b.value): leg.messages for (a, b), leg in run.sim.legs.items()}
    assert legs["visitor", "agent"] == 15 * 3
    assert legs["agent", "coordinator"] == 15 * 3 * 3
    assert legs["coordinator", "administrator"] == 15 * 3 * 4
    assert legs["administrator", "administrator"] == 3 + 2 * 4 * 3
    assert legs["administrator", "contributor"] == 4 * 2
    assert legs["administrator", "coordinator"] == 4 * 3
    assert legs["contributor", "visitor"] == 2


# -- mining ------------------------------------------------------------------------------------------------------------


def miner_work(difficulty: int, *, is_modelled: bool) -> tuple[Any, Work]:
    scribe = Scribe(make_network(make_params(is_modelled=is_modelled)))
    return scribe.crypto, Work(1, scribe.block([], difficulty=difficulty).header)


def test_a_search_takes_its_tries_and_counts_them_once() -> None:
    crypto, work = miner_work(50, is_modelled=False)
    miner = Miner("seed", 10, contenders=1, cores=1)
    duration = miner.start(work, crypto, 100)
    assert duration is not None
    found = miner.finish(miner.generation)
    assert found is not None
    assert found[0] == 1
    assert miner.cpu_ns(100 + duration) == duration
    assert miner.finish(miner.generation) is None


def test_a_search_that_is_given_up_costs_what_it_took_until_then() -> None:
    crypto, work = miner_work(1 << 20, is_modelled=True)
    miner = Miner("seed", 10, contenders=1, cores=1)
    miner.start(work, crypto, 0)
    generation = miner.generation
    assert miner.cpu_ns(1_000) == 1_000
    assert miner.start(Work(2, None), crypto, 1_000) is None
    assert miner.cpu_ns(50_000) == 1_000
    assert miner.finish(generation) is None


def test_modelled_searches_take_as_many_tries_as_the_difficulty_on_average() -> None:
    crypto, work = miner_work(1_000, is_modelled=True)
    miner = Miner("seed", 1, contenders=1, cores=1)
    tries = [miner.start(work, crypto, 0) or 0 for _ in range(4_000)]
    assert 940 < sum(tries) / len(tries) < 1_060
    assert min(tries) >= 1
    assert Miner("seed", 3, 1, 1).start(miner_work(1, is_modelled=True)[1], crypto, 0) == 3


@pytest.mark.parametrize(("contenders", "cores", "factor"), [(1, 1, 1), (1, 4, 1), (4, 4, 1), (8, 4, 2), (4, 1, 4)])
def test_miners_share_the_cores_of_one_host(contenders: int, cores: int, factor: int) -> None:
    crypto, work = miner_work(1_000, is_modelled=True)
    alone, shared = Miner("seed", 10, 1, 1), Miner("seed", 10, contenders, cores)
    duration = alone.start(work, crypto, 0)
    assert duration is not None
    assert shared.start(work, crypto, 0) == factor * duration


def test_mining_is_charged_to_the_administrators_processors() -> None:
    params = make_params(consensus=ConsensusRule.PROOF_OF_WORK, work=WorkRule(difficulty=1 << 20))
    run = Run(params, costs=EXAMPLE).submit(15).run()
    spent = {node.name: run.sim.cpu_ns(node) - node.cpu_ns for node in run.sim.nodes}
    assert all((spent[name] > 0) == name.startswith("administrator") for name in spent)
