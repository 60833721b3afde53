"""Open loop in virtual time: requests go out when they are due, whatever is answered; every one is kept."""

import asyncio
import math
import statistics
from collections.abc import Callable, Coroutine
from itertools import islice, pairwise, takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.latency import Sample, compute_latencies, compute_lateness, summarise
from bench.measure.openloop import LoadGenerator, constant, poisson
from ehrcore.types import MILLISECOND, SECOND

TIMEOUT_NS = 10 * SECOND
Send = Callable[[int], Coroutine[Any, Any, None]]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that waits for nothing: where it would sleep, its clock jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        wait = self._selector.select

        def select(timeout: float | None = None) -> Any:
            assert timeout is not None, "nothing is left to wait for: a deadlock"
            self.now_ns += math.ceil(timeout * 1e9)
            return wait(0)

        self._selector.select = select

    def time(self) -> float:
        return self.now_ns / 1e9


def simulate(work: Callable[[VirtualLoop], Coroutine[Any, Any, Any]]) -> Any:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.close()


def generator_of(loop: VirtualLoop, send: Send, timeout_ns: int = TIMEOUT_NS) -> LoadGenerator:
    return LoadGenerator(send, timeout_ns=timeout_ns, clock=lambda: loop.now_ns, spin_ns=0)


def run_open(due: list[int], answer_s: Callable[[int], float], **bounds: int) -> LoadGenerator:
    async def work(loop: VirtualLoop) -> LoadGenerator:
        generator = generator_of(loop, lambda index: asyncio.sleep(answer_s(index)))
        await generator.run_open(due, **bounds)
        return generator

    return simulate(work)


def near(found_ns: int | None, expected_ns: int) -> bool:
    """Within a microsecond: an event loop's time is a float of seconds."""
    return found_ns is not None and abs(found_ns - expected_ns) < 1_000


# -- schedules ---------------------------------------------------------------------------------------------------


def test_arrivals_are_those_of_a_poisson_process_and_the_same_for_a_seed() -> None:
    first, again, other = (list(islice(poisson(seed, 100), 4_000)) for seed in ("a", "a", "b"))
    assert first == again != other
    gaps = [b - a for a, b in pairwise([0, *first])]
    assert min(gaps) > 0
    assert statistics.fmean(gaps) == pytest.approx(SECOND / 100, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(SECOND / 100, rel=0.08)


def test_arrivals_never_stand_still_however_fast_they_come() -> None:
    instants = list(takewhile(lambda at: at < 1_000, poisson("a", 1e9)))
    assert len(instants) == len(set(instants))


def test_a_constant_rate_does_not_drift() -> None:
    assert list(islice(constant(3), 4)) == [333_333_333, 666_666_667, SECOND, 1_333_333_333]
    assert next(islice(constant(7), 7 * 10**4 - 1, None)) == 10_000 * SECOND


# -- the open loop -----------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=40).map(sorted),
    st.lists(st.integers(1, 5_000), min_size=40, max_size=40),
)
def test_every_request_goes_out_when_it_is_due_whatever_is_answered(due_ms: list[int], answers_ms: list[int]) -> None:
    due = [at * MILLISECOND for at in due_ms]
    generator = run_open(due, lambda index: answers_ms[index] / 1e3)
    assert [sample.intended for sample in generator.samples] == due
    for sample, answer_ms in zip(generator.samples, answers_ms, strict=False):
        assert near(sample.sent, sample.intended)
        assert near(sample.everyone, sample.intended + answer_ms * MILLISECOND)
        assert sample.first == sample.quorum == sample.everyone == sample.ended
    assert generator.ended_at == max(sample.ended or 0 for sample in generator.samples)


