"""Attacks on one ledger file: bytes, fields, transactions and verdicts, with and without hashes made right again."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bench.attacks.chain import Chain, Scribe, found_chain
from bench.attacks.files import (
    Check,
    check_all,
    check_hashes,
    check_restart,
    copy_ledger,
    list_rows,
    overwrite,
    read_chain,
    run_check,
    write_ledger,
)
from bench.attacks.mutations import change, flip, list_fields, name_field, replace
from bench.experiments.attacks import Expected, Tally
from bench.experiments.base import Row
from ehrcore.block import Block, EndorsedTransaction, Payload, Revocation
from ehrcore.codec import encode
from ehrcore.consent import Access, Action, Consent, Erasure, Provision, Purpose, Withdrawal
from ehrcore.identity import FOREVER, Capacity, Reason
from ehrcore.ledger import Entry
from ehrcore.params import ConsensusRule
from ehrcore.records import ClinicalRecord
from ehrcore.rules import AUTHORITY
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import SECOND

T = TypeVar("T")

HASHES, ECDSA, FINAL = "hashes alone", "hashes + ECDSA", "hashes + ECDSA + PoS"
BLOCKS: Final = 3
#: Index of the block that is attacked: with others before and after it, and every kind of transaction in it.
TARGET = 1
#: What an attacker who recomputes hashes puts right, whatever was there.
RECOMPUTED: Final = ("block.header.previous", "block.header.merkle_root", "block.header.size")
_UNKNOWN_SERIAL: Final = 999
_PATIENT: Final = "person-1"


@dataclass(frozen=True, slots=True)
class Layer:
    """A protection: the product's check, on a chain under ``rule``; an attacker's verdicts follow it if it judges."""

    name: str
    rule: ConsensusRule
    check: Check
    is_judged: bool


#: Without finality a block needs no signature: proof of work of difficulty 1 without a confirmation.
LAYERS: Final = (
    Layer(HASHES, ConsensusRule.PROOF_OF_WORK, check_hashes, is_judged=False),
    Layer(ECDSA, ConsensusRule.PROOF_OF_WORK, check_all, is_judged=True),
    Layer(FINAL, ConsensusRule.PROOF_OF_STAKE, check_all, is_judged=False),
)


@dataclass
class Target:
    """An honest ledger under one layer, and a place for copies of it."""

    scribe: Scribe
    chain: Chain
    layer: Layer
    suite: str
    folder: Path
    chance: random.Random
    tallies: dict[str, Tally] = field(default_factory=dict)
    fields: dict[tuple[str, str], Tally] = field(default_factory=dict)

    @property
    def original(self) -> Path:
        return self.folder / "honest.db"

    @property
    def copy(self) -> Path:
        return self.folder / "tampered.db"

    def tally(self, attack: str, expected: Expected, note: str = "", protection: str = "") -> Tally:
        """The tally of an attack under this layer, or under ``protection``."""
        name = protection or self.layer.name
        return self.tallies.setdefault(f"{attack}|{name}", Tally(attack, self.suite, name, expected, note))


def prepare(seed: str, suite: str, curve: str, layer: Layer, records: Sequence[ClinicalRecord], folder: Path) -> Target:
    """A ledger of records and orders, honestly made."""
    label = f"{seed}|tamper|{suite}|{layer.name}"
    scribe = Scribe(found_chain(label, suite, curve, layer.rule))
    target = Target(scribe, write_chain(scribe, records), layer, suite, folder, random.Random(label))
    target.original.unlink(missing_ok=True)
    write_ledger(target.original, target.chain)
    return target


def write_chain(scribe: Scribe, records: Sequence[ClinicalRecord]) -> Chain:
    """Records, and every other kind of transaction in block `TARGET`; every object is in the scribe's store."""
    blocks: list[list[EndorsedTransaction]] = []
    for height in range(BLOCKS):
        part = records[2 * height :][: 2 if height == TARGET else 1]
        for record in part:
            scribe.store.put(record.location, record.body)
        now = height * SECOND
        blocks.append([scribe.submit(scribe.refer(one), 2 * height + n, now) for n, one in enumerate(part)])
    patient = scribe.network.authority.pseudonym("patient-1")
    blocks[0].append(scribe.submit(scribe.enrol(_PATIENT, Capacity.PATIENT, patient), 0, 0, AUTHORITY))
    now = TARGET * SECOND
    orders: tuple[Payload, ...] = (scribe.enrol("visitor-9", Capacity.SYSTEM), Revocation(_UNKNOWN_SERIAL))
    blocks[TARGET] += [scribe.submit(order, nonce, now, AUTHORITY) for nonce, order in enumerate(orders, 1)]
    reference = scribe.crypto.hash_struct(blocks[0][0].transaction.body.payload)
    provision = Provision(
        True, ("visitor-1",), ("clinic",), (1,), (Action.READ,), (Purpose.TREATMENT,), 0, FOREVER  # noqa: FBT003
    )  # fmt: skip
    consent = scribe.submit(Consent(patient, (provision,)), 0, now, _PATIENT)
    acts: tuple[Payload, ...] = (
        Access(Action.READ, patient, 1, reference, Purpose.PATIENT_REQUEST),
        Withdrawal(scribe.crypto.hash_struct(consent.transaction.body)),
        Erasure(patient, reference),
    )
    blocks[TARGET].append(consent)
    blocks[TARGET] += [scribe.submit(act, nonce, now, _PATIENT) for nonce, act in enumerate(acts, 1)]
    return scribe.write(blocks)


