"""Two-party agreements on the chain: who can make one, what it then permits, how it ends, and that all nodes agree."""

import hashlib
from typing import Any

import msgspec
import pytest

from ehrcore.agreements import (
    MOST_AGREEMENTS,
    UNKNOWN,
    Agreement,
    AgreementBody,
    AgreementBook,
    Termination,
    Terms,
    agreement_id,
)
from ehrcore.block import Enrolment, Payload, RecordRef, Revocation, Transaction, TransactionBody
from ehrcore.codec import decode, encode
from ehrcore.consent import Access, Action, Consent, Emergency, Provision, Purpose
from ehrcore.contracts import AGREEMENT, CONTRACTS, run_contracts
from ehrcore.drafting import parse_clauses
from ehrcore.effects import Observed, ObservedKind, Received
from ehrcore.errors import CodecError, ParameterError
from ehrcore.identity import FOREVER, Capacity, Certificate, Reason
from ehrcore.messages import Approve, Finalised, Refused, Submit
from ehrcore.roles import Coordinator
from ehrcore.roles.pool import ApprovalPool
from ehrcore.rules import AUTHORITY
from ehrcore.storage import MemoryStore
from ehrcore.types import SECOND
from tests.core.protocol.conftest import END, Run, Scribe, check_invariants, handle, make_network, make_params, messages

SYSTEM, PATIENT, DOCTOR, STRANGER, DEVICE = (f"visitor-{number}" for number in range(5))
MINE, THEIRS = b"\1" * 32, b"\2" * 32
TOPOLOGY = (3, 3, 4, 2, 5)
PERSONS: dict[str, dict[str, Any]] = {
    PATIENT: {"capacity": Capacity.PATIENT, "pseudonym": MINE},
    DOCTOR: {"capacity": Capacity.PRACTITIONER, "kinds": (1, 2)},
    STRANGER: {"capacity": Capacity.PATIENT, "pseudonym": THEIRS},
    DEVICE: {"capacity": Capacity.DEVICE, "kinds": (7,)},
}
#: At most two acts, treatment or writing medications of up to 1,000 bytes.
CLAUSES = parse_clauses(
    {
        "clauses": [
            {"then": "permit", "when": {"fact": "purpose", "is": "TREAT"}},
            {
                "then": "permit",
                "when": {"all": [{"fact": "action", "is": "write"}, {"fact": "kind", "is": "medication"}]},
            },
            {"then": "require", "when": {"fact": "uses", "below": 2}},
            {"then": "deny", "when": {"fact": "size_bytes", "at_least": 1_001}},
        ]
    }
)
ALWAYS = parse_clauses({"clauses": [{"then": "permit"}]})


class World:
    """A chain after the enrolment of persons; ``follower`` replays each block without judging it."""

    def __init__(self, **changes: Any) -> None:
        self.scribe = Scribe(make_network(make_params(TOPOLOGY, **changes)))
        self.state, self.follower = self.scribe.state(), self.scribe.state()
        self.finals: list[Finalised] = []
        self.nonces: dict[str, int] = dict.fromkeys((AUTHORITY, *self.scribe.network.roles), 0)
        assert not any(self.add(*((AUTHORITY, Enrolment(self.certify(name))) for name in PERSONS)))

    def certify(self, name: str, **fields: Any) -> Certificate:
        body = msgspec.structs.replace(
            self.scribe.certify(name, key_of=name).body, **({"kinds": ()} | PERSONS.get(name, {}) | fields)
        )
        return Certificate(body, self.scribe.crypto.sign(body))

    def terms(self, **changes: Any) -> Terms:
        fields: dict[str, Any] = {
            "patient": PATIENT, "provider": DOCTOR, "pseudonym": MINE, "clauses": CLAUSES, "not_before": 0,
            "not_after": FOREVER, "salt": bytes(16),
        }  # fmt: skip
        return Terms(**(fields | changes))

    def agreement(self, signer: str = PATIENT, chain: bytes = b"", **changes: Any) -> Agreement:
        """Terms with a signature of the party that does not author the transaction."""
        terms = self.terms(**changes)
        body = AgreementBody(chain or self.scribe.chain, terms)
        return Agreement(terms, self.scribe.cryptos[signer].sign(body))

    def id(self, **changes: Any) -> bytes:
        return agreement_id(self.scribe.crypto, self.scribe.chain, self.terms(**changes))

    def sign(self, author: str, payload: Payload) -> Transaction:
        self.nonces[author] += 1
        return self.scribe.signed(payload, self.nonces[author] - 1, author, author)

    def add(self, *given: tuple[str, Payload], **changes: Any) -> list[Reason]:
        """A block of authors' payloads; what became of each, the same for all who keep the ledger."""
        items = [self.scribe.endorsed(self.sign(*item)) for item in given]
        parent = self.finals[-1].block.header if self.finals else None
        final = self.scribe.final(items, parent, **changes)
        verdict = self.state.validate(final.block, final.certificate)
        self.state.apply(final.block, verdict)
        self.follower.replay(final.block, final.certificate, verdict.reasons)
        assert self.follower.digest == self.state.digest
        for name in ("standings", "ids"):
            books = (self.follower.agreements, self.state.agreements)
            assert len({repr(sorted(getattr(book, name).content().items())) for book in books}) == 1
        self.finals.append(final)
        return list(verdict.reasons)

    def agree(self, **changes: Any) -> bytes:
        assert self.add((DOCTOR, self.agreement(**changes))) == [Reason.ACCEPTED]
        return self.id(**changes)


