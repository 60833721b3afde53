"""Attacks on the door of a node: floods, slow clients, bombs.  What each is answered is counted.

They come from another address of this machine than the honest visitor (``127.0.0.2``, where a system has it), from this
process, and go on until they are told to stop.  None knows a secret of the network but the floods by members.
"""

import asyncio
import contextlib
import gzip
import json
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ehrcore.block import Payload, RecordRef, Transaction, TransactionBody
from ehrcore.codec import encode
from ehrcore.consent import Access, Action, Purpose
from ehrcore.crypto import Crypto
from ehrcore.drive.net.frames import MEDIA_TYPE
from ehrcore.drive.net.links import FRAMES_PATH, LINK_PATH
from ehrcore.drive.net.web.views import TRANSACTION_MEDIA

if TYPE_CHECKING:
    from aiohttp import ClientSession

ATTACKER: Final = "127.0.0.2"
TRANSACTIONS: Final = "/v1/transactions"
JSON_MEDIA: Final = "application/json"
#: What an attack was answered without an answer.
CLOSED: Final = "closed"
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_FLOW: Final = 32
_SLOW: Final = 150


@dataclass
class Target:
    """The node that is attacked, the members whose keys were stolen for it, and what was answered so far.

    ``counts`` are by status, ``tries`` are requests or connections begun.
    """

    host: str
    port: int
    chain: bytes
    members: dict[str, Crypto]
    reference: RecordRef
    source: str
    nonces: Mapping[str, Iterator[int]]
    tries: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def write(self, author: str, reference: Payload, *, is_signed: bool = True) -> bytes:
        """A new transaction of ``author`` in canonical bytes."""
        nonce = next(self.nonces[author])
        body = TransactionBody(self.chain, author, nonce, time.time_ns(), reference)
        crypto = self.members[author]
        return encode(Transaction(body, crypto.sign(body) if is_signed else os.urandom(32) + bytes(31) + b"\1"))

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection from the attacker's address."""
        reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=(self.source, 0))
        try:
            yield reader, writer
        finally:
            writer.close()

    def session(self) -> "ClientSession":
        """Many requests at a time from the attacker's address."""
        import aiohttp

        return aiohttp.ClientSession(
            f"http://{self.host}:{self.port}",
            connector=aiohttp.TCPConnector(limit=0, local_addr=(self.source, 0)),
            timeout=aiohttp.ClientTimeout(total=10),
            auto_decompress=False,
        )


Attack = Callable[[Target], Coroutine[Any, Any, None]]


async def _repeat(target: Target, make: Callable[[], tuple[str, bytes, dict[str, str]]], count: int = _FLOW) -> None:
    """So many clients that send one request after the other."""
    import aiohttp

    async def send(session: "ClientSession") -> None:
        while True:
            path, body, headers = make()
            target.tries += 1
            try:
                async with session.post(path, data=body, headers=headers) as response:
                    target.counts[str(response.status)] += 1
            except (aiohttp.ClientError, OSError, TimeoutError):
                target.counts[CLOSED] += 1

    async with target.session() as session, asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(send(session))


async def _hold(target: Target, begin: bytes, drip: bytes, count: int = _SLOW) -> None:
    """So many connections that say ``begin`` and go on a few bytes at a time; a new one follows each that ends."""

    async def stay() -> None:
        while True:
            target.tries += 1
            try:
                async with target.connect() as (reader, writer):
                    writer.write(begin)
                    target.counts[await _drip(reader, writer, drip)] += 1
            except OSError:
                target.counts[CLOSED] += 1
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(stay())


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, drip: bytes) -> str:
    """The status that ends the connection."""
    while True:
        try:
            async with asyncio.timeout(0.1):
                found = _STATUS.match(await reader.read(4_096))
            return found[1].decode() if found else CLOSED
        except TimeoutError:
            if drip:
                writer.write(drip)


def _post(body: bytes, media: str, path: str = TRANSACTIONS, **more: str) -> tuple[str, bytes, dict[str, str]]:
    return path, body, {"Content-Type": media, **{name.replace("_", "-"): value for name, value in more.items()}}


