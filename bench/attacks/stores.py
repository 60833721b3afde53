"""A malicious store: what lies off the chain is swapped, missing, cut short or other bytes altogether (claim C43)."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.attacks.mutations import flip
from bench.attacks.replicas import Keepers
from bench.experiments.attacks import Expected, Tally
from bench.experiments.base import Row
from ehrcore.auditing import Trail
from ehrcore.block import RecordRef, leaf_bytes
from ehrcore.cli.audit import Audit
from ehrcore.contracts import look_up
from ehrcore.messages import Finalised, ReceiptEntry
from ehrcore.proof import Verified, Verifier


def list_served(body: bytes, other: bytes, chance: random.Random) -> dict[str, bytes | None]:
    """What the store may serve in the place of ``body``, another object being ``other``; None is nothing."""
    return {
        "serve another record": other,
        "serve nothing": None,
        "serve a record cut short": body[:-1],
        "serve a longer record": body + b" ",
        "serve a record with one bit flipped": flip(body, chance.randrange(len(body)), 1 << chance.randrange(8)),
        "serve other bytes under the content address": chance.randbytes(len(body)),
    }


@dataclass(frozen=True, slots=True)
class Held:
    """A record on the chain, what a reader can show of it, and its right bytes."""

    record: RecordRef
    shown: Verified
    body: bytes


def list_held(keepers: Keepers) -> list[Held]:
    """Every record of the chain, each with a receipt that verifies."""
    scribe, verifier, held = keepers.scribe, Verifier(keepers.scribe.genesis), []
    for entry in keepers.chain.entries:
        tree = scribe.crypto.merkle_tree(tuple(map(leaf_bytes, entry.block.transactions)))
        for index, endorsed in enumerate(entry.block.transactions):
            record = endorsed.transaction.body.payload
            if isinstance(record, RecordRef):
                part = ReceiptEntry(leaf_bytes(endorsed), index, tree.prove_inclusion(index), entry.reasons[index])
                shown = verifier.verify(scribe.show(entry.block.header, entry.certificate, part))
                body = keepers.store.get(record.location) or b""
                held.append(Held(record, shown, body))
    return held


def attack_store(keepers: Keepers, seed: str) -> list[Row]:
    """A row per thing served and check: by path alone, the contract, `ehrcore read` and `ehrcore audit`."""
    chance, held, store = random.Random(f"{seed}|store"), list_held(keepers), keepers.store
    verifier, crypto = Verifier(keepers.scribe.genesis), keepers.scribe.crypto
    #: Protection -> what judges, and whether it lets a record pass.
    checks: dict[str, tuple[str, Callable[[Held], bool]]] = {
        "path alone (the paper's look-up)": ("look-up", lambda one: store.get(one.record.location) is not None),
        "digest on the chain: contract": ("look-up", lambda one: look_up(crypto, store, one.record) is not None),
        "digest on the chain: read": ("read", lambda one: _reads(keepers, verifier, one)),
        "digest on the chain: audit": ("audit", lambda one: not audit_one(keepers, one)),
    }
    tallies: dict[tuple[str, str], Tally] = {}
    for index, one in enumerate(held):
        for attack, served in list_served(one.body, held[index - 1].body, chance).items():
            _serve(keepers, one, served)
            for protection, (where, passes) in checks.items():
                is_safe = "digest" in protection or served is None
                expected: Expected = "refused" if is_safe else "succeeds"
                blank = Tally(attack, keepers.suite, protection, expected)
                tally = tallies.setdefault((attack, protection), blank)
                tally.watch(partial(_judge, where, passes, one))
            store.put(one.record.location, one.body)
    return [tally.row() for tally in tallies.values()]


def _judge(where: str, passes: Callable[[Held], bool], one: Held) -> str | None:
    return None if passes(one) else where


def _serve(keepers: Keepers, one: Held, body: bytes | None) -> None:
    if body is None:
        keepers.store.path(one.record.location).unlink()
    else:
        keepers.store.put(one.record.location, body)


def _reads(keepers: Keepers, verifier: Verifier, one: Held) -> bool:
    """Whether `ehrcore read` would write out what the store serves."""
    body = keepers.store.get(one.record.location)
    return body is not None and verifier.matches(one.shown, body)


def audit_one(keepers: Keepers, one: Held) -> list[str]:
    """What `ehrcore audit` finds wrong with the objects of the block of one record."""
    audit = Audit(keepers.scribe.open_state(), keepers.scribe.crypto, keepers.store, Trail(keepers.scribe.crypto))
    for entry in keepers.chain.entries[: one.shown.header.height]:
        audit.take(Finalised(entry.block, entry.certificate))
    audit.settle()
    return audit.findings
