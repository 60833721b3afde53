"""A whole network in the test's own process: real hosts, files, links and sockets, and clients to ask them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web

from ehrcore.block import RecordRef, Transaction, TransactionBody
from ehrcore.codec import encode
from ehrcore.drive.net.files import read_secret
from ehrcore.drive.net.frames import MEDIA_TYPE, Frame, LinkKeys
from ehrcore.drive.net.host import NodeHost
from ehrcore.drive.net.node import open_host
from ehrcore.drive.net.objects import FileStore
from ehrcore.drive.net.plan import Address, NetworkConfig, NetworkFolder, NetworkPlan, found
from ehrcore.drive.net.sync import followers
from ehrcore.drive.net.web.app import Runner, build_app
from ehrcore.drive.net.web.exchange import Bounds
from ehrcore.drive.net.web.views import TRANSACTION_MEDIA
from ehrcore.errors import EhrError
from ehrcore.records import RecordKind
from tests.ports import find_ports

#: Generous, for machines that do other things as well; nothing waits this long unless it is broken.
PATIENCE_S = 60.0


def found_local(path: Path, **given: Any) -> NetworkPlan:
    """A network of one node per role at free ports of this machine, unless ``given`` says otherwise."""
    config = NetworkConfig(max_wait_ms=10, **given)
    roles = ("agent", "coordinator", "administrator", "contributor", "visitor")
    names = [f"{role}-{index}" for role in roles for index in range(getattr(config, f"{role}s"))]
    places = {name: Address(port=port) for port, name in enumerate(names, find_ports(len(names)))}
    return found(path, NetworkConfig(max_wait_ms=10, nodes=places, **given), time.time_ns(), "tests")


async def eventually(condition: Callable[[], Awaitable[Any]]) -> Any:
    """What ``condition`` returns once that is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not (result := await condition()):  # noqa: ASYNC110 - happens where no event of ours is
            await asyncio.sleep(0.01)
    return result


async def _do_not_wait(timeout_s: float) -> bool:
    return timeout_s < 0


