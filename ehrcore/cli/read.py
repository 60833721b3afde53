"""`ehrcore read` and `prove`: one transaction, believed for its receipt and for nothing else."""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ehrcore.block import Attestation, Genesis, RecordRef
from ehrcore.cli.certificates import find_certificates, names_in
from ehrcore.cli.format import parse_digest
from ehrcore.drive.net.client import Client, NoAnswerError, folder_of
from ehrcore.drive.net.files import write_file
from ehrcore.drive.net.stores import open_store
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


def read(options: argparse.Namespace) -> int:
    """Write a record out, byte for byte, or 1 and nothing if it is not there, not valid, or not what was declared."""
    return _or_one(_read, options)


def _read(options: argparse.Namespace) -> None:
    folder, plan = folder_of(options.folder)
    tx_id, verifier = parse_digest("ID", options.id), Verifier(plan.open_genesis())
    shown = asyncio.run(_find(Client(folder, plan), verifier, tx_id)).shown
    payload = shown.endorsed.transaction.body.payload
    if not isinstance(payload, RecordRef):
        raise ProofError(f"{options.id}: expected a transaction about a record, found an order of the authority")
    if shown.reason is not Reason.ACCEPTED:
        raise ProofError(f"{options.id}: expected a valid transaction, found one that is marked {shown.reason}")
    body = open_store(folder).get(payload.location)
    if body is None:
        raise StorageError(f"{payload.location}: expected the record of {options.id}, found none")
    if not verifier.matches(shown, body):
        raise StorageError(f"{payload.location}: expected digest {payload.digest.hex()}, found other bytes")
    write_output(options.output, body)


def prove(options: argparse.Namespace) -> int:
    """Write a proof to a file, or 1 if there is nothing to prove."""
    return _or_one(_prove, options)


def _prove(options: argparse.Namespace) -> None:
    folder, plan = folder_of(options.folder)
    tx_id, genesis = parse_digest("ID", options.id), plan.open_genesis()
    write_output(options.output, encode_proof(asyncio.run(_build(Client(folder, plan), genesis, tx_id))))


async def _build(client: Client, genesis: Genesis, tx_id: bytes) -> Proof:
    found = await _find(client, Verifier(genesis), tx_id)
    try:
        return build_proof(genesis, found.receipt, found.words)
    except ProofError:
        # Somebody's certificate may be younger than the chain.
        names, height = names_in(found.shown) | {word.node for word in found.words}, found.shown.header.height
        async with client:
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

    contributors = [name for name, role in client.plan.roles().items() if role is Role.CONTRIBUTOR]
    async with client:
        await asyncio.gather(*map(ask, contributors))
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


def _or_one(action: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    """0, or 1 with one line if what was looked for does not hold."""
    try:
        action(options)
    except (ProofError, StorageError) as error:
        sys.stderr.write(f"ehrcore: {' '.join(str(error).split())}\n")
        return 1
    return 0


def write_output(path: Path | None, data: bytes) -> None:
    """To a file for its owner alone, for records are nobody else's business, or to standard output."""
    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_file(path, data, is_secret=True)
