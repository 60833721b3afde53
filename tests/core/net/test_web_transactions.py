"""The agent's endpoint: what it takes, what it refuses and why, and that it goes on."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ehrcore.block import RecordRef, Transaction
from ehrcore.codec import encode
from ehrcore.drive.net import host as host_module
from ehrcore.drive.net.plan import NetworkFolder
from ehrcore.drive.net.web.problems import PROBLEM_MEDIA, PROBLEMS, REASONS, ProblemView
from ehrcore.drive.net.web.transactions import MAX_TRANSACTION_BYTES
from ehrcore.drive.net.web.views import JSON_MEDIA, TRANSACTION_MEDIA, SubmittedView, transaction_view
from ehrcore.identity import Reason
from ehrcore.rules import AUTHORITY
from ehrcore.types import MINUTE
from tests.core.net.conftest import Answer, Local, found_local

ROUTE = "/v1/transactions"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found_local(tmp_path / "network")
    return tmp_path / "network"


async def submit(net: Local, tx: Transaction, media: str = JSON_MEDIA) -> Answer:
    body = msgspec.json.encode(transaction_view(tx)) if media == JSON_MEDIA else encode(tx)
    return await net.post("agent-0", ROUTE, body, media)


def require_problem(answer: Answer, slug: str, reason: Reason | None = None) -> None:
    problem = msgspec.json.decode(answer.body, type=ProblemView)
    assert (answer.status, answer.media) == (PROBLEMS[slug][0], PROBLEM_MEDIA)
    assert (problem.slug, problem.status) == (f"/problems/{slug}", answer.status)
    assert problem.reason == (reason.value if reason else None)


async def require_serving(net: Local) -> None:
    answer = await submit(net, net.transaction(1_000))
    assert answer.status == 202, answer.body


@pytest.mark.parametrize("media", [JSON_MEDIA, TRANSACTION_MEDIA, "Application/JSON; charset=utf-8"])
def test_a_good_transaction_is_accepted_durably_and_then_known(path: Path, media: str) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            host, tx = net.hosts["agent-0"], net.transaction()
            for status in ("accepted", "known"):
                body = encode(tx) if media == TRANSACTION_MEDIA else msgspec.json.encode(transaction_view(tx))
                answer = await net.post("agent-0", ROUTE, body, media)
                assert (answer.status, answer.media) == (202, JSON_MEDIA)
                view = msgspec.json.decode(answer.body, type=SubmittedView, strict=True)
                assert view == SubmittedView(net.tx_id(tx), status, "agent-0")
                assert host.journal.pending().keys() == {bytes.fromhex(view.id)}
            assert host.waiting == 1
            assert host.counters.http == {("POST", ROUTE, 202): 2}
            assert host.counters.problems == {}

    asyncio.run(check())


def resigned(net: Local, tx: Transaction, **changes: Any) -> Transaction:
    """``tx`` with another body, signed by the visitor."""
    body = msgspec.structs.replace(tx.body, **changes)
    return Transaction(body, net.folder.context(net.plan, "visitor-0").crypto.sign(body))


def of_record(net: Local, **changes: Any) -> Transaction:
    tx = net.transaction()
    assert isinstance(tx.body.payload, RecordRef)
    return resigned(net, tx, payload=msgspec.structs.replace(tx.body.payload, **changes))


BAD: list[tuple[str, Reason, Callable[[Local], Transaction]]] = [
    ("unsigned", Reason.BAD_SIGNATURE, lambda net: msgspec.structs.replace(net.transaction(), signature=bytes(64))),
    (
        "wrongly signed",
        Reason.BAD_SIGNATURE,
        lambda net: msgspec.structs.replace(net.transaction(), signature=net.transaction(2).signature),
    ),
    # Signed by a visitor in the name of others: who these are is not for it to learn.
    ("of a stranger", Reason.BAD_SIGNATURE, lambda net: resigned(net, net.transaction(), author="visitor-7")),
    ("of no visitor", Reason.BAD_SIGNATURE, lambda net: resigned(net, net.transaction(), author="agent-0")),
    ("of the authority", Reason.BAD_SIGNATURE, lambda net: resigned(net, net.transaction(), author=AUTHORITY)),
    ("for another chain", Reason.WRONG_CHAIN, lambda net: resigned(net, net.transaction(), chain=bytes(32))),
    ("stale", Reason.STALE, lambda net: net.transaction(submitted_at=time.time_ns() - 61 * MINUTE)),
    ("of 1970", Reason.STALE, lambda net: net.transaction(submitted_at=0)),
    ("future-dated", Reason.FUTURE, lambda net: net.transaction(submitted_at=time.time_ns() + 10 * MINUTE)),
    ("of the far future", Reason.FUTURE, lambda net: net.transaction(submitted_at=(1 << 63) - 1)),
]


@pytest.mark.parametrize("media", [JSON_MEDIA, TRANSACTION_MEDIA])
@pytest.mark.parametrize(("reason", "make"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_transaction_that_may_not_be_is_told_why(
    path: Path, reason: Reason, make: Callable[[Local], Transaction], media: str
) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            tx = make(net)
            answer = await submit(net, tx, media)
            require_problem(answer, reason.value, reason)
            assert net.tx_id(tx).encode() in answer.body
            assert (answer.status == 401) == ("WWW-Authenticate" in answer.headers)
            host = net.hosts["agent-0"]
            assert host.journal.pending() == {}
            assert host.counters.problems == {reason.value: 1}
            assert host.counters.http == {("POST", ROUTE, REASONS[reason][0]): 1}
            metrics = (await net.ask("agent-0", "/metrics")).body.decode()
            assert f'ehrcore_problems_total{{problem="{reason.value}",role="agent"}} 1.0' in metrics
            await require_serving(net)

    asyncio.run(check())


def test_a_replayed_nonce_is_refused(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            assert (await submit(net, net.transaction(5))).status == 202
            other = net.transaction(5, submitted_at=time.time_ns() - 1)
            require_problem(await submit(net, other), "replayed", Reason.REPLAYED)
            await require_serving(net)

    asyncio.run(check())


def test_a_final_transaction_sent_again_is_a_replay(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            tx = net.transaction()
            assert (await submit(net, tx)).status == 202
            net.hosts["agent-0"].out.settle([bytes.fromhex(net.tx_id(tx))])
            require_problem(await submit(net, tx), "replayed", Reason.REPLAYED)

    asyncio.run(check())


def test_a_transaction_that_fits_no_block_is_too_large(tmp_path: Path) -> None:
    async def check() -> None:
        path = tmp_path / "network"
        found_local(path, max_block_bytes=1_024)
        async with Local(path, "agent-0") as net:
            require_problem(await submit(net, net.transaction(location="x" * 512)), "too-large", Reason.TOO_LARGE)
            assert net.hosts["agent-0"].counters.problems == {"too-large": 1}

    asyncio.run(check())


def test_a_visitor_without_the_right_is_refused(path: Path) -> None:
    """The founded visitors may submit every kind, so the chain's rule is asked with a kind that there is not."""

    async def check() -> None:
        async with Local(path, "agent-0") as net:
            tx = of_record(net, kind=7)
            registry = net.hosts["agent-0"].machine._registry  # type: ignore[attr-defined]
            held = registry.certificate_of("visitor-0")
            body = msgspec.structs.replace(held.body, kinds=(1,))
            registry._by_subject["visitor-0"] = msgspec.structs.replace(held, body=body)
            require_problem(await submit(net, tx), "no-right", Reason.NO_RIGHT)
            registry.revoke(held.body.serial)
            require_problem(await submit(net, tx), "revoked", Reason.REVOKED)

    asyncio.run(check())


