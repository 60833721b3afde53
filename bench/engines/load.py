"""Load on a simulated network, and what becomes of it.

Closed loop: a fixed number of transactions is outstanding, a new one follows each receipt; that finds what the network
can do.  Open loop: transactions come at given instants whatever the network does, and latency counts from the
instant that was *intended*; that finds how long it takes.  Load goes on until everything measured is final, so
no measured block waits for a rush that never comes.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import cycle
from typing import Final

from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Observed, ObservedKind, Persist, Requested
from ehrcore.ledger import Ledger, MemoryLedger
from ehrcore.messages import Finalised
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, Topology, majority
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import SECOND, Role

#: Kernel events between looks at whether the run is over.
_CHUNK: Final = 512


class Flow:
    """One transaction's instants (ns); None while not reached."""

    __slots__ = ("everyone", "first", "intended", "quorum", "reached")

    def __init__(self, intended: int) -> None:
        self.intended, self.reached = intended, 0
        self.first: int | None = None
        self.quorum: int | None = None
        self.everyone: int | None = None


class Collector:
    """Follows transactions from intent to the last contributor's ledger."""

    def __init__(self, contributors: int) -> None:
        self._contributors, self._quorum = contributors, majority(contributors)
        self.flows: dict[bytes, Flow] = {}
        self.intended: deque[int] = deque()
        self.submitted: list[bytes] = []
        self.finished = 0
        self.receipts = self.refused = self.invalid = self.decided = self.empty = 0
        self.dropped: dict[str, int] = {}

    def observe(self, at: int, node: str, observed: Observed) -> bool:
        """Take one observation; True if a receipt has come (a closed loop goes on)."""
        del node
        match observed.kind:
            case ObservedKind.SUBMITTED:
                tx_id = observed.subjects[0]
                self.flows[tx_id] = Flow(self.intended.popleft())
                self.submitted.append(tx_id)
            case ObservedKind.COMMITTED:
                for tx_id in observed.subjects:
                    self._commit(tx_id, at)
            case ObservedKind.FINAL:
                self.receipts += 1
                self.invalid += bool(observed.detail)
                return True
            case ObservedKind.REFUSED:
                self.refused += 1
                return True
            case ObservedKind.DECIDED:
                self.decided += 1
                self.empty += observed.detail == "0"
            case ObservedKind.DROPPED:
                reason = observed.detail.partition(":")[0]
                self.dropped[reason] = self.dropped.get(reason, 0) + 1
        return False

    def _commit(self, tx_id: bytes, at: int) -> None:
        flow = self.flows.get(tx_id)
        if flow is None:
            return
        flow.reached += 1
        if flow.reached == 1:
            flow.first = at
        if flow.reached == self._quorum:
            flow.quorum = at
        if flow.reached == self._contributors:
            flow.everyone = at
            self.finished += 1


class LoadedSimulation:
    """A simulation with a load on its visitors and a collector behind."""

    def __init__(
        self,
        network: Network,
        setup: SimSetup,
        records: Sequence[ClinicalRecord],
        ledgers: dict[str, Ledger] | None = None,
    ) -> None:
        self.collector = Collector(network.params.topology.contributors)
        self.simulation = Simulation(network, setup, self._observe, ledgers)
        self._authority = network.authority
        self._records = cycle(records)
        self._visitors = [name for name, role in network.roles.items() if role is Role.VISITOR]
        self._pseudonyms: dict[str, bytes] = {}
        self._refill = False

    def _observe(self, at: int, node: str, observed: Observed) -> None:
        if self.collector.observe(at, node, observed) and self._refill:
            self.request(at)

    def request(self, at: int) -> None:
        """The next record, intended for ``at``: a sensor's through the last visitor, any other through the first."""
        record = next(self._records)
        visitor = self._visitors[-1 if record.kind is RecordKind.SENSOR else 0]
        pseudonym = self._pseudonyms.get(record.patient_id)
        if pseudonym is None:
            pseudonym = self._pseudonyms[record.patient_id] = self._authority.pseudonym(record.patient_id)
        self.collector.intended.append(at)
        self.simulation.inject(at, visitor, Requested(record, pseudonym))

    def close_loop(self, outstanding: int) -> None:
        """Keep ``outstanding`` transactions under way from now on."""
        self._refill = True
        for _ in range(outstanding):
            self.request(self.simulation.kernel.now)

    def run_until_finished(self, count: int, horizon: int) -> bool:
        """Run until ``count`` transactions are in every ledger; False if virtual time passes ``horizon`` first."""
        while self.collector.finished < count:
            if self.simulation.run(horizon, _CHUNK) < _CHUNK:
                return self.collector.finished >= count
        return True

    def offer(self, arrivals: Iterator[int], measured: int, horizon: int) -> bool:
        """Open loop: one request at each arrival, until the first ``measured`` ones are in every ledger."""
        due, sent = next(arrivals), 0
        while True:
            self.simulation.run(due)
            self.request(due)
            sent += 1
            due = next(arrivals)
            if sent > measured and all(self._is_finished(index) for index in range(measured)):
                return True
            if due > horizon:
                return False

    def _is_finished(self, index: int) -> bool:
        submitted = self.collector.submitted
        return index < len(submitted) and self.collector.flows[submitted[index]].everyone is not None


def poisson(seed: str, per_second: float) -> Iterator[int]:
    """Instants (ns) of a Poisson process, from a labelled seed."""
    chance, at = random.Random(seed), 0
    while True:
        at += max(int(chance.expovariate(per_second) * SECOND), 1)
        yield at


@lru_cache(maxsize=8)
def sample_block(suite: str = "sha256") -> Finalised:
    """A full final block of 15 sensor records with real signatures, for sizes and codec costs."""
    params = ChainParams("sample", Topology(3, 3, 4, 1), 2, 2, hash_suite=suite)
    network = found_network(params, "cryptography", "sample")
    kept: list[Persist] = []

    class Keep(MemoryLedger):
        def append(self, persist: Persist) -> None:
            kept.append(persist)

    record = ClinicalRecord(
        RecordKind.SENSOR, "p", "Observation", "/hospital/report-store/sensor/sample.json", bytes(900)
    )
    simulation = Simulation(network, SimSetup("sample", EXAMPLE), lambda *_: None, {"contributor-0": Keep()})
    for _ in range(params.limits.max_transactions):
        simulation.inject(0, "visitor-0", Requested(record, network.authority.pseudonym("p")))
    while not kept:
        simulation.run(60 * SECOND, _CHUNK)
    return Finalised(kept[0].block, kept[0].certificate)
