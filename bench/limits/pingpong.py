"""The bare round trip: two processes, one TCP connection of the loopback, blocking sockets and nothing in between.

Both ends are in Python, whose part is small: in C it takes about a tenth less, as most of it is to wake the other.
"""

import socket
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Final, Self

from bench.limits import echo
from bench.limits.base import wall_ns
from bench.limits.processes import HOST

SIZE_BYTES: Final = 2_048
TRIPS: Final = 400
_TIMEOUT_S: Final = 30.0


class PingPong:
    """The end that times; a context manager, which owns the other end's process."""

    def __enter__(self) -> Self:
        words = [sys.executable, str(Path(echo.__file__)), str(SIZE_BYTES)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE)
        try:
            assert self._process.stdout is not None  # noqa: S101 - it is a pipe
            self._socket = socket.create_connection((HOST, int(self._process.stdout.readline())), _TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # With a timeout, every call would wait for the socket first.
            self._socket.settimeout(None)
        except BaseException:
            self._process.kill()
            self._process.communicate()
            raise
        self._ping, self._pong = bytes(SIZE_BYTES), bytearray(SIZE_BYTES)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        try:
            self._process.communicate(timeout=_TIMEOUT_S)
        finally:
            self._process.kill()

    @property
    def pid(self) -> int:
        """The other end's process."""
        return self._process.pid

    def time_trips(self) -> float:
        """Median nanoseconds of `TRIPS`."""
        return median(wall_ns(self.trip) for _ in range(TRIPS))

    def trip(self) -> None:
        """`SIZE_BYTES` there and as many back; `ConnectionError` if the other end is gone."""
        self._socket.sendall(self._ping)
        if not echo.receive_all(self._socket, self._pong):
            raise ConnectionError("ping-pong: expected an answer, found the other end gone")
