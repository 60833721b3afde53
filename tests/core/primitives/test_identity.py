"""Only certified entities act, each within its rights (paper section 3, claims C15 and C38)."""

import hashlib
import hmac
from typing import Any

import msgspec
import pytest

from ehrcore.authority import Authority
from ehrcore.block import Enrolment, RecordRef, Revocation, Transaction, TransactionBody
from ehrcore.codec import decode, encode
from ehrcore.crypto import Crypto
from ehrcore.errors import IdentityError
from ehrcore.hashing import find_suite
from ehrcore.identity import FOREVER, Cause, Certificate, Reason, Registry, Revoked
from ehrcore.replay import ReplayWindows
from ehrcore.rules import AUTHORITY, check_transaction
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import Role

NETWORK, CHAIN, SECRET = "net", b"c" * 32, b"pseudonym secret"
SUITE, SCHEME = find_suite("sha256"), find_scheme("p256/cryptography")


def crypto_of(label: str) -> Crypto:
    return Crypto(SUITE, SCHEME, SCHEME.private_key(derive_secret(CURVES["p256"], label)))


def public_key_of(label: str) -> bytes:
    return SCHEME.private_key(derive_secret(CURVES["p256"], label)).public_bytes


class World:
    """An authority, its registry, and a visitor who may submit kinds 1 and 2 from t=10 until t=20."""

    def __init__(self) -> None:
        self.crypto = crypto_of("authority")
        self.authority = Authority(NETWORK, self.crypto, SECRET)
        self.registry = Registry(NETWORK, public_key_of("authority"))
        self.visitor = self.certify("visitor-0", Role.VISITOR, kinds=(1, 2), not_before=10, not_after=20)
        self.registry.enrol(self.visitor, self.crypto)

    def certify(self, subject: str, role: Role, **options: Any) -> Certificate:
        return self.authority.certify(subject, role, public_key_of(subject), **options)

    def judge(
        self, payload: Any, author: str = "visitor-0", now: int = 15, signed_by: str = "", **changes: Any
    ) -> Reason:
        body = TransactionBody(CHAIN, author, changes.get("nonce", 0), 0, payload)
        body = msgspec.structs.replace(body, chain=changes.get("chain", CHAIN))
        tx = Transaction(body, crypto_of(signed_by or author).sign(body))
        return check_transaction(self.crypto, self.registry, changes.get("replay"), CHAIN, tx, now)


@pytest.fixture
def world() -> World:
    return World()


def record(kind: int = 1) -> RecordRef:
    return RecordRef(kind, bytes(32), bytes(32), "/r", 0)


# -- enrolment -------------------------------------------------------------------------------------------------------


def test_a_certificate_of_the_authority_is_accepted(world: World) -> None:
    reason, body = world.registry.check("visitor-0", Role.VISITOR, 15)
    assert (reason, body) == (Reason.ACCEPTED, world.visitor.body)


def test_a_certificate_survives_its_bytes(world: World) -> None:
    assert decode(encode(world.visitor), Certificate) == world.visitor


def test_a_certificate_of_another_network_is_refused(world: World) -> None:
    foreign = Authority("other", world.crypto, SECRET).certify("agent-0", Role.AGENT, public_key_of("agent-0"))
    with pytest.raises(IdentityError, match="expected network net, found other"):
        world.registry.enrol(foreign, world.crypto)
    assert world.registry.check("agent-0", Role.AGENT, 0) == (Reason.UNKNOWN_AUTHOR, None)


def test_a_certificate_by_someone_else_is_refused(world: World) -> None:
    forger = Authority(NETWORK, crypto_of("forger"), SECRET)
    forged = forger.certify("agent-0", Role.AGENT, public_key_of("agent-0"))
    with pytest.raises(IdentityError, match="expected the authority's signature"):
        world.registry.enrol(forged, world.crypto)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("serial", 99),
        ("subject", "visitor-1"),
        ("role", Role.ADMINISTRATOR),
        ("public_key", public_key_of("forger")),
        ("kinds", (1, 2, 3)),
        ("stake", 1_000),
        ("not_before", 0),
        ("not_after", FOREVER),
    ],
)
def test_a_changed_field_of_a_certificate_is_refused(world: World, field: str, value: Any) -> None:
    registry = Registry(NETWORK, public_key_of("authority"))
    body = msgspec.structs.replace(world.visitor.body, **{field: value})
    with pytest.raises(IdentityError, match="expected the authority's signature"):
        registry.enrol(Certificate(body, world.visitor.signature), world.crypto)
    assert not registry.members(body.role)