# -- floods ------------------------------------------------------------------------------------------------------------


async def flood_by_member(target: Target) -> None:
    """One member submits as fast as it can what the network may well take."""
    author = next(iter(target.members))
    await _repeat(target, lambda: _post(target.write(author, target.reference), TRANSACTION_MEDIA))


async def flood_by_members(target: Target) -> None:
    """Several members submit what no coordinator approves, for its objects are nowhere: agents go on hoping."""
    import msgspec

    turns = iter(range(1 << 60))
    nowhere = msgspec.structs.replace(target.reference, location="/hospital/report-store/nowhere")
    names = tuple(target.members)
    await _repeat(target, lambda: _post(target.write(names[next(turns) % len(names)], nowhere), TRANSACTION_MEDIA))


async def flood_of_denials(target: Target) -> None:
    """One member asks to read what nobody permits: each try is taken, for the chain keeps it as an audit event."""
    author, patient = next(iter(target.members)), os.urandom(32)
    await _repeat(
        target,
        lambda: _post(
            target.write(author, Access(Action.READ, patient, 1, os.urandom(32), Purpose.RESEARCH)), TRANSACTION_MEDIA
        ),
    )


async def flood_by_strangers(target: Target) -> None:
    """Well-formed transactions in members' names under signatures that are none."""
    names = tuple(target.members)
    turns = iter(range(1 << 60))
    await _repeat(
        target,
        lambda: _post(
            target.write(names[next(turns) % len(names)], target.reference, is_signed=False), TRANSACTION_MEDIA
        ),
    )


async def flood_of_frames(target: Target) -> None:
    """Frames of 4 MiB that no node has sealed."""
    import io

    body = bytes(4 << 20)
    await _repeat(target, lambda: _post(io.BytesIO(body), MEDIA_TYPE, FRAMES_PATH), 8)  # type: ignore[arg-type]


# -- bombs -------------------------------------------------------------------------------------------------------------


async def oversized(target: Target) -> None:
    """Transactions of 10 MiB."""
    import io

    body = bytes(10 << 20)
    await _repeat(target, lambda: _post(io.BytesIO(body), TRANSACTION_MEDIA), 8)  # type: ignore[arg-type]


@cache
def build_bomb() -> bytes:
    """60 KB that unpack to 60 MB; to be built before it is thrown, which takes a while."""
    return gzip.compress(bytes(60 << 20), 9)


async def decompression_bombs(target: Target) -> None:
    """Bodies that unpack to a thousand times their length."""
    await _repeat(target, lambda: _post(build_bomb(), JSON_MEDIA, Content_Encoding="gzip"), 8)


async def json_bombs(target: Target) -> None:
    """JSON that is nested 30,000 deep, or holds a number of 60,000 digits."""
    bombs = (b"[" * 30_000 + b"]" * 30_000, b'{"nonce":' + b"9" * 60_000 + b"}", b'{"nonce":1e999999999}',
             json.dumps({f"key{number}": number for number in range(4_000)}).encode())  # fmt: skip
    turns = iter(range(1 << 60))
    await _repeat(target, lambda: _post(bombs[next(turns) % len(bombs)], JSON_MEDIA), 8)


async def codec_bombs(target: Target) -> None:
    """Canonical bytes that are nested 60,000 deep, or announce 4 billion elements."""
    bombs = (b"\x91" * 60_000, b"\xdd\xff\xff\xff\xff" * 10_000, b"\x92\xc6\xff\xff\xff\xff" + bytes(60_000))
    turns = iter(range(1 << 60))
    await _repeat(target, lambda: _post(bombs[next(turns) % len(bombs)], TRANSACTION_MEDIA), 8)


async def contract_bombs(target: Target) -> None:
    """Agreements whose clauses are too deep, too wide, too many; with fuel for none of it."""
    from bench.attacks.bombs import build_contract_bombs

    bombs = [bomb for bomb in build_contract_bombs().values() if len(bomb) <= 64 << 10]
    turns = iter(range(1 << 60))
    await _repeat(target, lambda: _post(bombs[next(turns) % len(bombs)], TRANSACTION_MEDIA), 8)


