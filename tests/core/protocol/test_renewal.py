"""Keys and certificates change at a place in the chain: before it the old ones count, after it the new ones."""

from typing import Any

import msgspec
import pytest

from ehrcore.block import Enrolment, Payload, Revocation, Transaction
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Observed, ObservedKind, Received, Requested
from ehrcore.identity import FOREVER, Capacity, Cause, Certificate, Reason, Revoked
from ehrcore.messages import Submit
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.rules import AUTHORITY
from ehrcore.state import ChainState
from ehrcore.types import SECOND, Role
from tests.core.protocol.persons import DEVICE, DOCTOR, MINE, PATIENT, World, consent, read, write

#: World's blocks are a second apart, and its persons are enrolled by the first.
NOW = 2 * SECOND
NEW_KEY = "agent-0"


@pytest.fixture
def world() -> World:
    return World()


def renewed(world: World, name: str = DOCTOR, key_of: str = NEW_KEY, **fields: Any) -> Payload:
    """The next certificate of somebody, with the key of another."""
    scribe = world.scribe
    held = world.state.registry.certificate_of(name)
    assert held is not None
    fresh = scribe.certify(name, key_of=key_of).body
    body = msgspec.structs.replace(held.body, serial=fresh.serial, public_key=fresh.public_key, **fields)
    return Enrolment(Certificate(body, scribe.crypto.sign(body)))


def signed_by(world: World, key_of: str, author: str = DOCTOR, payload: Payload | None = None) -> Transaction:
    world.nonces[author] += 1
    return world.scribe.signed(payload or write(), world.nonces[author] - 1, author, key_of)


def serial_of(world: World, name: str = DOCTOR) -> int:
    held = world.state.registry.certificate_of(name)
    assert held is not None
    return held.body.serial


# -- rotation and recovery -------------------------------------------------------------------------------------------


def test_a_rotated_key_counts_from_its_place_in_the_block_on(world: World) -> None:
    """All of these were endorsed by agents who knew the key that they are signed with."""
    old = serial_of(world)
    before, after = signed_by(world, DOCTOR), signed_by(world, DOCTOR)
    early, late = signed_by(world, NEW_KEY), signed_by(world, NEW_KEY)
    rotation = world.sign(AUTHORITY, renewed(world))
    assert world.add(before, early, rotation, after, late) == [
        Reason.ACCEPTED,
        Reason.BAD_SIGNATURE,
        Reason.ACCEPTED,
        Reason.BAD_SIGNATURE,
        Reason.ACCEPTED,
    ]
    assert world.add(signed_by(world, DOCTOR), signed_by(world, NEW_KEY)) == [Reason.BAD_SIGNATURE, Reason.ACCEPTED]
    assert world.state.registry.revoked(old) == Revoked(old, Cause.SUPERSEDED, 2, NOW)
    assert world.follower.registry.revocations() == world.state.registry.revocations()


def test_who_has_a_lost_key_can_do_nothing_from_its_revocation_on(world: World) -> None:
    """What was endorsed but not final is void, too, and so it stays when the owner has a new key."""
    old = serial_of(world)
    stolen = [signed_by(world, DOCTOR) for _ in range(3)]
    revocation = world.sign(AUTHORITY, Revocation(old, Cause.KEY_COMPROMISE, 1))
    assert world.add(stolen[0], revocation, stolen[1]) == [Reason.ACCEPTED, Reason.ACCEPTED, Reason.REVOKED]
    assert world.add(world.sign(AUTHORITY, renewed(world)), stolen[2]) == [Reason.ACCEPTED, Reason.BAD_SIGNATURE]
    assert world.add(signed_by(world, NEW_KEY)) == [Reason.ACCEPTED]
    assert world.state.registry.revoked(old) == Revoked(old, Cause.KEY_COMPROMISE, 2, NOW, 1)


def test_a_compromised_key_is_certified_for_nobody_again(world: World) -> None:
    key_back = renewed(world, key_of=DOCTOR)
    for_another = renewed(world, PATIENT, key_of=DOCTOR)
    world.add((AUTHORITY, Revocation(serial_of(world), Cause.KEY_COMPROMISE)))
    assert world.add((AUTHORITY, key_back), (AUTHORITY, for_another)) == [Reason.BAD_CERTIFICATE] * 2
    assert world.add((AUTHORITY, renewed(world))) == [Reason.ACCEPTED]


def test_a_key_whose_certificate_was_withdrawn_for_another_cause_may_be_certified_again(world: World) -> None:
    world.add((AUTHORITY, Revocation(serial_of(world), Cause.AFFILIATION_CHANGED)))
    assert world.add((DOCTOR, write()), (AUTHORITY, renewed(world, key_of=DOCTOR)), (DOCTOR, write())) == [
        Reason.REVOKED,
        Reason.ACCEPTED,
        Reason.ACCEPTED,
    ]


def test_a_serial_comes_back_in_no_way(world: World) -> None:
    first = world.state.registry.certificate_of(DOCTOR)
    assert first is not None
    world.add((AUTHORITY, renewed(world)))
    for body in (first.body, msgspec.structs.replace(first.body, subject="person-0000000000000000")):
        again = Enrolment(Certificate(body, world.scribe.crypto.sign(body)))
        assert world.add((AUTHORITY, again)) == [Reason.BAD_CERTIFICATE]
    assert world.state.registry.check("person-0000000000000000", Role.VISITOR, NOW)[0] is Reason.UNKNOWN_AUTHOR


