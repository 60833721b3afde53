"""`ehrcore read` and `prove`: one transaction, believed for its receipt and for nothing else."""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ehrcore.block import Attestation, Genesis, RecordRef
from ehrcore.cli.certificates import find_certificates, names_in
from ehrcore.cli.desk import Desk, cited_by
from ehrcore.cli.disclosure import encode_disclosure
from ehrcore.cli.format import parse_digest
from ehrcore.cli.output import check_output, move_output, write_output
from ehrcore.consent import Access, Action, Emergency, Purpose
from ehrcore.drive.net.client import Client, NoAnswerError, folder_of
from ehrcore.drive.net.custodians import Custodians, Handed, unseal
from ehrcore.drive.net.objects import MAX_WHOLE_BYTES
from ehrcore.drive.net.persons import Person, open_person
from ehrcore.errors import ProofError, StorageError
from ehrcore.identity import Reason
from ehrcore.messages import Receipt
from ehrcore.proof import Proof, Verified, Verifier, build_proof, encode_proof
from ehrcore.types import Role


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt that verifies, and what it shows."""

    receipt: Receipt
    shown: Verified
    words: tuple[Attestation, ...]


#: What the chain says of an access that it denies, as it is told to who asked.
_DENIALS: Final = {
    Reason.NO_CONSENT: "no consent of the patient",
    Reason.DENIED: "the patient has denied it",
    Reason.ERASED: "the record has been erased",
    Reason.NO_RIGHT: "no right to ask for it",
}


def or_one(action: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], int]:
    """A command that ends with 0, or with 1 and one line if what was looked for does not hold."""

    @wraps(action)
    def run(options: argparse.Namespace) -> int:
        try:
            action(options)
        except (ProofError, StorageError) as error:
            sys.stderr.write(f"ehrcore: {' '.join(str(error).split())}\n")
            return 1
        return 0

    return run


@or_one
def read(options: argparse.Namespace) -> None:
    """Write a record out, byte for byte, or 1 and nothing if that is not permitted, or it is not what was declared."""
    folder, plan = folder_of(options.folder)
    tx_id, person = parse_digest("ID", options.id), open_person(folder, plan, options.alias)
    check_output(options.evidence)
    with TemporaryDirectory(prefix=".ehrcore-", dir=check_output(options.output)) as place:
        sealed, plain = Path(place) / "sealed", Path(place) / "plain"
        record, handed = asyncio.run(_fetch(Client(folder, plan), person, tx_id, sealed, options))
        key = unseal(record, handed, sealed, plain)
        if options.evidence is not None:
            if record.size_bytes > MAX_WHOLE_BYTES:
                raise StorageError(f"--evidence: expected at most {MAX_WHOLE_BYTES} bytes, found {record.size_bytes}")
            write_output(options.evidence, encode_disclosure(key, sealed.read_bytes()))
        move_output(plain, options.output)


async def _fetch(
    client: Client, person: Person, tx_id: bytes, sealed: Path, options: argparse.Namespace
) -> tuple[RecordRef, list[Handed]]:
    """Have the chain permit it, then custodians release the shares, and one of them the sealed object."""
    async with client:
        record = await find_record(client, tx_id)
        digest = person.crypto.hash_struct(record)
        purpose, emergency = purpose_of(options)
        access = Access(Action.READ, record.pseudonym, record.kind, digest, purpose, emergency, cited_by(options))
        access_id = await request_access(client, person, access, options)
        custodians = Custodians(client, person.subject, person.crypto)
        handed, troubles = await custodians.collect(access_id, tx_id, record, person.wrap_key)
        for name, why in sorted(troubles.items()):
            sys.stderr.write(f"ehrcore: {name}: {why}\n")
        await custodians.fetch(handed, record, sealed)
        for name in await custodians.restore(handed) if troubles else ():
            sys.stderr.write(f"ehrcore: {name}: had no share of this record's key, and has it again\n")
        return record, handed


async def find_transaction(client: Client, tx_id: bytes) -> Verified:
    """A transaction as the chain shows it, and what became of it; `ProofError` if there is none with this id."""
    return (await _find(client, Verifier(client.plan.open_genesis()), tx_id)).shown


async def find_record(client: Client, tx_id: bytes) -> RecordRef:
    """What a valid transaction declares of a record; `ProofError` if there is none with this id."""
    shown = await find_transaction(client, tx_id)
    payload = shown.endorsed.transaction.body.payload
    if not isinstance(payload, RecordRef):
        found = type(payload).__name__.lower()
        raise ProofError(f"{tx_id.hex()}: expected a transaction about a record, found one of kind {found}")
    if shown.reason is not Reason.ACCEPTED:
        raise ProofError(f"{tx_id.hex()}: expected a valid transaction, found one that is marked {shown.reason}")
    return payload


def purpose_of(options: argparse.Namespace) -> tuple[Purpose, Emergency]:
    """What an access is for: an emergency, if the glass is broken."""
    emergency = Emergency(options.break_glass)
    return (Purpose.EMERGENCY if emergency else Purpose(options.purpose)), emergency


async def request_access(client: Client, person: Person, access: Access, options: argparse.Namespace) -> bytes:
    """Put an access on the chain and wait until it is final; its id, or `ProofError` with the chain's reason."""
    outcome = await Desk(client, None, options, person).settle_alone(access)
    if not outcome.is_good:
        reason = next((text for code, text in _DENIALS.items() if code.value in outcome.verdict.split()), None)
        if reason == _DENIALS[Reason.NO_CONSENT]:
            who = f"{person.alias} do so for {access.purpose.value}"
            reason += f" that lets {who} (--as says who asks, --purpose what for)"
        elif access.emergency and reason == _DENIALS[Reason.NO_RIGHT]:
            reason = f"{person.alias} is no practitioner, and nobody else may break the glass"
        raise ProofError(
            f"{access.action.name.lower()}: expected it to be permitted, found: {reason or outcome.verdict}"
        )
    return outcome.tx_id


