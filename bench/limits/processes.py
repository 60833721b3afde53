"""What the limits of real processes share: free ports, an event loop, cores to hold processes on, their memory."""

import asyncio
import os
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.limits.base import Unavailable
from ehrcore.drive.net.local import require_free_ports
from ehrcore.errors import DeploymentError

HOST: Final = "127.0.0.1"
#: Above the ports of common services, below those that systems give to clients.
_PORTS: Final = range(20_000, 32_000)
_ATTEMPTS: Final = 50


def find_ports(count: int) -> range:
    """``count`` ports in a row on which nobody listens now."""
    for first in random.sample(_PORTS[: 1 - count or None], _ATTEMPTS):
        ports = range(first, first + count)
        try:
            require_free_ports(("", HOST, port) for port in ports)
        except DeploymentError:
            continue
        return ports
    raise BenchError(f"ports: expected {count} free ones in a row from {_PORTS.start} on, found none")


def open_runner() -> asyncio.Runner:
    """Runs coroutines on the same kind of event loop as nodes have."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


@contextmanager
def hold_apart(others: Iterable[int]) -> Iterator[None]:
    """Meanwhile this process has one core to itself, and the processes ``others`` (ids) share another one.

    `Unavailable` where there are not two, or where the system does not let one choose.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise Unavailable("expected a system that holds processes on cores, found one that does not")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Unavailable("expected two cores, found one")
    try:
        for pid in others:
            _hold(pid, {cores[1]})
        _hold(os.getpid(), {cores[0]})
        yield
    finally:
        _hold(os.getpid(), set(cores))


def _hold(pid: int, cores: set[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def measure_memory(pids: Iterable[int]) -> tuple[int, int | None]:
    """Resident bytes of all these processes together, and with shared pages counted once (None if not told)."""
    import psutil

    resident, proportional = 0, 0
    is_told = True
    for pid in pids:
        process = psutil.Process(pid)
        resident += process.memory_info().rss
        try:
            proportional += process.memory_full_info().pss
        except (psutil.AccessDenied, AttributeError):
            is_told = False
    return resident, proportional if is_told else None