def test_a_later_serial_replaces_the_key(world: World) -> None:
    renewed = world.authority.certify("visitor-0", Role.VISITOR, public_key_of("new key"), kinds=(1,))
    world.registry.enrol(renewed, world.crypto)
    assert world.judge(record(), signed_by="new key") is Reason.ACCEPTED
    assert world.judge(record(), signed_by="visitor-0") is Reason.BAD_SIGNATURE


def test_an_earlier_serial_does_not_come_back(world: World) -> None:
    world.registry.enrol(world.certify("visitor-0", Role.VISITOR), world.crypto)
    with pytest.raises(IdentityError, match="expected a serial above 2, found 1"):
        world.registry.enrol(world.visitor, world.crypto)


def test_the_same_serial_is_not_enrolled_twice(world: World) -> None:
    with pytest.raises(IdentityError, match="expected a serial above 1, found 1"):
        world.registry.enrol(world.visitor, world.crypto)


def test_a_refused_certificate_leaves_the_held_one_in_force(world: World) -> None:
    forged = Authority(NETWORK, crypto_of("forger"), SECRET)
    for _ in range(3):
        bad = forged.certify("visitor-0", Role.VISITOR, public_key_of("forger"))
    with pytest.raises(IdentityError):
        world.registry.enrol(bad, world.crypto)
    assert world.judge(record()) is Reason.ACCEPTED


def test_a_copy_does_not_follow_the_original(world: World) -> None:
    twin = world.registry.copy()
    world.registry.revoke(1)
    world.registry.enrol(world.certify("agent-0", Role.AGENT), world.crypto)
    assert twin.check("visitor-0", Role.VISITOR, 15)[0] is Reason.ACCEPTED
    assert twin.check("agent-0", Role.AGENT, 15)[0] is Reason.UNKNOWN_AUTHOR


# -- what a certificate allows ---------------------------------------------------------------------------------------


def test_an_unknown_author_is_refused(world: World) -> None:
    assert world.judge(record(), author="visitor-9") is Reason.UNKNOWN_AUTHOR


def test_a_revoked_certificate_is_refused(world: World) -> None:
    world.registry.revoke(world.visitor.body.serial)
    assert world.judge(record()) is Reason.REVOKED
    assert world.registry.members(Role.VISITOR) == ()


def test_a_certificate_may_be_revoked_before_it_is_known(world: World) -> None:
    world.registry.revoke(2)
    world.registry.enrol(world.certify("agent-0", Role.AGENT), world.crypto)
    assert world.registry.check("agent-0", Role.AGENT, 0) == (Reason.REVOKED, None)


def test_revoking_one_certificate_leaves_its_successor(world: World) -> None:
    world.registry.enrol(world.certify("visitor-0", Role.VISITOR, kinds=(1,)), world.crypto)
    world.registry.revoke(1)
    assert world.judge(record()) is Reason.ACCEPTED


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (0, Reason.NOT_YET_VALID),
        (9, Reason.NOT_YET_VALID),
        (10, ""),
        (19, ""),
        (20, Reason.EXPIRED),
        (99, Reason.EXPIRED),
    ],
)
def test_a_certificate_holds_from_not_before_until_not_after(world: World, now: int, reason: str) -> None:
    assert world.judge(record(), now=now) == reason


@pytest.mark.parametrize("role", [Role.AGENT, Role.COORDINATOR, Role.ADMINISTRATOR, Role.CONTRIBUTOR])
def test_only_a_visitor_submits_records(world: World, role: Role) -> None:
    stake = 1 if role is Role.ADMINISTRATOR else 0
    world.registry.enrol(world.certify(f"{role.value}-0", role, kinds=(1,), stake=stake), world.crypto)
    assert world.judge(record(), author=f"{role.value}-0") is Reason.WRONG_ROLE


@pytest.mark.parametrize("role", list(Role))
def test_a_visitor_acts_in_no_other_role(world: World, role: Role) -> None:
    expected = {Role.VISITOR: Reason.ACCEPTED, Role.AUTHORITY: Reason.UNKNOWN_AUTHOR}.get(role, Reason.WRONG_ROLE)
    assert world.registry.check("visitor-0", role, 15)[0] is expected


@pytest.mark.parametrize(("kind", "reason"), [(1, ""), (2, ""), (3, Reason.NO_RIGHT), (7, Reason.NO_RIGHT)])
def test_a_visitor_submits_only_the_kinds_of_its_certificate(world: World, kind: int, reason: str) -> None:
    assert world.judge(record(kind)) == reason