def test_a_stall_hits_all_who_would_have_asked_and_a_closed_loop_asks_once() -> None:
    """A server that stands still from 1 s to 2 s: naive p99 beside ours, in real driver code."""

    def answer_at(now_ns: int) -> float:
        return 0.001 + (max(2 * SECOND - now_ns, 0) / 1e9 if now_ns >= SECOND else 0)

    def measure(start: Callable[[LoadGenerator], Coroutine[Any, Any, None]]) -> LoadGenerator:
        async def work(loop: VirtualLoop) -> LoadGenerator:
            generator = generator_of(loop, lambda _: asyncio.sleep(answer_at(loop.now_ns)))
            await start(generator)
            return generator

        return simulate(work)

    ours = measure(lambda generator: generator.run_open(islice(constant(1_000), 4_000)))
    naive = measure(lambda generator: generator.run_closed(1, 4 * SECOND))
    found = [summarise(item.samples, "quorum", item.ended_at, TIMEOUT_NS) for item in (ours, naive)]
    assert not any(summary.void for summary in found)
    ours_p99, naive_p99 = (summary.values_ns["p99"] for summary in found)
    assert near(naive_p99, MILLISECOND)
    assert ours_p99 > 900 * MILLISECOND
    assert sum(latency.ns > 2 * MILLISECOND for latency in compute_latencies(naive.samples, "quorum", 0, 0)) == 1
    assert all(sample.sent == sample.intended for sample in naive.samples)


def test_more_than_may_be_in_flight_wait_and_their_lateness_voids_the_point() -> None:
    due = [10 * MILLISECOND * number for number in range(1, 201)]
    generator = run_open(due, lambda _: 1.0, most_in_flight=5)
    assert len(generator.samples) == len(due), "none is dropped"
    assert near(generator.samples[5].sent, generator.samples[0].intended + SECOND)
    assert compute_lateness(generator.samples, generator.ended_at)[-1] > 30 * SECOND
    assert summarise(generator.samples, "everyone", generator.ended_at, TIMEOUT_NS).void
    assert not summarise(run_open(due, lambda _: 1.0).samples, "everyone", 0, TIMEOUT_NS).void


def test_in_flight_never_exceeds_the_bound() -> None:
    in_flight = []

    async def work(loop: VirtualLoop) -> None:
        async def send(index: int) -> None:
            in_flight.append(in_flight[-1] + 1 if in_flight else 1)
            await asyncio.sleep(0.5 + index % 3)
            in_flight.append(in_flight[-1] - 1)

        await generator_of(loop, send).run_open(islice(poisson("a", 50), 100), most_in_flight=7)

    simulate(work)
    assert max(in_flight) == 7
    assert in_flight[-1] == 0


def test_no_answer_within_the_time_out_is_censored_from_then() -> None:
    due = [SECOND, 2 * SECOND, 3 * SECOND]
    generator = run_open(due, lambda index: 60.0 if index == 1 else 9.0)
    lost = generator.samples[1]
    assert (lost.first, lost.quorum, lost.everyone) == (None, None, None)
    assert near(lost.ended, 12 * SECOND)
    last = compute_latencies(generator.samples, "everyone", generator.ended_at, TIMEOUT_NS)[-1]
    assert last.is_censored
    assert near(last.ns, TIMEOUT_NS)


def test_a_request_that_fails_is_unanswered_and_counts_at_least_the_time_out() -> None:
    async def work(loop: VirtualLoop) -> LoadGenerator:
        async def send(index: int) -> None:
            await asyncio.sleep(0.1)
            if index == 0:
                raise ConnectionResetError

        generator = generator_of(loop, send)
        await generator.run_open([0, SECOND])
        return generator

    generator = simulate(work)
    found = compute_latencies(generator.samples, "quorum", generator.ended_at, TIMEOUT_NS)
    assert [latency.is_censored for latency in found] == [False, True]
    assert found[1].ns == TIMEOUT_NS