class Answer:
    """What came back."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def media(self) -> str:
        return self.headers.get("Content-Type", "")


class Local:
    """The nodes ``names`` of a founded network (all but visitors if none are given), serving; a context manager."""

    def __init__(self, path: Path, *names: str, **bounds: Any) -> None:
        self.folder = NetworkFolder(path)
        self.plan = self.folder.read_plan()
        self._names = names or tuple(name for name in self.plan.nodes if not name.startswith("visitor"))
        self._bounds = Bounds(**bounds)
        self.hosts: dict[str, NodeHost] = {}
        self.apps: dict[str, web.Application] = {}
        self.client: aiohttp.ClientSession
        self._crypto = self.folder.context(self.plan, "visitor-0").crypto

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for name in self._names:
                self.hosts[name] = host = open_host(self.folder, self.plan, name)
                stack.push_async_callback(self._close, host)
                await self._serve(host, stack)
            for host in self.hosts.values():
                host.start()
                tasks = followers(host)
                stack.push_async_callback(self._cancel, tasks)
            tls = None
            if self.plan.tls:
                from ehrcore.drive.net.tls import client_context

                tls = client_context(self.folder, "visitor-0")
            connector = aiohttp.TCPConnector(ssl=tls or True)
            self.client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            self._stack = stack.pop_all()
        return self

    async def _serve(self, host: NodeHost, stack: AsyncExitStack) -> None:
        await host.links.start()
        tls = None
        if self.plan.tls:
            from ehrcore.drive.net.tls import server_context

            tls = server_context(self.folder, host.name)
        app = self.apps[host.name] = build_app(host, self._bounds)
        runner = Runner(app, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        place = self.plan.nodes[host.name]
        await web.TCPSite(runner, place.host, place.port, ssl_context=tls).start()

    @staticmethod
    async def _close(host: NodeHost) -> None:
        with suppress(EhrError):
            await host.close()

    @staticmethod
    async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aexit__(self, *_: object) -> None:
        for host in self.hosts.values():
            # What is for a node that is not there would be waited for.
            host.links.drain = _do_not_wait  # type: ignore[method-assign]
        await self._stack.aclose()
        for host in self.hosts.values():
            # A bug that nobody has asked for comes out here.
            if host.failure.done():
                host.failure.result()

    # -- requests ----------------------------------------------------------------------------------------------

    async def ask(self, node: str, route: str, method: str = "GET", **more: Any) -> Answer:
        async with self.client.request(method, f"{self.plan.url(node)}{route}", **more) as response:
            return Answer(response, await response.read())

    async def post(self, node: str, route: str, body: bytes, media: str = "", **more: Any) -> Answer:
        headers = more.pop("headers", {}) | ({"Content-Type": media} if media else {})
        return await self.ask(node, route, "POST", data=BytesIO(body), headers=headers, **more)

    async def raw(self, node: str, data: bytes) -> bytes:
        """Everything that comes back for these bytes until the node closes the connection."""
        place = self.plan.nodes[node]
        reader, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        return answer

    # -- what nodes and visitors say ---------------------------------------------------------------------------

    def transaction(self, nonce: int = 1, **changes: Any) -> Transaction:
        """A visitor's signed transaction about an object that lies in the store."""
        content = f"record {nonce}".encode()
        location = changes.pop("location", f"tests/{nonce}")
        FileStore(self.folder.objects).put(location, content)
        record = RecordRef(int(RecordKind.SENSOR), bytes(32), self._crypto.hash(content), location, len(content))
        given = {
            "chain": bytes.fromhex(self.plan.chain),
            "author": "visitor-0",
            "nonce": nonce,
            "submitted_at": time.time_ns(),
            "payload": record,
        }
        body = TransactionBody(**(given | changes))
        return Transaction(body, self._crypto.sign(body))

    def tx_id(self, tx: Transaction) -> str:
        return self._crypto.suite.hash(encode(tx.body)).hex()

    def link_keys(self, sender: str) -> LinkKeys:
        secret = bytes.fromhex(read_secret(self.folder.node(sender) / "link.key").decode())
        return LinkKeys(self.plan, sender, secret)

    def frame(self, sender: str, receiver: str, messages: tuple[bytes, ...] = (), **changes: Any) -> Frame:
        given = {
            "chain": bytes.fromhex(self.plan.chain),
            "sender": sender,
            "receiver": receiver,
            "epoch": time.time_ns(),
            "sequence": 1,
            "sent_at": time.time_ns(),
            "messages": messages,
        }
        return Frame(**(given | changes))

    def seal(self, frame: Frame, sealed_by: str = "") -> bytes:
        """``frame`` sealed with the keys of ``sealed_by``: its sender's, unless a forger is at work."""
        keys = self.link_keys(sealed_by or frame.sender)
        if sealed_by:
            keys._keys[frame.sender, frame.receiver] = keys._key(sealed_by, frame.receiver)
        return keys.seal(frame)

    async def post_frame(self, sealed: bytes, node: str = "agent-0", media: str = MEDIA_TYPE) -> Answer:
        return await self.post(node, "/v1/frames", sealed, media)


@dataclass(frozen=True)
class Written:
    """A network that has agreed on some blocks and stopped, and the ids of their transactions, in order."""

    path: Path
    tx_ids: tuple[str, ...]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Blocks of every size up to 3, one of them with an order of the authority."""
    path = tmp_path_factory.mktemp("written") / "network"
    found_local(path, visitors=2, max_transactions=3)

    async def write() -> tuple[str, ...]:
        async with Local(path) as net:
            tx_ids = []
            for count in (1, 2, 3, 1, 4):
                batch = [net.transaction(len(tx_ids) + number) for number in range(count)]
                if count == 1 and tx_ids:
                    authority = net.folder.open_authority(net.plan)
                    batch = [authority.revoke(bytes.fromhex(net.plan.chain), 1_000_000, time.time_ns())]
                for tx in batch:
                    answer = await net.post("agent-0", "/v1/transactions", encode(tx), TRANSACTION_MEDIA)
                    assert answer.status == 202, answer.body
                tx_ids += [net.tx_id(tx) for tx in batch]

                async def is_kept(last: str = tx_ids[-1]) -> bool:
                    keepers = [net.hosts["contributor-0"], net.hosts["coordinator-0"]]
                    return all(host.find(bytes.fromhex(last)) for host in keepers)

                await eventually(is_kept)
            return tuple(tx_ids)

    return Written(path, asyncio.run(write()))
