"""Revocation: whether an author's certificate is in force, among few certificates and among a million.

The same subjects are asked for on both sides, so that their entries lie in the processor's caches alike: what is
compared is the way to an answer.  Asked at random, a million entries come from main memory on any table; that is
measured beside it, with an absolute bound.
"""

import random
from itertools import cycle
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.limits.base import BLOCKS, Demand, Finding, Metric, Part, cpu_ns, take_turns
from ehrcore.crypto import Crypto
from ehrcore.hashing import find_suite
from ehrcore.identity import Certificate, CertificateBody, Reason, Registry
from ehrcore.signing import find_scheme
from ehrcore.types import Role

FEW, MANY = 100, 1_000_000
_SECONDS: Final = 0.2
#: One revoked certificate in this many.
_REVOKED: Final = 10
_SAMPLE: Final = 10_000


class _Believing(Crypto):
    """Takes every signature: a million of them are not what is measured."""

    def verify(self, public_bytes: bytes, body: object, signature: bytes) -> bool:
        return True


def build_registry(count: int) -> Registry:
    """``count`` persons, every tenth of them revoked; on a copy, as a block leaves it."""
    crypto, registry = _Believing(find_suite("sha256"), find_scheme("p256/modelled")), Registry("net", bytes(33))
    key, signature = bytes(33), bytes(64)
    for number in range(count):
        body = CertificateBody("net", number + 1, f"person-{number:016x}", Role.VISITOR, key, (), 0, 0, 1 << 62)
        registry.enrol(Certificate(body, signature), crypto)
        if number % _REVOKED == 0:
            registry.revoke(number + 1)
    return registry.copy()


def check_ns(registry: Registry, numbers: list[int]) -> float:
    """Processor time to look one of these persons up and say whether their certificate is in force."""
    for number in numbers[:FEW]:
        found, _ = registry.check(f"person-{number:016x}", Role.VISITOR, 1)
        if (found is Reason.REVOKED) != (number % _REVOKED == 0):
            raise BenchError(f"person {number}: expected every tenth to be revoked, found {found or 'accepted'}")
    take, check = cycle([f"person-{number:016x}" for number in numbers]).__next__, registry.check
    return cpu_ns(_SECONDS, lambda: check(take(), Role.VISITOR, 1))


def measure(_folder: Path) -> list[Finding]:
    """Look-ups of the same hundred persons in both registries, and of persons drawn from all of the large one."""
    few, many = build_registry(FEW), build_registry(MANY)
    same, drawn = list(range(FEW)), random.Random("revocation").sample(range(MANY), _SAMPLE)
    ours, peers = take_turns(BLOCKS, lambda: check_ns(many, same), lambda: check_ns(few, same))
    (cold,) = take_turns(BLOCKS, lambda: check_ns(many, drawn))
    (copies,) = take_turns(BLOCKS, lambda: cpu_ns(_SECONDS, many.copy))
    return [Finding(ours, peers, f"{MANY:,} beside {FEW}"), Finding(cold), Finding(copies, note=f"of {MANY:,}")]


PART: Final = Part(
    (
        Metric("look-up among a million", "ns", "among a hundred", Demand("at most", 1.5)),
        Metric("look-up among a million, at random", "ns", "", Demand("at most", 5_000, "value")),
        Metric("copy for a block", "ns", "", Demand("at most", 20_000, "value")),
    ),
    measure,
)
