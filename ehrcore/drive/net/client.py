"""Asking nodes over HTTP: what the command line and the launcher need of them.

Nobody is trusted for being reachable: an answer's length is bounded, and what it says is checked by who asked.
"""

import http.client
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from ehrcore.codec import decode, encode
from ehrcore.drive.net.plan import PLAN_FILE, NetworkFolder, NetworkPlan
from ehrcore.errors import CodecError, DeploymentError
from ehrcore.messages import Finalised, Receipt

if TYPE_CHECKING:
    from ssl import SSLContext

    import aiohttp

    from ehrcore.drive.net.status import NodeStatus

T = TypeVar("T")

MAX_ANSWER_BYTES: Final = 64 << 20
HEALTH_BYTES: Final = 64 << 10
#: Who has not said how it is by then is as good as down.
STATUS_TIMEOUT_S: Final = 3.0
IDS_MEDIA: Final = "application/vnd.ehrcore.ids"
OK: Final = 200
#: Blocks asked for at once.
BLOCKS: Final = 64


class NoAnswerError(DeploymentError):
    """A node that does not answer, or with something that is no answer to the question."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status of HTTP, and the body that came with it."""

    node: str
    status: int
    body: bytes
    retry_after_s: float | None = None

    def object(self) -> dict[str, Any]:
        """The body as a JSON object; `NoAnswerError` if it is none."""
        found = _parse(self.body)
        if not isinstance(found, dict):
            raise NoAnswerError(f"{self.node}: expected a JSON object, found {len(self.body)} other bytes")
        return found

    def struct(self, kind: type[T]) -> T:
        """The body as canonical bytes of ``kind``; `NoAnswerError` if it is none."""
        try:
            return decode(self.body, kind)
        except CodecError as error:
            raise NoAnswerError(f"{self.node}: {error}") from None

    def problem(self) -> str:
        found = _parse(self.body)
        told = found if isinstance(found, dict) else {}
        words = told.get("reason") or told.get("detail") or told.get("title") or f"status {self.status}"
        return " ".join(str(words).split())[:200]


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def fetch_health(folder: NetworkFolder, plan: NetworkPlan, name: str, *, timeout_s: float = 2.0) -> dict[str, Any]:
    """What a node of this host says of its own health; `NoAnswerError` if it says nothing."""
    place, tls = urlsplit(plan.url(name)), tls_context(folder, plan, name)
    kind: Any = http.client.HTTPConnection if tls is None else partial(http.client.HTTPSConnection, context=tls)
    connection: http.client.HTTPConnection = kind(place.hostname or "", place.port, timeout=timeout_s)
    try:
        connection.request("GET", "/v1/health")
        response = connection.getresponse()
        answer = Answer(name, response.status, response.read(HEALTH_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{name}: expected an answer, found: {_words(error)}") from None
    finally:
        connection.close()
    return answer.object()


class Client:
    """Requests to the nodes of one network, many at a time; use as an asynchronous context manager.

    ``name`` is whose certificate is shown where the network asks for one; by default the first whose key is here.
    """

    def __init__(self, folder: NetworkFolder, plan: NetworkPlan, name: str | None = None) -> None:
        self.folder, self.plan, self._name = folder, plan, name
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        import aiohttp  # noqa: PLC0415 - takes longer to import than a command may take to start

        tls = tls_context(self.folder, self.plan, self._name or _find_identity(self.folder, self.plan))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64, ssl=True if tls is None else tls),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(
        self, node: str, route: str, body: bytes | None = None, *, media: str = "", timeout_s: float = 10.0
    ) -> Answer:
        """GET ``route`` of a node, or POST ``body`` to it; `NoAnswerError` if there is no answer in time."""
        import aiohttp  # noqa: PLC0415

        try:
            async with self._session.request(
                "GET" if body is None else "POST",
                f"{self.plan.url(node)}{route}",
                data=body,
                headers={"Content-Type": media} if media else {},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=5),
            ) as response:
                data = bytearray()
                async for chunk in response.content.iter_chunked(1 << 16):
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        raise NoAnswerError(f"{node}: expected at most {MAX_ANSWER_BYTES} bytes, found more")
                pause = response.headers.get("Retry-After", "")
                return Answer(node, response.status, bytes(data), float(pause) if pause.isdecimal() else None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswerError(f"{node}: expected an answer, found: {_words(error)}") from None

    async def fetch(
        self, node: str, route: str, body: bytes | None = None, *, media: str = "", timeout_s: float = 10.0
    ) -> Answer:
        """As `request`, and `NoAnswerError` for every answer but a good one."""
        answer = await self.request(node, route, body, media=media, timeout_s=timeout_s)
        if answer.status != OK:
            raise NoAnswerError(f"{node}: {answer.problem()}")
        return answer

    async def stream(self, node: str, route: str, body: bytes, *, media: str) -> AsyncIterator[bytes]:
        """POST ``body`` and yield the answer as it comes; `NoAnswerError` for any but a good one, or if it breaks off.

        However long the answer is: a minute without a byte is too long.
        """
        import aiohttp  # noqa: PLC0415

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
        headers = {"Content-Type": media}
        try:
            async with self._session.post(
                f"{self.plan.url(node)}{route}", data=body, headers=headers, allow_redirects=False, timeout=timeout
            ) as response:
                if response.status != OK:
                    told = Answer(node, response.status, await response.content.read(HEALTH_BYTES))
                    raise NoAnswerError(f"{node}: {told.problem()}")
                async for chunk in response.content.iter_chunked(1 << 18):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswerError(f"{node}: expected an answer, found: {_words(error)}") from None

    async def final(self, node: str, tx_ids: Sequence[bytes]) -> list[bytes]:
        """Which of these transactions are in the node's ledger, as it says."""
        if not tx_ids:
            return []
        answer = await self.fetch(node, "/v1/final", encode(tuple(tx_ids)), media=IDS_MEDIA)
        flags = answer.struct(tuple[int, ...])
        if len(flags) != len(tx_ids):
            raise NoAnswerError(f"{node}: expected {len(tx_ids)} flags, found {len(flags)}")
        return [tx_id for tx_id, flag in zip(tx_ids, flags, strict=True) if flag]

    async def blocks(self, node: str, first: int, last: int) -> AsyncIterator[Finalised]:
        """The node's final blocks from height ``first`` to ``last``, in order, as far as it has them."""
        while first <= last:
            route = f"/v1/blocks?from={first}&limit={min(BLOCKS, last + 1 - first)}"
            found = (await self.fetch(node, route)).struct(tuple[Finalised, ...])
            if not found:
                return
            first += len(found)
            for final in found:
                yield final

    async def receipt(self, node: str, tx_id: bytes) -> Receipt:
        """The receipt that the node shows for a transaction, not verified."""
        return (await self.fetch(node, f"/v1/transactions/{tx_id.hex()}/receipt")).struct(Receipt)

    async def status(self, node: str) -> "NodeStatus":
        from ehrcore.drive.net.status import NodeStatus  # noqa: PLC0415 - imports aiohttp

        answer = await self.fetch(node, "/v1/status", timeout_s=STATUS_TIMEOUT_S)
        try:
            return msgspec.json.decode(answer.body, type=NodeStatus)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NoAnswerError(f"{node}: expected a status, found: {error}") from None


@dataclass(slots=True)
class Told:
    """What several nodes answered, and why the others did not, each by name."""

    answers: dict[str, Any] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)

    def require(self, wanted: str) -> None:
        """Raise `DeploymentError` that begins with ``wanted`` and says why, unless somebody has answered."""
        if not self.answers:
            raise DeploymentError(f"{wanted} that answers, found none ({'; '.join(self.silent.values())})")


