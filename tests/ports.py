"""Ports for the servers of tests: each process of the tests looks in a range of its own, and goes round in it."""

import os
import socket
from itertools import cycle

#: Below where the system takes ports for clients from, and below where `bench.net` looks for its networks.
FIRST, EACH, ALIGNED = 10_000, 1_600, 50
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 6
_starts = cycle(range(FIRST + WORKER * EACH, FIRST + (WORKER + 1) * EACH, ALIGNED))


def find_ports(count: int) -> int:
    """The first of ``count`` ports in a row, 50 at most, at which nobody listens now; other ones at each call."""
    for _, first in zip(range(EACH // ALIGNED), _starts, strict=False):
        held: list[socket.socket] = []
        try:
            held.extend(socket.create_server(("127.0.0.1", port)) for port in range(first, first + count))
        except OSError:
            continue
        finally:
            for item in held:
                item.close()
        return first
    raise AssertionError("no free ports")
