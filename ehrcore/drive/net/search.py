"""Proof of work for real: the search for a nonce, in slices between which the node listens."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from ehrcore.block import Header
from ehrcore.consensus.work import Grind
from ehrcore.effects import Work, WorkFound
from ehrcore.hashing import HashSuite
from ehrcore.types import MILLISECOND

#: Time that one slice takes (ns).
SLICE_NS: Final = 2 * MILLISECOND


class Search:
    """At most one search at a time, by ``grind``; ``found`` is told of the nonce."""

    def __init__(self, suite: HashSuite, grind: Grind, found: Callable[[WorkFound], Awaitable[None]]) -> None:
        self._suite, self._grind, self._found = suite, grind, found
        self._task: asyncio.Task[None] | None = None
        self.tries = 0

    def start(self, work: Work) -> None:
        """Give up the search before this one, and begin it if there is a header."""
        self.stop()
        if work.header is not None:
            self._task = asyncio.get_running_loop().create_task(self._run(work.job, work.header), name="search")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, job: int, header: Header) -> None:
        start, count = 0, 1_024
        while True:
            begin = time.perf_counter_ns()
            nonce = self._grind(self._suite, header, start, count)
            start += count
            self.tries += count
            if nonce is not None:
                # From here on it must not be cancelled: to tell is to start the next search.
                self._task = None
                await self._found(WorkFound(job, nonce))
                return
            spent = time.perf_counter_ns() - begin
            count = min(max(count * SLICE_NS // max(spent, 1), 256), 1 << 20)
            await asyncio.sleep(0)