@or_one
def prove(options: argparse.Namespace) -> None:
    """Write a proof to a file, or 1 if there is nothing to prove."""
    folder, plan = folder_of(options.folder)
    tx_id, genesis = parse_digest("ID", options.id), plan.open_genesis()
    write_output(options.output, encode_proof(asyncio.run(_build(Client(folder, plan), genesis, tx_id))))


async def _build(client: Client, genesis: Genesis, tx_id: bytes) -> Proof:
    async with client:
        found = await _find(client, Verifier(genesis), tx_id)
        try:
            return build_proof(genesis, found.receipt, found.words)
        except ProofError:
            # Somebody's certificate may be younger than the chain.
            names, height = names_in(found.shown) | {word.node for word in found.words}, found.shown.header.height
            certificates = await find_certificates(client, found.shown.keeper, names, height)
        return build_proof(genesis, found.receipt, found.words, certificates)


async def _find(client: Client, verifier: Verifier, tx_id: bytes) -> Found:
    """A receipt that verifies, with the verdict that most of the contributors who answer give; else `ProofError`."""
    found: dict[str, Found] = {}
    troubles: dict[str, str] = {}

    async def ask(name: str) -> None:
        try:
            receipt = await client.receipt(name, tx_id)
            shown = verifier.locate(receipt)
            if shown.tx_id != tx_id:
                raise ProofError("receipt: expected this transaction, found another")
            if shown.keeper != name:
                raise ProofError(f"receipt: expected its own word, found that of {shown.keeper}")
            found[name] = Found(receipt, shown, ())
        except (NoAnswerError, ProofError) as error:
            troubles[name] = str(error).removeprefix(f"{name}: ")

    await asyncio.gather(*map(ask, client.plan.names(Role.CONTRIBUTOR)))
    if not found:
        words = "; ".join(f"{name}: {why}" for name, why in sorted(troubles.items()))
        raise ProofError(f"{tx_id.hex()}: expected a transaction on the chain, found none ({words})")
    said = Counter(item.shown.reason for item in found.values()).most_common()
    if len(said) > 1 and said[0][1] == said[1][1]:
        words = "; ".join(f"{name}: {item.shown.reason or 'valid'}" for name, item in sorted(found.items()))
        raise ProofError(f"{tx_id.hex()}: expected contributors to agree on its verdict, found: {words}")
    agreed = [found[name] for name in sorted(found) if found[name].shown.reason == said[0][0]]
    shared = agreed[0].shown.block_hash
    return replace(agreed[0], words=tuple(item.receipt.word for item in agreed if item.shown.block_hash == shared))
