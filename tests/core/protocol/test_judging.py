"""Consents, withdrawals, accesses and erasures at their place in the chain (paper, step 4: the second validation)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore import judging
from ehrcore.block import Bond, Genesis, Payload, RecordRef, Revocation, Transaction
from ehrcore.codec import decode, encode
from ehrcore.consent import (
    Access,
    Consent,
    Decision,
    Erasure,
    Withdrawal,
    decide,
)
from ehrcore.effects import Effects, Instructed, ObservedKind, Persist, Received, Requested
from ehrcore.errors import LedgerError
from ehrcore.identity import Reason
from ehrcore.judging import judge
from ehrcore.ledger import Entry, SqliteLedger
from ehrcore.messages import Endorse, Receipt, Refused, Submit
from ehrcore.proof import Verifier
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.rules import AUTHORITY, check_transaction
from ehrcore.standing import Standing
from ehrcore.types import SECOND, Role
from tests.core.protocol.conftest import Run, Scribe, handle, make_params, messages
from tests.core.protocol.persons import (
    DENY,
    DEVICE,
    DOCTOR,
    GLASS,
    MINE,
    OTHER,
    PATIENT,
    PERSONS,
    RECORD,
    SYSTEM,
    THEIRS,
    TOPOLOGY,
    World,
    certify,
    consent,
    content,
    enrolments,
    provision,
    read,
    write,
)


@pytest.fixture
def world() -> World:
    return World()


# -- who may author what ----------------------------------------------------------------------------------------------

RIGHTS: list[tuple[Payload, set[str]]] = [
    (write(kind=2), {SYSTEM, DOCTOR}),
    (write(kind=7), {SYSTEM, DEVICE}),
    (consent(), {PATIENT}),
    (consent(pseudonym=THEIRS), {OTHER}),
    (Withdrawal(RECORD), {PATIENT, OTHER, AUTHORITY}),
    (Erasure(MINE, RECORD), {PATIENT, AUTHORITY}),
    (read(), {SYSTEM, PATIENT, OTHER, DOCTOR}),
    (GLASS, {DOCTOR}),
    (Bond("administrator-0", 1), {AUTHORITY}),
]


@pytest.mark.parametrize(("payload", "allowed"), RIGHTS, ids=lambda item: type(item).__name__)
def test_rights_to_author(world: World, payload: Payload, allowed: set[str]) -> None:
    registry, crypto, chain = world.state.registry, world.scribe.crypto, world.scribe.chain
    for author in (SYSTEM, *PERSONS, AUTHORITY):
        reason = check_transaction(crypto, registry, None, chain, world.sign(author, payload), 0)
        assert reason is (Reason.ACCEPTED if author in allowed else Reason.NO_RIGHT), author


def test_a_malformed_access_of_another_is_refused_before_its_signature_is_looked_at(world: World) -> None:
    bad = world.scribe.signed(read(kind=0), 0, DOCTOR, "agent-0")
    assert world.add(bad) == [Reason.MALFORMED_ACCESS]


def test_agents_refuse_what_is_malformed_or_without_right_and_leave_consent_to_the_ledger(world: World) -> None:
    machine = world.scribe.network.machine("agent-0", world.scribe.network.crypto("agent-0"), None)  # type: ignore[arg-type]
    for order in enrolments(world.scribe):
        handle(machine, Received(AUTHORITY, Submit(order)))
    cases = {read(): "", read(kind=0): Reason.MALFORMED_ACCESS, DENY: Reason.NO_RIGHT}
    for payload, expected in cases.items():
        tx = world.sign(DOCTOR, payload)
        effects = handle(machine, Received(DOCTOR, Submit(tx)))
        assert [item.reason for item in messages(effects, Endorse)] == [expected]
        assert [item.reason for item in messages(effects, Refused)] == [expected][not expected :]
        if not expected:
            again = handle(machine, Received(DOCTOR, Submit(tx)))
            assert [item.reason for item in messages(again, Endorse)] == [Reason.REPLAYED]


# -- at their place in the chain --------------------------------------------------------------------------------------


def test_reads_are_denied_until_a_consent_and_again_after_its_withdrawal(world: World) -> None:
    assert world.add((DOCTOR, read())) == [Reason.NO_CONSENT]
    assert world.add((PATIENT, consent())) == [Reason.ACCEPTED]
    given_ = world.tx_id()
    assert world.add((DOCTOR, read()), (SYSTEM, read())) == [Reason.ACCEPTED, Reason.NO_CONSENT]
    assert world.add((PATIENT, Withdrawal(given_))) == [Reason.ACCEPTED]
    assert world.add((DOCTOR, read())) == [Reason.NO_CONSENT]


def test_within_a_block_each_sees_what_those_before_it_have_changed(world: World) -> None:
    tx = world.sign(PATIENT, consent())
    found = world.add(
        (DOCTOR, read()), tx, (DOCTOR, read()),
        (PATIENT, Withdrawal(world.scribe.tx_id(tx))), (DOCTOR, read()), (SYSTEM, write()),
        (PATIENT, DENY), (SYSTEM, write()), (SYSTEM, write(THEIRS)), (PATIENT, read()), (DOCTOR, GLASS),
        (PATIENT, Erasure(MINE, RECORD)), (PATIENT, read()), (DOCTOR, GLASS), (PATIENT, Erasure(MINE, RECORD)),
    )  # fmt: skip
    yes, no = Reason.ACCEPTED, Reason.NO_CONSENT
    assert found == [
        no, yes, yes, yes, no, yes, yes, Reason.DENIED, yes, yes, yes, yes, Reason.ERASED, Reason.ERASED, Reason.ERASED,
    ]  # fmt: skip


def test_a_denial_overrides_a_permission_and_an_emergency_overrides_the_denial(world: World) -> None:
    denial = consent(provision(is_permit=False, organisations=("mercy",)))
    found = world.add((PATIENT, consent()), (PATIENT, denial), (DOCTOR, read()), (DOCTOR, GLASS))
    assert found == [Reason.ACCEPTED, Reason.ACCEPTED, Reason.DENIED, Reason.ACCEPTED]


def test_consents_are_in_force_for_their_period_by_the_blocks_time(world: World) -> None:
    at = world.finals[-1].block.header.timestamp
    assert not any(world.add((PATIENT, consent(provision(not_before=at + 5, not_after=at + 9))), timestamp=at))
    for later, reason in ((4, Reason.NO_CONSENT), (5, ""), (8, ""), (9, Reason.NO_CONSENT)):
        assert world.add((DOCTOR, read()), timestamp=at + later) == [reason]


def test_nobody_decides_about_another_patient(world: World) -> None:
    assert world.add((PATIENT, consent())) == [Reason.ACCEPTED]
    given_ = world.tx_id()
    found = world.add((OTHER, Withdrawal(given_)), (OTHER, DENY), (OTHER, Erasure(MINE, RECORD)), (OTHER, read()))
    assert found == [Reason.UNKNOWN_CONSENT, Reason.NO_RIGHT, Reason.NO_RIGHT, Reason.NO_CONSENT]
    assert world.add((DOCTOR, read())) == [Reason.ACCEPTED]
    # A record that is another's is not erased by saying that it is one's own.
    assert world.add((OTHER, Erasure(THEIRS, RECORD)), (DOCTOR, read())) == [Reason.ACCEPTED] * 2


def test_the_authority_withdraws_and_erases_for_a_patient_who_lost_the_key(world: World) -> None:
    assert not any(world.add((PATIENT, consent())))
    given_ = world.tx_id()
    assert world.add((AUTHORITY, Withdrawal(given_)), (AUTHORITY, Erasure(MINE, RECORD))) == [Reason.ACCEPTED] * 2
    assert world.add((DOCTOR, read()), (DOCTOR, read(record=b"\4" * 32))) == [Reason.ERASED, Reason.NO_CONSENT]
    assert world.add((AUTHORITY, Withdrawal(given_))) == [Reason.UNKNOWN_CONSENT]


def test_what_is_denied_uses_its_nonce_up(world: World) -> None:
    """Else whoever keeps a denied read could have it tried again once there is a consent."""
    tried = {
        world.sign(DOCTOR, read()): Reason.NO_CONSENT,
        world.sign(PATIENT, Withdrawal(RECORD)): Reason.UNKNOWN_CONSENT,
        world.sign(PATIENT, Erasure(MINE, RECORD)): Reason.ACCEPTED,
        world.sign(PATIENT, Erasure(MINE, RECORD)): Reason.ERASED,
        world.sign(PATIENT, DENY): Reason.ACCEPTED,
        world.sign(DOCTOR, write()): Reason.DENIED,
    }
    assert world.add(*tried) == list(tried.values())
    assert all(world.state.is_used(tx.body) for tx in tried)
    assert world.add(*tried, (PATIENT, consent())) == [Reason.REPLAYED] * len(tried) + [Reason.ACCEPTED]
    tx = world.sign(SYSTEM, read(record=b"\4" * 32))
    assert world.add(tx, tx) == [Reason.DENIED, Reason.REPLAYED]


def test_only_what_was_signed_and_endorsed_can_be_denied() -> None:
    """A denial uses a nonce up, so no forgery may get as far: what is checked before never says so."""
    before = set(Reason) - judging.DENIALS
    assert {Reason.BAD_SIGNATURE, Reason.NO_RIGHT, Reason.MALFORMED_ACCESS, Reason.POLICY, Reason.REPLAYED} <= before
    world = World()
    forged = world.scribe.signed(read(), 7, DOCTOR, "agent-0")
    bare = msgspec.structs.replace(world.scribe.endorsed(world.scribe.signed(read(), 8, DOCTOR, DOCTOR)), approvals=())
    final = world.scribe.final([world.scribe.endorsed(forged), bare], world.finals[-1].block.header)
    verdict = world.state.validate(final.block, final.certificate)
    assert verdict.reasons == (Reason.BAD_SIGNATURE, Reason.APPROVALS)
    world.state.apply(final.block, verdict)
    assert not world.state.is_used(forged.body)
    assert not world.state.is_used(bare.transaction.body)


def test_what_the_authority_does_for_patients_does_not_use_up_the_nonces_of_its_orders(world: World) -> None:
    """Nodes without a ledger see the orders alone, and have to find of each what ledger keepers find."""
    standing = Standing(world.scribe.params, world.scribe.chain, world.scribe.network.certificates, world.scribe.crypto)
    revoke = Revocation(certify(world.scribe, SYSTEM).body.serial - 1)
    nonce = world.nonces[AUTHORITY]
    both = [world.scribe.signed(item, nonce, AUTHORITY, AUTHORITY) for item in (Erasure(MINE, RECORD), revoke)]
    assert world.add(*both) == [Reason.ACCEPTED] * 2
    assert world.add(*both) == [Reason.REPLAYED] * 2
    for final in world.finals:
        standing.follow(final.block)
    for name in (SYSTEM, *PERSONS):
        assert standing.registry.check(name, Role.VISITOR, 0) == world.state.registry.check(name, Role.VISITOR, 0)


def test_validating_changes_no_consent(world: World) -> None:
    final = world.scribe.final([world.scribe.endorsed(world.sign(PATIENT, DENY))], world.finals[-1].block.header)
    before = content(world.state)
    for _ in range(2):
        assert world.state.validate(final.block, final.certificate).reasons == (Reason.ACCEPTED,)
        assert content(world.state) == before


# -- any block, and again without validating it -----------------------------------------------------------------------

PAYLOADS = st.one_of(
    st.builds(consent, st.builds(provision, is_permit=st.booleans(), subjects=st.sampled_from([(), (DOCTOR,)])),
              pseudonym=st.sampled_from([MINE, THEIRS])),
    st.builds(lambda back: back, st.integers(1, 12)),  # withdraw the consent that was signed so long ago
    st.builds(Erasure, st.sampled_from([MINE, THEIRS]), st.sampled_from([RECORD, b"\4" * 32])),
    st.builds(read, st.sampled_from([MINE, THEIRS]), record=st.sampled_from([RECORD, b"\4" * 32])),
    st.builds(write, st.sampled_from([MINE, THEIRS])),
    st.just(GLASS),
)  # fmt: skip
MATTERS = st.tuples(st.sampled_from([SYSTEM, PATIENT, PATIENT, OTHER, DOCTOR, AUTHORITY]), PAYLOADS)


class Naive:
    """What becomes of each, from lists of all that was accepted before."""

    def __init__(self) -> None:
        self.consents: dict[bytes, Consent] = {}
        self.erased: set[tuple[bytes, bytes]] = set()

    def judge(self, author: str, payload: Payload, tx_id: bytes) -> Reason:
        own = PERSONS.get(author, {}).get("pseudonym")
        match payload:
            case Consent(pseudonym=pseudonym):
                if own != pseudonym:
                    return Reason.NO_RIGHT
                self.consents[tx_id] = payload
            case Withdrawal(consent=given_):
                if own is None and author != AUTHORITY:
                    return Reason.NO_RIGHT
                if given_ not in self.consents or own not in (None, self.consents[given_].pseudonym):
                    return Reason.UNKNOWN_CONSENT
                del self.consents[given_]
            case Erasure(pseudonym=pseudonym, record=record):
                if own != pseudonym and author != AUTHORITY:
                    return Reason.NO_RIGHT
                if (pseudonym, record) in self.erased:
                    return Reason.ERASED
                self.erased.add((pseudonym, record))
            case Access() | RecordRef():
                return self._judge_access(author, payload, own)
        return Reason.ACCEPTED

    def _judge_access(self, author: str, payload: Any, own: bytes | None) -> Reason:
        is_read = isinstance(payload, Access)
        if (not is_read and author not in {SYSTEM, DOCTOR}) or author == AUTHORITY:
            return Reason.NO_RIGHT
        if is_read and payload.emergency and author != DOCTOR:
            return Reason.NO_RIGHT
        if is_read and (payload.pseudonym, payload.record) in self.erased:
            return Reason.ERASED
        if own == payload.pseudonym or (is_read and payload.emergency):
            return Reason.ACCEPTED
        mine = [item.provisions[0] for item in self.consents.values() if item.pseudonym == payload.pseudonym]
        about = [item for item in mine if author in (item.subjects or (author,))]
        if not all(item.is_permit for item in about):
            return Reason.DENIED
        return Reason.ACCEPTED if about or not is_read else Reason.NO_CONSENT


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(MATTERS, max_size=8), max_size=4))
def test_any_chain_is_judged_as_defined_and_replayed_to_the_same_state(blocks: list[list[Any]]) -> None:
    world, naive, signed = World(), Naive(), list[bytes]()
    for block in blocks:
        txs, expected = [], []
        for author, drawn in block:
            payload = drawn
            if isinstance(drawn, int):
                payload = Withdrawal(signed[-drawn] if drawn <= len(signed) else RECORD)
            txs.append(world.sign(author, payload))
            tx_id = world.scribe.tx_id(txs[-1])
            signed += [tx_id] * isinstance(payload, Consent)
            expected.append(naive.judge(author, payload, tx_id))
        assert world.add(*txs) == expected  # which compares with the replay, block by block
    held = {key for pairs in world.state.consents.held.content().values() for key, _ in pairs}
    assert held == set(naive.consents)
    assert set(world.state.consents.erased.content()) == naive.erased


# -- in a ledger on disk ----------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[World, SqliteLedger]]:
    world = World(is_modelled=False)
    world.add((DOCTOR, read()), (PATIENT, consent()), (DOCTOR, read()))
    world.add((PATIENT, Withdrawal(world.tx_id(index=1))), (DOCTOR, read()), (DOCTOR, GLASS))
    world.add((PATIENT, DENY), (SYSTEM, write()), (PATIENT, Erasure(MINE, RECORD)))
    network, state = world.scribe.network, world.scribe.state()
    with SqliteLedger.create(tmp_path / "ledger.db", Genesis(network.params, network.certificates)) as ledger:
        for final in world.finals:
            verdict = state.validate(final.block, final.certificate)
            digest = state.apply(final.block, verdict)
            ledger.append(Persist(final.block, final.certificate, verdict.reasons, digest))
        yield world, ledger


def test_a_ledger_is_replayed_and_verified_to_the_state_that_wrote_it(kept: tuple[World, SqliteLedger]) -> None:
    world, ledger = kept
    for state in (ledger.restore(world.scribe.network.crypto("contributor-0")), ledger.verify()):
        assert state.digest == world.state.digest
        assert content(state) == content(world.state)


def test_a_ledger_that_turns_a_denial_into_a_permission_is_found_out(kept: tuple[World, SqliteLedger]) -> None:
    world, ledger = kept
    entry = list(ledger.entries())[1]
    assert entry.reasons[0] is Reason.NO_CONSENT
    forged = msgspec.structs.replace(entry, reasons=(Reason.ACCEPTED, *entry.reasons[1:]))
    assert decode(encode(forged), Entry) == forged
    ledger._db.executescript("DROP TRIGGER blocks_stay;")
    ledger._db.execute("UPDATE blocks SET content = ? WHERE height = 2", (encode(forged),))
    ledger._db.commit()
    for check in (ledger.verify, lambda: ledger.restore(world.scribe.crypto)):
        with pytest.raises(LedgerError, match="block 2: expected"):
            check()


# -- end to end, simulated --------------------------------------------------------------------------------------------


class Hospital:
    """A simulated network with persons; each step ends before the next begins, unless they are given together."""

    def __init__(self, **changes: Any) -> None:
        self.run = Run(make_params(TOPOLOGY, **changes))
        self.scribe = Scribe(self.run.network)
        for order in enrolments(self.scribe):
            self._inject(order)
        self.run.run()

    def _inject(self, order: Transaction) -> None:
        for index in range(3):
            self.run.sim.inject(self.run.sim.kernel.now, f"agent-{index}", Received(AUTHORITY, Submit(order)))

    def do(self, *steps: tuple[str, Payload | Requested]) -> list[str]:
        """What each author learns from the receipts; the steps are a second apart, too short for a block."""
        seen = len(self.run.seen)
        for number, (author, step) in enumerate(steps):
            event = step if isinstance(step, Requested) else Instructed(step)
            self.run.sim.inject(self.run.sim.kernel.now + number * SECOND, author, event)
        self.run.run()
        found = [item for _, _, item in self.run.seen[seen:]]
        final = {item.subjects[0]: item.detail for item in found if item.kind is ObservedKind.FINAL}
        return [final[item.subjects[0]] for item in found if item.kind is ObservedKind.SUBMITTED]

    def transactions(self) -> list[tuple[Transaction, Reason]]:
        return [
            (item.transaction, reason)
            for entry in self.run.ledgers["contributor-1"].entries
            for item, reason in zip(entry.block.transactions, entry.reasons, strict=True)
        ]


def test_a_patient_grants_a_doctor_reads_the_patient_withdraws() -> None:
    hospital = Hospital()
    assert hospital.do((DOCTOR, read())) == ["no-consent"]
    assert hospital.do((PATIENT, consent())) == [""]
    given_ = hospital.scribe.tx_id(hospital.transactions()[-1][0])
    assert hospital.do((DOCTOR, read())) == [""]
    assert hospital.do((PATIENT, Withdrawal(given_))) == [""]
    assert hospital.do((DOCTOR, read())) == ["no-consent"]
    assert hospital.do((DOCTOR, GLASS)) == [""]
    assert hospital.do((PATIENT, DENY)) == [""]
    record = ClinicalRecord(RecordKind.DIAGNOSTIC_REPORT, "p", "Observation", "/r/1", b"record")
    assert hospital.do((DOCTOR, Requested(record, MINE)), (DOCTOR, Requested(record, THEIRS))) == [
        "denied-by-patient", "",
    ]  # fmt: skip
    digests = {name: [entry.state for entry in ledger.entries] for name, ledger in hospital.run.ledgers.items()}
    assert len({tuple(states) for states in digests.values()}) == 1, "all ledger keepers agree on what was denied"


def test_a_withdrawal_between_endorsement_and_commit_denies_the_read() -> None:
    """Both are endorsed before either is final: what counts is their order in the chain (claim C20)."""
    hospital = Hospital()
    hospital.do((PATIENT, consent()))
    given_ = hospital.scribe.tx_id(hospital.transactions()[-1][0])
    assert hospital.do((PATIENT, Withdrawal(given_)), (DOCTOR, read())) == ["", "no-consent"]
    header = hospital.run.ledgers["contributor-1"].entries[-1].block.header
    assert header.size == 2, "in one block: neither was final when the other was endorsed"
    assert hospital.do((PATIENT, consent()), (DOCTOR, read())) == ["", ""]


class Listener:
    """A visitor whose receipts are kept."""

    def __init__(self, machine: Any) -> None:
        self.machine, self.receipts = machine, list[Receipt]()

    def handle(self, event: Any, now: int) -> Effects:
        if isinstance(event, Received) and isinstance(event.message, Receipt):
            self.receipts.append(event.message)
        effects: Effects = self.machine.handle(event, now)
        return effects


def test_a_denied_try_is_proven_by_its_receipt_alone() -> None:
    hospital = Hospital(is_modelled=False)
    node = hospital.run.node(DOCTOR)
    listener = node.machine = Listener(node.machine)
    assert hospital.do((DOCTOR, read())) == ["no-consent"]
    network = hospital.run.network
    verifier = Verifier(Genesis(network.params, network.certificates))
    assert len(listener.receipts) == 2
    for receipt in listener.receipts:
        found = verifier.locate(receipt)
        body = found.endorsed.transaction.body
        assert (body.author, body.payload, found.reason) == (DOCTOR, read(), Reason.NO_CONSENT)


# -- the tests above find what is broken ------------------------------------------------------------------------------


def _first_match(*args: Any) -> Decision:
    decision = decide(*args)
    return msgspec.structs.replace(decision, reason=Reason.ACCEPTED) if decision.consent else decision


BUGS: dict[str, tuple[str, Any]] = {
    "a denied nonce can be used again": ("ehrcore.state.USED_UP", frozenset({Reason.ACCEPTED})),
    "a replay forgets consents": ("ehrcore.state.amend", lambda *_: Reason.ACCEPTED),
    "what a block changes is not kept": ("ehrcore.state.judge", lambda book, *rest: judge(book.fork(), *rest)),
    "what a block changes is kept before it is applied": ("ehrcore.consent.ConsentBook.fork", lambda book: book),
    "a permission outweighs a denial": ("ehrcore.judging.decide", _first_match),
    "what is erased is read": ("ehrcore.consent.ConsentBook.is_erased", lambda *_: False),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*BUGS[bug])
    scenarios = (
        test_reads_are_denied_until_a_consent_and_again_after_its_withdrawal,
        test_within_a_block_each_sees_what_those_before_it_have_changed,
        test_what_is_denied_uses_its_nonce_up,
        test_validating_changes_no_consent,
    )
    caught = 0
    for scenario in scenarios:
        try:
            scenario(World())
        except (AssertionError, ValueError):
            caught += 1
    assert caught
