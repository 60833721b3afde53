"""Answers about the chain are the chain: whoever holds the genesis can check each of them."""

import asyncio
from typing import Any

import msgspec
import pytest

from ehrcore.block import RecordRef, genesis_hash
from ehrcore.codec import MAX_MESSAGE_BYTES, decode, encode
from ehrcore.consensus.finality import header_hash, verify_certificate
from ehrcore.drive.net import host as host_module
from ehrcore.drive.net.host import NodeHost
from ehrcore.drive.net.status import NodeStatus
from ehrcore.drive.net.web import chain as chain_module
from ehrcore.drive.net.web.problems import PROBLEM_MEDIA
from ehrcore.drive.net.web.views import (
    BLOCKS_MEDIA,
    FLAGS_MEDIA,
    IDS_MEDIA,
    JSON_MEDIA,
    RECEIPT_MEDIA,
    BlockSummary,
    BlockView,
    FoundView,
    HealthView,
)
from ehrcore.identity import Reason
from ehrcore.ledger import open_crypto
from ehrcore.merkle import verify_inclusion
from ehrcore.messages import Finalised, Receipt
from ehrcore.state import ChainState
from tests.core.net.conftest import Answer, Local, Written

NODE = "contributor-0"
UNKNOWN = "00" * 32


def genesis_state(net: Local) -> ChainState:
    genesis = net.plan.open_genesis()
    crypto = open_crypto(genesis.params)
    chain = genesis_hash(crypto, genesis.params, genesis.certificates)
    return ChainState(genesis.params, chain, genesis.certificates, crypto)


def require_problem(answer: Answer, slug: str, status: int) -> None:
    assert (answer.status, answer.media) == (status, PROBLEM_MEDIA)
    assert msgspec.json.decode(answer.body)["type"] == f"/problems/{slug}"


@pytest.mark.parametrize("node", ["contributor-0", "coordinator-0", "administrator-0"])
def test_blocks_from_anyone_replay_to_the_same_state(written: Written, node: str) -> None:
    async def check() -> None:
        async with Local(written.path, node, *(() if node == NODE else (NODE,))) as net:
            state, keeper = genesis_state(net), net.hosts[NODE]
            while True:
                answer = await net.ask(node, f"/v1/blocks?from={state.height + 1}&limit=2")
                assert (answer.status, answer.media) == (200, BLOCKS_MEDIA)
                finals = decode(answer.body, tuple[Finalised, ...])
                if not finals:
                    break
                assert len(finals) <= 2
                for final in finals:
                    state.apply(final.block, state.validate(final.block, final.certificate))
            assert (state.height, state.tip) == (keeper.height, keeper.tip)
            assert state.height >= 5
            assert keeper.status().state == state.digest.hex()

    asyncio.run(check())


