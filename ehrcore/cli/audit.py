"""`ehrcore audit`: trust no node; replay the chain from its genesis, and hold every ledger and every record against it.

The blocks come from whichever keeper has most of them and are validated as a ledger keeper would, so the state that
results is ours.  Every other keeper is then compared with it at that keeper's own height.  What the replay shows of
who did what is the audit trail.
"""

import argparse
import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ehrcore.auditing import Trail
from ehrcore.block import RecordRef
from ehrcore.cli.chain import open_chain
from ehrcore.cli.output import write_output
from ehrcore.cli.records import patient_of
from ehrcore.cli.status import lacking
from ehrcore.cli.trail import show_trail, summarise
from ehrcore.contracts import digest_object
from ehrcore.crypto import Crypto
from ehrcore.drive.net.client import Client, NoAnswerError, Told, ask_each, folder_of
from ehrcore.drive.net.objects import Store
from ehrcore.drive.net.persons import known_aliases
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.drive.net.status import NodeStatus
from ehrcore.drive.net.stores import open_store
from ehrcore.errors import StorageError, ValidationError
from ehrcore.fhir_audit import write_bundle
from ehrcore.identity import Reason
from ehrcore.ledger import open_crypto
from ehrcore.messages import Finalised
from ehrcore.state import ChainState
from ehrcore.types import Role, node_id


