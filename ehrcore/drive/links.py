"""What lies between two nodes: latency, bandwidth, jitter, loss, partitions, or one medium shared by all.

Chance is drawn from a stream per link, seeded by a label of seed, sender and receiver, so the n-th message of a link
meets the same fate in every run whatever happens on other links.
"""

import random
from dataclasses import dataclass, field
from typing import Final

from ehrcore.errors import ParameterError
from ehrcore.types import MICROSECOND, SECOND

#: Ethernet, IP and TCP headers of one segment, in bytes, and the payload that one carries.
FRAME_OVERHEAD_BYTES: Final = 66
SEGMENT_BYTES: Final = 1_448


@dataclass(frozen=True, slots=True)
class LinkModel:
    """One kind of network for all pairs of nodes.

    ``jitter_ns`` is the mean of an exponential extra delay; ``loss`` the probability that a message is lost;
    ``bytes_per_second`` limits each sender (0: no limit).  ``shared_ns`` > 0 makes the network one medium on which
    every message, of any size, takes that long, one after the other.
    """

    latency_ns: int = 100 * MICROSECOND
    jitter_ns: int = 0
    loss: float = 0.0
    bytes_per_second: int = 125_000_000
    shared_ns: int = 0

    def __post_init__(self) -> None:
        for name in ("latency_ns", "jitter_ns", "bytes_per_second", "shared_ns"):
            if getattr(self, name) < 0:
                raise ParameterError(f"link {name}: expected at least 0, found {getattr(self, name)}")
        if not 0 <= self.loss <= 1:
            raise ParameterError(f"link loss: expected a probability, found {self.loss}")


@dataclass(frozen=True, slots=True)
class Partition:
    """From ``start`` until ``end`` (ns), nodes in ``group`` and the others do not hear each other."""

    start: int
    end: int
    group: frozenset[str]

    def cuts(self, sender: str, receiver: str, now: int) -> bool:
        """Whether a message sent now is lost."""
        return self.start <= now < self.end and (sender in self.group) != (receiver in self.group)


@dataclass(slots=True)
class Links:
    """The state of all links in one run; ``last_arrival`` is the latest arrival (ns) so far."""

    model: LinkModel
    seed: str
    partitions: tuple[Partition, ...] = ()
    last_arrival: int = 0
    _free_at: dict[str, int] = field(default_factory=dict)
    _streams: dict[tuple[str, str], random.Random] = field(default_factory=dict)

    def arrival(self, sender: str, receiver: str, size_bytes: int, now: int) -> int | None:
        """When a message sent at ``now`` arrives (ns), or None if it is lost."""
        model = self.model
        if self.partitions and any(partition.cuts(sender, receiver, now) for partition in self.partitions):
            return None
        if model.shared_ns:
            at = self._occupy("", now, model.shared_ns)
        elif model.bytes_per_second:
            segments = -(-size_bytes // SEGMENT_BYTES) or 1
            wire_bytes = size_bytes + segments * FRAME_OVERHEAD_BYTES
            at = self._occupy(sender, now, wire_bytes * SECOND // model.bytes_per_second) + model.latency_ns
        else:
            at = now + model.latency_ns
        if model.jitter_ns or model.loss:
            stream = self._stream(sender, receiver)
            # Both are drawn every time, so that a change of one leaves the other's sequence alone.
            lost, delay = stream.random() < model.loss, stream.expovariate(1.0)
            if lost:
                return None
            at += int(delay * model.jitter_ns)
        self.last_arrival = max(self.last_arrival, at)
        return at

    def _occupy(self, resource: str, now: int, duration: int) -> int:
        """Queue for a resource that serves one message at a time; returns when it is done."""
        done = max(now, self._free_at.get(resource, 0)) + duration
        self._free_at[resource] = done
        return done

    def _stream(self, sender: str, receiver: str) -> random.Random:
        stream = self._streams.get((sender, receiver))
        if stream is None:
            stream = self._streams[sender, receiver] = random.Random(f"{self.seed}|link|{sender}|{receiver}")
        return stream