# -- judging -----------------------------------------------------------------------------------------------------------


def attempt(target: Target, *tallies: Tally, counts: bool = False, check: Check | None = None) -> None:
    """Judge the tampered copy: found by a rule, or of effect, or neither; all ``tallies`` count it.

    Of effect is, if ``counts``, a transaction that counts and did not before; else any change of blocks or verdicts.
    """
    begin_ns = time.perf_counter_ns()
    rule = run_check(check or target.layer.check, target.copy)
    time_ns, is_success = time.perf_counter_ns() - begin_ns, rule is None
    if rule is None:
        found = read_chain(target.copy)
        if counts and not (Counter(found.valid) - Counter(target.chain.valid)):
            rule, is_success = _find_verdict(found, target.chain), False
        elif found.history == target.chain.history:
            is_success = False
    for tally in tallies:
        tally.add(rule, time_ns, is_success=is_success)


def _find_verdict(found: Chain, original: Chain) -> str:
    """The verdict by which a changed transaction does not count."""
    for mine, theirs in zip(original.entries, found.entries, strict=True):
        for item, reason in zip(theirs.block.transactions, theirs.reasons, strict=True):
            if reason and (item not in mine.block.transactions or reason is Reason.REPLAYED):
                return f"verdict {reason.value}"
    return "verdict"


def recompute(target: Target, changed: Entry, *, is_judged: bool) -> None:
    """A copy of the ledger with ``changed`` in the place of block `TARGET`, and hashes made right from there on."""
    chain = target.scribe.relink(target.chain.replaced(TARGET, changed), TARGET, is_judged=is_judged)
    copy_ledger(target.original, target.copy)
    overwrite(target.copy, list_rows(chain))


def put_in_place(target: Target, index: int, content: bytes) -> None:
    """A copy of the ledger in which the content of block ``index`` alone is another."""
    rows = list_rows(target.chain)
    rows[index] = (*rows[index][:2], content)
    copy_ledger(target.original, target.copy)
    overwrite(target.copy, rows)


# -- bytes and fields --------------------------------------------------------------------------------------------------


def flip_bytes(target: Target, tries: int) -> None:
    """Flip bits in stored blocks and in the file: in ``tries`` bytes drawn by the seed, or in every byte if 0."""
    contents = [encode(entry) for entry in target.chain.entries]
    spots = [(index, spot) for index, content in enumerate(contents) for spot in range(len(content))]
    tally = target.tally("flip bits of a stored block", "refused")
    for index, spot in _draw(target.chance, spots, tries):
        put_in_place(target, index, flip(contents[index], spot, target.chance.randrange(1, 256)))
        attempt(target, tally)
    whole = target.original.read_bytes()
    note = "neither: a byte that holds nothing, or nothing of the chain"
    tally = target.tally("flip bits of the ledger file", "refused", note)
    for spot in _draw(target.chance, range(len(whole)), tries):
        copy_ledger(target.original, target.copy)
        target.copy.write_bytes(flip(whole, spot, target.chance.randrange(1, 256)))
        attempt(target, tally)


def _draw(chance: random.Random, items: Sequence[T], count: int) -> Sequence[T]:
    return items if not count or count >= len(items) else chance.sample(items, count)


def change_fields(target: Target, *, is_every: bool) -> None:
    """Change fields of block `TARGET`, in place and with hashes recomputed: each field once, or wherever it stands."""
    entry = target.chain.entries[TARGET]
    paths: dict[str, list[tuple[str | int, ...]]] = {}
    values = dict(list_fields(entry))
    for path in values:
        paths.setdefault(name_field(path), []).append(path)
    for name, places in paths.items():
        for path in places if is_every else [target.chance.choice(places)]:
            changed = replace(entry, path, change(values[path]))
            put_in_place(target, TARGET, encode(changed))
            attempt(target, target.tally("change a field in place", "refused"), _field(target, name, "in place"))
            if name.startswith("block.") and name not in RECOMPUTED:
                _change_and_recompute(target, name, changed)


def _change_and_recompute(target: Target, name: str, changed: Entry) -> None:
    is_content = name.startswith("block.transactions.")
    recompute(target, changed, is_judged=target.layer.is_judged)
    if is_content:
        expected: Expected = "succeeds" if target.layer.name == HASHES else "refused"
        tally = target.tally("change a transaction, recompute hashes", expected)
    else:
        expected = "refused" if target.layer.name == FINAL else "succeeds"
        tally = target.tally("change a header, recompute hashes", expected)
    attempt(target, tally, _field(target, name, "recomputed"), counts=is_content)


