"""The load generator: a process of its own that plays all visitors of a real network.

``python -m bench.net.generator`` reads one command a line (JSON, see `bench.net.step`) and answers each with one line.
Transactions are built and signed before a step begins, so that in it the generator only hands them to its links and
listens for receipts.  It believes receipts without checking them, which costs no time while it measures; what they say
is held against the ledgers afterwards.
"""

import asyncio
import gc
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from bench.measure.openloop import constant, poisson
from bench.net.step import GENERATOR, Begin, Built, Command, Finish, Finished, Moment, Played, Reading, Step
from bench.net.visitors import Visitors
from ehrcore.drive.extensions import load_inherited
from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.plan import NetworkFolder
from ehrcore.drive.net.status import read_rss_bytes
from ehrcore.errors import EhrError
from ehrcore.types import SECOND, Role

if TYPE_CHECKING:
    from aiohttp import ClientSession

#: How often it is looked whether a step is over.
_LOOK_S: Final = 0.005
#: So far ahead load is planned that goes on until what was measured is settled.
_LOAD_ON_NS: Final = SECOND // 50
#: After so long without any news, what is unsettled at the end of a step is given up.
_SILENCE_S: Final = 5.0
_STATUS_TIMEOUT_S: Final = 10.0


class _Window(NamedTuple):
    """When load was measured, the transactions of that time, and what all had used at both ends."""

    since: int
    until: int
    moments: list[Moment]
    before: Reading
    after: Reading


class Generator:
    """Plays steps on one network."""

    def __init__(self, begin: Begin) -> None:
        self.folder = NetworkFolder(Path(begin.folder))
        self._plan = self.folder.read_plan()
        self._visitors = Visitors(self.folder, self._plan, Path(begin.references))
        self._session: ClientSession

    async def start(self) -> Built:
        """Listen for receipts."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=_STATUS_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout)
        await self._visitors.start()
        return Built(self._visitors.count)

    async def finish(self) -> Finished:
        """What was acknowledged; nothing is sent or heard after that."""
        await self._session.close()
        await self._visitors.close()
        return self._visitors.report()

    async def play(self, step: Step) -> Played:
        """One step."""
        visitors = self._visitors
        visitors.build(step.stock)
        visitors.completions = []
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection would look like lateness
        try:
            window = await (self._play_closed(step) if step.outstanding else self._play_open(step))
            await self._settle(window.until + round(step.timeout_s * SECOND))
        finally:
            gc.enable()
        return Played(
            since=window.since, until=window.until, ended_at=time.monotonic_ns(), is_out_of_stock=not visitors.stock,
            moments=window.moments, completions=visitors.completions, before=window.before, after=window.after,
            unsettled=len(visitors.unsettled),
        )  # fmt: skip

    async def _play_closed(self, step: Step) -> _Window:
        visitors = self._visitors
        visitors.is_asking_again = True
        for _ in range(step.outstanding):
            visitors.submit(time.monotonic_ns())
        await asyncio.sleep(step.warm_s)
        before = await self._read()
        since, first = time.monotonic_ns(), len(visitors.moments)
        while time.monotonic_ns() < since + step.seconds * SECOND and visitors.stock:  # noqa: ASYNC110 - a clock
            await asyncio.sleep(_LOOK_S)
        until, last = time.monotonic_ns(), len(visitors.moments)
        after = await self._read()
        visitors.is_asking_again = False
        return _Window(since, until, visitors.moments[first:last], before, after)

    async def _play_open(self, step: Step) -> _Window:
        schedule = constant(step.per_s) if step.arrivals == "constant" else poisson(step.seed, step.per_s)
        begin, visitors = max(time.monotonic_ns(), step.begin_at), self._visitors
        since = begin + round(step.warm_s * SECOND)
        until = since + round(step.seconds * SECOND)
        due = (begin + offset for offset in schedule)
        late = await self._submit_until(since, due)
        before, first = asyncio.create_task(self._read()), len(visitors.moments)
        late = await self._submit_until(until, due, late)
        after, last = asyncio.create_task(self._read()), len(visitors.moments)
        # Load goes on, so that no measured block waits for a rush that never comes.
        end = until + round(step.timeout_s * SECOND)
        while step.goes_on and visitors.oldest_unsettled < last and visitors.stock and time.monotonic_ns() < end:
            late = await self._submit_until(time.monotonic_ns() + _LOAD_ON_NS, due, late)
        return _Window(since, until, visitors.moments[first:last], await before, await after)

    async def _submit_until(self, end: int, due: Iterator[int], given: int | None = None) -> int:
        """Submit at each instant before ``end``; the first that is not (its place in the schedule is taken)."""
        visitors, clock = self._visitors, time.monotonic_ns
        instant = next(due) if given is None else given
        while instant < end and visitors.stock:
            while (wait := instant - clock()) > 0:  # noqa: ASYNC110 - timers may be early
                await asyncio.sleep(wait / SECOND)
            visitors.submit(instant)
            instant = next(due)
        if (wait := end - clock()) > 0:
            await asyncio.sleep(wait / SECOND)
        return instant

    async def _settle(self, deadline: int) -> None:
        """Wait for what is under way, as long as there is news of it."""
        visitors = self._visitors
        left, changed = len(visitors.unsettled), time.monotonic_ns()
        while visitors.unsettled and time.monotonic_ns() < min(deadline, changed + round(_SILENCE_S * SECOND)):
            await asyncio.sleep(_LOOK_S)
            if len(visitors.unsettled) != left:
                left, changed = len(visitors.unsettled), time.monotonic_ns()

    async def _read(self) -> Reading:
        """The status of every node, and our own."""
        own = self._own()
        names = [name for name, role in self._plan.roles().items() if role is not Role.VISITOR]
        found = await asyncio.gather(*map(self._ask, names))
        return {GENERATOR: own, **dict(zip(names, found, strict=True))}

    async def _ask(self, name: str) -> dict[str, Any] | None:
        import aiohttp

        try:
            async with self._session.get(f"{self._plan.url(name)}/v1/status") as response:
                found: dict[str, Any] = msgspec.json.decode(await response.read())
                return found
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
            return None

    def _own(self) -> dict[str, Any]:
        """What this process has used so far, by the names of a node's status."""
        used, visitors = resource.getrusage(resource.RUSAGE_SELF), self._visitors
        return {
            "role": Role.VISITOR.value, "now_ns": time.time_ns(), "cpu_s": time.process_time(),
            "rss_bytes": read_rss_bytes(), "voluntary_switches": used.ru_nvcsw,
            "involuntary_switches": used.ru_nivcsw, "queued": visitors.queued, "frames_in": visitors.frames_in,
            "frames_out": visitors.frames_out, "sent": visitors.traffic(), "received": visitors.received,
        }  # fmt: skip


async def serve() -> None:
    """Answer commands until the last.  If whoever gives them is gone before that, the network is not left running."""
    loop, generator = asyncio.get_running_loop(), None
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match msgspec.json.decode(line, type=Command):
            case Begin() as begin:
                generator = Generator(begin)
                _answer(await generator.start())
            case Step() as step if generator is not None:
                _answer(await generator.play(step))
            case Finish() if generator is not None:
                _answer(await generator.finish())
                return
    if generator is not None:
        LocalNetwork(generator.folder.path).stop()


def _answer(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve; what the user can mend is one line and status 2."""
    try:
        load_inherited()
        try:
            import uvloop
        except ImportError:
            asyncio.run(serve())
        else:
            uvloop.run(serve())
    except EhrError as error:
        sys.stderr.write(f"generator: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
