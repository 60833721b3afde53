"""A link takes what single frames take, answers each, and keeps no stranger."""

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from ehrcore.codec import encode
from ehrcore.drive.net.frames import MAX_FRAME_BYTES, MAX_SKEW_NS, TAG_BYTES
from ehrcore.drive.net.links import LINK_PATH
from ehrcore.drive.net.web import link as link_module
from ehrcore.drive.net.web.app import SITE
from ehrcore.drive.net.web.link import close_links
from ehrcore.drive.net.web.problems import PROBLEM_MEDIA
from ehrcore.identity import Reason
from ehrcore.messages import Refused
from ehrcore.types import SECOND
from tests.core.net.conftest import Local, eventually, found_local


@pytest.fixture(scope="module")
def path(tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("link") / "network"
    found_local(path)
    return path


@contextlib.asynccontextmanager
async def linked(net: Local) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with net.client.ws_connect(f"{net.plan.url('agent-0')}{LINK_PATH}") as link:
        yield link


async def tell(link: aiohttp.ClientWebSocketResponse, sealed: bytes) -> int:
    await link.send_bytes(sealed)
    return int(await link.receive_str())


def of_now(net: Local, **changes: Any) -> bytes:
    return net.seal(net.frame("coordinator-0", "agent-0", **({"epoch": 1, "sequence": 1} | changes)))


async def require_serving(net: Local) -> None:
    async with linked(net) as link:
        assert await tell(link, of_now(net, epoch=time.time_ns())) == 200


def test_frames_come_one_after_the_other_and_each_is_answered(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            host = net.hosts["agent-0"]
            async with linked(net) as link:
                for sequence in range(1, 6):
                    message = encode(Refused(bytes(32), Reason.CONTRACT, str(sequence)))
                    assert await tell(link, of_now(net, sequence=sequence, messages=(message,))) == 200
                assert await tell(link, of_now(net, sequence=3)) == 200  # again, and of no effect
            assert host.counters.frames_in == 5
            assert host.counters.received["coordinator"].messages == 5
            assert host.counters.http[("LINK", LINK_PATH, 200)] == 6

            async def is_over() -> bool:
                return host.counters.http.get(("GET", LINK_PATH, 101)) == 1

            await eventually(is_over)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("slug", "status", "changes"),
    [
        ("stale-frame", 408, {"sent_at": -MAX_SKEW_NS - SECOND}),
        ("old-epoch", 409, {"epoch": 0}),
    ],
)
def test_who_is_known_hears_what_is_wrong_and_goes_on(
    path: Path, slug: str, status: int, changes: dict[str, int]
) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            if "sent_at" in changes:
                changes["sent_at"] += time.time_ns()
            async with linked(net) as link:
                assert await tell(link, of_now(net)) == 200
                assert await tell(link, of_now(net, sequence=2, **changes)) == status
                assert await tell(link, of_now(net, sequence=3)) == 200
            assert net.hosts["agent-0"].counters.problems == {slug: 1}
            assert net.hosts["agent-0"].counters.http[("LINK", LINK_PATH, status)] == 1

    asyncio.run(check())


@pytest.mark.parametrize(
    ("make", "slug", "status"),
    [
        (lambda _: b"", "malformed-frame", 400),
        (lambda _: b"\xc1" * 99, "malformed-frame", 400),
        (lambda net: of_now(net)[:-1] + b"x", "not-authentic", 401),
        (lambda net: of_now(net, chain=bytes(32)), "not-authentic", 401),
        (lambda net: of_now(net, sent_at=time.time_ns() + MAX_SKEW_NS + 60 * SECOND), "future-frame", 400),
        (lambda net: of_now(net, messages=(b"\xc0",)), "malformed-frame", 400),
    ],
    ids=["empty", "malformed", "spoilt", "of another chain", "future-dated", "of no message"],
)
def test_a_bad_frame_is_answered_counted_and_ends_the_link(path: Path, make: Any, slug: str, status: int) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            async with linked(net) as link:
                assert await tell(link, make(net)) == status
                assert (await link.receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
            host = net.hosts["agent-0"]
            assert host.counters.frames_in == 0
            assert host.counters.problems == {slug: 1}
            metrics = (await net.ask("agent-0", "/metrics")).body.decode()
            labels = f'method="LINK",role="agent",route="{LINK_PATH}",status="{status}"'
            assert f"ehrcore_http_requests_total{{{labels}}} 1.0" in metrics
            await require_serving(net)

    asyncio.run(check())


@pytest.mark.parametrize("data", ["a text", None], ids=["text", "oversized"])
def test_what_is_no_frame_at_all_ends_the_link(path: Path, data: str | None) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            async with linked(net) as link:
                if data is None:
                    with contextlib.suppress(ConnectionError):
                        await link.send_bytes(bytes(MAX_FRAME_BYTES + TAG_BYTES + 1))
                else:
                    await link.send_str(data)
                message = await link.receive()
                assert message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}
            assert net.hosts["agent-0"].counters.frames_in == 0
            await require_serving(net)

    asyncio.run(check())


@pytest.mark.parametrize("data", [b"", b"\x82\xfe\x10"], ids=["silent", "half a frame"])
def test_a_link_whose_first_frame_does_not_come_is_closed(
    path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        monkeypatch.setattr(link_module, "FIRST_FRAME_S", 0.05)
        async with Local(path, "agent-0") as net:
            async with linked(net) as link:
                if data:
                    transport = link._conn.transport  # type: ignore[union-attr]
                    assert transport is not None
                    transport.write(data)
                assert (await link.receive()).type is aiohttp.WSMsgType.CLOSE
            assert net.hosts["agent-0"].counters.problems == {}
            await require_serving(net)

    asyncio.run(check())


def test_a_peer_that_vanishes_does_no_harm(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            for number in range(4):
                link = await net.client.ws_connect(f"{net.plan.url('agent-0')}{LINK_PATH}")
                assert await tell(link, of_now(net, sequence=number + 1)) == 200
                transport = link._conn.transport  # type: ignore[union-attr]
                assert transport is not None
                if number % 2:
                    await link.send_bytes(of_now(net, sequence=number + 1))
                reset = transport.get_extra_info("socket")
                reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()

            async def are_over() -> bool:
                return net.hosts["agent-0"].counters.http.get(("GET", LINK_PATH, 101)) == 4

            await eventually(are_over)
            await require_serving(net)

    asyncio.run(check())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


@pytest.mark.parametrize(
    "headers",
    [{}, HANDSHAKE, HANDSHAKE | {"Sec-WebSocket-Key": "short"}, HANDSHAKE | {"Sec-WebSocket-Key": "é" * 24},
     HANDSHAKE | {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "99"}],
    ids=["plain", "no key", "short key", "odd key", "another version"],
)  # fmt: skip
def test_another_request_is_told_to_upgrade(path: Path, headers: dict[str, str]) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            closing = "" if headers else "Connection: close\r\n"
            place = net.plan.nodes["agent-0"]
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(f"GET {LINK_PATH} HTTP/1.1\r\nHost: x\r\n{lines}{closing}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            assert head.startswith("HTTP/1.1 426")
            assert "Upgrade: websocket\r\n" in head
            assert f"Content-Type: {PROBLEM_MEDIA}" in head
            size = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
            assert msgspec.json.decode(await reader.readexactly(size))["type"] == "/problems/upgrade-required"
            writer.close()
            assert net.hosts["agent-0"].counters.problems == {"upgrade-required": 1}

    asyncio.run(check())


def test_open_links_end_when_the_node_stops(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            link = await net.client.ws_connect(f"{net.plan.url('agent-0')}{LINK_PATH}")
            assert await tell(link, of_now(net)) == 200
            waiting = asyncio.create_task(link.receive())
            app = net.apps["agent-0"]
            assert len(app[SITE].sockets) == 1
            await close_links(app[SITE], app)
            message = await waiting
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
            assert not app[SITE].sockets

    asyncio.run(check())
