"""Engines of experiment `identity`: transactions of those who may not make them, as they are, and signed words.

Each attack is played on a stage of its own (`bench.engines.impostor`), so that none sees what another has left.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from bench.engines.base import Context
from bench.engines.impostor import (
    ANY_S,
    FULL,
    GATEWAY,
    INSIDER,
    LEAVER,
    NO_REGISTRY,
    NO_SIGNATURES,
    NO_WINDOWS,
    VICTIM,
    Stage,
    play,
    replace,
)
from bench.experiments.attacks import Expected, Tally, check_attacks
from bench.experiments.base import Case, Row
from ehrcore.authority import Authority
from ehrcore.block import RecordRef, Revocation, Transaction, TransactionBody
from ehrcore.codec import encode
from ehrcore.crypto import Crypto
from ehrcore.records import RecordKind
from ehrcore.rules import AUTHORITY
from ehrcore.signing.base import SCALAR_BYTES, Curve
from ehrcore.types import MINUTE, SECOND, Role

#: How much later a certificate becomes valid.
_LATE: Final = 60 * MINUTE
#: Makes so many tries of an attack.
Play = Callable[[Stage, Tally, int], None]
Words = Sequence[tuple[str, Any]]


class Attack(NamedTuple):
    """One attack: ``play`` makes its tries, ``beaten`` are the protections under which it has to succeed."""

    name: str
    variant: str
    play: Play
    beaten: frozenset[str] = frozenset()


def run_identity(context: Context, case: Case) -> list[Row]:
    """Every attack under all protections, or those that one of them is there for.

    Settings: ``protection``, and ``tries`` of each attack.
    """
    scenario, protection, tries = context.scenario, case.settings["protection"], case.settings["tries"]
    rows = []
    for attack in (item for item in ATTACKS if protection == FULL or protection in item.beaten):
        expected: Expected = "succeeds" if protection in attack.beaten else "refused"
        tally = Tally(attack.name, attack.variant, protection, expected)
        with play(f"{scenario.seed}|identity|{attack.name}|{attack.variant}", protection, scenario.curve) as stage:
            attack.play(stage, tally, tries)
        rows.append(tally.row())
    return check_attacks(rows)


# -- who is not known, or not any more, or not yet ---------------------------------------------------------------------


def _unknown(stage: Stage, tally: Tally, tries: int) -> None:
    for number in range(tries):
        stage.attempt(tally, stage.write(f"visitor-{90 + number}", key=stage.stranger(number)))


def _expired(stage: Stage, tally: Tally, tries: int) -> None:
    stage.enrol("visitor-8", stage.stranger(), not_after=stage.now + SECOND)
    stage.rest()
    for _ in range(tries):
        stage.attempt(tally, stage.write("visitor-8"))


def _early(stage: Stage, tally: Tally, tries: int) -> None:
    stage.enrol("visitor-8", stage.stranger(), not_before=stage.now + _LATE)
    for _ in range(tries):
        stage.attempt(tally, stage.write("visitor-8"))


def _revoked(stage: Stage, tally: Tally, tries: int) -> None:
    stage.order(stage.revocation(LEAVER))
    for _ in range(tries):
        stage.attempt(tally, stage.write(LEAVER))


def _revoked_before(role: Role, ask: Callable[[Stage, Transaction], Words]) -> Play:
    """What was said of it is held back, the revocation overtakes that, and nodes of ``role`` hear it then."""

    def play(stage: Stage, tally: Tally, tries: int) -> None:
        held = [(tx := stage.write(LEAVER), ask(stage, tx)) for _ in range(tries)]
        stage.order(stage.revocation(LEAVER))
        for tx, words in held:
            _pass_on(stage, role, words)
            stage.rest()
            tally.add(stage.judge(tx))

    return play


def _pass_on(stage: Stage, role: Role, words: Words) -> None:
    for sender, word in words:
        stage.tell(stage.names(role), sender, word)


def _revoked_in_its_block(stage: Stage, tally: Tally, tries: int) -> None:
    """The order and what it forbids are ready at once: they share a block, the order first."""
    order = stage.revocation(LEAVER)
    held = [stage.write(LEAVER) for _ in range(tries)]
    for tx in (order, *held):
        _pass_on(stage, Role.ADMINISTRATOR, stage.approve(tx))
    stage.rest()
    for tx in held:
        tally.add(stage.judge(tx))


# -- who may do something else -----------------------------------------------------------------------------------------


def _wrong_role(stage: Stage, tally: Tally, tries: int) -> None:
    for role in (Role.AGENT, Role.COORDINATOR, Role.ADMINISTRATOR, Role.CONTRIBUTOR):
        for name in stage.names(role)[:tries]:
            stage.attempt(tally, stage.write(name))


def try_wrong_kinds(stage: Stage, tally: Tally, tries: int) -> None:
    """The gateway submits a record of each kind that is none of its own."""
    del tries
    for kind in RecordKind:
        if kind is not RecordKind.SENSOR:
            stage.attempt(tally, stage.write(GATEWAY, stage.refer(b"%d" % kind, kind)))


def _order_of_a_member(stage: Stage, tally: Tally, tries: int) -> None:
    """A member of the network revokes the certificates of others, in its own name."""
    serials = [item.body.serial for item in stage.network.certificates if item.body.role is Role.VISITOR]
    for serial in serials[:tries]:
        stage.attempt(tally, stage.write(INSIDER, Revocation(serial)))


# -- again -------------------------------------------------------------------------------------------------------------


def _again(stage: Stage, tally: Tally, tries: int) -> None:
    tx = stage.write(VICTIM)
    stage.order(tx)
    for number in range(tries):
        stage.attempt(tally, tx, times=2 + number)


def _on_another_chain(stage: Stage, tally: Tally, tries: int) -> None:
    """A chain with the same keys, from another genesis: a copy for tests, say."""
    for number in range(tries):
        stage.attempt(tally, stage.write(VICTIM, chain=stage.crypto.suite.hash(b"another chain %d" % number)))


# -- in the name of another --------------------------------------------------------------------------------------------


def _key_of_a_stranger(stage: Stage, tally: Tally, tries: int) -> None:
    for number in range(tries):
        stage.attempt(tally, stage.write(VICTIM, key=stage.pose(VICTIM, stage.stranger(number))))


def _key_of_a_member(stage: Stage, tally: Tally, tries: int) -> None:
    for _ in range(tries):
        stage.attempt(tally, stage.write(VICTIM, key=stage.pose(VICTIM, stage.keys[INSIDER])), INSIDER)


def _certificate_of_another_authority(stage: Stage, tally: Tally, tries: int) -> None:
    """A certificate for the victim's name and the attacker's key, signed by who poses as the authority."""
    for number in range(tries):
        own = stage.stranger(number)
        crypto = Crypto(stage.crypto.suite, stage.crypto.scheme, stage.pose(AUTHORITY, own))
        false = Authority(stage.network.params.name, crypto, bytes(32))
        certificate = false.certify(
            VICTIM, Role.VISITOR, own.public_bytes, kinds=tuple(RecordKind), serial=1_000 + number
        )
        false.nonce = 1_000 + number
        stage.order(false.enrol(stage.chain, certificate, stage.now))
        stage.attempt(tally, stage.write(VICTIM, key=own))


def _changed_record(stage: Stage, tally: Tally, tries: int) -> None:
    """Claim C05: the record is changed, and so is its digest: everything fits, but for the signature."""
    for number in range(tries):
        tx = stage.write(VICTIM)
        altered = stage.refer(b"altered %d" % number)
        if not isinstance(tx.body.payload, RecordRef):
            raise TypeError(tx.body.payload)
        payload = msgspec.structs.replace(altered, kind=tx.body.payload.kind)
        body = msgspec.structs.replace(tx.body, payload=payload)
        stage.attempt(tally, replace(msgspec.structs.replace(tx, body=body), _resign(stage, body, tx.signature)))


def _resign(stage: Stage, body: TransactionBody, signature: bytes) -> bytes:
    """The signature that was there, or what is as good where signatures prove nothing."""
    return stage.pose(VICTIM).sign(stage.crypto.suite.hash(encode(body))) if stage.is_open else signature


# -- signatures --------------------------------------------------------------------------------------------------------


def _twin(stage: Stage, tally: Tally, tries: int) -> None:
    """The other of the two valid ``s``, which anyone can compute; the author's own never comes."""
    order = stage.curve.order
    for _ in range(tries):
        tx = stage.write(VICTIM)
        s = int.from_bytes(tx.signature[SCALAR_BYTES:])
        stage.attempt(tally, replace(tx, tx.signature[:SCALAR_BYTES] + (order - s % order).to_bytes(SCALAR_BYTES)))


