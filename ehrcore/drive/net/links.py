"""A node's outgoing links: one queue and at most one request in flight for each peer.

Whatever has queued up while a request was in flight goes out together in the next frame (natural batching): an idle
link adds no delay, a busy one few frames.  Frames to a node go over a WebSocket that stays open.  A frame that gets
no answer is sent again, under the same number, after a growing pause with jitter; its receiver handles it once.
Queues are bounded: what no longer fits is dropped, oldest first, and counted; that is made up for end to end, by
whoever waits for what was lost.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from ehrcore.codec import encode
from ehrcore.drive.net.frames import MEDIA_TYPE, WANTED_FRAME_BYTES, Frame, LinkKeys
from ehrcore.drive.net.plan import NetworkPlan
from ehrcore.drive.net.routes import Routes
from ehrcore.messages import Message
from ehrcore.types import Role

if TYPE_CHECKING:
    from ssl import SSLContext

QUEUE_MESSAGES: Final = 16_384
QUEUE_BYTES: Final = 64 << 20
FRAME_MESSAGES: Final = 512
#: A queue longer than this slows down whoever feeds it.
CONGESTED_MESSAGES: Final = 4_096
REQUEST_TIMEOUT_S: Final = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0
FRAMES_PATH: Final = "/v1/frames"
#: Where a node takes frames over a WebSocket.
LINK_PATH: Final = "/v1/link"
_SOCKET_TIMEOUT: Final = aiohttp.ClientWSTimeout(ws_receive=REQUEST_TIMEOUT_S, ws_close=1.0)
#: Answers after which the same frame is sent again; any other but 200 means that it never will be taken.
_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})


class Flow(msgspec.Struct):
    """Messages and their bytes, to or from one role."""

    messages: int
    size_bytes: int


@dataclass(slots=True)
class Sent:
    """What has left a node: by role of the receiver, each message counted once per receiver and attempt."""

    by_role: dict[str, Flow] = field(default_factory=dict)
    frames: int = 0
    retries: int = 0
    dropped: int = 0
    refused: int = 0


class _Link:
    """The way to one peer."""

    def __init__(self, links: "Links", peer: str, role: Role) -> None:
        self._links, self.peer = links, peer
        # Nobody may listen for a visitor: what it is not there to hear, it can fetch.
        self._is_patient = role is not Role.VISITOR
        self._url = f"{links.routes.url(peer)}{LINK_PATH if self._is_patient else FRAMES_PATH}"
        self._tls_name = links.routes.tls_name(peer)
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.queue: deque[bytes] = deque()
        self.queued_bytes = 0
        self._wake = asyncio.Event()
        self._sequence = 0
        self.taken = 0
        self.is_idle = True
        self.traffic = links.sent.by_role.setdefault(role.value, Flow(0, 0))

    def put(self, data: bytes) -> None:
        self.queue.append(data)
        self.queued_bytes += len(data)
        while len(self.queue) > QUEUE_MESSAGES or self.queued_bytes > QUEUE_BYTES:
            self.queued_bytes -= len(self.queue.popleft())
            self._links.sent.dropped += 1
        self._wake.set()

    def _take(self) -> tuple[bytes, ...]:
        batch: list[bytes] = []
        size = 0
        while (
            self.queue
            and len(batch) < FRAME_MESSAGES
            and (not batch or size + len(self.queue[0]) <= WANTED_FRAME_BYTES)
        ):
            data = self.queue.popleft()
            size += len(data)
            batch.append(data)
        self.queued_bytes -= size
        return tuple(batch)

    async def run(self) -> None:
        while True:
            self.is_idle = not self.queue
            if self.is_idle:
                self._wake.clear()
                await self._wake.wait()
                self.is_idle = False
            await self._deliver(self._take())

    async def _deliver(self, batch: tuple[bytes, ...]) -> None:
        """Send until it is taken or refused for good."""
        links, pause = self._links, FIRST_PAUSE_S
        self._sequence += 1
        size = sum(map(len, batch))
        while True:
            frame = Frame(links.chain, links.keys.me, self.peer, links.epoch, self._sequence, links.now(), batch)
            links.sent.frames += 1
            self.traffic.messages += len(batch)
            self.traffic.size_bytes += size
            sealed = links.keys.seal(frame)
            status = await (self._exchange(sealed) if self._is_patient else self._post(sealed))
            if status == 200:  # noqa: PLR2004 - HTTP
                self.taken += len(batch)
                return
            if status is not None and status not in _TRY_AGAIN:
                links.sent.refused += len(batch)
                return
            if not self._is_patient and status is None:
                self._forget(len(batch))
                await asyncio.sleep(LONGEST_PAUSE_S)
                return
            links.sent.retries += 1
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _forget(self, taken: int) -> None:
        self._links.sent.dropped += taken + len(self.queue)
        self.queue.clear()
        self.queued_bytes = 0

    async def _exchange(self, sealed: bytes) -> int | None:
        """The answer's status over the lasting link, which is opened if need be; None if there was none."""
        try:
            if self._socket is None:
                links = self._links
                self._socket = await links.session.ws_connect(
                    self._url,
                    max_msg_size=64,
                    timeout=_SOCKET_TIMEOUT,
                    server_hostname=self._tls_name,
                    headers={"Authorization": links.keys.greet(self.peer, links.now())},
                )
            await self._socket.send_bytes(sealed)
            return int(await self._socket.receive_str())
        except (aiohttp.ClientError, TimeoutError, OSError, TypeError, ValueError):
            # Not text, not a number: the other end has closed the link, or is none of ours.
            await self.close()
            return None

    async def close(self) -> None:
        if self._socket is not None:
            socket, self._socket = self._socket, None
            await socket.close()

    async def _post(self, body: bytes) -> int | None:
        """The answer's status; None if there was none.  A visitor comes and goes: no link is kept open to it."""
        try:
            async with self._links.session.post(self._url, data=body, server_hostname=self._tls_name) as response:
                if response.status != 200:  # noqa: PLR2004 - HTTP
                    await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


