"""Contracts, consents and accesses that are made to cost more than they say; what bounds each, and what it costs.

Clauses out of bounds cannot be made with the product's own classes, so they are made while those do not measure.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from bench.engines.impostor import FULL
from bench.experiments.attacks import Expected, Tally
from bench.experiments.base import Row
from ehrcore import agreements, clauses, consent
from ehrcore.agreements import Agreement, AgreementBook, Terms
from ehrcore.block import Transaction, TransactionBody
from ehrcore.clauses import (
    FUEL,
    MOST_CLAUSES,
    MOST_DEPTH,
    MOST_NODES,
    MOST_PARTS,
    And,
    Clause,
    Compare,
    Comparison,
    Effect,
    Expression,
    Facts,
    Not,
    NumberFact,
    Or,
    decide,
)
from ehrcore.codec import decode, encode
from ehrcore.consent import Action, Consent, ConsentBook, Emergency, Provision, Purpose
from ehrcore.crypto import Crypto
from ehrcore.errors import CodecError
from ehrcore.faults.mutants import Patch, patched
from ehrcore.hashing import find_suite
from ehrcore.identity import FOREVER, CertificateBody, Reason
from ehrcore.signing import find_scheme
from ehrcore.types import Role

NO_BOUNDS: Final = "fuel alone"
NOTHING: Final = "neither bounds nor fuel"
NO_LIMIT: Final = "no limit per patient"
PROTECTIONS: Final = (FULL, NO_BOUNDS, NOTHING, NO_LIMIT)
_PATIENT: Final = bytes(range(32))
_FACTS: Final = Facts({}, {NumberFact.SIZE_BYTES: 1})
_LEAF: Final = Compare(NumberFact.SIZE_BYTES, Comparison.AT_LEAST, 0)
#: How often what is timed is done.
_TURNS: Final = 50


def _deep(levels: int) -> Expression:
    found: Expression = _LEAF
    for _ in range(levels - 1):
        found = Not(found)
    return found


def _wide(parts: int, levels: int) -> Expression:
    """A tree in which every part of every node has to be looked at."""
    return _LEAF if levels == 1 else And((_wide(parts, levels - 1),) * parts)


#: What is too much of one kind, with as little as possible of the others.
CLAUSES: Final[dict[str, Callable[[], tuple[Clause, ...]]]] = {
    "levels": lambda: (Clause(Effect.PERMIT, _deep(FUEL + 100)),),
    "parts of a node": lambda: (Clause(Effect.PERMIT, _wide(4 * FUEL, 2)),),
    "nodes": lambda: (Clause(Effect.PERMIT, _wide(MOST_PARTS, 4)),),
    "clauses": lambda: (Clause(Effect.PERMIT, _wide(MOST_PARTS, 2)),) * (4 * MOST_CLAUSES),
    "parts of many nodes": lambda: (Clause(Effect.DENY, Or((Not(_wide(MOST_PARTS, 3)),) * 3)),) * MOST_CLAUSES,
}


def _without(protection: str) -> AbstractContextManager[None]:
    """The product while it does not measure clauses, or does not count what one patient has."""
    open_ended, never = 1 << 60, lambda *_: 0
    patches: dict[str, tuple[Patch, ...]] = {
        NO_BOUNDS: ((clauses, "measure", never), (agreements, "validate_clauses", never)),
        NO_LIMIT: (
            (consent, "MOST_CONSENTS", open_ended),
            (consent, "MOST_IN_FORCE", open_ended),
            (agreements, "MOST_AGREEMENTS", open_ended),
        ),
    }
    return patched(patches.get(NO_BOUNDS if protection == NOTHING else protection, ()))


def build_contract_bombs() -> dict[str, bytes]:
    """By what there is too much of: a transaction with such an agreement, in canonical bytes, signed by nobody."""
    with _without(NO_BOUNDS):
        return {name: encode(_wrap(make())) for name, make in CLAUSES.items()}


def _wrap(found: tuple[Clause, ...]) -> Transaction:
    terms = Terms("person-1", "person-2", _PATIENT, found, 0, FOREVER, bytes(16))
    return Transaction(TransactionBody(bytes(32), "person-1", 0, 0, Agreement(terms, bytes(64))), bytes(64))


def attack_clauses() -> list[Row]:
    """Clauses that cost more than they may: where the bytes are read, and where what got in is evaluated."""
    rows = []
    for name, bomb in build_contract_bombs().items():
        for protection in (FULL, NO_BOUNDS, NOTHING):
            expected: Expected = "succeeds" if protection == NOTHING else "refused"
            tally = Tally("contract bomb", f"too many {name}", protection, expected, f"{len(bomb):,} B")
            with _without(protection):
                tally.watch(partial(_detonate, bomb, CLAUSES[name], protection))
            rows.append(tally.row())
    return [*rows, _dearest()]


def _detonate(bomb: bytes, make: Callable[[], tuple[Clause, ...]], protection: str) -> str | None:
    """None if its evaluation takes more steps than fuel allows, or does not end."""
    try:
        decode(bomb, Transaction)
    except CodecError:
        if protection == FULL:
            return "codec"
    # A part of the bounds is in the types, so what gets in without them is made here.
    found = make()
    try:
        steps = decide(found, _FACTS, FUEL if protection == NO_BOUNDS else 1 << 60).steps
    except RecursionError:
        return None
    return "fuel" if steps <= FUEL else None


def _dearest() -> Row:
    """The dearest clauses within bounds: all that an agreement may have, and every node of it looked at."""
    share = MOST_NODES // MOST_CLAUSES
    found = (Clause(Effect.REQUIRE, _wide(share - 1, 2)),) * MOST_CLAUSES
    decode(encode(_wrap(found)), Transaction)
    steps = decide(found, _FACTS).steps
    spent_us = _time(lambda: decide(found, _FACTS))
    note = f"{steps} steps of {FUEL}, {spent_us:.0f} us; at most {MOST_DEPTH} levels of {MOST_PARTS} parts"
    tally = Tally("contract bomb", "the dearest clauses that are taken", FULL, "refused", note)
    tally.add(f"bounds: {steps} steps" if steps <= FUEL else None, round(spent_us * 1_000))
    return tally.row()


def _time(action: Callable[[], object]) -> float:
    """Microseconds of one go."""
    begin = time.perf_counter_ns()
    for _ in range(_TURNS):
        action()
    return (time.perf_counter_ns() - begin) / _TURNS / 1_000


def attack_books(tries: int = 200) -> list[Row]:
    """One patient who never stops: consents of many provisions, and agreements, which keepers have to hold for ever."""
    rows = []
    for protection in (FULL, NO_LIMIT):
        with _without(protection):
            rows += [_fill_consents(protection, tries), _fill_agreements(protection, tries)]
    return rows


def _fill(attack: str, variant: str, protection: str, tries: int, put: Callable[[int], Reason], most: int) -> Tally:
    """Put one after the other; what comes within ``most`` is the patient's to do.  The note says what is kept."""
    tally, kept = Tally(attack, variant, protection, "refused" if protection == FULL else "succeeds"), 0
    for number in range(tries):
        reason = put(number)
        kept += not reason
        if kept > most or reason:
            tally.add(f"ledger keeper: {reason.value}" if reason else None)
    tally.note = f"{kept} of {tries} {variant.rpartition(' ')[2]} kept"
    return tally


