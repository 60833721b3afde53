"""A peer that replicates for a living: three nodes of etcd (Raft) on this machine, where it is installed.

A put is answered once a majority of the nodes has it on disk.  Each connection has one put under way, through the HTTP
interface of the leader, where puts are fastest.  Keys are distinct; values are as long as a transaction and were built
before.  Debian has it as `etcd-server`; nothing here starts or stops a cluster but its own.
"""

import asyncio
import base64
import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from bench.errors import BenchError
from bench.limits.base import Unavailable
from bench.limits.processes import HOST, find_ports, open_runner

if TYPE_CHECKING:
    from aiohttp import ClientSession

NODES: Final = 3
WARM_S: Final = 0.5
_START_S: Final = 30.0
_PAUSE_S: Final = 0.05
#: The key of one zero byte; as a range from itself to itself, it means all keys.
_ALL: Final = base64.b64encode(b"\0").decode()


class EtcdCluster:
    """A cluster in a new folder; a context manager.  `Unavailable` if etcd is not installed or does not start."""

    def __init__(self, folder: Path, value_bytes: int) -> None:
        found = shutil.which("etcd")
        if found is None:
            raise Unavailable("the command `etcd` is not on the path (Debian: etcd-server)")
        self._folder, self._command = folder, found
        self._value = base64.b64encode(os.urandom(value_bytes)).decode()
        self._keys, self.acknowledged = count(), 0
        self._stack, self._leader = ExitStack(), ""
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        ports = find_ports(2 * NODES)
        clients, peers = ([f"http://{HOST}:{port}" for port in part] for part in (ports[:NODES], ports[NODES:]))
        with ExitStack() as stack:
            self._runner = stack.enter_context(open_runner())
            stack.callback(self._end)
            for at, client in enumerate(clients):
                self._processes.append(self._start(at, client, peers))
            self._leader = self._runner.run(self._find_leader(clients))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, at: int, client: str, peers: list[str]) -> subprocess.Popen[bytes]:
        cluster = ",".join(f"node-{index}={url}" for index, url in enumerate(peers))
        options = {
            "name": f"node-{at}", "data-dir": str(self._folder / f"node-{at}"),
            "listen-client-urls": client, "advertise-client-urls": client,
            "listen-peer-urls": peers[at], "initial-advertise-peer-urls": peers[at],
            "initial-cluster": cluster, "initial-cluster-state": "new", "logger": "zap", "log-level": "warn",
        }  # fmt: skip
        self._folder.mkdir(exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}
        with (self._folder / f"log-{at}").open("wb") as log:
            return subprocess.Popen(
                [self._command, *(f"--{name}={value}" for name, value in options.items())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )  # fmt: skip

    def _end(self) -> None:
        """At once: nothing of it is kept, and in good order it would first look for another leader."""
        for process in self._processes:
            process.kill()
            process.wait()

    async def _find_leader(self, clients: list[str]) -> str:
        """The leader's address, once all nodes are healthy."""
        end = time.monotonic() + _START_S
        async with _open_session(NODES) as session:
            while True:
                found = await asyncio.gather(*(_ask_status(session, url) for url in clients))
                leaders = [url for url, status in zip(clients, found, strict=True) if status and _is_leader(status)]
                if leaders and all(found):
                    return leaders[0]
                self._require_running(is_late=time.monotonic() > end)
                await asyncio.sleep(_PAUSE_S)

    def _require_running(self, *, is_late: bool) -> None:
        for at, process in enumerate(self._processes):
            if is_late or process.poll() is not None:
                lines = (self._folder / f"log-{at}").read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise Unavailable(f"etcd: expected {NODES} healthy nodes within {_START_S:g} s, found: {lines[-1:]}")

    def version(self) -> str:
        """What it calls its own version."""
        return str(self._runner.run(self._ask(f"{self._leader}/v3/maintenance/status", {}))["version"])

    def put_rate(self, connections: int, seconds: float) -> float:
        """Acknowledged puts per second over so many connections, warm."""
        return self._runner.run(self._load(connections, seconds))

    def check(self) -> int:
        """How many keys the cluster holds; `BenchError` unless it is one for each acknowledged put."""
        asked = {"key": _ALL, "range_end": _ALL, "count_only": True}
        found = int(self._runner.run(self._ask(f"{self._leader}/v3/kv/range", asked)).get("count", 0))
        if found != self.acknowledged:
            raise BenchError(f"etcd: expected the {self.acknowledged} keys that were acknowledged, found {found}")
        return found

    async def _load(self, connections: int, seconds: float) -> float:
        begin = time.monotonic() + WARM_S
        async with _open_session(connections) as session:
            puts = (self._put_until(session, begin, begin + seconds) for _ in range(connections))
            return sum(await asyncio.gather(*puts)) / seconds

    async def _put_until(self, session: "ClientSession", begin: float, end: float) -> int:
        """Put after put until ``end``; those that were answered between the two instants."""
        url, counted = f"{self._leader}/v3/kv/put", 0
        while time.monotonic() < end:
            key = base64.b64encode(b"%016d" % next(self._keys)).decode()
            async with session.post(url, data=f'{{"key":"{key}","value":"{self._value}"}}'.encode()) as response:
                text = await response.read()
            if response.status != 200:
                raise BenchError(f"etcd: expected status 200, found {response.status}: {text[:200]!r}")
            self.acknowledged += 1
            counted += begin <= time.monotonic() < end
        return counted

    async def _ask(self, url: str, question: dict[str, Any]) -> dict[str, Any]:
        async with _open_session(1) as session:
            return await _ask(session, url, question)


def _open_session(connections: int) -> "ClientSession":
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections), timeout=aiohttp.ClientTimeout(total=_START_S)
    )


async def _ask(session: "ClientSession", url: str, question: dict[str, Any]) -> dict[str, Any]:
    async with session.post(url, data=msgspec.json.encode(question)) as response:
        found: dict[str, Any] = msgspec.json.decode(await response.read())
        return found


async def _ask_status(session: "ClientSession", url: str) -> dict[str, Any] | None:
    """What a healthy node says of itself; None from another."""
    import aiohttp

    try:
        async with session.get(f"{url}/health") as response:
            if msgspec.json.decode(await response.read()).get("health") != "true":
                return None
        return await _ask(session, f"{url}/v3/maintenance/status", {})
    except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError):
        return None


def _is_leader(status: dict[str, Any]) -> bool:
    return bool(status["leader"] == status["header"]["member_id"])
