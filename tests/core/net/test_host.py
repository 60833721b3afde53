"""Hosts, links, syncing and writing, in one process over real sockets."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from ehrcore.block import Evidence, RecordRef, Revocation, Statement, Transaction, TransactionBody, VoteBody
from ehrcore.codec import encode
from ehrcore.drive.net.host import WAITING_LIMIT, BusyError, OldEpochError, Phase, steady_clock
from ehrcore.drive.net.node import open_host
from ehrcore.effects import Observed, ObservedKind
from ehrcore.errors import CodecError, IdentityError
from ehrcore.identity import Reason
from ehrcore.ledger import SqliteLedger
from ehrcore.messages import Approve, Refused, Submit
from ehrcore.rules import nonce_of
from ehrcore.types import SECOND, Role
from tests.core.net.conftest import Local, eventually, found_local


async def commit(net: Local, *nonces: int) -> None:
    """Submit to every agent and wait until every contributor has it."""
    for nonce in nonces:
        tx = net.transaction(nonce)
        for name, host in net.hosts.items():
            if name.startswith("agent"):
                assert (await host.submit(tx)).reason is Reason.ACCEPTED
    keepers = [host for name, host in net.hosts.items() if name.startswith("contributor")]

    async def is_done() -> bool:
        return all(host.library.transactions >= max(nonces) for host in keepers)

    await eventually(is_done)


def test_a_transaction_goes_all_the_way_and_the_agent_forgets_it(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path, agents=2, coordinators=2, contributors=2)
        async with Local(tmp_path) as net:
            await commit(net, 1, 2, 3)
            agent = net.hosts["agent-0"]

            async def is_settled() -> bool:
                return agent.waiting == 0

            await eventually(is_settled)
            assert {host.height for name, host in net.hosts.items() if name.startswith("con")} == {agent_height(net)}

    def agent_height(net: Local) -> int:
        return net.hosts["administrator-0"].height

    asyncio.run(check())


def test_what_coordinators_refuse_is_forgotten_and_its_author_is_told_when_asking_again(tmp_path: Path) -> None:
    """Its object is nowhere: agents cannot know, and would say it again for two hours."""

    async def check() -> None:
        found_local(tmp_path, agents=2, coordinators=2)
        async with Local(tmp_path) as net:
            tx = net.transaction(1, payload=RecordRef(7, bytes(32), bytes(32), "/nowhere", 6))
            agents = [net.hosts[name] for name in ("agent-0", "agent-1")]
            for agent in agents:
                assert (await agent.submit(tx)).reason is Reason.ACCEPTED

            async def is_free() -> bool:
                return not any(agent.waiting for agent in agents)

            await eventually(is_free)
            for agent in agents:
                assert (await agent.submit(tx)).reason is Reason.CONTRACT
                assert agent.counters.dropped == {"contract": 1}
            assert (await agents[0].submit(net.transaction(2))).reason is Reason.ACCEPTED

    asyncio.run(check())


def test_a_frame_is_handled_once_however_often_it_comes(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path, "agent-0") as net:
            host = net.hosts["agent-0"]
            frame = net.frame("visitor-0", "agent-0", (encode(Submit(net.transaction())),), epoch=5, sequence=1)
            answers = await asyncio.gather(*(host.receive(frame) for _ in range(3)))
            assert answers == [True, False, False]
            assert host.counters.frames_in == 1
            with pytest.raises(OldEpochError):
                await host.receive(net.frame("visitor-0", "agent-0", epoch=4, sequence=9))
            assert await host.receive(net.frame("visitor-0", "agent-0", epoch=6, sequence=1))

    asyncio.run(check())


def test_a_frame_with_one_bad_message_does_nothing_and_may_come_again(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path, "agent-0") as net:
            host = net.hosts["agent-0"]
            good = encode(Submit(net.transaction()))
            with pytest.raises(CodecError):
                await host.receive(net.frame("visitor-0", "agent-0", (good, b"\x93"), epoch=5, sequence=1))
            assert host.waiting == 0
            assert await host.receive(net.frame("visitor-0", "agent-0", (good,), epoch=5, sequence=1))
            assert host.waiting == 1

    asyncio.run(check())


def test_whoever_was_answered_has_been_written_down(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path, "agent-0") as net:
            host, tx = net.hosts["agent-0"], net.transaction()
            await host.submit(tx)
            assert list(host.journal.pending()) == [bytes.fromhex(net.tx_id(tx))]
            assert (await host.submit(tx)).is_known

    asyncio.run(check())


def test_an_agent_that_starts_again_knows_what_it_had_accepted(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path, "agent-0") as net:
            tx = net.transaction()
            await net.hosts["agent-0"].submit(tx)
        async with Local(tmp_path) as net:
            assert (await net.hosts["agent-0"].submit(tx)).is_known
            keeper = net.hosts["contributor-0"]

            async def is_final() -> bool:
                return keeper.find(bytes.fromhex(net.tx_id(tx))) is not None

            await eventually(is_final)

    asyncio.run(check())


def test_too_much_waiting_has_to_wait_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of four places one author gets two: half of what is left each time, rounded up.
    monkeypatch.setattr("ehrcore.drive.net.host.WAITING_LIMIT", 4)
    assert WAITING_LIMIT > 4

    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path, "agent-0") as net:
            host = net.hosts["agent-0"]
            for nonce in (1, 2):
                await host.submit(net.transaction(nonce))
            with pytest.raises(BusyError):
                await host.submit(net.transaction(3))
            frame = net.frame("visitor-0", "agent-0", (encode(Submit(net.transaction(4))),))
            with pytest.raises(BusyError):
                await host.receive(frame)
            host.out.settle([bytes.fromhex(net.tx_id(net.transaction(1)))])
            host.out.repeats.settle(list(host.journal.pending()))
            assert await host.receive(frame)

    asyncio.run(check())


def test_authors_that_take_all_they_get_leave_room_for_a_newcomer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ehrcore.drive.net.host.WAITING_LIMIT", 60)
    flooders = [f"visitor-{index}" for index in range(4)]

    async def check() -> None:
        found_local(tmp_path, visitors=5)
        async with Local(tmp_path, "agent-0") as net:
            host, crypto = net.hosts["agent-0"], {name: net.folder.context(net.plan, name).crypto for name in flooders}
            taken = dict.fromkeys(flooders, 0)
            for nonce in range(20):
                for name in flooders:
                    body = msgspec.structs.replace(net.transaction(nonce).body, author=name)
                    with suppress(BusyError):
                        await host.submit(Transaction(body, crypto[name].sign(body)))
                        taken[name] += 1
            assert min(taken.values()) >= 60 // 6 - 1
            own = net.folder.context(net.plan, "visitor-4").crypto
            for nonce in range(60 // 8):
                body = msgspec.structs.replace(net.transaction(nonce).body, author="visitor-4")
                assert not (await host.submit(Transaction(body, own.sign(body)))).reason

    asyncio.run(check())


def test_no_administrators_flood_of_evidence_keeps_visitors_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may accuse itself of something at every height that there will ever be."""
    monkeypatch.setattr("ehrcore.drive.net.host.AUTHOR_LIMIT", 2)
    liar = "administrator-0"

    async def check() -> None:
        plan = found_local(tmp_path)
        voters = sorted(name for name, role in plan.roles().items() if role is Role.ADMINISTRATOR)
        chain = bytes.fromhex(plan.chain)
        async with Local(tmp_path, "agent-0") as net:
            host, crypto = net.hosts["agent-0"], net.folder.context(plan, liar).crypto

            def accuse(height: int) -> bytes:
                bodies = [VoteBody(chain, height, 0, 1, bytes([mark]) * 32) for mark in (1, 2)]
                evidence = Evidence(liar, *(Statement(body, crypto.sign(body)) for body in bodies))
                body = TransactionBody(chain, liar, nonce_of(voters, evidence), time.time_ns(), evidence)
                return encode(Submit(Transaction(body, crypto.sign(body))))

            for height in (1, 2):
                assert await host.receive(net.frame(liar, "agent-0", (accuse(height),)))
            with pytest.raises(BusyError):
                await host.receive(net.frame(liar, "agent-0", (accuse(3),)))
            assert (host.waiting, (await host.submit(net.transaction(1))).reason) == (2, Reason.ACCEPTED)

    asyncio.run(check())


