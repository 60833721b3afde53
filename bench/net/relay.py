"""Relays between nodes: TCP connections that can be held up, so that real nodes meet partitions.

One relay stands for one way between two nodes, as `ehrcore.drive.net.routes` lets each node choose its own: to cut the
way from A to B leaves that from B to A, over which B may reach A and be answered.  A cut is silence, as that of a
network that drops packets: nothing is refused, and what was under way arrives once the way is healed, as TCP's
retransmissions would have it at the soonest.
"""

import asyncio
import threading
from collections.abc import Iterable, Mapping
from typing import Final, Self

#: From whom, to whom.
Way = tuple[str, str]
HOST: Final = "127.0.0.1"
_CHUNK_BYTES: Final = 1 << 16
_PATIENCE_S: Final = 10.0


class Relays:
    """A relay for each way of ``targets`` to the (host, port) beside it, in a thread of its own; a context manager.

    ``ports`` says where each one listens on `HOST` while the context lasts.
    """

    def __init__(self, targets: Mapping[Way, tuple[str, int]]) -> None:
        self._targets, self.ports = dict(targets), dict[Way, int]()
        self._open: dict[Way, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_PATIENCE_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def cut(self, ways: Iterable[Way]) -> None:
        """Let nothing more through on these ways; they are cut when this returns."""
        self._set(ways, is_open=False)

    def heal(self, ways: Iterable[Way] | None = None) -> None:
        """Let everything through again on these ways, all without them, and first what was held up."""
        self._set(self._targets if ways is None else ways, is_open=True)

    def _set(self, ways: Iterable[Way], *, is_open: bool) -> None:
        async def change() -> None:
            for way in ways:
                (self._open[way].set if is_open else self._open[way].clear)()

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(_PATIENCE_S)

    async def _start(self) -> None:
        self._servers = []
        for way in self._targets:
            self._open[way] = asyncio.Event()
            self._open[way].set()
            server = await asyncio.start_server(lambda *ends, way=way: self._take(way, *ends), HOST, 0, backlog=1_024)
            self._servers.append(server)
            self.ports[way] = server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    def _take(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._carry(way, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until both ends have closed it, or one has broken it."""
        is_open, ends, is_whole = self._open[way], [writer], False
        try:
            await is_open.wait()
            back, on = await asyncio.open_connection(*self._targets[way])
            ends.append(on)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, on, is_open))
                both.create_task(_pump(back, writer, is_open))
            is_whole = True
        except* OSError:
            pass  # one end is gone: so is the connection
        finally:
            for end in ends:
                end.close() if is_whole else end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        await is_open.wait()
        writer.write(data)
        await writer.drain()
    await is_open.wait()
    if writer.can_write_eof():
        writer.write_eof()
