"""Load on a simulated network, and what becomes of it.

Closed loop: a fixed number of transactions is outstanding, a new one follows each receipt; that finds what the network
can do.  Open loop: transactions come at given instants whatever the network does, and latency counts from the
instant that was *intended*; that finds how long it takes.  Load goes on until everything measured is final, so
no measured block waits for a rush that never comes.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import cycle
from typing import Final

from bench.engines.snapshot import Snapshot, take_snapshot
from bench.measure.latency import Sample
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Observed, ObservedKind, Requested
from ehrcore.ledger import Ledger, MemoryLedger
from ehrcore.messages import Finalised
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, Topology, majority
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import SECOND, Role

#: Kernel events between looks at whether the run is over.
_CHUNK: Final = 512
#: Requests per measured transaction after which an open loop gives up.
_PATIENCE: Final = 8


@dataclass(slots=True)
class Flow(Sample):
    """One transaction's instants, how many contributors have committed it, and when the visitor knew of a quorum."""

    reached: int = 0
    known: int | None = None


class Collector:
    """Follows transactions from intent to the last contributor's ledger."""

    def __init__(self, contributors: int) -> None:
        self._contributors, self._quorum = contributors, majority(contributors)
        self.flows: dict[bytes, Flow] = {}
        self.requested: list[Flow] = []
        self._unsent: dict[str, deque[Flow]] = defaultdict(deque)
        self.finished = 0
        self.receipts = self.refused = self.invalid = self.decided = self.empty = 0
        self.dropped: dict[str, int] = {}
        #: Blocks that proof of work has lost to others, with their proposers, and reorganisations by depth.
        self.stale: dict[bytes, str] = {}
        self.reorganisations = Counter[int]()

    def expect(self, intended: int, visitor: str) -> None:
        """A request is meant to be made through ``visitor``, which takes its requests in order."""
        flow = Flow(intended)
        self.requested.append(flow)
        self._unsent[visitor].append(flow)

    def observe(self, at: int, node: str, observed: Observed) -> bool:
        """Take one observation; True if a receipt has come (a closed loop goes on)."""
        match observed.kind:
            case ObservedKind.SUBMITTED:
                flow = self.flows[observed.subjects[0]] = self._unsent[node].popleft()
                flow.sent = at
            case ObservedKind.COMMITTED:
                for tx_id in observed.subjects:
                    self._commit(tx_id, at)
            case ObservedKind.FINAL:
                self.receipts += 1
                self.invalid += bool(observed.detail)
                if told := self.flows.get(observed.subjects[0]):
                    told.known = at
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
            case ObservedKind.STALE:
                self.stale[observed.subjects[0]] = observed.detail
            case ObservedKind.REORGANISED:
                self.reorganisations[len(observed.subjects)] += 1
            case ObservedKind.SETTLED | ObservedKind.ACCUSED | ObservedKind.ABANDONED:
                pass  # the first is a coordinator's; what counts are the ledgers
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
        kind: Callable[..., Simulation] = Simulation,
    ) -> None:
        self.collector = Collector(network.params.topology.contributors)
        self.simulation = kind(network, setup, self._observe, ledgers)
        self._name = cache(network.authority.pseudonym)
        self._records = cycle(records)
        self._visitors = [name for name, role in network.roles.items() if role is Role.VISITOR]
        self._period_ns: int | None = None
        self._paced = self._wanted = 0
        self.earliest: Snapshot | None = None
        self.latest: Snapshot | None = None

    def _observe(self, at: int, node: str, observed: Observed) -> None:
        before = self.collector.finished
        if self.collector.observe(at, node, observed) and self._period_ns is not None:
            self._request_at(max(at, self.collector.flows[observed.subjects[0]].intended + self._period_ns))
        if self.collector.finished != before:
            self._on_block()

    def _on_block(self) -> None:
        """A block has reached the last ledger: the instant at which work under way is always alike."""
        if self.collector.finished >= self._wanted:
            snapshot = take_snapshot(self)
            self.earliest = self.earliest or snapshot
            self.latest = snapshot

    def request(self, at: int) -> None:
        """The next record, intended for ``at``: a sensor's through the last visitor, any other through the first."""
        record = next(self._records)
        visitor = self._visitors[-1 if record.kind is RecordKind.SENSOR else 0]
        self.collector.expect(at, visitor)
        self.simulation.inject(at, visitor, Requested(record, self._name(record.patient_id)))

    def _request_at(self, due: int) -> None:
        """A request at ``due``, now or later; one that is to come takes its record and its turn only then."""
        kernel = self.simulation.kernel
        if due <= kernel.now:
            self.request(due)
            return
        self._paced += 1
        kernel.schedule(due, 0, len(self.simulation.nodes) + 1, self._paced, lambda *_: self.request(due), None)

    def close_loop(self, outstanding: int, period_ns: int = 0) -> None:
        """Keep ``outstanding`` transactions under way from now on, one for each of so many users.

        A user asks again at the answer, but no sooner than ``period_ns`` after the last time.
        """
        self._period_ns = period_ns
        for user in range(outstanding):
            self._request_at(self.simulation.kernel.now + user * period_ns // outstanding)

    def run_until_finished(self, count: int, horizon: int) -> Snapshot:
        """Run until ``count`` transactions are in every ledger; use at the instant when they were.

        `TimeoutError` if virtual time passes ``horizon`` first.
        """
        self._wanted, self.earliest = count, None
        while self.earliest is None:
            if self.simulation.run(horizon, _CHUNK) < _CHUNK and self.earliest is None:
                refused = self.collector.dropped.get("previous", 0)
                raise TimeoutError(
                    f"expected {count} transactions in every ledger, found {self.collector.finished} after "
                    f"{horizon // SECOND} s (ledger keepers had refused {refused} blocks that contradict one they hold)"
                )
        return self.earliest

    def offer(self, arrivals: Iterator[int], measured: int) -> bool:
        """Open loop: one request at each arrival, until the first ``measured`` ones are in every ledger.

        False if they are not after `_PATIENCE` times as many requests: then the network does not keep up.
        """
        reached = 0
        for sent, due in enumerate(arrivals):
            if sent >= measured:
                while reached < measured and self.collector.requested[reached].everyone is not None:
                    reached += 1
                if reached == measured or sent >= _PATIENCE * measured:
                    break
            self.simulation.run(due)
            self.request(due)
        return reached == measured


@lru_cache(maxsize=8)
def sample_block(suite: str = "sha256") -> Finalised:
    """A full final block of 15 sensor records with real signatures, for sizes and codec costs."""
    params = ChainParams("sample", Topology(3, 3, 4, 1), 2, 2, hash_suite=suite)
    network = found_network(params, "cryptography", "sample")
    ledger, place = MemoryLedger(), "/hospital/report-store/sensor/sample.json"
    record = ClinicalRecord(RecordKind.SENSOR, "p", "Observation", place, bytes(900))
    simulation = Simulation(network, SimSetup("sample", EXAMPLE), lambda *_: None, {"contributor-0": ledger})
    for _ in range(params.limits.max_transactions):
        simulation.inject(0, "visitor-0", Requested(record, network.authority.pseudonym("p")))
    while not ledger.entries:
        simulation.run(60 * SECOND, _CHUNK)
    return Finalised(ledger.entries[0].block, ledger.entries[0].certificate)
