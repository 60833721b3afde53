"""A hospital's people on a chain: a system, two patients, a practitioner and a device, and what they may sign."""

from typing import Any

import msgspec

from ehrcore.block import Enrolment, Payload, RecordRef, Transaction
from ehrcore.consent import Access, Action, Consent, Emergency, Provision, Purpose
from ehrcore.identity import FOREVER, Capacity, Certificate, Reason
from ehrcore.messages import Finalised
from ehrcore.rules import AUTHORITY
from ehrcore.state import ChainState
from tests.core.protocol.conftest import Scribe, make_network, make_params

SYSTEM, PATIENT, OTHER, DOCTOR, DEVICE = (f"visitor-{number}" for number in range(5))
MINE, THEIRS = b"\1" * 32, b"\2" * 32
RECORD = b"\3" * 32
TOPOLOGY = (3, 3, 4, 2, 5)
#: Who everybody is; the system is as it was founded.
PERSONS: dict[str, dict[str, Any]] = {
    PATIENT: {"capacity": Capacity.PATIENT, "pseudonym": MINE, "kinds": ()},
    OTHER: {"capacity": Capacity.PATIENT, "pseudonym": THEIRS, "kinds": ()},
    DOCTOR: {"capacity": Capacity.PRACTITIONER, "organisation": "mercy", "kinds": (2,)},
    DEVICE: {"capacity": Capacity.DEVICE, "kinds": (7,)},
}


def certify(scribe: Scribe, name: str, **fields: Any) -> Certificate:
    body = msgspec.structs.replace(scribe.certify(name, key_of=name).body, **fields)
    return Certificate(body, scribe.crypto.sign(body))


def enrolments(scribe: Scribe) -> list[Transaction]:
    """The authority's orders that make everybody what they are."""
    return [
        scribe.order(Enrolment(certify(scribe, name, **fields)), nonce)
        for nonce, (name, fields) in enumerate(PERSONS.items())
    ]


def provision(*, is_permit: bool = True, **fields: Any) -> Provision:
    whole: dict[str, Any] = dict.fromkeys(("subjects", "organisations", "kinds", "actions", "purposes"), ())
    return Provision(is_permit=is_permit, **(whole | {"not_before": 0, "not_after": FOREVER} | fields))


def consent(*provisions: Provision, pseudonym: bytes = MINE) -> Consent:
    return Consent(pseudonym, provisions or (provision(subjects=(DOCTOR,)),))


def read(pseudonym: bytes = MINE, **fields: Any) -> Access:
    return msgspec.structs.replace(Access(Action.READ, pseudonym, 1, RECORD, Purpose.TREATMENT), **fields)


def write(pseudonym: bytes = MINE, kind: int = 2) -> RecordRef:
    return RecordRef(kind, pseudonym, RECORD, "/r", 6)


GLASS = read(purpose=Purpose.EMERGENCY, emergency=Emergency.UNCONSCIOUS)
DENY = consent(provision(is_permit=False))


class World:
    """A chain of blocks after everybody's enrolment; ``follower`` replays each block without validating it."""

    def __init__(self, **changes: Any) -> None:
        self.scribe = Scribe(make_network(make_params(TOPOLOGY, **changes)))
        self.state, self.follower = self.scribe.state(), self.scribe.state()
        self.finals: list[Finalised] = []
        self.nonces = dict.fromkeys((*PERSONS, SYSTEM), 0) | {AUTHORITY: len(PERSONS)}
        assert not any(self.add(*enrolments(self.scribe)))

    def sign(self, author: str, payload: Payload) -> Transaction:
        self.nonces[author] += 1
        return self.scribe.signed(payload, self.nonces[author] - 1, author, author)

    def add(self, *given_: Transaction | tuple[str, Payload], **changes: Any) -> list[Reason]:
        """A block of signed transactions, or of authors' payloads; what became of each."""
        txs = [item if isinstance(item, Transaction) else self.sign(*item) for item in given_]
        parent = self.finals[-1].block.header if self.finals else None
        final = self.scribe.final([self.scribe.endorsed(tx) for tx in txs], parent, **changes)
        verdict = self.state.validate(final.block, final.certificate)
        digest = self.state.apply(final.block, verdict)
        assert self.follower.replay(final.block, final.certificate, verdict.reasons) == digest
        assert content(self.follower) == content(self.state)
        self.finals.append(final)
        return list(verdict.reasons)

    def tx_id(self, back: int = 1, index: int = 0) -> bytes:
        return self.scribe.tx_id(self.finals[-back].block.transactions[index].transaction)


def content(state: ChainState) -> tuple[Any, ...]:
    """All that a state holds about patients, and whose nonces it has seen."""
    book = state.consents
    tables = (dict(table.content()) for table in (book.held, book.patients, book.erased))
    return *tables, state._replay.entries()
