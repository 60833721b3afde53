"""Engine `identity-stolen`: what the thief of a sensor gateway's key can do, before and after it is revoked (C42)."""

from bench.engines.base import Context
from bench.engines.identity import try_wrong_kinds
from bench.engines.impostor import GATEWAY, NO_REGISTRY, VICTIM, Stage, play
from bench.experiments.attacks import Tally, check_attacks
from bench.experiments.base import Case, Row
from ehrcore.block import Revocation, Transaction
from ehrcore.records import RecordKind
from ehrcore.rules import AUTHORITY
from ehrcore.signing import PrivateKey
from ehrcore.types import SECOND


def run_stolen_key(context: Context, case: Case) -> list[Row]:
    """Settings: ``protection``, and how many ``readings`` the thief sends while the revocation is on its way."""
    scenario, protection, readings = context.scenario, case.settings["protection"], case.settings["readings"]
    with play(f"{scenario.seed}|identity|stolen key", protection, scenario.curve) as stage:
        tallies = [
            _steal_before(stage, protection), _steal_others(stage, protection),
            *_steal_during(stage, protection, readings), _steal_after(stage, protection, readings),
            *_rotate(stage, protection),
        ]  # fmt: skip
    return check_attacks(tally.row() for tally in tallies)


def _read(stage: Stage, number: int, key: PrivateKey | None = None) -> Transaction:
    return stage.write(GATEWAY, stage.refer(b"reading %d" % number, RecordKind.SENSOR), key=key)


def _tally(variant: str, protection: str, note: str = "") -> Tally:
    """An attack that the registry alone refuses."""
    return Tally("stolen sensor key", variant, protection, "succeeds" if protection == NO_REGISTRY else "refused", note)


def _steal_before(stage: Stage, protection: str) -> Tally:
    tally = Tally("stolen sensor key", "sensor readings, before it is revoked", protection, "succeeds")
    stage.attempt(tally, _read(stage, 0))
    return tally


def _steal_others(stage: Stage, protection: str) -> Tally:
    """All that is no reading: other kinds, the words of other names, orders."""
    tally, key = _tally("anything else, before it is revoked", protection), stage.keys[GATEWAY]
    try_wrong_kinds(stage, tally, 1)
    for author in (VICTIM, "agent-0"):
        stage.attempt(tally, stage.write(author, stage.refer(b"reading", RecordKind.SENSOR), key=key))
    stage.attempt(tally, stage.write(GATEWAY, Revocation(1)))
    return tally


def _steal_during(stage: Stage, protection: str, readings: int) -> list[Tally]:
    """Readings at a steady pace; half-way the authority revokes the key.  What counts is each one's place."""
    sent, order = [], stage.revocation(GATEWAY)
    for number in range(readings):
        sent.append(tx := _read(stage, number + 1))
        stage.submit(tx)
        if number == readings // 2:
            stage.submit(order, AUTHORITY)
        stage.simulation.run(stage.now + SECOND // 1_000)
    stage.rest()
    ((height, index, _),) = stage.places(order)
    note = f"revoked in block {height} at place {index}"
    before = Tally("stolen sensor key", "readings ahead of the revocation in the ledger", protection, "succeeds", note)
    later = _tally("readings from the revocation's block on", protection, note)
    for tx in sent:
        is_ahead = any(place[:2] < (height, index) for place in stage.places(tx))
        (before if is_ahead else later).add(stage.judge(tx))
    return [before, later]


def _steal_after(stage: Stage, protection: str, readings: int) -> Tally:
    tally = _tally("readings after the revocation", protection)
    for number in range(readings // 4):
        stage.attempt(tally, _read(stage, 1_000 + number))
    return tally


def _rotate(stage: Stage, protection: str) -> list[Tally]:
    """The gateway gets a new key under its name: it works again, the stolen one does not."""
    stolen = stage.keys[GATEWAY]
    stage.enrol(GATEWAY, stage.stranger(7), kinds=(int(RecordKind.SENSOR),))
    service = Tally("rotated sensor key", "the gateway's readings (control)", protection, "succeeds")
    thief = Tally("rotated sensor key", "the stolen key's readings", protection, "refused")
    for number in range(3):
        stage.attempt(service, _read(stage, 2_000 + number))
        stage.attempt(thief, _read(stage, 3_000 + number, key=stolen))
    return [service, thief]