def test_stages_that_somebody_saw_earlier_are_kept_even_without_an_end() -> None:
    async def work(loop: VirtualLoop) -> LoadGenerator:
        async def send(index: int) -> None:
            await asyncio.sleep(0.2)
            generator.samples[index].first = loop.now_ns
            await asyncio.sleep(60 if index else 0.1)

        generator = generator_of(loop, send)
        await generator.run_open([0, 0])
        return generator

    whole, cut = simulate(work).samples
    assert near(whole.first, 200 * MILLISECOND)
    assert near(whole.quorum, 300 * MILLISECOND)
    assert near(cut.first, 200 * MILLISECOND)
    assert (cut.quorum, cut.everyone) == (None, None)


def test_a_bug_in_sending_is_not_taken_for_a_lost_request() -> None:
    async def work(loop: VirtualLoop) -> None:
        async def send(index: int) -> None:
            raise ZeroDivisionError

        await generator_of(loop, send).run_open([0, 1])

    with pytest.raises(ExceptionGroup) as caught:
        simulate(work)
    assert {type(error) for error in caught.value.exceptions} == {ZeroDivisionError}


# -- interrupted -------------------------------------------------------------------------------------------------


async def _cancel_after(loop: VirtualLoop, generator: LoadGenerator, work: Coroutine[Any, Any, None], s: float) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(s)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generator.ended_at == loop.now_ns


@pytest.mark.parametrize(("most_in_flight", "unsent"), [(100, 0), (3, 7)])
def test_a_cancelled_run_keeps_what_was_due_sent_or_not_and_nothing_of_the_future(
    most_in_flight: int, unsent: int
) -> None:
    async def work(loop: VirtualLoop) -> LoadGenerator:
        generator = generator_of(loop, lambda index: asyncio.sleep(0.5 if index == 0 else 60))
        run = generator.run_open((number * SECOND for number in range(1_000)), most_in_flight)
        await _cancel_after(loop, generator, run, 10.5)
        return generator

    generator = simulate(work)
    assert [sample.intended for sample in generator.samples] == [number * SECOND for number in range(11)]
    assert sum(sample.sent is None for sample in generator.samples) == unsent
    summary = summarise(generator.samples, "everyone", generator.ended_at, SECOND)
    assert (summary.count, summary.censored) == (11, 10)
    assert near(int(summary.values_ns["max"] or 0), 9_500 * MILLISECOND)


def test_a_run_that_is_cancelled_before_its_first_request_has_none() -> None:
    async def work(loop: VirtualLoop) -> list[Sample]:
        generator = generator_of(loop, lambda _: asyncio.sleep(1))
        await _cancel_after(loop, generator, generator.run_open([5 * SECOND]), 1)
        return generator.samples

    assert simulate(work) == []


def test_a_closed_loop_that_is_cancelled_keeps_what_is_under_way() -> None:
    async def work(loop: VirtualLoop) -> LoadGenerator:
        generator = generator_of(loop, lambda _: asyncio.sleep(1))
        await _cancel_after(loop, generator, generator.run_closed(3, 60 * SECOND), 2.5)
        return generator

    generator = simulate(work)
    assert len(generator.samples) == 9
    assert sum(sample.everyone is None for sample in generator.samples) == 3


def test_the_last_millisecond_is_spent_yielding() -> None:
    """With a real clock a timer may come a millisecond late; so it is set early, and the rest is polled."""
    slept: list[float] = []

    async def work(loop: VirtualLoop) -> LoadGenerator:
        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            loop.now_ns += 100_000  # what a turn of a busy loop may take
            await asyncio.sleep(seconds)

        async def send(_: int) -> None:
            await asyncio.sleep(0)

        generator = LoadGenerator(send, timeout_ns=TIMEOUT_NS, clock=lambda: loop.now_ns, sleep=sleep)
        await generator.run_open([SECOND])
        return generator

    (sample,) = simulate(work).samples
    assert slept[0] == 0.999
    assert set(slept[1:]) == {0}
    assert len(slept) > 5
    assert sample.sent is not None
    assert 0 <= sample.sent - sample.intended <= 100_000