async def long_link_frames(target: Target) -> None:
    """A link is opened without a greeting, and a frame of 4 MiB is sent over it."""
    import aiohttp

    async def send(session: "ClientSession") -> None:
        while True:
            target.tries += 1
            try:
                async with session.ws_connect(LINK_PATH) as link:
                    await link.send_bytes(bytes(4 << 20))
                    answer = await link.receive(timeout=10)
                    found = answer.data if answer.type is aiohttp.WSMsgType.TEXT else f"{CLOSED} {answer.data}"
                    target.counts[str(found)] += 1
            except (aiohttp.ClientError, OSError, TimeoutError):
                target.counts[CLOSED] += 1

    async with target.session() as session, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(send(session))


# -- slow clients ------------------------------------------------------------------------------------------------------

_HEAD: Final = b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def slow_headers(target: Target) -> None:
    """Headers that never end, a line at a time (slowloris)."""
    await _hold(target, _HEAD, b"X-a: b\r\n")


async def slow_bodies(target: Target) -> None:
    """A body that is announced and comes byte by byte."""
    await _hold(target, _HEAD + b"Content-Length: 60000\r\n\r\n", b"x")


async def slow_readers(target: Target) -> None:
    """Many questions whose answers are left unread."""
    question = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"

    async def stay() -> None:
        target.tries += 1
        async with target.connect() as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of sockets
            while not writer.is_closing():
                writer.write(question * 20)
                await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for _ in range(_SLOW // 3):
            group.create_task(_quietly(stay()))


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(OSError):
        await work


async def connection_exhaustion(target: Target) -> None:
    """As many connections as there may be, and more; nothing is said over them."""
    await _hold(target, b"", b"", 600)


@dataclass(frozen=True, slots=True)
class Assault:
    """One attack, and the bounds that were fixed before it was ever played.

    ``held`` are the answers by which a node holds it back; where there are some, nearly all answers must be such, and
    none may take anything.  ``bounds`` says which of `Bounds` it needs for that (none: it is held back without, too).
    The honest visitor keeps at least ``least_ratio`` of its throughput and loses nothing.
    """

    play: Attack
    held: frozenset[str] = frozenset()
    needs_bounds: bool = False
    least_ratio: float = 0.8


#: Of all answers, those that hold an attack back; newcomers that are let in; and growth of the node's memory, by which
#: no attack may exceed what the node had before the first.
LEAST_HELD, LEAST_GREETED, MOST_GROWTH_MIB = 0.95, 0.9, 64.0
#: By name, in the order in which they are played: those that leave something behind come last.
ASSAULTS: Final[dict[str, Assault]] = {
    "slow headers": Assault(slow_headers, frozenset({"408", CLOSED}), needs_bounds=True),
    "slow bodies": Assault(slow_bodies, frozenset({"408"}), needs_bounds=True),
    "slow readers": Assault(slow_readers),
    "connection exhaustion": Assault(connection_exhaustion, frozenset({"429", "408"}), needs_bounds=True),
    "oversized bodies": Assault(oversized, frozenset({"413", CLOSED})),
    "long frames of strangers": Assault(flood_of_frames, frozenset({"413", CLOSED})),
    "long frames over links": Assault(long_link_frames, frozenset({"closed 1009", CLOSED, "closed None"})),
    "decompression bombs": Assault(decompression_bombs, frozenset({"415"})),
    "JSON bombs": Assault(json_bombs, frozenset({"400", "413"})),
    "codec bombs": Assault(codec_bombs, frozenset({"400"})),
    "contract bombs": Assault(contract_bombs, frozenset({"400"})),
    "flood by strangers": Assault(flood_by_strangers, frozenset({"401"})),
    # What members may do is taken, until they hold all places that they get: it is shared with the others.
    "flood by members, of missing objects": Assault(flood_by_members, least_ratio=0.5),
    "flood by one member": Assault(flood_by_member, least_ratio=0.5),
    "flood of denied accesses": Assault(flood_of_denials, least_ratio=0.5),
}