def _malformed(stage: Stage, tally: Tally, tries: int) -> None:
    del tries
    for make in MALFORMED.values():
        tx = stage.write(VICTIM)
        stage.attempt(tally, replace(tx, make(tx.signature, stage.curve)))


def _spell(r: int, s: int) -> bytes:
    return r.to_bytes(SCALAR_BYTES) + s.to_bytes(SCALAR_BYTES)


def _write_der(signature: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    return encode_dss_signature(int.from_bytes(signature[:SCALAR_BYTES]), int.from_bytes(signature[SCALAR_BYTES:]))


#: What a signature is not: numbers out of ``[1, order)``, another form, other bytes.
MALFORMED: Final[dict[str, Callable[[bytes, Curve], bytes]]] = {
    "zeros": lambda *_: bytes(2 * SCALAR_BYTES),
    "r = 0": lambda given, _: bytes(SCALAR_BYTES) + given[SCALAR_BYTES:],
    "s = 0": lambda given, _: given[:SCALAR_BYTES] + bytes(SCALAR_BYTES),
    "r = order": lambda given, curve: curve.order.to_bytes(SCALAR_BYTES) + given[SCALAR_BYTES:],
    "s = order": lambda given, curve: given[:SCALAR_BYTES] + curve.order.to_bytes(SCALAR_BYTES),
    "r = s = 1": lambda *_: _spell(1, 1),
    "largest": lambda *_: b"\xff" * 2 * SCALAR_BYTES,
    "s, r": lambda given, _: given[SCALAR_BYTES:] + given[:SCALAR_BYTES],
    "DER": lambda given, _: _write_der(given),
    "a byte more": lambda given, _: given + b"\0",
    "a byte less": lambda given, _: given[:-1],
    "empty": lambda *_: b"",
}

_WEAK: Final = frozenset({NO_REGISTRY})
_OPEN: Final = frozenset({NO_SIGNATURES})
ATTACKS: Final = (
    Attack("unknown author", "a key without a certificate", _unknown),
    Attack("expired", "its own key", _expired, _WEAK),
    Attack("not yet valid", "its own key", _early, _WEAK),
    Attack("revoked", "before it submits", _revoked, _WEAK),
    Attack("revoked", "between endorsement and approval", _revoked_before(Role.COORDINATOR, Stage.endorse), _WEAK),
    Attack("revoked", "between approval and ordering", _revoked_before(Role.ADMINISTRATOR, Stage.approve), _WEAK),
    Attack("revoked", "earlier in the same block", _revoked_in_its_block, _WEAK),
    Attack("wrong role", "agent to contributor submit", _wrong_role, _WEAK),
    Attack("wrong kind", "a sensor gateway's bill", try_wrong_kinds, _WEAK),
    Attack("order of a member", "revokes others", _order_of_a_member, _WEAK),
    Attack("replayed", "again", _again, frozenset({NO_WINDOWS})),
    Attack("replayed", "on another chain", _on_another_chain),
    Attack("substituted key", "a stranger's", _key_of_a_stranger, _OPEN),
    Attack("substituted key", "another member's", _key_of_a_member, _OPEN),
    Attack("substituted key", "certified by another authority", _certificate_of_another_authority, _OPEN),
    Attack("changed record", "its digest made anew", _changed_record, _OPEN),
    Attack("malleated signature", "high-S twin", _twin, frozenset({ANY_S})),
    Attack("malleated signature", "malformed", _malformed),
)
