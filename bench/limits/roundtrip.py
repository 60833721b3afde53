"""One HTTP exchange with a real node, beside a bare exchange of as many bytes between two processes.

A coordinator's sealed frame of 2 KB goes to a contributor, which does all that it does with every frame: parse it,
open and authenticate the frame, decode its message and hand it to its role.  The role has no use for the message, so
that neither a signature nor the disk is in the time.  Frames go over the lasting link (a WebSocket) that nodes keep to
each other, and as requests of their own: by a blocking socket, which leaves the node's part, and by the client that
this project uses.

Client and server are held on two cores.  Left alone, the system has both ends of the ping-pong now on one core, now on
two, and that alone is a factor of four.
"""

import re
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Self

from bench.errors import BenchError
from bench.limits.base import MICROSECOND, Demand, Finding, Metric, Part, take_turns, wall_ns
from bench.limits.pingpong import SIZE_BYTES, TRIPS, PingPong
from bench.limits.processes import hold_apart, open_runner
from bench.net.network import MeasuredNetwork
from ehrcore.block import Attestation, RecordRef, Transaction, TransactionBody
from ehrcore.codec import encode
from ehrcore.drive.net.files import read_secret
from ehrcore.drive.net.frames import MEDIA_TYPE, Frame, LinkKeys
from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.plan import NetworkConfig
from ehrcore.messages import Approve
from ehrcore.types import Role

if TYPE_CHECKING:
    from aiohttp import ClientSession, ClientWebSocketResponse

#: Longer than the default: a block takes less than half a second.
BLOCKS: Final = 9
FRAMES_PATH, LINK_PATH = "/v1/frames", "/v1/link"
_LENGTH: Final = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
_ME, _NODE = "coordinator-0", "contributor-0"
#: Numbers of frames from here to 2^32 take equally many bytes.
_FIRST: Final = 1 << 20
#: An approval of so many words, and a location of about so many characters, fill `SIZE_BYTES`.
_WORDS, _PADDING = 16, 300


