"""Processors of simulated hosts: a node does one thing at a time, a host as many as it has cores.

Work that cannot start waits in order of arrival, per node and then per host.
"""

from collections import deque
from collections.abc import Callable
from typing import Any


class Host:
    """A machine whose ``cores`` its nodes share."""

    __slots__ = ("_free", "_ready", "_run")

    def __init__(self, cores: int, run: Callable[["Station", Any], bool]) -> None:
        self._free, self._run = cores, run
        self._ready: deque[Station] = deque()

    def submit(self, station: "Station", work: Any) -> None:
        """Start ``work`` on ``station`` now if it and a core are free; else queue it."""
        station.inbox.append(work)
        if not station.is_active:
            station.is_active = True
            self._ready.append(station)
            self._dispatch()

    def _dispatch(self) -> None:
        """Give free cores to the nodes that wait; ``run`` says whether the work takes time."""
        while self._free > 0 and self._ready:
            station = self._ready.popleft()
            self._free -= 1
            if not self._run(station, station.inbox.popleft()):
                self._free += 1
                self._queue(station)

    def _queue(self, station: "Station") -> None:
        if station.inbox:
            self._ready.append(station)
        else:
            station.is_active = False

    def take_core(self) -> None:
        """Something else occupies a core until `yield_core`; if all are busy, from when the first is free."""
        self._free -= 1

    def yield_core(self) -> None:
        """A core goes to whoever waits longest: that of a station that waits for something else and stays occupied."""
        self._free += 1
        self._dispatch()

    def finish(self, station: "Station", *, has_core: bool = True) -> None:
        """The station's work is done; so is its use of a core, if it still has one."""
        self._free += has_core
        self._queue(station)
        self._dispatch()


class Station:
    """One node's place on a host."""

    __slots__ = ("host", "inbox", "index", "is_active")

    def __init__(self, index: int, host: Host) -> None:
        self.index, self.host = index, host
        self.inbox: deque[Any] = deque()
        self.is_active = False
