"""The audit trail says of every deed who, what, whose, when, why and with what outcome; as FHIR, it is FHIR."""

import json
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent as Standard
from fhir.resources.R4B.bundle import Bundle

from ehrcore.agreements import Agreement, AgreementBody, Termination, Terms, agreement_id
from ehrcore.auditing import AuditEvent, Deed, Trail
from ehrcore.block import Block
from ehrcore.consent import Erasure, Purpose, Withdrawal
from ehrcore.drafting import parse_clauses
from ehrcore.fhir_audit import write_bundle, write_event
from ehrcore.fhir_terms import AGREEMENTS, KIND_CODES
from ehrcore.identity import FOREVER, Capacity, Reason
from ehrcore.rules import AUTHORITY
from ehrcore.types import Role
from tests.core.protocol.persons import (
    DENY,
    DOCTOR,
    GLASS,
    MINE,
    OTHER,
    PATIENT,
    RECORD,
    SYSTEM,
    THEIRS,
    World,
    consent,
    read,
    write,
)  # fmt: skip


def follow(world: World, patient: bytes | None = None) -> Trail:
    """The trail of the whole chain, from its blocks and their verdicts."""
    trail, state = Trail(world.scribe.crypto, patient), world.scribe.state()
    for final in world.finals:
        verdict = state.validate(final.block, final.certificate)
        state.apply(final.block, verdict)
        now, registry = final.block.header.timestamp, state.registry
        trail.follow(
            final.block,
            verdict.reasons,
            verdict.tx_ids,
            lambda name, now=now, registry=registry: registry.check(name, Role.VISITOR, now)[1],  # type: ignore[misc]
        )
    return trail


def fill(world: World) -> bytes:
    """A chain of every deed; the id of the record that is read, as a struct."""
    record = world.scribe.crypto.hash_struct(write())
    assert (
        world.add((SYSTEM, write()), (DOCTOR, read(kind=2, record=record)), (PATIENT, consent()))[1]
        is Reason.NO_CONSENT
    )
    given = world.tx_id(index=2)
    world.add((DOCTOR, read(kind=2, record=record)), (DOCTOR, Withdrawal(given)), (PATIENT, Withdrawal(given)))
    world.add((PATIENT, DENY), (SYSTEM, write()), (DOCTOR, GLASS), (OTHER, read(THEIRS, kind=2, record=record)))
    world.add((AUTHORITY, Erasure(MINE, record)), (SYSTEM, write(THEIRS)), (AUTHORITY, Withdrawal(RECORD)))
    return record


@pytest.fixture
def world() -> World:
    return World()


def test_every_deed_is_an_event_and_orders_are_none(world: World) -> None:
    record = fill(world)
    events = follow(world).events
    told = [(event.author, event.deed, event.patient, event.reason) for event in events]
    yes = Reason.ACCEPTED
    assert told == [
        (SYSTEM, Deed.WRITE, MINE, yes),
        (DOCTOR, Deed.READ, MINE, Reason.NO_CONSENT),
        (PATIENT, Deed.CONSENT, MINE, yes),
        (DOCTOR, Deed.READ, MINE, yes),
        (DOCTOR, Deed.WITHDRAWAL, MINE, Reason.NO_RIGHT),
        (PATIENT, Deed.WITHDRAWAL, MINE, yes),
        (PATIENT, Deed.CONSENT, MINE, yes),
        (SYSTEM, Deed.WRITE, MINE, Reason.DENIED),
        (DOCTOR, Deed.READ, MINE, yes),
        (OTHER, Deed.READ, THEIRS, yes),
        (AUTHORITY, Deed.ERASURE, MINE, yes),
        (SYSTEM, Deed.WRITE, THEIRS, yes),
        (AUTHORITY, Deed.WITHDRAWAL, b"", Reason.UNKNOWN_CONSENT),
    ]
    final = world.finals[1]
    assert events[1] == AuditEvent(
        tx_id=world.scribe.tx_id(final.block.transactions[1].transaction), height=2, at=final.block.header.timestamp,
        author=DOCTOR, organisation="mercy", capacity=Capacity.PRACTITIONER, deed=Deed.READ, patient=MINE, kind=2,
        record=record, location="", purpose=Purpose.TREATMENT, emergency=read().emergency, reason=Reason.NO_CONSENT,
    )  # fmt: skip
    assert [event.is_break_glass for event in events] == [event is events[8] for event in events]
    assert events[0].record == record, "a write and the reads of it go by one id"


