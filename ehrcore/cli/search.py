"""`ehrcore search`: the records of a patient, as the chain permits and custodians list them."""

import argparse
import asyncio
import sys

from ehrcore.cli.desk import cited_by
from ehrcore.cli.format import parse_digest
from ehrcore.cli.read import find_transaction, or_one, purpose_of, request_access
from ehrcore.cli.records import open_authority
from ehrcore.consent import Access, Action
from ehrcore.custody import Hit
from ehrcore.drive.net.client import Client, folder_of
from ehrcore.drive.net.custodians import Custodians
from ehrcore.drive.net.persons import Person, open_person
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import ProofError
from ehrcore.identity import Reason
from ehrcore.records import RecordKind


@or_one
def search(options: argparse.Namespace) -> None:
    """Print a line for each record, or 1 if that is not permitted."""
    folder, plan = folder_of(options.folder)
    person, pseudonym = open_person(folder, plan, options.alias), _pseudonym(folder, plan, options)
    hits = asyncio.run(_ask(Client(folder, plan), person, pseudonym, options))
    for hit in hits:
        kind = RecordKind(hit.record.kind).name.lower().replace("_", "-")
        mark = "erased" if hit.is_erased else f"{hit.record.size_bytes} bytes"
        print(f"{hit.transaction.hex()}  block {hit.height:<7}  {kind:<17}  {mark}")
    print(f"{len(hits)} records of patient {pseudonym.hex()} (a pseudonym)")


def _pseudonym(folder: NetworkFolder, plan: NetworkPlan, options: argparse.Namespace) -> bytes:
    if options.pseudonym is not None:
        return parse_digest("--pseudonym", options.pseudonym)
    return open_authority(folder, plan).pseudonym(options.patient)


async def _ask(client: Client, person: Person, pseudonym: bytes, options: argparse.Namespace) -> list[Hit]:
    kind = int(RecordKind[options.kind.upper().replace("-", "_")]) if options.kind else 0
    purpose, emergency = purpose_of(options)
    async with client:
        access = Access(Action.SEARCH, pseudonym, kind, b"", purpose, emergency, cited_by(options))
        access_id = await request_access(client, person, access, options)
        found = await Custodians(client, person.subject, person.crypto).search(access_id, person.wrap_key)
        good = []
        for hit in found.hits:
            is_meant = hit.record.pseudonym == pseudonym and kind in {0, hit.record.kind}
            if is_meant and (hit.transaction not in found.disputed or await _is_on_chain(client, hit)):
                good.append(hit)
            else:
                sys.stderr.write(f"ehrcore: {hit.transaction.hex()}: expected a record of this search, found none\n")
        return good


async def _is_on_chain(client: Client, hit: Hit) -> bool:
    """Whether the chain shows the record at this place, which some custodian has not listed or another made up."""
    try:
        shown = await find_transaction(client, hit.transaction)
    except ProofError:
        return False
    is_valid = shown.reason is Reason.ACCEPTED and shown.endorsed.transaction.body.payload == hit.record
    return is_valid and (shown.header.height, shown.index) == (hit.height, hit.position)
