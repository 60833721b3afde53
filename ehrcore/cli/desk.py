"""Transactions on their way: handed to every agent, and believed final by nothing but contributors' receipts."""

import argparse
import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ehrcore.authority import Authority
from ehrcore.block import Payload, RecordRef, Transaction, TransactionBody
from ehrcore.cli.certificates import find_certificates, names_in
from ehrcore.cli.format import parse_digest
from ehrcore.cli.records import Nonces
from ehrcore.codec import encode
from ehrcore.crypto import Crypto
from ehrcore.drive.net.client import Client, NoAnswerError, ask_each
from ehrcore.drive.net.custodians import Custodians
from ehrcore.drive.net.objects import Store
from ehrcore.drive.net.persons import Person, home_of
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.drive.net.stores import open_store
from ehrcore.drive.net.vault import put_sealed
from ehrcore.errors import DeploymentError, ProofError
from ehrcore.identity import Reason
from ehrcore.messages import Receipt
from ehrcore.params import majority
from ehrcore.proof import Verified, Verifier
from ehrcore.records import ClinicalRecord
from ehrcore.roles import Context
from ehrcore.sealing import RECORD_KEY_BYTES
from ehrcore.types import Role

TRANSACTION_MEDIA: Final = "application/vnd.ehrcore.transaction"
POLL_S: Final = 0.1
WATCH_S: Final = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
ACCEPTED: Final = 202
#: Answers that say nothing against the transaction: it is sent again.
TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record."""

    tx_id: bytes
    verdict: str
    height: int | None = None
    is_good: bool = False

    @property
    def place(self) -> str:
        """Where it is on the chain, in words."""
        return "-" if self.height is None else f"block {self.height}"


@dataclass(slots=True)
class Pending:
    """A transaction on its way: what agents and contributors have said of it."""

    transaction: Transaction
    settled: "asyncio.Future[Verified]"
    accepted: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, Verified] = field(default_factory=dict)


def sign_payload(context: Context, nonces: Nonces, payload: Payload) -> Transaction:
    """A transaction of now."""
    body = TransactionBody(context.chain, context.me, nonces.take(), time.time_ns(), payload)
    return Transaction(body, context.crypto.sign(body))


async def keep_record(
    custodians: Custodians,
    store: Store,
    crypto: Crypto,
    pseudonym: bytes,
    record: ClinicalRecord,
    agreement: bytes = b"",
) -> RecordRef:
    """Seal a record under a key of its own, store it, and have custodians keep the key: what the chain is to say of it.

    `DeploymentError` if too few of them do: then nobody could ever read it.
    """
    key = os.urandom(RECORD_KEY_BYTES)
    content = (record.body,)
    reference = await asyncio.to_thread(put_sealed, store, crypto.suite, key, record.kind, pseudonym, lambda: content)
    reference = msgspec.structs.replace(reference, agreement=agreement)
    for why in await custodians.deposit(reference, key):
        sys.stderr.write(f"ehrcore: {why}\n")
    return reference


def cited_by(options: argparse.Namespace) -> bytes:
    """The id of the agreement that an act is under; empty for none."""
    return parse_digest("--agreement", options.agreement) if getattr(options, "agreement", None) else b""


def context_of(plan: NetworkPlan, author: str, crypto: Crypto) -> Context:
    """What ``author`` signs transactions with."""
    genesis = plan.open_genesis()
    return Context(author, genesis.params, bytes.fromhex(plan.chain), genesis.certificates, crypto)


class Desk:
    """The transactions of one visitor, a node or a person, on their way; ``authority`` names patients."""

    def __init__(
        self, client: Client, authority: Authority | None, options: argparse.Namespace, person: Person | None = None
    ) -> None:
        folder, plan = client.folder, client.plan
        self._client, self._authority = client, authority
        self._timeout_s, self._has_to_be_final = options.timeout, not options.no_wait
        self._agreement = cited_by(options)
        signer = context_of(plan, person.subject, person.crypto) if person else None
        self._context = signer or folder.context(plan, options.visitor)
        self._nonces = Nonces(home_of(folder, plan, person.alias if person else options.visitor))
        self._verifier, self._store = Verifier(plan.open_genesis()), open_store(folder)
        self._custodians = Custodians(client, self._context.me, self._context.crypto)
        self._agents, self._contributors = self._context.names(Role.AGENT), self._context.names(Role.CONTRIBUTOR)
        self._pending: dict[bytes, Pending] = {}

    async def require_agents(self) -> None:
        told = await ask_each(self._agents, lambda name: self._client.fetch(name, "/v1/health"))
        told.require("agents: expected one")

    async def settle(self, record: ClinicalRecord) -> Outcome:
        """Keep the record, sign, hand in, and wait for what is to be waited for."""
        assert self._authority is not None  # noqa: S101 - who submits has given one
        pseudonym, crypto = self._authority.pseudonym(record.patient_id), self._context.crypto
        try:
            reference = await keep_record(self._custodians, self._store, crypto, pseudonym, record, self._agreement)
        except DeploymentError as error:
            return Outcome(b"", f"not submitted: {error}")
        return await self.hand_over(sign_payload(self._context, self._nonces, reference))

    async def settle_alone(self, given: Payload | Transaction) -> Outcome:
        """Hand in what is given, signed here if it is not, and wait until it is final, with nothing else under way.

        `DeploymentError` if no agent answers; then no nonce is used up.
        """
        await self.require_agents()
        tx = given if isinstance(given, Transaction) else sign_payload(self._context, self._nonces, given)
        poller = asyncio.create_task(self.poll())
        try:
            return await self.hand_over(tx)
        finally:
            poller.cancel()

    async def hand_over(self, tx: Transaction) -> Outcome:
        """Hand in what is signed, and wait for what is to be waited for; `poll` has to run."""
        tx_id = self._context.crypto.hash_struct(tx.body)
        self._pending[tx_id] = pending = Pending(tx, asyncio.Future())
        senders = [asyncio.create_task(self._hand_in(agent, pending)) for agent in self._agents]
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._outcome(tx_id, pending, senders)
        except TimeoutError:
            return Outcome(tx_id, self._describe(pending))
        finally:
            del self._pending[tx_id]
            for sender in senders:
                sender.cancel()

    async def _outcome(self, tx_id: bytes, pending: Pending, senders: "Sequence[asyncio.Task[None]]") -> Outcome:
        """Final as soon as contributors say so, whatever agents answered; refused once too few agents are left."""
        params = self._context.params
        open_: set[asyncio.Future[Any]] = {*senders, pending.settled}
        while not pending.settled.done():
            if not self._has_to_be_final and len(pending.accepted) >= params.endorsements:
                return Outcome(tx_id, "accepted", is_good=True)
            if len(self._agents) - len(pending.refused) < params.endorsements:
                words = ", ".join(f"{why} ({agent})" for agent, why in sorted(pending.refused.items()))
                return Outcome(tx_id, f"refused: {words}")
            done, open_ = await asyncio.wait(open_, return_when=asyncio.FIRST_COMPLETED)
            for item in done:
                item.result()
        found = pending.settled.result()
        return Outcome(tx_id, found.reason or "valid", found.header.height, is_good=found.reason is Reason.ACCEPTED)

    async def _hand_in(self, agent: str, pending: Pending) -> None:
        """Send until the agent has said what it makes of it; the same bytes each time, which it takes once."""
        body, pause, is_first = encode(pending.transaction), FIRST_PAUSE_S, True
        while True:
            try:
                answer = await self._client.request(agent, "/v1/transactions", body, media=TRANSACTION_MEDIA)
            except NoAnswerError as error:
                pending.troubles[agent], wait_s, is_first = str(error), 0.0, False
            else:
                # What an agent took and could not say so, it calls replayed once it is final.
                if answer.status == ACCEPTED or (not is_first and answer.problem() == Reason.REPLAYED):
                    pending.accepted.add(agent)
                    if self._has_to_be_final:
                        await self._watch(agent, pending, body)
                    return
                if answer.status not in TRY_AGAIN:
                    pending.refused[agent] = answer.problem()
                    return
                pending.troubles[agent], wait_s = f"{agent}: {answer.problem()}", answer.retry_after_s or 0.0
            await asyncio.sleep(max(wait_s, pause) * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _watch(self, agent: str, pending: Pending, body: bytes) -> None:
        """Ask the agent again until it says that coordinators have refused what it took; for ever, if they have not."""
        while True:
            await asyncio.sleep(WATCH_S)
            with contextlib.suppress(NoAnswerError):
                answer = await self._client.request(agent, "/v1/transactions", body, media=TRANSACTION_MEDIA)
                # Replayed is what an agent calls what is final.
                if answer.status not in {ACCEPTED, *TRY_AGAIN} and answer.problem() != Reason.REPLAYED:
                    pending.accepted.discard(agent)
                    pending.refused[agent] = answer.problem()
                    return

    async def poll(self) -> None:
        """Ask the contributors, for ever, for receipts of what is on its way."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._pending and self._has_to_be_final:
                await ask_each(self._contributors, self._collect)

    async def _collect(self, contributor: str) -> None:
        wanted = [tx_id for tx_id, pending in self._pending.items() if contributor not in pending.verdicts]
        final = await self._client.final(contributor, wanted)
        await asyncio.gather(*(self._take_receipt(contributor, tx_id) for tx_id in final))

    async def _take_receipt(self, contributor: str, tx_id: bytes) -> None:
        try:
            receipt = await self._client.receipt(contributor, tx_id)
            found = self._verifier.locate(receipt)
            if found.keeper != contributor:
                raise ProofError(f"receipt: expected its own word, found that of {found.keeper}")
            if found.reason is Reason.ACCEPTED:
                await self._verify(receipt, found)
        except (ProofError, NoAnswerError) as error:
            self._note(contributor, tx_id, str(error))
            return
        pending = self._pending.get(tx_id)
        if pending is None or pending.settled.done():
            return
        if found.endorsed.transaction.body != pending.transaction.body:
            self._note(contributor, tx_id, "receipt: expected this transaction, found another")
            return
        pending.verdicts[contributor] = found
        agreed = sum(other.reason == found.reason for other in pending.verdicts.values())
        if agreed >= majority(len(self._contributors)):
            pending.settled.set_result(found)

    async def _verify(self, receipt: Receipt, found: Verified) -> None:
        """`Verifier.verify`, with certificates from the chain where those of its beginning are not enough."""
        try:
            self._verifier.verify(receipt)
        except ProofError:
            certificates = await find_certificates(self._client, found.keeper, names_in(found), found.header.height)
            self._verifier = Verifier(self._client.plan.open_genesis(), certificates)
            self._verifier.verify(receipt)

    def _note(self, contributor: str, tx_id: bytes, why: str) -> None:
        if tx_id in self._pending:
            self._pending[tx_id].troubles[contributor] = f"{contributor}: {why}"

    def _describe(self, pending: Pending) -> str:
        said = f"accepted by {len(pending.accepted)} of {len(self._agents)} agents"
        if pending.refused:
            said += f", refused by {', '.join(f'{agent} ({why})' for agent, why in sorted(pending.refused.items()))}"
        said += f", confirmed by {len(pending.verdicts)} of {len(self._contributors)} contributors"
        return f"not settled within {self._timeout_s:g} s: {'; '.join((said, *pending.troubles.values()))}"


def settle(
    client: Client, options: argparse.Namespace, given: Payload | Transaction, person: Person | None = None
) -> Outcome:
    """See `Desk.settle_alone`."""

    async def run() -> Outcome:
        async with client:
            return await Desk(client, None, options, person).settle_alone(given)

    return asyncio.run(run())


def settle_aloud(
    folder: NetworkFolder, plan: NetworkPlan, tx: Transaction, options: argparse.Namespace, wanted: str
) -> int:
    """Hand in what is signed, say what has become of it, and return 0 if it is final and valid; if not, 1.

    ``wanted`` begins the line that then says so.
    """
    outcome = settle(Client(folder, plan, options.visitor), options, tx)
    print(f"{outcome.tx_id.hex()}  {outcome.place}  {outcome.verdict}")
    if not outcome.is_good:
        sys.stderr.write(f"ehrcore: {wanted}, found otherwise\n")
    return int(not outcome.is_good)
