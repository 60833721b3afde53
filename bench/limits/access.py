"""What consents and the audit trail add: blocks of fifteen records, validated and applied with them and without.

All sides take the same blocks, each into a chain state of its own with signatures verified anew.  One holds a consent
of each of 100,000 patients, those that the records are about among them: a permission, and a denial that has to be
looked at and does not apply.  Another holds as many provisions as each patient may have in force, all of that kind.
Both also make the audit events of each block.  The peer holds no consent and makes no event.  One endorsement and one
approval are the least that a chain asks for, so the checks weigh most here.
"""

import time
from collections.abc import Callable, Iterator
from itertools import tee
from pathlib import Path
from typing import Final

from bench.limits.base import MICROSECOND, Demand, Finding, Metric, Part, take_turns
from ehrcore.auditing import list_events
from ehrcore.block import (
    ApprovalBody,
    Attestation,
    Block,
    EndorsedTransaction,
    EndorsementBody,
    Header,
    OrdererCertificate,
    RecordRef,
    Transaction,
    TransactionBody,
    leaf_bytes,
)
from ehrcore.consent import MOST_IN_FORCE, MOST_PROVISIONS, Action, Consent, ConsentBook, Provision
from ehrcore.identity import FOREVER, Reason
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, ConsensusRule, Topology
from ehrcore.state import ChainState
from ehrcore.types import Role

PATIENTS: Final = 100_000
#: Those with the most provisions: more than the blocks of a run are about.
BUSY_PATIENTS: Final = 10_000
BLOCK_SIZE: Final = 15
_BLOCKS_PER_TURN: Final = 12
_TURNS: Final = 31

FinalBlock = tuple[Block, OrdererCertificate]


class Writer:
    """Makes a chain of final blocks, each about fifteen patients of its own."""

    def __init__(self) -> None:
        params = ChainParams("limits", Topology(1, 1, 1, 1), 1, 1, consensus=ConsensusRule.SINGLE_ORDERER)
        self.network = found_network(params, "cryptography", "limits")
        self._crypto = {name: self.network.crypto(name) for name in self.network.roles}
        self._validators = self.network.context("contributor-0").validators().digest
        self._height, self._previous = 0, self.network.chain

    def make(self, count: int) -> list[FinalBlock]:
        """The next ``count`` blocks."""
        return [self._make_one() for _ in range(count)]

    def _make_one(self) -> FinalBlock:
        chain, crypto = self.network.chain, self._crypto["administrator-0"]
        items = tuple(self._endorse(self._height * BLOCK_SIZE + index) for index in range(BLOCK_SIZE))
        self._height += 1
        root = crypto.merkle_tree(tuple(map(leaf_bytes, items))).root
        header = Header(
            chain, self._height, self._previous, root, BLOCK_SIZE, self._height, "administrator-0", self._validators,
            self._validators, 0, bytes(8),
        )  # fmt: skip
        self._previous = crypto.hash_struct(header)
        return Block(header, items), OrdererCertificate(crypto.sign(header))

    def _endorse(self, number: int) -> EndorsedTransaction:
        chain, patient = self.network.chain, name_patient(number)
        record = RecordRef(7, patient, patient, f"/hospital/report-store/sensor/{number:08}.json", 1_024)
        body = TransactionBody(chain, "visitor-0", number, number, record)
        tx_id = self._crypto["visitor-0"].hash_struct(body)
        words = (
            EndorsementBody(chain, tx_id, "agent-0", Reason.ACCEPTED),
            ApprovalBody(chain, tx_id, "coordinator-0", tx_id),
        )
        agent, coordinator = (
            (Attestation(name, self._crypto[name].sign(word)),)
            for name, word in zip(("agent-0", "coordinator-0"), words, strict=True)
        )
        transaction = Transaction(body, self._crypto["visitor-0"].sign(body))
        return EndorsedTransaction(transaction, agent, tx_id, coordinator)


def name_patient(number: int) -> bytes:
    """The pseudonym of a patient."""
    return (number % PATIENTS).to_bytes(32)


def fill_book(book: ConsentBook, provisions: int, patients: int) -> None:
    """Consents of each patient: they permit one to read, and deny all to an organisation, again and again."""
    permission = Provision(True, ("person-0",), (), (), (Action.READ,), (), 0, FOREVER)  # noqa: FBT003 - it permits
    denial = Provision(False, (), ("insurer",), (), (), (), 0, FOREVER)  # noqa: FBT003 - it denies
    for first in range(0, provisions, MOST_PROVISIONS):
        rules = (permission, *[denial] * (min(provisions - first, MOST_PROVISIONS) - 1))
        for number in range(patients):
            key = (first * patients + number).to_bytes(32, "little")
            book.put(key, Consent(name_patient(number), rules), 0)


class Keeper:
    """A ledger keeper's state; with consents, it also tells of each block what happened in it."""

    def __init__(self, network: Network, provisions: int, patients: int) -> None:
        self._crypto, self._has_consents = network.crypto("contributor-0"), provisions > 0
        self.state = ChainState(network.params, network.chain, network.certificates, self._crypto)
        self.events = 0
        fill_book(self.state.consents, provisions, patients)

    def take(self, finals: list[FinalBlock]) -> float:
        """Nanoseconds of processor time per transaction."""
        start = time.process_time_ns()
        for block, certificate in finals:
            verdict = self.state.validate(block, certificate)
            if self._has_consents:
                self.events += self._tell(block, verdict.reasons, verdict.tx_ids)
            self.state.apply(block, verdict)
        spent = time.process_time_ns() - start
        if any(verdict.reasons):
            raise AssertionError(f"reasons: expected none, found {verdict.reasons}")
        return spent / len(finals) / BLOCK_SIZE

    def _tell(self, block: Block, reasons: tuple[Reason, ...], tx_ids: tuple[bytes, ...]) -> int:
        registry, now = self.state.registry, block.header.timestamp
        events = list_events(
            self._crypto, block, reasons, tx_ids, lambda name: registry.check(name, Role.VISITOR, now)[1],
            self.state.consents.patients.get,
        )  # fmt: skip
        return len(events)


def _turn(keeper: Keeper, batches: Iterator[list[FinalBlock]]) -> Callable[[], float]:
    return lambda: keeper.take(next(batches))


def measure(folder: Path) -> list[Finding]:
    """Microseconds per transaction, with some consents and with the most, each beside none."""
    del folder
    writer, sizes = Writer(), ((2, PATIENTS), (MOST_IN_FORCE, BUSY_PATIENTS), (0, 0))
    keepers = [Keeper(writer.network, *size) for size in sizes]
    batches = tee(iter(lambda: writer.make(_BLOCKS_PER_TURN), []), len(keepers))
    # The first turn warms up.
    *ours, peers = (side[1:] for side in take_turns(_TURNS + 1, *map(_turn, keepers, batches)))
    findings = []
    for side, (provisions, patients), keeper in zip(ours, sizes, keepers, strict=False):
        note = f"{provisions} provisions of each of {patients:,} patients; {keeper.events:,} audit events"
        findings.append(Finding.in_unit(MICROSECOND, side, peers, note))
    return findings


_DEMAND: Final = Demand("at most", 1.15)
PART: Final = Part(
    (
        Metric("a record, with consents and audit", "µs", "the same without", _DEMAND),
        Metric("a record, with the most consents and audit", "µs", "the same without", _DEMAND),
    ),
    measure,
)