def test_agreements_and_their_ends_are_events_of_the_patient(world: World) -> None:
    """Once an audit of a chain with one ended in a traceback."""
    crypto, chain = world.scribe.crypto, world.scribe.chain
    terms = Terms(PATIENT, DOCTOR, MINE, parse_clauses({"clauses": [{"then": "permit"}]}), 0, FOREVER, bytes(16))
    signature, id_ = world.scribe.cryptos[DOCTOR].sign(AgreementBody(chain, terms)), agreement_id(crypto, chain, terms)
    world.add((PATIENT, Agreement(terms, signature)), (PATIENT, Agreement(terms, bytes(64))))
    world.add((DOCTOR, Termination(id_)), (DOCTOR, Termination(bytes(32))))
    trail = follow(world, MINE)
    assert [(event.author, event.deed, event.record, bool(event.reason)) for event in trail.events] == [
        (PATIENT, Deed.AGREEMENT, id_, False),
        (PATIENT, Deed.AGREEMENT, id_, True),
        (DOCTOR, Deed.TERMINATION, id_, False),
    ]
    assert follow(world).events[-1].patient == b""
    bundle = Bundle.model_validate(write_bundle(trail.events, chain))
    assert [entry.resource.entity[-1].what.identifier.system for entry in bundle.entry] == [AGREEMENTS] * 3


def test_a_patients_trail_has_all_about_the_patient_and_her_records_and_nothing_else(world: World) -> None:
    fill(world)
    every, mine = follow(world), follow(world, MINE)
    others = [event for event in every.events if event.patient != MINE]
    assert [event for event in every.events if event not in mine.events] == others[1:]
    misnamed = [event for event in mine.events if mine.is_misnamed(event)]
    assert [(event.author, event.patient, event.deed) for event in misnamed] == [
        (DOCTOR, MINE, Deed.READ),  # no such record
        (OTHER, THEIRS, Deed.READ),  # hers, asked for as another's
    ]
    assert mine.write_of(misnamed[1]) is mine.events[0]


def test_the_trail_is_the_same_in_one_block_and_in_many() -> None:
    worlds = World(), World()
    steps: list[Any] = [(SYSTEM, write()), (PATIENT, consent()), (DOCTOR, read()), (DOCTOR, GLASS)]
    worlds[0].add(*steps)
    for step in steps:
        worlds[1].add(step)
    one, many = (follow(world).events for world in worlds)
    assert [(event.author, event.deed, event.patient, event.record, event.reason) for event in one] == [
        (event.author, event.deed, event.patient, event.record, event.reason) for event in many
    ]


def test_a_consent_withdrawn_in_its_own_block_is_the_patients(world: World) -> None:
    tx = world.sign(PATIENT, consent())
    world.add(tx, (PATIENT, Withdrawal(world.scribe.tx_id(tx))))
    assert [event.patient for event in follow(world).events] == [MINE, MINE]


def test_each_verdict_belongs_to_its_transaction(world: World) -> None:
    fill(world)
    block: Block = world.finals[1].block
    with pytest.raises(ValueError, match="zip"):
        Trail(world.scribe.crypto).follow(block, (), (), lambda _: None)


# -- as FHIR -----------------------------------------------------------------------------------------------------------


def test_every_event_is_an_audit_event_of_the_standard(world: World) -> None:
    fill(world)
    events = follow(world).events
    for event in events:
        text = json.dumps(write_event(event, world.scribe.chain))
        assert json.loads(Standard.model_validate_json(text).model_dump_json()) == json.loads(text)
    bundle = write_bundle(events, world.scribe.chain)
    assert len(Bundle.model_validate_json(json.dumps(bundle)).entry) == len(events)
    assert Bundle.model_validate_json(json.dumps(write_bundle([], world.scribe.chain))).entry is None


@pytest.mark.parametrize("path", ["type", "recorded", "agent", "source", "agent.0.requestor", "source.observer"])
def test_the_check_misses_nothing_that_the_standard_requires(world: World, path: str) -> None:
    fill(world)
    resource: Any = write_event(follow(world).events[0], world.scribe.chain)
    *above, last = path.split(".")
    place = resource
    for name in above:
        place = place[int(name) if name.isdigit() else name]
    del place[last]
    with pytest.raises(ValueError, match=last):
        Standard.model_validate_json(json.dumps(resource))


def test_what_an_audit_event_says(world: World) -> None:
    record = fill(world)
    events = follow(world).events
    denied, glass = (write_event(event, world.scribe.chain) for event in (events[1], events[8]))
    assert (denied["outcome"], denied["outcomeDesc"]) == ("4", "no-consent")
    assert (glass["outcome"], "outcomeDesc" in glass) == ("0", False)
    assert [item["code"] for item in glass["subtype"]] == ["read", "110127"]
    assert [item["code"] for item in denied["subtype"]] == ["read"]
    assert glass["purposeOfEvent"][0]["coding"][0]["code"] == "ETREAT"
    assert [agent["who"]["identifier"]["value"] for agent in denied["agent"]] == [DOCTOR, "mercy"]
    assert denied["agent"][0]["role"] == [{"text": "practitioner"}]
    values = [entity["what"]["identifier"]["value"] for entity in denied["entity"]]
    assert values == [MINE.hex(), events[1].tx_id.hex(), record.hex()]
    details = {item["type"]: item["valueString"] for item in glass["entity"][1]["detail"]}
    assert details == {"height": "4", "kind": KIND_CODES[1], "emergency": "unconscious"}
    assert [write_event(event, b"")["action"] for event in events[:6]] == ["C", "R", "C", "R", "U", "U"]