def write(agreement: bytes = b"", **fields: Any) -> RecordRef:
    return msgspec.structs.replace(RecordRef(1, MINE, bytes(32), "/r", 6, agreement), **fields)


def read(agreement: bytes = b"", **fields: Any) -> Access:
    access = Access(Action.READ, MINE, 1, bytes(32), Purpose.TREATMENT, Emergency.NONE, agreement)
    return msgspec.structs.replace(access, **fields)


def grant() -> Consent:
    return Consent(MINE, (Provision(True, (DOCTOR,), (), (), (), (), 0, FOREVER),))


@pytest.fixture
def world() -> World:
    return World()


# -- making one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("author", "signer"), [(DOCTOR, PATIENT), (PATIENT, DOCTOR)])
def test_either_party_may_submit_what_the_other_has_signed(world: World, author: str, signer: str) -> None:
    assert world.add((author, world.agreement(signer))) == [Reason.ACCEPTED]
    assert world.state.agreements.find(world.id()).terms == world.terms()


def test_a_hospitals_system_may_be_the_provider(world: World) -> None:
    assert world.add((SYSTEM, world.agreement(provider=SYSTEM))) == [Reason.ACCEPTED]


@pytest.mark.parametrize(
    ("author", "changes"),
    [
        (DOCTOR, {"signer": DOCTOR}),
        (DOCTOR, {"signer": STRANGER}),
        (PATIENT, {}),
        (STRANGER, {}),
        (SYSTEM, {}),
        (DOCTOR, {"chain": b"\7" * 32}),
        (DOCTOR, {"pseudonym": THEIRS}),
        (DOCTOR, {"patient": SYSTEM, "signer": SYSTEM}),
        (DOCTOR, {"patient": "visitor-9"}),
        (DEVICE, {"provider": DEVICE}),
        (PATIENT, {"provider": DEVICE, "signer": DEVICE}),
        (PATIENT, {"provider": STRANGER, "signer": STRANGER}),
        (DOCTOR, {"not_after": SECOND}),
    ],
    ids=[
        "signed-by-the-author", "signed-by-a-third", "patients-own-signature", "stranger-submits", "system-submits",
        "another-chain", "anothers-pseudonym", "no-patient", "unknown-patient", "device-submits", "device-signs",
        "two-patients", "expired",
    ],
)  # fmt: skip
def test_what_is_not_both_parties_is_refused(world: World, author: str, changes: dict[str, Any]) -> None:
    found = world.add((author, world.agreement(**changes)))
    assert found == [Reason.NO_RIGHT if author == DEVICE else Reason.BAD_AGREEMENT]
    assert world.state.agreements.held(MINE, 0) == ()


def test_terms_that_were_changed_after_the_signature_are_refused(world: World) -> None:
    signed = world.agreement()
    for changes in ({"salt": b"\1" * 16}, {"clauses": ALWAYS}, {"not_after": FOREVER - 1}, {"not_before": 1}):
        terms = msgspec.structs.replace(signed.terms, **changes)
        assert world.add((DOCTOR, Agreement(terms, signed.signature))) == [Reason.BAD_AGREEMENT]


@pytest.mark.parametrize("party", [PATIENT, DOCTOR])
def test_both_certificates_have_to_be_in_force(world: World, party: str) -> None:
    serial = world.certify(party).body.serial + 1
    assert (
        world.add((AUTHORITY, Enrolment(world.certify(party))), (AUTHORITY, Revocation(serial)))
        == [Reason.ACCEPTED] * 2
    )
    found = world.add((DOCTOR, world.agreement()))
    assert found == [Reason.REVOKED if party == DOCTOR else Reason.BAD_AGREEMENT]