def test_blocks_of_one_answer_fit_one_message(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            whole = decode((await net.ask(NODE, "/v1/blocks?limit=64")).body, tuple[Finalised, ...])
            assert [final.block.header.height for final in whole] == list(range(1, net.hosts[NODE].height + 1))
            sizes = [len(encode(final)) for final in whole]
            for count in range(1, len(sizes)):
                monkeypatch.setattr(host_module, "MAX_MESSAGE_BYTES", sum(sizes[:count]) + 65)
                answer = await net.ask(NODE, "/v1/blocks?limit=64")
                assert decode(answer.body, tuple[Finalised, ...]) == whole[:count]
            assert len(whole) * max(sizes) < MAX_MESSAGE_BYTES

    asyncio.run(check())


@pytest.mark.parametrize(
    "query",
    ["from=-1", "from=x", "from=", "from=1.5", "from=9007199254740992", "from=%31%00", "limit=0", "limit=65",
     "limit=1e1", "limit=99999999999999999999", "from=1&limit=", "from=\u0661", "limit=+1", "from=%20%31"],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(written: Written, query: str) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            require_problem(await net.ask(NODE, f"/v1/blocks?{query}"), "malformed", 400)
            assert net.hosts[NODE].counters.problems == {"malformed": 1}

    asyncio.run(check())


def test_blocks_beyond_the_chain_are_none(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE, "administrator-0") as net:
            for node in net.hosts:
                for first in (net.hosts[NODE].height + 1, (1 << 53) - 1):
                    answer = await net.ask(node, f"/v1/blocks?from={first}")
                    assert (answer.status, decode(answer.body, tuple[Finalised, ...])) == (200, ())

    asyncio.run(check())


def test_final_says_for_each_id_whether_the_ledger_holds_it(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "_TURN", 3)

    async def check() -> None:
        async with Local(written.path, NODE) as net:
            asked = [bytes.fromhex(tx_id) for known in written.tx_ids for tx_id in (known, UNKNOWN, known[:62])]
            for ids in ([], asked[:1], asked, asked[1:], asked[:3], asked[:4]):
                answer = await net.post(NODE, "/v1/final", encode(tuple(ids)), IDS_MEDIA)
                assert (answer.status, answer.media) == (200, FLAGS_MEDIA)
                expected = tuple(int(tx_id.hex() in written.tx_ids) for tx_id in ids)
                assert decode(answer.body, tuple[int, ...]) == expected

    asyncio.run(check())


@pytest.mark.parametrize(
    ("body", "slug", "status"),
    [
        (b"", "malformed", 400),
        (b"\xc1", "malformed", 400),
        (encode((b"short",)), "malformed", 400),
        (encode((1, 2)), "malformed", 400),
        (encode((bytes(32),) * 8_193), "malformed", 400),
        (bytes(chain_module.MAX_IDS_BYTES + 1), "too-large", 413),
    ],
    ids=["empty", "garbage", "short id", "numbers", "too many", "oversized"],
)
def test_what_are_no_ids_is_refused(written: Written, body: bytes, slug: str, status: int) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            require_problem(await net.post(NODE, "/v1/final", body, IDS_MEDIA), slug, status)
            most = encode((bytes(32),) * 8_192)
            assert len(decode((await net.post(NODE, "/v1/final", most)).body, tuple[int, ...])) == 8_192

    asyncio.run(check())


@pytest.mark.parametrize("node", ["contributor-0", "coordinator-0"])
def test_a_transactions_receipt_proves_what_its_view_says(written: Written, node: str) -> None:
    async def check() -> None:
        async with Local(written.path, node) as net:
            state = genesis_state(net)
            crypto = open_crypto(state.params)
            for tx_id in written.tx_ids:
                answer = await net.ask(node, f"/v1/transactions/{tx_id}")
                assert (answer.status, answer.media) == (200, JSON_MEDIA)
                view = msgspec.json.decode(answer.body, type=FoundView)
                answer = await net.ask(node, f"/v1/transactions/{tx_id}/receipt")
                assert (answer.status, answer.media) == (200, RECEIPT_MEDIA)
                receipt = decode(answer.body, Receipt)
                header, (entry,) = receipt.header, receipt.entries
                verify_inclusion(crypto.suite, header.merkle_root, header.size, entry.index, entry.leaf, entry.path)
                block_hash = header_hash(crypto, header)
                verify_certificate(crypto, state.params, state.validators, header, block_hash, receipt.certificate)
                found = net.hosts[node].find(bytes.fromhex(tx_id))
                assert found is not None
                assert encode(found.endorsed) == entry.leaf
                assert (view.id, view.status, view.reason) == (tx_id, "final", "")
                assert (view.height, view.position, view.block) == (header.height, entry.index, block_hash.hex())
                assert view.committed_at == header.timestamp >= view.submitted_at
                require_same_record(view, found.endorsed.transaction)

    asyncio.run(check())


def require_same_record(view: FoundView, tx: Any) -> None:
    record = tx.body.payload
    assert (view.author, view.submitted_at) == (tx.body.author, tx.body.submitted_at)
    if isinstance(record, RecordRef):
        assert view.kind == "sensor"
        expected: Any = (record.pseudonym.hex(), record.digest.hex(), record.location)
    else:
        assert (view.kind, view.author) == ("revocation", "authority-0")
        expected = (None, None, None)
    assert (view.pseudonym, view.digest, view.location) == expected


@pytest.mark.parametrize("suffix", ["", "/receipt"])
def test_an_unknown_transaction_is_not_found(written: Written, suffix: str) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            for tx_id in (UNKNOWN, "ff" * 16, written.tx_ids[0][:62]):
                answer = await net.ask(NODE, f"/v1/transactions/{tx_id}{suffix}")
                require_problem(answer, "unknown-transaction", 404)
            for bad in (
                "x",
                "00" * 15,
                "00" * 33,
                "0" * 63,
                written.tx_ids[0].upper(),
                "%00" * 32,
                "0x" + "00" * 16,
                "%0A",
            ):
                require_problem(await net.ask(NODE, f"/v1/transactions/{bad}{suffix}"), "malformed", 400)

    asyncio.run(check())


async def summaries(net: Local, query: str = "") -> list[BlockSummary]:
    answer = await net.ask(NODE, f"/v1/chain{query}")
    assert (answer.status, answer.media) == (200, JSON_MEDIA)
    return msgspec.json.decode(answer.body, type=list[BlockSummary])


def test_the_chain_is_listed_newest_first(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            host: NodeHost = net.hosts[NODE]
            whole = await summaries(net, "?limit=100")
            assert [line.height for line in whole] == list(range(host.height, 0, -1))
            assert whole[0].hash == host.tip.hex()
            assert sum(line.transactions for line in whole) == len(written.tx_ids)
            for before in range(host.height + 3):
                for limit in (1, 2, 100):
                    expected = [line for line in whole if line.height < before][:limit]
                    assert await summaries(net, f"?before={before}&limit={limit}") == expected
            assert await summaries(net, f"?before={(1 << 53) - 1}") == whole[:20]
            require_problem(await net.ask(NODE, "/v1/chain?limit=101"), "malformed", 400)
            require_problem(await net.ask(NODE, "/v1/chain?before=-1"), "malformed", 400)

    asyncio.run(check())


def test_a_block_is_shown_as_it_is_kept(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            host: NodeHost = net.hosts[NODE]
            seen: list[str] = []
            previous = net.plan.chain
            for entry in host.entries(1, host.height + 1):
                header = entry.block.header
                answer = await net.ask(NODE, f"/v1/chain/{header.height}")
                assert answer.status == 200
                view = msgspec.json.decode(answer.body, type=BlockView)
                assert (view.height, view.previous, view.state) == (header.height, previous, entry.state.hex())
                assert (view.proposer, view.timestamp) == (header.proposer, header.timestamp)
                assert view.merkle_root == header.merkle_root.hex()
                assert view.certificate.signed_by == ("administrator-0",)
                assert view.transactions == len(view.contents) == header.size
                assert all(tx.endorsed_by == ("agent-0",) for tx in view.contents)
                assert all(tx.approved_by == ("coordinator-0",) for tx in view.contents)
                seen += [tx.id for tx in view.contents]
                previous = view.hash
            assert previous == host.tip.hex()
            assert sorted(seen) == sorted(written.tx_ids)

    asyncio.run(check())


def test_what_was_marked_invalid_is_shown_so(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            host, kept = net.hosts[NODE], net.hosts[NODE].entries
            tx_id = written.tx_ids[0]
            found = host.find(bytes.fromhex(tx_id))
            assert found is not None

            def entries(first: int, last: int) -> Any:
                return [msgspec.structs.replace(entry, reasons=(Reason.REVOKED,) * len(entry.reasons))
                        for entry in kept(first, last)]  # fmt: skip

            monkeypatch.setattr(host, "entries", entries)
            assert msgspec.json.decode((await net.ask(NODE, f"/v1/transactions/{tx_id}")).body)["reason"] == "revoked"
            view = msgspec.json.decode((await net.ask(NODE, f"/v1/chain/{found.height}")).body, type=BlockView)
            assert view.invalid == view.transactions > 0
            assert {tx.reason for tx in view.contents} == {"revoked"}
            assert (await summaries(net))[0].invalid > 0

    asyncio.run(check())


@pytest.mark.parametrize(("height", "slug", "status"), [
    ("0", "unknown-block", 404), ("99", "unknown-block", 404), (str((1 << 53) - 1), "unknown-block", 404),
    ("-1", "malformed", 400), ("one", "malformed", 400), (str(1 << 53), "malformed", 400),
])  # fmt: skip
def test_a_block_that_is_not_there(written: Written, height: str, slug: str, status: int) -> None:
    async def check() -> None:
        async with Local(written.path, NODE) as net:
            require_problem(await net.ask(NODE, f"/v1/chain/{height}"), slug, status)

    asyncio.run(check())


def test_health_and_status_are_the_hosts_own(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, NODE, "agent-0") as net:
            for node, host in net.hosts.items():
                health = msgspec.json.decode((await net.ask(node, "/v1/health")).body, type=HealthView)
                assert health == HealthView(node, host.role.value, host.phase.value, host.height)
                status = msgspec.json.decode((await net.ask(node, "/v1/status")).body, type=NodeStatus)
                assert (status.name, status.height, status.tip) == (node, host.height, host.tip.hex())
                assert status.http["GET /v1/health 200"] == 1
                assert (status.transactions is None) == (node == "agent-0")

    asyncio.run(check())
