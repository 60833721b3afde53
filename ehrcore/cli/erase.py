"""`ehrcore erase`: have the shares of a record's key destroyed; the chain stays as it is, and stays valid."""

import argparse
import asyncio
import time

from ehrcore.authority import Authority
from ehrcore.cli.desk import Desk, Outcome
from ehrcore.cli.format import parse_digest
from ehrcore.cli.read import find_record, or_one
from ehrcore.cli.records import Nonces, open_authority
from ehrcore.consent import Erasure
from ehrcore.drive.net.client import Client, folder_of
from ehrcore.drive.net.persons import Person, open_person
from ehrcore.errors import ProofError
from ehrcore.ledger import open_crypto


@or_one
def erase(options: argparse.Namespace) -> None:
    """Put the erasure on the chain and wait until it is final; 1 if it is refused."""
    folder, plan = folder_of(options.folder)
    tx_id, person, authority = parse_digest("ID", options.id), None, None
    if options.by_authority:
        authority = open_authority(folder, plan)
        authority.nonce = Nonces(folder.authority).take()
    else:
        person = open_person(folder, plan, options.alias)
    outcome = asyncio.run(_ask(Client(folder, plan), tx_id, person, authority, options))
    if not outcome.is_good:
        raise ProofError(f"{options.id}: expected it to be erased, found: {outcome.verdict}")
    print(f"{options.id}: erased from block {outcome.height} on; contributors destroy the shares of its key")


async def _ask(
    client: Client, tx_id: bytes, person: Person | None, authority: Authority | None, options: argparse.Namespace
) -> Outcome:
    async with client:
        record = await find_record(client, tx_id)
        digest = open_crypto(client.plan.open_genesis().params).hash_struct(record)
        erasure, chain = Erasure(record.pseudonym, digest), bytes.fromhex(client.plan.chain)
        given = authority.erase(chain, erasure, time.time_ns()) if authority else erasure
        return await Desk(client, None, options, person).settle_alone(given)