def test_a_visitor_enrols_and_revokes_nobody(world: World) -> None:
    certificate = world.certify("visitor-1", Role.VISITOR)
    assert world.judge(Revocation(1)) is Reason.NO_RIGHT
    assert world.judge(Enrolment(certificate)) is Reason.NO_RIGHT


def test_the_authority_submits_no_records(world: World) -> None:
    assert world.judge(record(), author=AUTHORITY, signed_by="authority") is Reason.NO_RIGHT


def test_the_authority_enrols_and_revokes(world: World) -> None:
    certificate = world.certify("visitor-1", Role.VISITOR)
    assert world.judge(Revocation(1), author=AUTHORITY, signed_by="authority") is Reason.ACCEPTED
    assert world.judge(Enrolment(certificate), author=AUTHORITY, signed_by="authority") is Reason.ACCEPTED


def test_whoever_calls_himself_the_authority_is_not_it(world: World) -> None:
    assert world.judge(Revocation(1), author=AUTHORITY, signed_by="visitor-0") is Reason.BAD_SIGNATURE


def test_a_certificate_for_the_authoritys_name_gives_no_authority(world: World) -> None:
    world.registry.enrol(world.certify(AUTHORITY, Role.VISITOR, kinds=(1,)), world.crypto)
    assert world.judge(Revocation(1), author=AUTHORITY) is Reason.BAD_SIGNATURE
    assert world.judge(record(), author=AUTHORITY) is Reason.NO_RIGHT


def test_the_authority_does_not_enrol_a_forged_certificate(world: World) -> None:
    forged = Authority(NETWORK, crypto_of("forger"), SECRET).certify("agent-0", Role.AGENT, public_key_of("agent-0"))
    foreign = Authority("other", world.crypto, SECRET).certify("agent-0", Role.AGENT, public_key_of("agent-0"))
    for bad in (forged, foreign):
        assert world.judge(Enrolment(bad), author=AUTHORITY, signed_by="authority") is Reason.BAD_CERTIFICATE


def test_another_visitors_signature_is_refused(world: World) -> None:
    world.registry.enrol(world.certify("visitor-1", Role.VISITOR, kinds=(1,)), world.crypto)
    assert world.judge(record(), signed_by="visitor-1") is Reason.BAD_SIGNATURE


def test_a_transaction_for_another_chain_is_refused(world: World) -> None:
    assert world.judge(record(), chain=b"d" * 32) is Reason.WRONG_CHAIN


def test_a_nonce_counts_once(world: World) -> None:
    replay = ReplayWindows()
    assert world.judge(record(), nonce=5, replay=replay) is Reason.ACCEPTED
    replay.add("visitor-0", 5)
    assert world.judge(record(), nonce=5, replay=replay) is Reason.REPLAYED
    assert world.judge(record(), nonce=4, replay=replay) is Reason.ACCEPTED


# -- the authority ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.VISITOR, Role.AGENT, Role.COORDINATOR, Role.CONTRIBUTOR])
@pytest.mark.parametrize("stake", [1, 1_000, -1])
def test_stake_is_for_administrators_alone(world: World, role: Role, stake: int) -> None:
    with pytest.raises(IdentityError, match=f"expected stake for administrators alone, found {stake}"):
        world.certify("node-0", role, stake=stake)


@pytest.mark.parametrize("stake", [0, -1])
def test_an_administrator_has_stake(world: World, stake: int) -> None:
    with pytest.raises(IdentityError, match="expected stake for administrators"):
        world.certify("administrator-0", Role.ADMINISTRATOR, stake=stake)


def test_nobody_is_certified_as_the_authority(world: World) -> None:
    with pytest.raises(IdentityError, match="found the authority itself"):
        world.certify("authority-1", Role.AUTHORITY)


def test_serials_rise_and_a_refused_request_takes_none(world: World) -> None:
    with pytest.raises(IdentityError):
        world.certify("agent-0", Role.AGENT, stake=1)
    assert [world.certify(f"agent-{index}", Role.AGENT).body.serial for index in range(3)] == [2, 3, 4]


def test_members_stand_in_order_of_name_whatever_the_order_of_enrolment(world: World) -> None:
    for name in ("agent-2", "agent-0", "agent-1"):
        world.registry.enrol(world.certify(name, Role.AGENT), world.crypto)
    assert [body.subject for body in world.registry.members(Role.AGENT)] == ["agent-0", "agent-1", "agent-2"]