def test_a_revocation_outlives_a_restart_of_agent_and_administrator(tmp_path: Path) -> None:
    async def check() -> None:
        plan = found_local(tmp_path, visitors=2)
        async with Local(tmp_path) as net:
            await commit(net, 1)
            serial = next(
                certificate.body.serial
                for certificate in plan.open_genesis().certificates
                if certificate.body.subject == "visitor-1"
            )
            authority = net.folder.open_authority(plan)
            order = authority.revoke(bytes.fromhex(plan.chain), serial, time.time_ns())
            assert isinstance(order.body.payload, Revocation)
            assert (await net.hosts["agent-0"].submit(order)).reason is Reason.ACCEPTED
            keeper = net.hosts["contributor-0"]

            async def is_final() -> bool:
                return keeper.library.transactions == 2

            await eventually(is_final)
        for name in ("agent-0", "administrator-0"):
            host = open_host(net.folder, plan, name)
            registry = getattr(host.machine, "_registry", None) or host.machine._pool._standing.registry
            assert serial in registry._revoked, name
            host.journal.close()

    asyncio.run(check())


def test_a_keeper_without_ledger_or_administrator_learns_the_chain_from_peers(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path, coordinators=2, contributors=2)
        names = ("agent-0", "coordinator-0", "coordinator-1", "administrator-0", "contributor-0")
        async with Local(tmp_path, *names) as net:
            tx = net.transaction(1)
            await net.hosts["agent-0"].submit(tx)

            async def is_final() -> bool:
                return net.hosts["contributor-0"].height == 1

            await eventually(is_final)
        async with Local(tmp_path, "contributor-0", "contributor-1", "coordinator-1") as net:

            async def has_caught_up() -> bool:
                return all(host.height == 1 and host.phase is Phase.READY for host in net.hosts.values())

            await eventually(has_caught_up)
        with SqliteLedger.open(net.folder.node("contributor-1") / "ledger.sqlite") as ledger:
            assert ledger.verify().height == 1

    asyncio.run(check())


