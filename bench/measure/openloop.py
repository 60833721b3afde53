"""Schedules of an open loop: when requests go out, whatever has been answered.

A closed loop, which asks again only after an answer, leaves out the requests that users would have made while the
system stood still (coordinated omission, as G. Tene calls it).
"""

import random
from collections.abc import Iterator

from ehrcore.types import SECOND


def constant(per_second: float) -> Iterator[int]:
    """Instants (ns) in equal distances, from the first distance on."""
    number = 0
    while True:
        number += 1
        yield round(number * SECOND / per_second)


def poisson(seed: str, per_second: float) -> Iterator[int]:
    """Instants (ns) of a Poisson process, from a labelled seed."""
    chance, at = random.Random(seed), 0
    while True:
        at += max(int(chance.expovariate(per_second) * SECOND), 1)
        yield at