@dataclass(slots=True)
class Audit:
    """What has been replayed, and what was found wrong; ``marks`` holds hash, state and verdicts by height."""

    state: ChainState
    crypto: Crypto
    store: Store
    trail: Trail
    marks: dict[int, tuple[str, str, tuple[str, ...]]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    valid: int = 0
    marked: int = 0
    objects: int = 0
    erased: int = 0
    #: Records that are not in the store as they were declared, and what to say of each.
    absent: list[tuple[RecordRef, str]] = field(default_factory=list)

    def take(self, final: Finalised) -> None:
        """Validate the next block, look up the records of its valid transactions, and note who did what."""
        verdict = self.state.validate(final.block, final.certificate)
        digest = self.state.apply(final.block, verdict)
        height = final.block.header.height
        reasons = tuple(reason.value for reason in verdict.reasons)
        self.marks[height] = verdict.block_hash.hex(), digest.hex(), reasons
        now, registry = final.block.header.timestamp, self.state.registry
        self.trail.follow(
            final.block, verdict.reasons, verdict.tx_ids, lambda name: registry.check(name, Role.VISITOR, now)[1]
        )
        for endorsed, reason, tx_id in zip(final.block.transactions, verdict.reasons, verdict.tx_ids, strict=True):
            self.valid += reason is Reason.ACCEPTED
            self.marked += reason is not Reason.ACCEPTED
            payload = endorsed.transaction.body.payload
            if isinstance(payload, RecordRef) and reason is Reason.ACCEPTED:
                self._look_up(payload, tx_id)

    def settle(self) -> None:
        """What is not in the store as it was declared is a finding, unless it has been erased since."""
        for record, finding in self.absent:
            if self.state.consents.is_erased(record.pseudonym, self.crypto.hash_struct(record)):
                self.erased += 1
            else:
                self.findings.append(finding)
        self.objects -= self.erased

    def _look_up(self, record: RecordRef, tx_id: bytes) -> None:
        self.objects += 1
        try:
            digest = digest_object(self.crypto, self.store, record)
        except StorageError as error:
            self.findings.append(str(error))
            return
        if digest is None:
            text = f"{record.location}: expected the record of transaction {tx_id.hex()}, found none"
            self.absent.append((record, text))
        elif digest != record.digest:
            self.findings.append(f"{record.location}: expected the digest in transaction {tx_id.hex()}, found another")

    def compare(self, keeper: NodeStatus) -> None:
        """Hold a keeper's own words against the replay at its height."""
        if keeper.height == 0:
            return
        mine = self.marks.get(keeper.height)
        if mine is None:
            self.findings.append(f"{keeper.name}: expected height {self.state.height} at most, found {keeper.height}")
        elif mine[0] != keeper.tip:
            self.findings.append(f"{keeper.name}: block {keeper.height}: expected {mine[0]}, found {keeper.tip}")
        elif mine[1] != keeper.state:
            self.findings.append(f"{keeper.name}: state at {keeper.height}: expected {mine[1]}, found {keeper.state}")

    def compare_block(self, name: str, height: int, told: dict[str, Any]) -> None:
        """Hold a block as a keeper's ledger has it against the replay, its verdicts too: receipts are made of them."""
        contents = told.get("contents")
        reasons = tuple(item.get("reason") for item in contents) if isinstance(contents, list) else ()
        found = told.get("hash"), told.get("state"), reasons
        names = ("block", "state of block", "verdicts of block")
        for what, mine, theirs in zip(names, self.marks[height], found, strict=True):
            if mine != theirs:
                self.findings.append(f"{name}: {what} {height}: expected {_words(mine)}, found {_words(theirs)}")


def _words(value: object) -> str:
    """A hash as it is, verdicts in words."""
    return ", ".join(str(word) or "valid" for word in value) if isinstance(value, tuple) else str(value)


def _export(path: Path, trail: Trail, chain: str) -> None:
    """Write the trail as a FHIR R4 Bundle of AuditEvents."""
    bundle = write_bundle(trail.events, bytes.fromhex(chain))
    write_output(path, json.dumps(bundle, indent=1).encode() + b"\n")


def audit(options: argparse.Namespace) -> int:
    """Print what holds and what was found; 1 if something was."""
    folder, plan = folder_of(options.folder)
    is_of_one = options.patient is not None or options.alias is not None
    pseudonym = patient_of(folder, plan, options) if is_of_one else None
    done, told = asyncio.run(_audit(folder, plan, pseudonym))
    if pseudonym is not None:
        print("\n".join(show_trail(done.trail, known_aliases(folder, plan))))
        print(f"{summarise(done.trail)}, of patient {pseudonym.hex()} (a pseudonym)")
    if options.fhir is not None:
        _export(options.fhir, done.trail, plan.chain)
    print(f"replayed  {done.state.height} blocks of chain {plan.chain}")
    print(f"tip       {done.state.tip.hex()}")
    print(f"state     {done.state.digest.hex()}")
    stored = f"{done.objects} stored records{f', {done.erased} erased' if done.erased else ''}"
    print(f"checked   {done.valid} valid transactions, {done.marked} marked invalid, {stored}")
    print(f"ledgers   {', '.join(f'{name} at {keeper.height}' for name, keeper in told.answers.items())}")
    for why in told.silent.values():
        print(f"unknown   {why}")
    for line in lacking(told):
        print(f"note      {line}")
    for finding in done.findings:
        print(f"FINDING   {finding}")
    print("nothing was found" if not done.findings else f"{len(done.findings)} findings")
    return int(bool(done.findings))


async def _audit(folder: NetworkFolder, plan: NetworkPlan, pseudonym: bytes | None) -> tuple[Audit, Told]:
    """Replay up to the greatest height that any ledger keeper tells of, then compare them all."""
    state = open_chain(plan)
    crypto = open_crypto(state.params)
    done = Audit(state, crypto, open_store(folder), Trail(crypto, pseudonym))
    async with Client(folder, plan) as client:
        told = await ask_each((*plan.names(Role.CONTRIBUTOR), node_id(Role.COORDINATOR, 0)), client.status)
        told.require("ledgers: expected a keeper")
        heights = {name: keeper.height for name, keeper in told.answers.items()}
        for name in sorted(heights, key=heights.__getitem__, reverse=True):
            await _replay(done, client, name, max(heights.values()))
        done.settle()
        for keeper in told.answers.values():
            done.compare(keeper)
            await _compare_ledger(done, client, keeper)
    return done, told


async def _compare_ledger(done: Audit, client: Client, keeper: NodeStatus) -> None:
    """Ask a keeper for each block that it says it has: what it says in general may come from memory."""
    for height in range(1, min(keeper.height, done.state.height) + 1):
        try:
            told = (await client.fetch(keeper.name, f"/v1/chain/{height}")).object()
        except NoAnswerError as error:
            done.findings.append(f"block {height}: {error}")
            return
        done.compare_block(keeper.name, height, told)


async def _replay(done: Audit, client: Client, name: str, last: int) -> None:
    """Go on with the blocks of one keeper up to height ``last``, or to the first that is wrong or missing."""
    try:
        async for final in client.blocks(name, done.state.height + 1, last):
            done.take(final)
    except NoAnswerError as error:
        done.findings.append(str(error))
    except ValidationError as error:
        done.findings.append(f"{name}: block {done.state.height + 1}: {error}")