def _fill_consents(protection: str, tries: int) -> Row:
    """Each provision names somebody else, so all are looked at."""
    book, names = ConsentBook(), tuple(f"person-{number}" for number in range(16))
    provision = Provision(True, names, (), (1,), (Action.READ,), (Purpose.RESEARCH,), 0, FOREVER)  # noqa: FBT003 - its order
    doctor = CertificateBody("bombs", 1, "person-doctor", Role.VISITOR, bytes(33), (), 0, 0, FOREVER)
    full_consent = Consent(_PATIENT, (provision,) * consent.MOST_PROVISIONS)

    def ask() -> object:
        return consent.decide(book, doctor, _PATIENT, 1, Action.READ, Purpose.TREATMENT, Emergency.NONE, 1)

    fresh = _time(ask)
    tally = _fill("consent bomb", "one patient's consents", protection, tries,
                  lambda number: book.put(number.to_bytes(32), full_consent, 0), 6)  # fmt: skip
    tally.note += f"; one decision takes {_time(ask):.0f} us, {fresh:.1f} us without any"
    return tally.row()


def _fill_agreements(protection: str, tries: int) -> Row:
    crypto, book = Crypto(find_suite("sha256"), find_scheme("p256/cryptography")), AgreementBook()
    wanted = (Clause(Effect.PERMIT, _LEAF),)

    def put(number: int) -> Reason:
        terms = Terms("person-1", "person-2", _PATIENT, wanted, 0, FOREVER, number.to_bytes(16))
        return book.enter(crypto, bytes(32), terms, 0)

    return _fill("contract bomb", "one patient's agreements", protection, tries, put, 64).row()