class Exchange:
    """Connections of each kind to one node of ``network``; a context manager.  Timings are medians in nanoseconds."""

    def __init__(self, network: MeasuredNetwork) -> None:
        self._plan, self._chain = network.plan, bytes.fromhex(network.plan.chain)
        secret = read_secret(network.folder.node(_ME) / "link.key")
        self._keys = LinkKeys(self._plan, _ME, bytes.fromhex(secret.decode()))
        self._url = self._plan.url(_NODE)
        self._epoch, self._sequence = time.time_ns(), _FIRST
        self._message = self._build(_PADDING)
        self._message = self._build(_PADDING + SIZE_BYTES - len(self.seal()))
        #: Frames that the node has taken, by its answers.
        self.taken = 0

    def __enter__(self) -> Self:
        place = self._plan.nodes[_NODE]
        with ExitStack() as stack:
            self._runner = stack.enter_context(open_runner())
            self._session, self._link = self._runner.run(_connect(f"{self._url}{LINK_PATH}"))
            stack.callback(lambda: self._runner.run(_disconnect(self._session, self._link)))
            self._socket = stack.enter_context(socket.create_connection((place.host, place.port)))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _build(self, padding: int) -> bytes:
        """A coordinator's approval with so many bytes that only fill the frame."""
        word, digest = Attestation("agent-0", bytes(64)), bytes(32)
        record = RecordRef(7, digest, digest, "x" * padding, 1_024)
        transaction = Transaction(TransactionBody(self._chain, _ME, 0, 0, record), bytes(64))
        return encode(Approve(transaction, (word,) * _WORDS, digest, word))

    def seal(self) -> bytes:
        """The next frame: `SIZE_BYTES` with its tag."""
        self._sequence += 1
        frame = Frame(self._chain, _ME, _NODE, self._epoch, self._sequence, time.time_ns(), (self._message,))
        return self._keys.seal(frame)

    def time_links(self) -> float:
        """Seal a frame and have it taken over a lasting link, as nodes do among themselves."""
        return self._runner.run(self._time(self._exchange))

    def time_posts(self) -> float:
        """Seal a frame and have it taken by a request of its own, which a blocking socket makes."""
        return median(wall_ns(self._post_bare) for _ in range(TRIPS))

    def time_client_posts(self) -> float:
        """The same, made by the client with which nodes fetch blocks and visitors are told of theirs."""
        return self._runner.run(self._time(self._post))

    def time_health(self) -> float:
        """Ask for the node's health by a blocking socket."""
        request = f"GET /v1/health HTTP/1.1\r\nHost: {_NODE}\r\n\r\n".encode()
        return median(wall_ns(lambda: self._ask_bare(request)) for _ in range(TRIPS))

    async def _time(self, trip: Callable[[], Coroutine[Any, Any, None]]) -> float:
        times = []
        for _ in range(TRIPS):
            begin = time.perf_counter_ns()
            await trip()
            times.append(time.perf_counter_ns() - begin)
        return median(times)

    async def _exchange(self) -> None:
        await self._link.send_bytes(self.seal())
        self._count(int(await self._link.receive_str()))

    async def _post(self) -> None:
        async with self._session.post(f"{self._url}{FRAMES_PATH}", data=self.seal()) as response:
            self._count(response.status)

    def _post_bare(self) -> None:
        sealed = self.seal()
        head = (
            f"POST {FRAMES_PATH} HTTP/1.1\r\nHost: {_NODE}\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(sealed)}\r\n\r\n"
        )
        self._ask_bare(head.encode() + sealed)
        self.taken += 1

    def _ask_bare(self, request: bytes) -> None:
        """Send a request and read its whole answer; `BenchError` unless that is status 200."""
        self._socket.sendall(request)
        answer = b""
        while True:
            head, end, body = answer.partition(b"\r\n\r\n")
            length = _LENGTH.search(head) if end else None
            if length and len(body) >= int(length[1]):
                break
            part = self._socket.recv(4_096)
            if not part:
                raise BenchError(f"{_NODE}: expected an answer, found the connection closed")
            answer += part
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BenchError(f"{_NODE}: expected status 200, found {head.splitlines()[0]!r}")

    def _count(self, status: int) -> None:
        if status != 200:
            raise BenchError(f"{_NODE}: expected to take a frame, found status {status}")
        self.taken += 1

    def check(self) -> None:
        """`BenchError` unless the node has handled exactly the frames that it has answered for."""
        found = self._runner.run(self._ask_received())
        if found != self.taken:
            raise BenchError(f"{_NODE}: expected {self.taken} messages of coordinators, found {found}")

    async def _ask_received(self) -> int:
        async with self._session.get(f"{self._url}/v1/status") as response:
            received: dict[str, dict[str, int]] = (await response.json())["received"]
            return received.get(Role.COORDINATOR.value, {}).get("messages", 0)


async def _connect(url: str) -> "tuple[ClientSession, ClientWebSocketResponse]":
    from ehrcore.drive.net.links import open_session

    session = open_session(None)
    return session, await session.ws_connect(url)


async def _disconnect(session: "ClientSession", link: "ClientWebSocketResponse") -> None:
    await link.close()
    await session.close()


def measure(folder: Path) -> list[Finding]:
    """Microseconds of a frame on either way and of a health check, each beside the ping-pong of the same blocks."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        network = stack.enter_context(MeasuredNetwork(scratch / "network", NetworkConfig(), "limits", ()))
        exchange, bare = stack.enter_context(Exchange(network)), stack.enter_context(PingPong())
        node = LocalNetwork(network.folder.path).running()[_NODE]
        stack.enter_context(hold_apart((node, bare.pid)))
        sides = (
            exchange.time_links, exchange.time_posts, exchange.time_client_posts, exchange.time_health, bare.time_trips
        )  # fmt: skip
        take_turns(1, *sides)  # warm
        *ours, peers = take_turns(BLOCKS, *sides)
        exchange.check()
    note = f"medians of {TRIPS}; each end on a core of its own; the ping-pong in Python"
    return [Finding.in_unit(MICROSECOND, values, peers, note) for values in ours]


_PEER: Final = "blocking-socket ping-pong of 2 KB"
_DEMAND: Final = Demand("at most", 5)
PART: Final = Part(
    (
        Metric("frame of 2 KB from node to node, over a link", "µs", _PEER, _DEMAND),
        Metric("POST of a frame of 2 KB, blocking socket", "µs", _PEER, _DEMAND),
        Metric("POST of a frame of 2 KB, aiohttp's client", "µs", _PEER, _DEMAND),
        Metric("GET /v1/health, blocking socket", "µs", _PEER, _DEMAND),
    ),
    measure,
)
