"""The table of limits, in the order of the report."""

from typing import Final

from bench.errors import BenchError
from bench.limits import (
    access,
    consensus,
    critical,
    hashing,
    kernel,
    network,
    nodes,
    revocation,
    roundtrip,
    sealing,
    signing,
    startup,
    storage,
    throughput,
)
from bench.limits.base import Part

PARTS: Final[dict[str, Part]] = {
    "control": hashing.CONTROL,
    "hash": hashing.HASH,
    "merkle-root": hashing.ROOT,
    "merkle-proofs": hashing.PROOFS,
    "proof-of-work": hashing.GRIND,
    "signatures": signing.PART,
    "sealing": sealing.PART,
    "critical-path": critical.PART,
    "revocation": revocation.PART,
    "ledger": storage.PART,
    "access": access.PART,
    "kernel-events": kernel.EVENTS,
    "kernel-messages": kernel.MESSAGES,
    "network": network.PART,
    "consensus-height": consensus.HEIGHT,
    "consensus-many": consensus.MANY,
    "round-trip": roundtrip.PART,
    "throughput": throughput.PART,
    "nodes": nodes.PART,
    "start-up": startup.PART,
}


def find_part(name: object) -> Part:
    """The part called ``name``; `BenchError` names the choices."""
    part = PARTS.get(name) if isinstance(name, str) else None
    if part is None:
        raise BenchError(f"limit: expected one of {', '.join(PARTS)}, found {name!r}")
    return part
