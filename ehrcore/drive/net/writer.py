"""Persist, then send: effects wait until what they rest on is on the disk, and no longer.

Writing runs in a thread of its own, so a slow disk stops nothing but what has to wait for it; whatever comes up during
one wait for the disk shares the next one (group commit).  Effects leave in the order in which they were asked for.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ehrcore.drive.net.journal import Journal, Operation
from ehrcore.drive.net.library import Library
from ehrcore.effects import Effect, Persist


class Writer:
    """One node's effects on their way out; ``release`` is called with each, ``fail`` with what ends the node."""

    def __init__(
        self,
        journal: Journal,
        library: Library | None,
        release: Callable[[Effect], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._journal, self._library, self._release, self._fail = journal, library, release, fail
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._effects: list[Effect] = []
        self._persists: list[Persist] = []
        self._task: asyncio.Task[None] | None = None
        self._next = asyncio.get_running_loop().create_future()

    def add(self, effects: Sequence[Effect]) -> None:
        """Take effects; what the journal was told before now is durable before they leave."""
        if self._library is not None:
            self._persists += [effect for effect in effects if type(effect) is Persist]
        if self._task is None and not self._persists and not self._journal.is_urgent:
            for effect in effects:
                self._release(effect)
            return
        self._effects += effects
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="writer")

    async def flush(self) -> None:
        """Wait until everything added so far has left.  Raises what the disk has said if it could not be kept."""
        if self._task is not None:
            await asyncio.shield(self._next if self._effects or self._journal.is_urgent else self._current)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._effects or self._journal.is_urgent:
                effects, self._effects = self._effects, []
                persists, self._persists = self._persists, []
                self._current, self._next = self._next, loop.create_future()
                operations = self._journal.take()
                await loop.run_in_executor(self._thread, self._write, persists, operations)
                for effect in effects:
                    self._release(effect)
                self._current.set_result(None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the node ends with it
            for future in (self._current, self._next):
                if not future.done():
                    future.set_exception(error)
                    future.exception()
            self._fail(error)
        else:
            self._task = None

    def _write(self, persists: Sequence[Persist], operations: Sequence[Operation]) -> None:
        """In the thread."""
        if persists and self._library is not None:
            self._library.append(persists)
        if operations:
            self._journal.write(operations)

    async def close(self) -> None:
        """Write what is left and end the thread."""
        try:
            await self.flush()
        finally:
            self._thread.shutdown()
