"""`ehrcore submit`: sign transactions about FHIR records, hand them to every agent, and believe nothing but receipts.

A record is settled when a majority of contributors have shown a receipt that verifies and say the same of it.
"""

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from ehrcore.authority import Authority
from ehrcore.block import RecordRef
from ehrcore.cli.desk import Desk, Outcome, keep_record, sign_payload
from ehrcore.cli.output import write_output
from ehrcore.cli.records import Nonces, open_authority, read_records
from ehrcore.drive.net.client import Client, folder_of
from ehrcore.drive.net.custodians import Custodians
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.drive.net.stores import open_store
from ehrcore.errors import DeploymentError
from ehrcore.records import ClinicalRecord
from ehrcore.types import Role

#: Records on their way at once; the replay window of an author is 4,096 nonces wide.
WINDOW: Final = 256


Records = Sequence[tuple[Path, ClinicalRecord]]


def sign(options: argparse.Namespace) -> int:
    """Keep one record and print its signed transaction as JSON, for whoever hands it to the agents by other means."""
    from ehrcore.drive.net.web.views import transaction_view

    folder, plan, authority = _open(options)
    ((_, record),) = read_records((options.file,), is_lenient=False)
    context, store = folder.context(plan, options.visitor), open_store(folder)
    client, pseudonym = Client(folder, plan, options.visitor), authority.pseudonym(record.patient_id)

    async def keep() -> RecordRef:
        async with client:
            custodians = Custodians(client, context.me, context.crypto)
            return await keep_record(custodians, store, context.crypto, pseudonym, record)

    tx = sign_payload(context, Nonces(folder.node(options.visitor)), asyncio.run(keep()))
    write_output(options.output, msgspec.json.encode(transaction_view(tx)) + b"\n")
    return 0


def submit(options: argparse.Namespace) -> int:
    """Submit every file, or none if one of them is no record; 1 if a record was refused or is not final in time."""
    folder, plan, authority = _open(options)
    records = read_records(options.files, is_lenient=options.skip)
    return asyncio.run(_submit(Client(folder, plan, options.visitor), authority, records, options))


def _open(options: argparse.Namespace) -> tuple[NetworkFolder, NetworkPlan, Authority]:
    folder, plan = folder_of(options.folder)
    visitors = plan.names(Role.VISITOR)
    if options.visitor not in visitors:
        raise DeploymentError(f"--visitor: expected one of {', '.join(visitors)}, found {options.visitor!r}")
    return folder, plan, open_authority(folder, plan)


async def _submit(client: Client, authority: Authority, records: Records, options: argparse.Namespace) -> int:
    good = 0
    async with client:
        desk = Desk(client, authority, options)
        await desk.require_agents()
        poller = asyncio.create_task(desk.poll())
        waiting: deque[tuple[Path, asyncio.Task[Outcome]]] = deque()
        try:
            for path, record in records:
                waiting.append((path, asyncio.create_task(desk.settle(record))))
                while len(waiting) >= WINDOW or (waiting and waiting[0][1].done()):
                    good += _report(*await _first(waiting, poller))
            while waiting:
                good += _report(*await _first(waiting, poller))
        finally:
            poller.cancel()
            for _, task in waiting:
                task.cancel()
    if good < len(records):
        what = "accepted" if options.no_wait else "final and valid"
        sys.stderr.write(f"ehrcore: expected {len(records)} records to be {what}, found {good}\n")
    return int(good < len(records))


async def _first(
    waiting: "deque[tuple[Path, asyncio.Task[Outcome]]]", poller: "asyncio.Task[None]"
) -> tuple[Path, Outcome]:
    path, task = waiting[0]
    await asyncio.wait((task, poller), return_when=asyncio.FIRST_COMPLETED)
    if poller.done():
        poller.result()
    outcome = await task
    waiting.popleft()
    return path, outcome


def _report(path: Path, outcome: Outcome) -> bool:
    print(f"{outcome.tx_id.hex() or '-':<64}  {outcome.place:<10}  {outcome.verdict}  {path}", flush=True)
    return outcome.is_good