def test_the_authoritys_orders_come_as_canonical_bytes(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            folder, plan = NetworkFolder(path), net.plan
            authority, chain = folder.open_authority(plan), bytes.fromhex(plan.chain)
            order = authority.revoke(chain, 1_000_000, time.time_ns())
            assert (await submit(net, order, TRANSACTION_MEDIA)).status == 202
            assert net.hosts["agent-0"].journal.orders() == [encode(order)]

    asyncio.run(check())


MALFORMED: dict[str, tuple[str, bytes]] = {
    "no JSON": (JSON_MEDIA, b"{"),
    "empty": (JSON_MEDIA, b""),
    "empty and canonical": (TRANSACTION_MEDIA, b""),
    "deep": (JSON_MEDIA, b"[" * 60_000),
    "no transaction": (TRANSACTION_MEDIA, encode(("x", 1))),
    "garbage": (TRANSACTION_MEDIA, b"\xc1\xff"),
    "deep and canonical": (TRANSACTION_MEDIA, b"\x91" * 60_000),
}


@pytest.mark.parametrize(("media", "body"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_transaction_is_refused(path: Path, media: str, body: bytes) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            require_problem(await net.post("agent-0", ROUTE, body, media), "malformed")
            assert net.hosts["agent-0"].counters.problems == {"malformed": 1}
            await require_serving(net)

    asyncio.run(check())


def test_another_spelling_of_the_same_transaction_is_refused(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            body = encode(net.transaction(1))
            longer = body.replace(b"visitor-0\x01", b"visitor-0\xcc\x01")  # one as an integer of two bytes
            assert longer != body
            require_problem(await net.post("agent-0", ROUTE, longer, TRANSACTION_MEDIA), "malformed")

    asyncio.run(check())


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/vnd.ehrcore.frame"])
def test_other_media_types_are_refused(path: Path, media: str) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            require_problem(await net.post("agent-0", ROUTE, b"{}", media), "unsupported-media-type")

    asyncio.run(check())


def test_an_oversized_body_is_refused(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            padded = msgspec.json.encode(transaction_view(net.transaction()))
            padded += b" " * (MAX_TRANSACTION_BYTES - len(padded))
            require_problem(await net.post("agent-0", ROUTE, padded + b" ", JSON_MEDIA), "too-large")
            assert (await net.post("agent-0", ROUTE, padded, JSON_MEDIA)).status == 202

    asyncio.run(check())


def test_a_busy_agent_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            monkeypatch.setattr(host_module, "WAITING_LIMIT", 7)  # of which one author gets three
            for nonce in range(3):
                assert (await submit(net, net.transaction(nonce))).status == 202
            answer = await submit(net, net.transaction(3))
            require_problem(answer, "busy")
            assert answer.headers["Retry-After"] == "1"
            assert len(net.hosts["agent-0"].journal.pending()) == 3

    asyncio.run(check())
