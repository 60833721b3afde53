"""Engine `identity-net`: what only real nodes can show: replays over a restart, and frames under other names.

One network of four processes over loopback; who attacks has what a member of it has, its own link key.
"""

import asyncio
import time
from itertools import permutations
from typing import Any, Final

import msgspec

from bench.attacks.files import read_chain
from bench.engines.base import Context
from bench.engines.impostor import FULL
from bench.experiments.attacks import Tally, check_attacks
from bench.experiments.base import Case, Row
from bench.net.network import MeasuredNetwork, await_final
from bench.workload import vital_signs
from ehrcore.block import Attestation, EndorsementBody, Transaction, TransactionBody
from ehrcore.codec import encode
from ehrcore.crypto import Crypto
from ehrcore.drive.net.client import Answer, Client, ask_each
from ehrcore.drive.net.files import read_secret
from ehrcore.drive.net.frames import MEDIA_TYPE, Frame, LinkKeys
from ehrcore.drive.net.links import FRAMES_PATH
from ehrcore.drive.net.plan import NetworkConfig
from ehrcore.drive.net.web.views import TRANSACTION_MEDIA
from ehrcore.identity import Reason
from ehrcore.messages import Endorse, Finalised, Message, Refused, Submit
from ehrcore.types import Role, node_id

_TAKEN: Final = frozenset({200, 202})
_NODES: Final[dict[Role, str]] = {role: node_id(role, 0) for role in Role if role is not Role.AUTHORITY}


class Member:
    """One node's keys in the hands of whoever plays it, and a client of the network."""

    def __init__(self, network: MeasuredNetwork, client: Client, name: str, nonce: int = 0) -> None:
        self.network, self._client, self.name = network, client, name
        plan = network.plan
        self.context = network.folder.context(plan, name)
        self.crypto: Crypto = self.context.crypto
        secret = bytes.fromhex(read_secret(network.folder.node(name) / "link.key").decode())
        self._keys, self._nonce = LinkKeys(plan, name, secret), nonce

    def write(self) -> Transaction:
        """A new transaction of its own."""
        reference = self.network.find_reference()
        body = TransactionBody(self.context.chain, self.name, self._nonce, time.time_ns(), reference)
        self._nonce += 1
        return Transaction(body, self.crypto.sign(body))

    async def submit(self, tx: Transaction) -> Answer:
        """To the agent, over HTTP."""
        return await self._client.request("agent-0", "/v1/transactions", encode(tx), media=TRANSACTION_MEDIA)

    async def say(self, to: str, message: Message, sender: str = "") -> Answer:
        """One message in a frame, under its own name or another's, with the tag that its own key makes."""
        frame = Frame(self.context.chain, self.name, to, time.time_ns(), 0, time.time_ns(), (encode(message),))
        sealed = self._keys.seal(frame)
        if sender:
            named = encode(msgspec.structs.replace(frame, sender=sender))
            sealed = named + sealed[-32:]
        return await self._client.request(to, FRAMES_PATH, sealed, media=MEDIA_TYPE)


def run_identity_net(context: Context, case: Case) -> list[Row]:
    """Rows as in the other parts.  No settings."""
    del case
    scenario, rows = context.scenario, list[Row]()
    config = NetworkConfig(curve=scenario.curve, visitors=1, max_wait_ms=50)
    records = vital_signs(1, 1, scenario.workload.seed).records
    with (
        context.scratch() as scratch,
        MeasuredNetwork(scratch / "network", config, f"{scenario.seed}|identity", records) as network,
    ):
        tx, old = asyncio.run(_play(network, rows))
        network.local.stop()
        network.start(())
        rows.append(asyncio.run(_replay_after_restart(network, tx, old)))
        network.stop()
    return check_attacks(rows)


async def _play(network: MeasuredNetwork, rows: list[Row]) -> tuple[Transaction, int]:
    async with Client(network.folder, network.plan) as client:
        members = {role: Member(network, client, name) for role, name in _NODES.items()}
        visitor = members[Role.VISITOR]
        tx = visitor.write()
        control = Tally("submitted over HTTP (control)", "real nodes", FULL, "succeeds")
        answer = await visitor.submit(tx)
        is_final = answer.status in _TAKEN and await await_final(client, [visitor.crypto.hash_struct(tx.body)])
        control.add(None if is_final else f"agent: {answer.status}")
        replays = Tally("replayed", "over HTTP, real nodes", FULL, "refused")
        for _ in range(3):
            await _count(replays, visitor.submit(tx))
        rows += [control.row(), replays.row()]
        rows += [(await _other_names(members)).row(), (await _other_words(members, tx)).row()]
        return tx, (await client.status("contributor-0")).transactions or 0