def test_the_authority_can_make_no_agreement(world: World) -> None:
    assert world.add((AUTHORITY, world.agreement())) == [Reason.NO_RIGHT]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"not_after": 0}, "expected its end after 0, found 0"), ({"provider": PATIENT}, "expected two, found visitor-1")],
)
def test_terms_that_can_never_hold_are_none(world: World, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        world.terms(**changes)
    good = world.terms()
    for name, value in changes.items():
        msgspec.structs.force_setattr(good, name, value)
    with pytest.raises(CodecError, match=told):
        decode(encode(good), Terms)


def test_an_agreement_is_made_once_and_never_again_after_its_end(world: World) -> None:
    agreement = world.agreement()
    assert world.add((DOCTOR, agreement), (DOCTOR, agreement)) == [Reason.ACCEPTED, Reason.AGREED]
    assert world.add((PATIENT, Termination(world.id()))) == [Reason.ACCEPTED]
    assert world.add((DOCTOR, agreement)) == [Reason.AGREED]
    assert world.add((DOCTOR, world.agreement(salt=b"\1" * 16))) == [Reason.ACCEPTED]


def test_agreements_of_one_patient_are_bounded_and_what_has_ended_makes_room(world: World) -> None:
    salts = [bytes([number]) * 16 for number in range(MOST_AGREEMENTS + 3)]
    for salt in salts[:MOST_AGREEMENTS]:
        # The first one expires, the second one is terminated.
        world.agree(salt=salt, not_after=100 * SECOND if salt == salts[0] else FOREVER)
    assert world.add((DOCTOR, world.agreement(salt=salts[-1]))) == [Reason.TOO_MANY_AGREEMENTS]
    assert world.add((PATIENT, Termination(world.id(salt=salts[1]))), (DOCTOR, world.agreement(salt=salts[-2]))) == [
        Reason.ACCEPTED,
        Reason.ACCEPTED,
    ]
    assert world.add((DOCTOR, world.agreement(salt=salts[-3])), timestamp=99 * SECOND) == [Reason.TOO_MANY_AGREEMENTS]
    late = 100 * SECOND
    assert world.add((DOCTOR, world.agreement(salt=b"\xff" * 16)), timestamp=late) == [Reason.ACCEPTED]
    assert len(world.state.agreements.held(MINE, late)) == MOST_AGREEMENTS
    assert world.state.agreements.find(world.id(salt=salts[0], not_after=late)).terms is None


# -- what stands under one ---------------------------------------------------------------------------------------------


def test_acts_under_an_agreement_satisfy_its_clauses_or_are_marked(world: World) -> None:
    agreement = world.agree()
    world.add((PATIENT, grant()))
    assert world.add(
        (DOCTOR, write(agreement, size_bytes=1_001)),
        (DOCTOR, write(agreement, kind=2)),
        (DOCTOR, read(agreement, purpose=Purpose.RESEARCH)),
        (DOCTOR, write(agreement)),
        (DOCTOR, read(agreement)),
        (DOCTOR, read(agreement)),
        (DOCTOR, write(agreement)),
        (DOCTOR, write()),
    ) == [
        Reason.CLAUSES, Reason.CLAUSES, Reason.CLAUSES, Reason.ACCEPTED, Reason.ACCEPTED, Reason.CLAUSES,
        Reason.CLAUSES, Reason.ACCEPTED,
    ]  # fmt: skip
    assert world.state.agreements.find(agreement).uses == 2


def test_an_agreement_is_no_consent(world: World) -> None:
    agreement = world.agree(clauses=ALWAYS)
    assert world.add((DOCTOR, read(agreement))) == [Reason.NO_CONSENT]
    assert world.state.agreements.find(agreement).uses == 0


@pytest.mark.parametrize(
    ("author", "payload"),
    [
        (STRANGER, read(pseudonym=THEIRS)),
        (SYSTEM, write()),
        (PATIENT, read(b"\7" * 32)),
        (PATIENT, read(b"\7")),
    ],
    ids=["another-patient", "third-party", "unknown", "no-digest"],
)
def test_nobody_else_may_cite_it_and_it_must_be_one(world: World, author: str, payload: Any) -> None:
    agreement = payload.agreement or world.agree(clauses=ALWAYS)
    payload = msgspec.structs.replace(payload, agreement=agreement)
    assert world.add((author, payload)) == [Reason.NO_AGREEMENT]


def test_it_holds_for_its_period_alone(world: World) -> None:
    agreement = world.agree(not_before=10 * SECOND, not_after=20 * SECOND, clauses=ALWAYS)
    found = [
        world.add((PATIENT, read(agreement)), timestamp=moment)[0]
        for moment in (10 * SECOND - 1, 10 * SECOND, 20 * SECOND - 1, 20 * SECOND)
    ]
    assert found == [Reason.NO_AGREEMENT, Reason.ACCEPTED, Reason.ACCEPTED, Reason.NO_AGREEMENT]


@pytest.mark.parametrize("author", [PATIENT, DOCTOR, AUTHORITY])
def test_either_party_or_the_authority_ends_it_from_its_place_on(world: World, author: str) -> None:
    agreement = world.agree(clauses=ALWAYS)
    found = world.add((PATIENT, read(agreement)), (author, Termination(agreement)), (PATIENT, read(agreement)))
    assert found == [Reason.ACCEPTED, Reason.ACCEPTED, Reason.NO_AGREEMENT]
    assert world.add((author, Termination(agreement))) == [Reason.NO_AGREEMENT]


@pytest.mark.parametrize("author", [STRANGER, SYSTEM, DEVICE])
def test_nobody_else_ends_it(world: World, author: str) -> None:
    agreement = world.agree(clauses=ALWAYS)
    found = world.add((author, Termination(agreement)))
    assert found == [Reason.NO_RIGHT if author == DEVICE else Reason.NO_AGREEMENT]
    assert world.add((PATIENT, read(agreement))) == [Reason.ACCEPTED]


def test_a_refused_block_changes_no_book(world: World) -> None:
    """What was judged and not applied leaves nothing behind."""
    final = world.scribe.final(
        [world.scribe.endorsed(world.sign(DOCTOR, world.agreement()))], world.finals[-1].block.header
    )
    world.state.validate(final.block, final.certificate)
    assert world.state.agreements.find(world.id()) is UNKNOWN


# -- as a contract (claim C24) -----------------------------------------------------------------------------------------


class Desk:
    """A coordinator that knows the chain so far."""

    def __init__(self, world: World, name: str = "coordinator-1", heights: int = -1) -> None:
        self.world, self.store = world, MemoryStore()
        self.store.put("/r", b"record")
        self.machine = Coordinator(world.scribe.network.context(name), self.store)
        for final in world.finals[: heights if heights >= 0 else None]:
            handle(self.machine, Received("administrator-0", final))

    def hear(self, tx: Transaction) -> list[Any]:
        scribe = self.world.scribe
        return [
            effect
            for agent in ("agent-0", "agent-1")
            for effect in handle(self.machine, Received(agent, scribe.endorse(tx, agent)), SECOND)
        ]


def stored(agreement: bytes, **fields: Any) -> RecordRef:
    """About the object that lies in a coordinator's store."""
    return write(agreement, digest=hashlib.sha256(b"record").digest(), **fields)


def outcomes(world: World, desks: list[Desk], payload: Payload, author: str = DOCTOR) -> list[bytes]:
    tx = world.sign(author, payload)
    return [answer.outcome for desk in desks for answer in messages(desk.hear(tx), Approve)]


def test_coordinators_at_different_heights_agree_on_what_a_contract_returns(world: World) -> None:
    agreement = world.agree()
    height = len(world.finals)
    world.add((DOCTOR, write(agreement)))
    desks = [Desk(world, "coordinator-0", height), Desk(world, "coordinator-1"), Desk(world, "coordinator-2")]
    assert [desk.machine.state.agreements.find(agreement).uses for desk in desks] == [0, 1, 1]
    found = outcomes(world, desks, stored(agreement))
    assert len(found) == 3
    assert len(set(found)) == 1
    assert set(outcomes(world, desks, stored(b""))) != set(found)
    denied = set(outcomes(world, desks, read(agreement, purpose=Purpose.RESEARCH)))
    assert len(denied | set(outcomes(world, desks, read(agreement)))) == 2


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(stored(b"", kind=2), "agreement"), (stored(b"\7" * 32), "agreement"), (read(b"\7" * 32), "agreement")],
    ids=["clauses", "unknown", "unknown-access"],
)
def test_coordinators_refuse_a_record_that_the_clauses_do_not_permit(world: World, payload: Any, reason: str) -> None:
    agreement = world.agree()
    payload = msgspec.structs.replace(payload, agreement=payload.agreement or agreement)
    effects = Desk(world).hear(world.sign(DOCTOR, payload))
    assert [(item.reason, item.detail) for item in messages(effects, Refused)][:1] == [(Reason.CONTRACT, reason)]
    assert not messages(effects, Approve)


