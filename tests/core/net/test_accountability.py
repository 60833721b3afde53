"""On real nodes: who votes twice loses its vote, over restarts too, and proofs follow the change."""

import asyncio
import time
from pathlib import Path

import pytest

from ehrcore.block import Genesis, VoteBody
from ehrcore.consensus.pos import PREVOTE
from ehrcore.drive.net.node import open_host
from ehrcore.effects import Received
from ehrcore.messages import Vote
from ehrcore.proof import build_proof, verify_proof
from tests.core.net.conftest import Local, eventually, found_local

GUILTY = "administrator-3"
OTHERS = tuple(f"administrator-{index}" for index in range(3))


async def commit(net: Local, nonce: int) -> bytes:
    """Submit a transaction and wait until it is in the ledger."""
    tx = net.transaction(nonce)
    await net.hosts["agent-0"].submit(tx)
    tx_id, keeper = bytes.fromhex(net.tx_id(tx)), net.hosts["contributor-0"]

    async def is_final() -> bool:
        return keeper.find(tx_id) is not None

    await eventually(is_final)
    return tx_id


async def vote_twice(net: Local) -> None:
    """Two prevotes of one administrator for the next height, told to all others."""
    crypto, chain = net.folder.context(net.plan, GUILTY).crypto, bytes.fromhex(net.plan.chain)
    height = max(host.height for host in net.hosts.values()) + 1
    for mark in (1, 2):
        body = VoteBody(chain, height, 0, PREVOTE, bytes([mark]) * 32)
        vote = Vote(body, GUILTY, crypto.sign(body))
        await asyncio.gather(*(net.hosts[name].process([Received(GUILTY, vote)]) for name in OTHERS))


@pytest.mark.slow
def test_an_offender_is_out_for_good_and_receipts_show_the_change(tmp_path: Path) -> None:
    async def offend() -> bytes:
        async with Local(tmp_path) as net:
            await commit(net, 1)
            await vote_twice(net)
            keeper = net.hosts["contributor-0"]

            async def is_out() -> bool:
                await commit(net, time.time_ns() % (1 << 50))
                return keeper.state is not None and keeper.state.validators.find(GUILTY) is None

            await eventually(is_out)
            last = await commit(net, 1 << 51)
            receipt = keeper.receipt(last)
            assert receipt is not None
            assert len(receipt.trail) == 1
            genesis: Genesis = net.plan.open_genesis()
            shown = verify_proof(build_proof(genesis, receipt, (receipt.word,)), bytes.fromhex(net.plan.chain))
            assert GUILTY not in {vote.node for vote in shown.certificate.votes}  # type: ignore[union-attr]
            return keeper.state.validators.digest if keeper.state else b""

    async def restart(digest: bytes) -> None:
        for name in ("administrator-0", "contributor-0", "coordinator-0"):
            host = open_host(tmp_folder, plan, name)
            found = host.state.stakes if host.state else host.machine._pool._standing.stakes
            assert found.validators.digest == digest, name
            host.journal.close()
            if host.library:
                host.library.close()
        async with Local(tmp_path) as net:
            await commit(net, 1 << 52)

    plan = found_local(tmp_path, administrators=4)
    digest = asyncio.run(offend())
    tmp_folder = Local(tmp_path).folder
    asyncio.run(restart(digest))
