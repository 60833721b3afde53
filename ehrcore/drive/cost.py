"""What operations cost on a machine: counted work times measured unit costs, in integer nanoseconds.

A `CostModel` is calibrated by whoever runs a simulation, on the machine and in the run that quotes it.  `EXAMPLE`
holds round numbers for tests and examples; no result may rest on it.
"""

from dataclasses import dataclass
from typing import Final

from ehrcore.crypto import Meter
from ehrcore.types import MICROSECOND


@dataclass(frozen=True, slots=True)
class CostModel:
    """Unit costs: nanoseconds per operation, picoseconds per byte.

    ``message_ns`` is the handling of one message on one side (codec, queue, dispatch); ``persist_ns`` is the wait for
    one durable append, which occupies the node but not its processor; ``grind_ns`` one try of proof of work.  Where
    messages travel in frames (`ehrcore.drive.framed`), ``frame_ns`` is what one takes on each side, and ``commit_ns``
    what a durable append takes of the processor.
    """

    sign_ns: int
    verify_ns: int
    hash_ns: int
    hash_byte_ps: int
    message_ns: int
    message_byte_ps: int
    persist_ns: int
    grind_ns: int
    frame_ns: int = 0
    commit_ns: int = 0

    def crypto_ns(self, before: tuple[int, int, int, int], meter: Meter) -> int:
        """Processor time of what a meter has counted since ``before``."""
        signs, verifies, hashes, hashed = before
        return (
            (meter.signs - signs) * self.sign_ns
            + (meter.verifies - verifies) * self.verify_ns
            + (meter.hashes - hashes) * self.hash_ns
            + (meter.hashed_bytes - hashed) * self.hash_byte_ps // 1_000
        )

    def message_cost_ns(self, size_bytes: int) -> int:
        """Processor time to make or take one message of this size."""
        return self.message_ns + size_bytes * self.message_byte_ps // 1_000


EXAMPLE: Final = CostModel(
    sign_ns=20 * MICROSECOND,
    verify_ns=50 * MICROSECOND,
    hash_ns=400,
    hash_byte_ps=600,
    message_ns=2 * MICROSECOND,
    message_byte_ps=300,
    persist_ns=200 * MICROSECOND,
    grind_ns=400,
)
FREE: Final = CostModel(0, 0, 0, 0, 0, 0, 0, 1)


@dataclass(frozen=True, slots=True)
class HostModel:
    """Where nodes run: each on a machine of its own (``cores`` per node), or all sharing ``cores``."""

    is_shared: bool = False
    cores: int = 1


def snapshot(meter: Meter) -> tuple[int, int, int, int]:
    """The meter's counts now."""
    return meter.signs, meter.verifies, meter.hashes, meter.hashed_bytes