async def ask_each(nodes: Iterable[str], ask: Callable[[str], Coroutine[Any, Any, T]]) -> Told:
    """Ask all nodes at once, each with ``ask(node)``."""
    import asyncio  # noqa: PLC0415

    names, told = tuple(nodes), Told()
    for name, found in zip(names, await asyncio.gather(*map(ask, names), return_exceptions=True), strict=True):
        if isinstance(found, NoAnswerError):
            told.silent[name] = str(found)
        elif isinstance(found, BaseException):
            raise found
        else:
            told.answers[name] = found
    return told


def _words(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else " ".join(str(error).split()) or type(error).__name__


def _find_identity(folder: NetworkFolder, plan: NetworkPlan) -> str:
    for name in plan.nodes:
        if (folder.node(name) / "signing.key").exists():
            return name
    raise DeploymentError(f"{folder.path}: expected the key of a node in nodes/NAME, found none")


def tls_context(folder: NetworkFolder, plan: NetworkPlan, name: str) -> "SSLContext | None":
    """What the node ``name`` asks others with; None for a network without TLS."""
    if not plan.tls:
        return None
    from ehrcore.drive.net.tls import client_context  # noqa: PLC0415 - X.509 is slow to import

    return client_context(folder, name)


def folder_of(path: Path) -> tuple[NetworkFolder, NetworkPlan]:
    """The network in a folder; `DeploymentError` if there is none."""
    folder = NetworkFolder(path.absolute())
    if not folder.plan_path.exists():
        raise DeploymentError(f"{path}: expected the folder of a network, found no {PLAN_FILE} in it")
    return folder, folder.read_plan()