def test_a_lying_peer_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that hands out blocks of another chain: nothing of them is taken."""

    async def check() -> None:
        found_local(tmp_path / "one", contributors=2)
        found_local(tmp_path / "other", contributors=2, name="other")
        async with Local(tmp_path / "other") as other:
            await commit(other, 1)
            false = other.hosts["contributor-0"].finals(1, 10)
        assert false
        async with Local(tmp_path / "one", "contributor-0", "contributor-1") as net:
            monkeypatch.setattr(net.hosts["contributor-0"], "finals", lambda *_: false)

            async def has_asked() -> int:
                return net.hosts["contributor-1"].counters.dropped.get("chain", 0)

            await eventually(has_asked)
            assert net.hosts["contributor-1"].height == 0

    asyncio.run(check())


def test_nobody_says_what_is_not_for_its_role_to_say(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path, "administrator-0", "agent-0") as net:
            for sender, receiver in (("visitor-0", "administrator-0"), ("contributor-0", "agent-0")):
                host = net.hosts[receiver]
                host.become_ready()
                message = Refused(bytes(32), Reason.CONTRACT, "")
                with pytest.raises(IdentityError, match=f"expected what a {sender[:-2]} says, found Refused"):
                    await host.receive(net.frame(sender, receiver, (encode(message),)))

    asyncio.run(check())


def test_an_administrator_that_has_asked_nobody_takes_no_part(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path, "administrator-0") as net:
            host = net.hosts["administrator-0"]
            with pytest.raises(BusyError, match="expected to have asked for the chain"):
                await host.receive(net.frame("coordinator-0", "administrator-0"))

    asyncio.run(check())


def test_an_approval_that_comes_again_after_a_restart_orders_nothing_twice(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path) as net:
            await commit(net, 1)
            (entry,) = net.hosts["contributor-0"].entries(1, 2)
            (item,) = entry.block.transactions
            approve = Approve(item.transaction, item.endorsements, item.outcome, item.approvals[0])
        async with Local(tmp_path) as net:
            host = net.hosts["administrator-0"]

            async def is_ready() -> bool:
                return host.phase is Phase.READY

            await eventually(is_ready)
            # Of an earlier start than the coordinator's own frames, which would else be refused as old.
            assert await host.receive(net.frame("coordinator-0", "administrator-0", (encode(approve),), epoch=1))
            await commit(net, 2)
            assert net.hosts["contributor-0"].library.transactions == 2
            assert not [
                reason for entry in net.hosts["contributor-0"].entries(1, 9) for reason in entry.reasons if reason
            ]

    asyncio.run(check())


def test_an_agent_learns_from_the_chain_what_was_ordered_while_it_was_away(tmp_path: Path) -> None:
    async def check() -> None:
        plan = found_local(tmp_path, agents=2, endorsements=1)
        others = [name for name in plan.nodes if name not in {"agent-1", "visitor-0"}]
        async with Local(tmp_path, *others) as net:
            certificates = plan.open_genesis().certificates
            serial = next(item.body.serial for item in certificates if item.body.subject == "visitor-0")
            order = net.folder.open_authority(plan).revoke(bytes.fromhex(plan.chain), serial, time.time_ns())
            await net.hosts["agent-0"].submit(order)

            async def is_final() -> bool:
                return net.hosts["contributor-0"].height == 1

            await eventually(is_final)
        async with Local(tmp_path, "agent-1", "contributor-0") as net:

            async def has_followed() -> bool:
                return net.hosts["agent-1"].height == 1

            await eventually(has_followed)
            assert (await net.hosts["agent-1"].submit(net.transaction(5))).reason is Reason.REVOKED

    asyncio.run(check())


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    clock = steady_clock()
    first = clock()
    assert abs(first - time.time_ns()) < 3_600 * SECOND
    assert clock() >= first


def test_dropped_reasons_are_counted_by_kind(tmp_path: Path) -> None:
    async def check() -> None:
        found_local(tmp_path)
        async with Local(tmp_path, "contributor-0") as net:
            host = net.hosts["contributor-0"]
            for detail in ("chain: expected a, found b", "chain: expected c, found d", "policy"):
                host.out._observe(Observed(ObservedKind.DROPPED, (), detail))
            assert host.status().dropped == {"chain": 2, "policy": 1}

    asyncio.run(check())