def test_a_denied_access_reaches_the_chain_where_it_is_audited(world: World) -> None:
    agreement = world.agree()
    world.add((PATIENT, grant()))
    denied = read(agreement, purpose=Purpose.RESEARCH)
    assert messages(Desk(world).hear(world.sign(DOCTOR, denied)), Approve)
    assert world.add((DOCTOR, denied)) == [Reason.CLAUSES]
    assert world.add((PATIENT, Termination(agreement))) == [Reason.ACCEPTED]
    assert messages(Desk(world).hear(world.sign(DOCTOR, read(agreement))), Approve)
    assert world.add((DOCTOR, read(agreement))) == [Reason.NO_AGREEMENT]


def test_without_a_book_nothing_that_cites_an_agreement_passes(world: World) -> None:
    agreement, store = world.agree(), MemoryStore()
    store.put("/r", b"record")
    tx = world.sign(DOCTOR, stored(agreement))
    assert run_contracts(world.scribe.crypto, store, tx) == (b"", AGREEMENT)
    assert run_contracts(world.scribe.crypto, store, tx, CONTRACTS, world.state.agreements)[1] == ""


def test_an_evaluator_that_is_not_deterministic_gathers_no_approvals(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claim C24: a coordinator whose clauses hold by its own clock says something else than the others."""
    agreement = world.agree()
    tx = world.sign(DOCTOR, stored(agreement))
    genuine, answers = AgreementBook.outline, []
    for index in range(3):
        monkeypatch.setattr(AgreementBook, "outline", lambda *given, index=index: genuine(*given)[:-1] + bytes([index]))
        answers += messages(Desk(world, f"coordinator-{index}").hear(tx), Approve)
    context = world.scribe.network.context("administrator-0")
    pool = ApprovalPool(context.params, context.chain, context.open_standing(), context.crypto)
    for final in world.finals:
        pool.settle(final.block)
    assert len({answer.outcome for answer in answers}) == 3
    assert [pool.add(answer, 0) for answer in answers] == [False] * 3


# -- from end to end ---------------------------------------------------------------------------------------------------


def test_an_agreement_from_its_signature_to_its_end_in_a_simulated_network() -> None:
    run, world = Run(make_params(TOPOLOGY)), World()
    run.network = world.scribe.network
    scribe, moment = world.scribe, 0

    def put(author: str, payload: Payload) -> Reason | None:
        """Hand a transaction to all agents and let it become final; None if it is not on the chain."""
        nonlocal moment
        moment += END
        tx = sign(author, payload)
        for agent in ("agent-0", "agent-1", "agent-2"):
            run.sim.inject(moment, agent, Received(SYSTEM, Submit(tx)))
        run.seen.append((moment, SYSTEM, Observed(ObservedKind.SUBMITTED, (scribe.tx_id(tx),))))
        run.run(moment + END // 2)
        entry = run.ledgers["contributor-1"].entries[-1]
        found = dict(zip((item.transaction for item in entry.block.transactions), entry.reasons, strict=True))
        return found.get(tx)

    nonces = dict.fromkeys((AUTHORITY, *scribe.network.roles), 0)

    def sign(author: str, payload: Payload) -> Transaction:
        nonces[author] += 1
        body = TransactionBody(scribe.chain, author, nonces[author], moment, payload)
        return Transaction(body, scribe.cryptos[author].sign(body))

    for name in (PATIENT, DOCTOR):
        assert put(AUTHORITY, Enrolment(world.certify(name))) is Reason.ACCEPTED
    run.sim.store.put("/r", b"record")
    agreement = world.id()
    assert put(DOCTOR, stored(agreement)) is None  # there is no such agreement: coordinators refuse
    assert put(DOCTOR, world.agreement()) is Reason.ACCEPTED
    assert put(DOCTOR, stored(agreement)) is Reason.ACCEPTED
    assert put(DOCTOR, stored(agreement, kind=2)) is None
    assert put(PATIENT, read(agreement)) is Reason.ACCEPTED
    assert put(PATIENT, read(agreement)) is Reason.CLAUSES  # the third use
    assert put(PATIENT, Termination(agreement)) is Reason.ACCEPTED
    assert put(PATIENT, read(agreement)) is Reason.NO_AGREEMENT
    check_invariants(run, is_complete=False)
    assert run.of(ObservedKind.DROPPED, "coordinator-0")
    assert run.ledgers["contributor-0"].entries[-1].state == run.ledgers["contributor-1"].entries[-1].state