def _field(target: Target, name: str, way: str) -> Tally:
    return target.fields.setdefault((name, way), Tally(name, target.suite, target.layer.name, "refused"))


# -- transactions ------------------------------------------------------------------------------------------------------

Change = Callable[[tuple[EndorsedTransaction, ...]], tuple[EndorsedTransaction, ...]]
#: Attack -> what it does to the transactions of a block, whether what is added must count, and whether signatures of
#: transactions alone refuse it.
_CHANGES: Final[dict[str, tuple[Change, bool, bool]]] = {
    "swap two transactions": (lambda items: (items[1], items[0], *items[2:]), False, False),
    "reverse all transactions": (lambda items: items[::-1], False, False),
    "drop a transaction": (lambda items: (items[0], *items[2:]), False, False),
    "drop the last transaction": (lambda items: items[:-1], False, False),
    "duplicate a transaction": (lambda items: (items[0], *items), True, True),
    "duplicate the last transaction": (lambda items: (*items, items[-1]), True, True),
}


def change_transactions(target: Target) -> None:
    """Swap, drop, reorder, duplicate and forge transactions, in place and with hashes recomputed."""
    entry = target.chain.entries[TARGET]
    original = entry.block.transactions
    cases = dict(_CHANGES)
    forged = forge(target)
    cases["forge a record"] = (lambda items: (*items[:1], forged, *items[2:]), True, True)
    for attack, (edit, counts, is_refused) in cases.items():
        changed = msgspec.structs.replace(entry, block=Block(entry.block.header, edit(original)))
        put_in_place(target, TARGET, encode(changed))
        attempt(target, target.tally(f"{attack} in place", "refused"), counts=counts)
        is_safe = target.layer.name == FINAL or (target.layer.name == ECDSA and is_refused)
        tally = target.tally(f"{attack}, recompute hashes", "refused" if is_safe else "succeeds")
        recompute(target, changed, is_judged=target.layer.is_judged)
        attempt(target, tally, counts=counts)


def forge(target: Target) -> EndorsedTransaction:
    """A record that nobody submitted, with its right digest, signed by a key that the attacker has made (claim C05)."""
    scribe, original = target.scribe, target.chain.entries[TARGET].block.transactions[1]
    body = b'{"resourceType": "MedicationRequest", "dose": "ten times as much"}'
    reference = msgspec.structs.replace(
        original.transaction.body.payload, digest=scribe.crypto.hash(body), size_bytes=len(body)
    )
    curve = scribe.network.params.curve
    key = find_scheme(f"{curve}/cryptography").private_key(derive_secret(CURVES[curve], "the attacker's own"))
    claim = msgspec.structs.replace(original.transaction.body, payload=reference)
    signed = msgspec.structs.replace(
        original.transaction, body=claim, signature=key.sign(scribe.crypto.hash_struct(claim))
    )
    return msgspec.structs.replace(original, transaction=signed)


def edit_verdicts(target: Target) -> None:
    """Mark a valid transaction invalid: in place, and with the digests of the state recomputed."""
    entry = target.chain.entries[TARGET]
    reasons = (Reason.REVOKED, *entry.reasons[1:])
    changed = msgspec.structs.replace(entry, reasons=reasons)
    put_in_place(target, TARGET, encode(changed))
    attempt(target, target.tally("edit a verdict in place", "refused"))
    recompute(target, changed, is_judged=False)
    attack = "edit a verdict, recompute digests"
    expected: Expected = "succeeds" if target.layer.name == HASHES else "refused"
    attempt(target, target.tally(attack, expected))
    if target.layer.name == FINAL:
        note = "a node that starts again trusts the verdicts it has kept; ledger verify and audit do not"
        tally = target.tally(attack, "succeeds", note, "restart of a node (PoS)")
        attempt(target, tally, check=check_restart)
        drop_votes(target)


def drop_votes(target: Target) -> None:
    """Leave out the votes beyond a quorum: the certificate is not part of what is hashed, and says the same."""
    entry = target.chain.entries[TARGET]
    certificate = msgspec.structs.replace(entry.certificate, votes=entry.certificate.votes[:-1])  # type: ignore[union-attr]
    put_in_place(target, TARGET, encode(msgspec.structs.replace(entry, certificate=certificate)))
    note = "neither: a quorum is left, and no block or verdict changes"
    attempt(target, target.tally("drop a surplus vote of a certificate", "refused", note))


def attack_ledger(target: Target, tries: int, *, is_every: bool) -> list[Row]:
    """All attacks on one ledger, and for the table of fields what found each of them; and a check of the honest one."""
    found = run_check(target.layer.check, target.original)
    flip_bytes(target, tries)
    change_fields(target, is_every=is_every)
    change_transactions(target)
    edit_verdicts(target)
    rows = [tally.row() for tally in target.tallies.values()]
    for (_, way), tally in target.fields.items():
        rows.append(tally.row() | {"kind": "field", "field": tally.attack, "way": way})
    name = f"the honest ledger holds ({target.suite}, {target.layer.name})"
    return [*rows, {"kind": "check", "check": name, "holds": found is None}]