class Links:
    """All links of one node.  `start` within a running loop; `close` when nothing more will be sent."""

    def __init__(
        self,
        plan: NetworkPlan,
        keys: LinkKeys,
        epoch: int,
        now: Callable[[], int],
        tls: "SSLContext | None" = None,
        routes: Routes | None = None,
    ) -> None:
        self.plan, self.keys, self.epoch, self.now, self._tls = plan, keys, epoch, now, tls
        self.routes = routes or Routes(plan)
        self.chain = bytes.fromhex(plan.chain)
        self.sent = Sent()
        self._roles = plan.roles()
        self._links: dict[str, _Link] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.session: aiohttp.ClientSession

    async def start(self) -> None:
        self.session = open_session(self._tls)

    def send(self, to: Iterable[str], message: Message) -> None:
        """Queue ``message`` for several nodes; who is not in the plan gets nothing."""
        data = encode(message)
        for peer in to:
            if peer in self.plan.nodes:
                self._find(peer).put(data)

    def _find(self, peer: str) -> _Link:
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = _Link(self, peer, self._roles[peer])
            self._tasks.append(asyncio.create_task(link.run(), name=f"link to {peer}"))
        return link

    def taken(self, peer: str) -> int:
        """How many of the messages for ``peer``, from the first on, it has taken; 0 if any was dropped or refused."""
        link = self._links.get(peer)
        return link.taken if link and not (self.sent.dropped or self.sent.refused) else 0

    @property
    def queued(self) -> int:
        """Messages that wait in queues."""
        return sum(len(link.queue) for link in self._links.values())

    @property
    def is_congested(self) -> bool:
        """Whether a peer takes messages more slowly than they come."""
        return any(len(link.queue) > CONGESTED_MESSAGES for link in self._links.values())

    async def drain(self, timeout_s: float) -> bool:
        """Wait until everything queued has been taken; False if it has not after ``timeout_s``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while any(link.queue or not link.is_idle for link in self._links.values()):
            if loop.time() > end:
                return False
            await asyncio.sleep(0.005)
        return True

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links.values()), return_exceptions=True)
        await self.session.close()


def open_session(tls: "SSLContext | None") -> aiohttp.ClientSession:
    """A pool of connections that are kept alive, for frames and fetches."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ssl=tls if tls is not None else True),
        timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, sock_connect=5),
        headers={"Content-Type": MEDIA_TYPE},
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
