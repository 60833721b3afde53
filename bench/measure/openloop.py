"""Load in real time.  Open loop: requests go out on a schedule, whatever has been answered.

A closed loop, which asks again only after an answer, leaves out the requests that users would have made while the
system stood still (coordinated omission, as G. Tene calls it); it is here to be compared with.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from bench.measure.latency import STAGES, Sample
from ehrcore.types import MILLISECOND, SECOND

#: Timers of an event loop are good to a millisecond; the last of it is spent yielding.
SPIN_NS: Final = MILLISECOND


def constant(per_second: float) -> Iterator[int]:
    """Instants (ns) in equal distances, from the first distance on."""
    number = 0
    while True:
        number += 1
        yield round(number * SECOND / per_second)


def poisson(seed: str, per_second: float) -> Iterator[int]:
    """Instants (ns) of a Poisson process, from a labelled seed."""
    chance, at = random.Random(seed), 0
    while True:
        at += max(int(chance.expovariate(per_second) * SECOND), 1)
        yield at


class LoadGenerator:
    """Makes requests and keeps every sample, also when it is cancelled.

    ``send(index)`` makes a request and returns once it is answered everywhere; whoever hears of an earlier stage sets
    it in ``samples[index]``, and what is not set by then counts as reached with the answer.  A request that fails
    (`OSError`) or is not answered ``timeout_ns`` after it was sent stays unanswered; any other exception is a bug.
    """

    def __init__(
        self,
        send: Callable[[int], Awaitable[object]],
        *,
        timeout_ns: int,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        spin_ns: int = SPIN_NS,
    ) -> None:
        self._send, self._timeout_ns = send, timeout_ns
        self._clock, self._sleep, self._spin_ns = clock, sleep, spin_ns
        self.samples: list[Sample] = []
        self.ended_at = 0

    async def run_open(self, schedule: Iterable[int], most_in_flight: int = 10_000) -> None:
        """One request at each instant of ``schedule`` (ns from now, ascending); ends when the last is settled.

        While ``most_in_flight`` are out, the next ones wait; that is lateness, and voids what it spoils.  When
        cancelled, requests that were due and not sent are kept as such.
        """
        begin, slots = self._clock(), asyncio.Semaphore(most_in_flight)
        due = (begin + offset for offset in schedule)
        try:
            async with asyncio.TaskGroup() as tasks:
                for intended in due:
                    self.samples.append(Sample(intended))
                    await self._wait_until(intended)
                    await slots.acquire()
                    task = tasks.create_task(self._request(len(self.samples) - 1))
                    task.add_done_callback(lambda _: slots.release())
        finally:
            self.ended_at = self._clock()
            if self.samples and self.samples[-1].intended > self.ended_at:
                self.samples.pop()  # cancelled while it waited for its instant
            else:
                self._keep_unsent(due)

    def _keep_unsent(self, due: Iterator[int]) -> None:
        for intended in due:
            if intended > self.ended_at:
                return
            self.samples.append(Sample(intended))

    async def run_closed(self, users: int, duration_ns: int) -> None:
        """So many users for so long, each asking again once it has its answer; intended is when it really asked."""
        end = self._clock() + duration_ns

        async def use() -> None:
            while (now := self._clock()) < end:
                self.samples.append(Sample(now))
                await self._request(len(self.samples) - 1)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(users):
                    tasks.create_task(use())
        finally:
            self.ended_at = self._clock()

    async def _wait_until(self, instant: int) -> None:
        # Yields in any case: a generator that has fallen behind must not keep answers from being taken in.
        await self._sleep(max(instant - self._clock() - self._spin_ns, 0) / SECOND)
        while self._clock() < instant:
            await self._sleep(0)

    async def _request(self, index: int) -> None:
        sample = self.samples[index]
        sample.sent = self._clock()
        try:
            async with asyncio.timeout(self._timeout_ns / SECOND):
                await self._send(index)
        except OSError:  # a time-out is one, too
            return
        finally:
            sample.ended = self._clock()
        for stage in STAGES:
            if getattr(sample, stage) is None:
                setattr(sample, stage, sample.ended)