async def _count(tally: Tally, asking: Any) -> None:
    begin = time.perf_counter_ns()
    answer: Answer = await asking
    spent = time.perf_counter_ns() - begin
    tally.add(_name(answer), spent)


def _name(answer: Answer) -> str | None:
    """Which role refused it, and as what; None if it was taken.  What an agent knows already it does not take again."""
    found = answer.object() if answer.body else {}
    is_taken = answer.status in _TAKEN
    if is_taken and found.get("status") != "known":
        return None
    slug = "known" if is_taken else str(found.get("type", "")).rpartition("/")[2]
    return f"{answer.node.rpartition('-')[0]}: {answer.status} {slug}"


async def _other_names(members: dict[Role, Member]) -> Tally:
    """Each member sends a frame under each other's name, to each node."""
    tally = Tally("frame in another's name", "every role as every other", FULL, "refused")
    for teller, other in permutations(_NODES, 2):
        receiver = next(name for role, name in _NODES.items() if role not in {teller, other, Role.VISITOR})
        word = Refused(bytes(32), Reason.POLICY, "")
        await _count(tally, members[teller].say(receiver, word, _NODES[other]))
    return tally


async def _other_words(members: dict[Role, Member], tx: Transaction) -> Tally:
    """Each member says, under its own name, what another role says: well-formed and signed by itself."""
    tally = Tally("frame with another role's word", "under its own name", FULL, "refused")
    words: dict[Role, Any] = {Role.VISITOR: lambda _: Submit(tx)}
    words[Role.AGENT] = lambda member: Endorse(tx, Reason.ACCEPTED, _endorse(member, tx))
    words[Role.CONTRIBUTOR] = lambda _: _final(members)
    # Administrators submit evidence, and pass on blocks as contributors do: those words are theirs, too.
    shared = {(Role.ADMINISTRATOR, Role.VISITOR), (Role.ADMINISTRATOR, Role.CONTRIBUTOR)}
    for teller, rightful in permutations(_NODES, 2):
        if rightful in words and (teller, rightful) not in shared:
            receiver = next(name for role, name in _NODES.items() if role not in {teller, Role.VISITOR})
            await _count(tally, members[teller].say(receiver, words[rightful](members[teller])))
    return tally


def _endorse(member: Member, tx: Transaction) -> Attestation:
    body = EndorsementBody(member.context.chain, member.crypto.hash_struct(tx.body), member.name, Reason.ACCEPTED)
    return Attestation(member.name, member.crypto.sign(body))


def _final(members: dict[Role, Member]) -> Finalised:
    """The network's own first block, from a ledger."""
    folder = members[Role.CONTRIBUTOR].network.folder.node("contributor-0")
    entry = read_chain(folder / "ledger.sqlite").entries[0]
    return Finalised(entry.block, entry.certificate)


async def _replay_after_restart(network: MeasuredNetwork, tx: Transaction, old: int) -> Row:
    """Every process is new; agents may take it, for they keep no ledger, and nothing comes of it."""
    tally = Tally("replayed", "after a restart of every node", FULL, "refused", "the agent keeps no nonces on disk")
    async with Client(network.folder, network.plan) as client:
        visitor = Member(network, client, _NODES[Role.VISITOR], nonce=1)
        answer = await visitor.submit(tx)
        marker = visitor.write()
        taken = (await visitor.submit(marker)).status in _TAKEN
        if not taken or not await await_final(client, [visitor.crypto.hash_struct(marker.body)]):
            tally.add("nothing is taken any more")
            return tally.row()
        # What came after it is in the ledger: it would be there, too.
        told = await ask_each(["coordinator-0", "contributor-0"], client.status)
        count = told.answers["contributor-0"].transactions
        dropped = told.answers["coordinator-0"].dropped
        where = "coordinator: replayed" if dropped.get(Reason.REPLAYED.value) else _name(answer)
        tally.add(None if count != old + 1 else where or "nothing came of it")
    return tally.row()