# -- periods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end", "found"),
    [
        (0, FOREVER, Reason.ACCEPTED),
        (3 * SECOND, FOREVER, Reason.ACCEPTED),
        (3 * SECOND + 1, FOREVER, Reason.NOT_YET_VALID),
        (0, 3 * SECOND + 1, Reason.ACCEPTED),
        (0, 3 * SECOND, Reason.EXPIRED),
    ],
)
def test_a_certificate_counts_exactly_within_its_period(world: World, begin: int, end: int, found: Reason) -> None:
    """By the time of the block that the transaction is in, whenever it was endorsed."""
    assert world.add((AUTHORITY, renewed(world, key_of=DOCTOR, not_before=begin, not_after=end))) == [Reason.ACCEPTED]
    assert world.add((DOCTOR, write())) == [found]


def test_an_expired_certificate_is_not_enrolled(world: World) -> None:
    for end, found in ((NOW, Reason.EXPIRED), (NOW + 1, Reason.ACCEPTED)):
        world = World()
        assert world.add((AUTHORITY, renewed(world, not_after=end))) == [found]


# -- what a capacity allows (C38): a valid signature is no permission --------------------------------------------------


@pytest.mark.parametrize(
    ("author", "payload", "found"),
    [
        ("agent-1", write(), Reason.WRONG_ROLE),
        ("contributor-0", read(), Reason.WRONG_ROLE),
        ("administrator-0", consent(), Reason.WRONG_ROLE),
        (DEVICE, read(), Reason.NO_RIGHT),
        (DEVICE, write(kind=2), Reason.NO_RIGHT),
        (PATIENT, write(), Reason.NO_RIGHT),
        (DOCTOR, consent(), Reason.NO_RIGHT),
        (DOCTOR, Revocation(1), Reason.NO_RIGHT),
        (PATIENT, consent(pseudonym=b"\2" * 32), Reason.NO_RIGHT),
        (PATIENT, consent(pseudonym=MINE), Reason.ACCEPTED),
    ],
)
def test_a_valid_signature_by_the_wrong_role_or_person_is_refused(
    world: World, author: str, payload: Payload, found: Reason
) -> None:
    world.nonces.setdefault(author, 0)
    assert world.add((author, payload)) == [found]


def test_who_becomes_somebody_else_has_the_rights_of_that(world: World) -> None:
    assert world.add((DOCTOR, write())) == [Reason.ACCEPTED]
    world.add((AUTHORITY, renewed(world, key_of=DOCTOR, kinds=(1,), capacity=Capacity.DEVICE)))
    assert world.add((DOCTOR, write()), (DOCTOR, read())) == [Reason.NO_RIGHT, Reason.NO_RIGHT]


# -- a planted bug -----------------------------------------------------------------------------------------------------


def test_a_registry_that_shares_what_a_refused_block_did_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are judged on copies: without them, one that is never applied would revoke."""
    revocation = world.sign(AUTHORITY, Revocation(serial_of(world)))
    block = world.scribe.final([world.scribe.endorsed(revocation)], world.finals[-1].block.header)

    def is_revoked(state: ChainState) -> bool:
        state.validate(block.block, block.certificate)
        return state.registry.revoked(serial_of(world)) is not None

    assert not is_revoked(world.state)
    monkeypatch.setattr("ehrcore.identity.Registry.copy", lambda self: self)
    assert is_revoked(world.state)


# -- along the whole chain ---------------------------------------------------------------------------------------------


def test_a_recovered_visitor_is_served_with_the_new_key_alone() -> None:
    """Along agents, coordinators, administrators and contributors, in simulation."""
    params = ChainParams("aaa", Topology(3, 3, 4, 2, 2), 2, 2, limits=Limits(max_transactions=1))
    network = found_network(params, "cryptography", "renewal")
    seen: list[tuple[str, ObservedKind, str]] = []

    def observe(at: int, node: str, observed: Observed) -> None:
        if node.startswith("visitor") and observed.kind is not ObservedKind.SUBMITTED:
            seen.append((node, observed.kind, observed.detail))

    simulation = Simulation(network, SimSetup("renewal", EXAMPLE), observe)
    record = ClinicalRecord(RecordKind.BILL, "p", "Claim", "/hospital/report-store/bill/1.json", b"{}")
    request = Requested(record, network.authority.pseudonym("p"))
    held = next(item.body for item in network.certificates if item.body.subject == "visitor-0")
    new_key = next(item.body.public_key for item in network.certificates if item.body.subject == "visitor-1")

    def order(transaction: Transaction, at: int) -> None:
        for agent in ("agent-0", "agent-1", "agent-2"):
            simulation.inject(at, agent, Received("authority-0", Submit(transaction)))

    simulation.inject(0, "visitor-0", request)
    authority, chain = network.authority, network.chain
    order(authority.revoke(chain, held.serial, SECOND, Cause.KEY_COMPROMISE), SECOND)
    certificate = authority.certify("visitor-0", held.role, new_key, kinds=held.kinds)
    order(authority.enrol(chain, certificate, 2 * SECOND), 2 * SECOND)
    simulation.inject(3 * SECOND, "visitor-0", request)
    back = authority.certify("visitor-0", held.role, held.public_key, kinds=held.kinds)
    order(authority.enrol(chain, back, 4 * SECOND), 4 * SECOND)
    simulation.inject(5 * SECOND, "visitor-0", request)
    simulation.run(60 * SECOND)
    # Its machine still signs with the old key; whoever holds the new one would be served.
    assert seen == [
        ("visitor-0", ObservedKind.FINAL, ""),
        ("visitor-0", ObservedKind.REFUSED, "bad-signature"),
        ("visitor-0", ObservedKind.REFUSED, "bad-signature"),
    ]
    states = [node.machine.state for node in simulation.nodes if node.name.startswith("contributor")]
    assert {state.height for state in states} == {3}
    for state in states:
        assert state.registry.check("visitor-0", Role.VISITOR, 60 * SECOND)[1] == certificate.body
        assert [item.serial for item in state.registry.revocations()] == [held.serial]