def test_a_pseudonym_is_the_keyed_hmac_of_the_patient(world: World) -> None:
    assert world.authority.pseudonym("patient 1") == hmac.new(SECRET, b"patient 1", hashlib.sha256).digest()


def test_a_pseudonym_cannot_be_found_without_the_key(world: World) -> None:
    """A bare hash of an id from a small space is found by trying all ids (claim C15)."""
    pseudonym = world.authority.pseudonym("1234")
    guesses = {hashlib.sha256(str(number).encode()).digest() for number in range(10_000)}
    guesses |= {hmac.digest(b"", str(number).encode(), hashlib.sha256) for number in range(10_000)}
    assert pseudonym not in guesses
    other = Authority(NETWORK, world.crypto, b"another secret")
    assert other.pseudonym("1234") != pseudonym


def test_pseudonyms_tell_patients_apart_and_stay(world: World) -> None:
    names = [world.authority.pseudonym(f"patient {number}") for number in range(200)]
    assert len(set(names)) == 200
    assert names[0] == world.authority.pseudonym("patient 0")


# -- look-ups --------------------------------------------------------------------------------------------------------


def test_members_are_found_by_role_and_not_among_all(world: World) -> None:
    """As the definition has it: whoever's last certificate is of the role and not revoked."""
    for number, role in enumerate((Role.AGENT, Role.CONTRIBUTOR, Role.AGENT, Role.VISITOR, Role.AGENT)):
        world.registry.enrol(world.certify(f"{role.value}-{number}", role), world.crypto)
    world.registry.enrol(world.certify("agent-0", Role.CONTRIBUTOR), world.crypto)
    world.registry.revoke(4)
    subjects = {role: [body.subject for body in world.registry.members(role)] for role in Role}
    assert subjects == {
        Role.AGENT: ["agent-4"],
        Role.CONTRIBUTOR: ["agent-0", "contributor-1"],
        Role.VISITOR: ["visitor-0", "visitor-3"],
        Role.COORDINATOR: [],
        Role.ADMINISTRATOR: [],
        Role.AUTHORITY: [],
    }
    # Serial 2 was an agent's, and a certificate of an agent it stays.
    assert world.registry.holds(2, Role.AGENT)
    assert world.registry.holds(7, Role.CONTRIBUTOR)
    assert not world.registry.holds(8, Role.AGENT)


class Counting(dict):  # type: ignore[type-arg]
    """Counts how often it is gone over, rather than looked up in."""

    passes = 0

    def __iter__(self):
        Counting.passes += 1
        return super().__iter__()

    def values(self):
        Counting.passes += 1
        return super().values()

    def items(self):
        Counting.passes += 1
        return super().items()


def test_no_look_up_goes_over_all_certificates(world: World) -> None:
    for table in (world.registry._by_subject, world.registry._by_serial, world.registry._revoked):
        table._version.content = Counting(table._version.content or {})
    Counting.passes = 0
    world.registry.check("visitor-0", Role.VISITOR, 15)
    world.registry.holds(1, Role.ADMINISTRATOR)
    world.registry.role_of("visitor-0")
    world.registry.members(Role.ADMINISTRATOR)
    twin = world.registry.copy()
    twin.enrol(world.certify("agent-0", Role.AGENT), world.crypto)
    twin.revoke(1)
    assert world.registry.check("visitor-0", Role.VISITOR, 15)[0] is Reason.ACCEPTED
    assert Counting.passes == 0
    world.registry.members(Role.VISITOR)
    assert Counting.passes == 1


def test_a_key_that_was_compromised_before_its_certificate_came_is_known(world: World) -> None:
    """Agents may hear of orders in another order than the chain has them in."""
    world.registry.revoke(2, Cause.KEY_COMPROMISE)
    world.registry.enrol(world.certify("agent-0", Role.AGENT), world.crypto)
    assert world.registry.check("agent-0", Role.AGENT, 15)[0] is Reason.REVOKED
    with pytest.raises(IdentityError, match="expected a new key, found one that was compromised"):
        world.registry.enrol(world.certify("agent-0", Role.AGENT), world.crypto)


def test_a_later_word_may_only_worsen_a_revocation(world: World) -> None:
    for cause, height in ((Cause.SUPERSEDED, 3), (Cause.CESSATION, 4), (Cause.KEY_COMPROMISE, 5), (Cause.CESSATION, 6)):
        world.registry.revoke(1, cause, height, height * 10)
    assert world.registry.revoked(1) == Revoked(1, Cause.KEY_COMPROMISE, 3, 30)
