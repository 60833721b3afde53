"""Consensus alone: bare machines of proof of stake over a modelled network, without the roles around them.

A height's own signatures are its limit: what the machines add (codec, hashing, counting, the event queue) should be
less than half as much again.  The block is the paper's, fifteen transactions in 30,720 bytes; whether they were
endorsed and approved is the pool's business, which is left out.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.limits.base import MILLISECOND, Demand, Finding, Metric, Part, take_turns
from bench.limits.storage import make_persist
from ehrcore.block import EndorsedTransaction
from ehrcore.consensus import RULES, Consensus, Seat, Tip
from ehrcore.consensus.seam import Decided, Step
from ehrcore.crypto import Crypto
from ehrcore.drive.kernel import Kernel
from ehrcore.effects import Received, Send
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, Topology

LATENCY_NS: Final = 100_000
_BLOCKS: Final = 7
_HEIGHTS: Final = 40
_MANY: Final = 100


@dataclass
class FixedPool:
    """What is ready, whatever has been ordered before."""

    ready: tuple[EndorsedTransaction, ...] = ()

    def batch(self, now: int, exclude: Collection[bytes] = ()) -> tuple[EndorsedTransaction, ...]:
        """All of it."""
        del now, exclude
        return self.ready

    def check(self, transactions: tuple[EndorsedTransaction, ...], now: int) -> tuple[bytes, ...]:
        """No policy."""
        del transactions, now
        return ()


class Council:
    """The administrators of one network, bare, over links of constant latency."""

    def __init__(self, network: Network, names: tuple[str, ...]) -> None:
        self.kernel, self.names = Kernel(), names
        self._transactions = make_persist(network.chain).block.transactions
        self.cryptos: list[Crypto] = []
        self.pools: list[FixedPool] = []
        self.machines: list[Consensus] = []
        self._counters = [0] * len(names)
        self._index = {name: index for index, name in enumerate(names)}
        self.decided = 0
        for name in names:
            crypto, pool = network.crypto(name), FixedPool()
            context = network.context(name, crypto)
            peers = tuple(peer for peer in names if peer != name)
            stakes = context.open_standing().stakes
            seat = Seat(name, peers, network.params, network.chain, stakes, crypto, pool)
            self.cryptos.append(crypto)
            self.pools.append(pool)
            self.machines.append(RULES[network.params.consensus](seat, Tip(0, network.chain, 0)))

    def run(self, heights: int) -> None:
        """Decide so many heights, each when all have decided the one before it."""
        wanted = self.decided + heights * len(self.names)
        for _ in range(heights):
            for index, machine in enumerate(self.machines):
                self.pools[index].ready = self._transactions
                self._take(index, machine.on_ready(self.kernel.now))
            self.kernel.run(self.kernel.now + 10 * LATENCY_NS)
        if self.decided != wanted:
            raise AssertionError(f"consensus: expected {wanted} decisions, found {self.decided}")

    def _take(self, index: int, steps: list[Step]) -> None:
        is_decided = False
        for step in steps:
            if type(step) is Send:
                work = Received(self.names[index], step.message)
                for peer in step.to:
                    self._counters[index] += 1
                    at = self.kernel.now + LATENCY_NS
                    self.kernel.schedule(at, self._index[peer], index, self._counters[index], self._receive, work)
            elif type(step) is Decided:
                self.decided += 1
                self.pools[index].ready = ()
                is_decided = True
        if is_decided:
            self._take(index, self.machines[index].on_ready(self.kernel.now))

    def _receive(self, index: int, received: Received) -> None:
        message = received.message
        self._take(index, self.machines[index].on_message(received.sender, message, self.kernel.now))  # type: ignore[arg-type]

    def signatures(self) -> tuple[int, int]:
        """Signatures made and verified so far, by all."""
        meters = [crypto.meter for crypto in self.cryptos]
        return sum(meter.signs for meter in meters), sum(meter.verifies for meter in meters)


def make_council(count: int, *, is_modelled: bool) -> Council:
    """``count`` administrators of equal stake."""
    params = ChainParams("limits", Topology(1, 1, count, 1), 1, 1, is_modelled=is_modelled)
    network = found_network(params, "modelled" if is_modelled else "cryptography", "limits")
    return Council(network, tuple(f"administrator-{index}" for index in range(count)))


def height_ns() -> tuple[float, tuple[float, float]]:
    """Processor nanoseconds of a height among four, and how many signatures it makes and verifies."""
    council = make_council(4, is_modelled=False)
    council.run(2)
    signs, verifies = council.signatures()
    start = time.process_time_ns()
    council.run(_HEIGHTS)
    spent = (time.process_time_ns() - start) / _HEIGHTS
    now = council.signatures()
    return spent, ((now[0] - signs) / _HEIGHTS, (now[1] - verifies) / _HEIGHTS)


def signatures_ns(signs: float, verifies: float) -> float:
    """Processor nanoseconds of so many signatures made and verified, with keys that are loaded."""
    network = make_council(1, is_modelled=False)
    scheme, key, digest = network.cryptos[0].scheme, network.cryptos[0]._key, bytes(32)  # noqa: SLF001 - the same key
    if key is None:
        raise AssertionError("an administrator has a key")
    signature, verifying = key.sign(digest), scheme.verifying_key(key.public_bytes)
    start = time.process_time_ns()
    for _ in range(_HEIGHTS * 4):
        key.sign(digest)
    middle = time.process_time_ns()
    for _ in range(_HEIGHTS * 8):
        verifying.verify(digest, signature)
    end = time.process_time_ns()
    return signs * (middle - start) / (_HEIGHTS * 4) + verifies * (end - middle) / (_HEIGHTS * 8)


def measure_height(_folder: Path) -> list[Finding]:
    """Four validators' height beside its own signatures."""
    _, counts = height_ns()
    ours, peers = take_turns(_BLOCKS, lambda: height_ns()[0], lambda: signatures_ns(*counts))
    note = f"{counts[0]:.1f} signatures made and {counts[1]:.1f} verified per height, 15 transactions in 30,720 B"
    return [Finding.in_unit(MILLISECOND, ours, peers, note)]


def many_s() -> float:
    """Seconds by the clock that it takes to simulate one height of `_MANY` validators."""
    council = make_council(_MANY, is_modelled=True)
    start = time.perf_counter()
    council.run(1)
    return time.perf_counter() - start


def measure_many(_folder: Path) -> list[Finding]:
    """One height among a hundred, with modelled signatures; there is no peer that runs this protocol."""
    return [Finding([many_s() for _ in range(3)], note="modelled signatures; every message is delivered")]


HEIGHT: Final = Part(
    (Metric("proof of stake, height of 4", "ms", "its signatures", Demand("at most", 1.5)),), measure_height
)
MANY: Final = Part((Metric(f"simulated height of {_MANY}", "s", "", Demand("at most", 1.0, "value")),), measure_many)
