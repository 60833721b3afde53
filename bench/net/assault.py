"""Attacks on the door of a node: floods, slow clients, bombs.  What each is answered is counted.

They come from another address of this machine than the honest visitor (``127.0.0.2``, where a system has it), from this
process, and go on until they are told to stop.  None knows a secret of the network but the floods by members.
"""

import asyncio
import contextlib
import gzip
import io
import json
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle, repeat
from typing import TYPE_CHECKING, Any, Final

import msgspec

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
_LONG_BYTES: Final = 1 << 20


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


async def _crowd(count: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """So many at a time."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(work())


async def _repeat(target: Target, ask: Callable[["ClientSession"], Coroutine[Any, Any, str]], count: int) -> None:
    """So many clients that ask one thing after the other and count what they are answered."""
    import aiohttp

    async def go_on() -> None:
        while True:
            target.tries += 1
            try:
                target.counts[await ask(session)] += 1
            except (aiohttp.ClientError, OSError, TimeoutError):
                target.counts[CLOSED] += 1

    async with target.session() as session:
        await _crowd(count, go_on)


def _throw(
    make: Callable[[Target], Iterator[bytes]], media: str = TRANSACTION_MEDIA, path: str = TRANSACTIONS,
    encoding: str = "", count: int = 8,
) -> Attack:  # fmt: skip
    """So many clients that post the bodies that ``make`` gives."""
    headers = {"Content-Type": media} | ({"Content-Encoding": encoding} if encoding else {})

    async def play(target: Target) -> None:
        bodies = make(target)

        async def post(session: "ClientSession") -> str:
            body = next(bodies)
            data = body if len(body) < _LONG_BYTES else io.BytesIO(body)  # so aiohttp sends what is long in pieces
            async with session.post(path, data=data, headers=headers) as response:
                return str(response.status)

        await _repeat(target, post, count)

    return play


def _hold(begin: bytes, drip: bytes, count: int = _SLOW) -> Attack:
    """So many connections that say ``begin`` and go on a few bytes at a time; a new one follows each that ends."""

    async def play(target: Target) -> None:
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

        await _crowd(count, stay)

    return play


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


# -- floods ------------------------------------------------------------------------------------------------------------


def _write(
    target: Target, make: Callable[[], Payload], most: int | None = None, *, is_signed: bool = True
) -> Iterator[bytes]:
    """Transactions of the members, or of so many of them, in turns."""
    for author in cycle(tuple(target.members)[:most]):
        yield target.write(author, make(), is_signed=is_signed)


def flood_by_member(target: Target) -> Iterator[bytes]:
    """One member submits as fast as it can what the network may well take."""
    return _write(target, lambda: target.reference, 1)


def flood_by_members(target: Target) -> Iterator[bytes]:
    """Several members submit what no coordinator approves, for its objects are nowhere: agents go on hoping."""
    nowhere = msgspec.structs.replace(target.reference, location="/hospital/report-store/nowhere")
    return _write(target, lambda: nowhere)


def flood_of_denials(target: Target) -> Iterator[bytes]:
    """One member asks to read what nobody permits: each try is taken, for the chain keeps it as an audit event."""
    patient = os.urandom(32)
    return _write(target, lambda: Access(Action.READ, patient, 1, os.urandom(32), Purpose.RESEARCH), 1)


def flood_by_strangers(target: Target) -> Iterator[bytes]:
    """Well-formed transactions in members' names under signatures that are none."""
    return _write(target, lambda: target.reference, is_signed=False)


# -- bombs -------------------------------------------------------------------------------------------------------------


@cache
def build_bomb() -> bytes:
    """60 KB that unpack to 60 MB; to be built before it is thrown, which takes a while."""
    return gzip.compress(bytes(60 << 20), 9)


def json_bombs(_target: Target) -> Iterator[bytes]:
    """JSON that is nested 30,000 deep, or holds a number of 60,000 digits."""
    keys = json.dumps({f"key{number}": number for number in range(4_000)}).encode()
    number = b'{"nonce":' + b"9" * 60_000 + b"}"
    return cycle((b"[" * 30_000 + b"]" * 30_000, number, b'{"nonce":1e999999999}', keys))


def codec_bombs(_target: Target) -> Iterator[bytes]:
    """Canonical bytes that are nested 60,000 deep, or announce 4 billion elements."""
    return cycle((b"\x91" * 60_000, b"\xdd\xff\xff\xff\xff" * 10_000, b"\x92\xc6\xff\xff\xff\xff" + bytes(60_000)))


def contract_bombs(_target: Target) -> Iterator[bytes]:
    """Agreements whose clauses are too deep, too wide, too many; with fuel for none of it."""
    from bench.attacks.bombs import build_contract_bombs

    return cycle([bomb for bomb in build_contract_bombs().values() if len(bomb) <= 64 << 10])


async def long_link_frames(target: Target) -> None:
    """A link is opened without a greeting, and a frame of 4 MiB is sent over it."""
    import aiohttp

    async def send(session: "ClientSession") -> str:
        async with session.ws_connect(LINK_PATH) as link:
            await link.send_bytes(bytes(4 << 20))
            answer = await link.receive(timeout=10)
            return str(answer.data if answer.type is aiohttp.WSMsgType.TEXT else f"{CLOSED} {answer.data}")

    await _repeat(target, send, 8)


# -- slow clients ------------------------------------------------------------------------------------------------------

_HEAD: Final = b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def slow_readers(target: Target) -> None:
    """Many questions whose answers are left unread."""
    question = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"

    async def stay() -> None:
        target.tries += 1
        with contextlib.suppress(OSError):
            async with target.connect() as (_, writer):
                writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of sockets
                while not writer.is_closing():
                    writer.write(question * 20)
                    await asyncio.sleep(0.05)

    await _crowd(_SLOW // 3, stay)


@dataclass(frozen=True, slots=True)
class Assault:
    """One attack, and the bounds that were fixed before it was ever played.

    ``held`` are the answers by which a node holds it back; where there are some, nearly all answers must be such, and
    none may take anything; ``needs_bounds`` says whether it takes `Bounds` for that.
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
    "slow headers": Assault(_hold(_HEAD, b"X-a: b\r\n"), frozenset({"408", CLOSED}), needs_bounds=True),
    "slow bodies": Assault(
        _hold(_HEAD + b"Content-Length: 60000\r\n\r\n", b"x"), frozenset({"408"}), needs_bounds=True
    ),
    "slow readers": Assault(slow_readers),
    "connection exhaustion": Assault(_hold(b"", b"", 600), frozenset({"429", "408"}), needs_bounds=True),
    "oversized bodies": Assault(_throw(lambda _: repeat(bytes(10 << 20))), frozenset({"413", CLOSED})),
    "long frames of strangers": Assault(
        _throw(lambda _: repeat(bytes(4 << 20)), MEDIA_TYPE, FRAMES_PATH), frozenset({"413", CLOSED})
    ),
    "long frames over links": Assault(long_link_frames, frozenset({"closed 1009", CLOSED, "closed None"})),
    "decompression bombs": Assault(
        _throw(lambda _: repeat(build_bomb()), JSON_MEDIA, encoding="gzip"), frozenset({"415"})
    ),
    "JSON bombs": Assault(_throw(json_bombs, JSON_MEDIA), frozenset({"400", "413"})),
    "codec bombs": Assault(_throw(codec_bombs), frozenset({"400"})),
    "contract bombs": Assault(_throw(contract_bombs), frozenset({"400"})),
    "flood by strangers": Assault(_throw(flood_by_strangers, count=_FLOW), frozenset({"401"})),
    # What members may do is taken, until they hold all places that they get: it is shared with the others.
    "flood by members, of missing objects": Assault(_throw(flood_by_members, count=_FLOW), least_ratio=0.5),
    "flood by one member": Assault(_throw(flood_by_member, count=_FLOW), least_ratio=0.5),
    "flood of denied accesses": Assault(_throw(flood_of_denials, count=_FLOW), least_ratio=0.5),
}
