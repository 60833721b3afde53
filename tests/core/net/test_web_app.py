"""Bad requests get a problem, are counted, and leave the node as it was: serving."""

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.codec import encode
from ehrcore.drive.net import host as host_module
from ehrcore.drive.net.frames import MAX_FRAME_BYTES, MAX_SKEW_NS, MEDIA_TYPE, TAG_BYTES, Frame, LinkKeys
from ehrcore.drive.net.web import app as app_module
from ehrcore.drive.net.web.app import SITE
from ehrcore.drive.net.web.exchange import USUAL, Bounds, read_bounds
from ehrcore.drive.net.web.problems import PROBLEM_MEDIA, PROBLEMS, ProblemView
from ehrcore.drive.net.web.routes import ROUTES, routes_of
from ehrcore.errors import CodecError, DeploymentError, IdentityError
from ehrcore.messages import Submit
from ehrcore.types import SECOND
from tests.core.net.conftest import Answer, Local, Written, eventually, found_local

Make = Callable[[Local], bytes]


@pytest.fixture(scope="module")
def path(tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("web") / "network"
    found_local(path)
    return path


def require_problem(answer: Answer, slug: str) -> ProblemView:
    """The problem in an answer, after checking that it is one of this kind."""
    problem = msgspec.json.decode(answer.body, type=ProblemView)
    assert (problem.slug, problem.status) == (f"/problems/{slug}", PROBLEMS[slug][0])
    assert answer.status == problem.status
    assert answer.media == PROBLEM_MEDIA
    assert answer.headers["Server"] == "ehrcore"
    assert problem.title == PROBLEMS[slug][1]
    assert problem.detail
    assert "Traceback" not in problem.detail
    return problem


async def require_counted(net: Local, slug: str, key: tuple[str, str, int], node: str = "agent-0") -> None:
    """The refusal stands in the counters and in the metrics, and the node answers."""
    counters = net.hosts[node].counters
    assert counters.problems == {slug: 1}
    assert counters.http == {key: 1}
    metrics = (await net.ask(node, "/metrics")).body.decode()
    role = node.rpartition("-")[0]
    assert f'ehrcore_problems_total{{problem="{slug}",role="{role}"}} 1.0' in metrics
    method, route, status = key
    labels = f'method="{method}",role="{role}",route="{route}",status="{status}"'
    assert f"ehrcore_http_requests_total{{{labels}}} 1.0" in metrics


async def require_serving(net: Local) -> None:
    """The node takes a good frame."""
    before = net.hosts["agent-0"].counters.frames_in
    good = net.seal(net.frame("coordinator-0", "agent-0", epoch=time.time_ns()))
    answer = await net.post_frame(good)
    assert (answer.status, answer.body) == (200, b"")
    assert net.hosts["agent-0"].counters.frames_in == before + 1


# -- frames ----------------------------------------------------------------------------------------------------------


def change_last_bit(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


def of_now(net: Local, **changes: Any) -> bytes:
    return net.seal(net.frame("coordinator-0", "agent-0", **changes))


def forged(net: Local, sender: str) -> bytes:
    """A frame in another's name, under the forger's own key."""
    frame = net.frame("coordinator-0", "agent-0")
    sealed = net.seal(frame, "visitor-0")
    return sealed if sender == frame.sender else net.seal(msgspec.structs.replace(frame, sender=sender), "visitor-0")


BAD_FRAMES: list[tuple[str, str, Make]] = [
    ("malformed", "malformed-frame", lambda _: b"\xc1" * 100),
    ("empty", "malformed-frame", lambda _: b""),
    ("a tag alone", "malformed-frame", lambda _: bytes(TAG_BYTES)),
    ("cut short", "malformed-frame", lambda net: of_now(net)[: -TAG_BYTES - 1]),
    ("unsigned", "malformed-frame", lambda net: encode(net.frame("coordinator-0", "agent-0"))),
    ("unsigned but padded", "not-authentic", lambda net: encode(net.frame("coordinator-0", "agent-0")) + bytes(32)),
    ("wrongly signed", "not-authentic", lambda net: change_last_bit(of_now(net))),
    ("signed by another", "not-authentic", lambda net: forged(net, "coordinator-0")),
    ("of a stranger", "not-authentic", lambda net: forged(net, "coordinator-7")),
    ("of itself", "not-authentic", lambda net: forged(net, "agent-0")),
    ("for another", "not-authentic", lambda net: net.seal(net.frame("coordinator-0", "contributor-0"))),
    ("of another chain", "not-authentic", lambda net: of_now(net, chain=bytes(32))),
    ("stale", "stale-frame", lambda net: of_now(net, sent_at=time.time_ns() - MAX_SKEW_NS - SECOND)),
    ("future-dated", "future-frame", lambda net: of_now(net, sent_at=time.time_ns() + MAX_SKEW_NS + 60 * SECOND)),
    ("of no message", "malformed-frame", lambda net: of_now(net, messages=(b"\xc0",))),
    ("of half a message", "malformed-frame", lambda net: of_now(net, messages=(b"\x92\xa6submit\x93",))),
    ("oversized", "too-large", lambda _: bytes(MAX_FRAME_BYTES + TAG_BYTES + 1)),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "make"), [case[1:] for case in BAD_FRAMES], ids=[case[0] for case in BAD_FRAMES])
def test_a_bad_frame_is_refused_counted_and_without_effect(path: Path, slug: str, make: Make) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            require_problem(await net.post_frame(make(net)), slug)
            assert net.hosts["agent-0"].counters.frames_in == 0
            await require_counted(net, slug, ("POST", "/v1/frames", PROBLEMS[slug][0]))
            await require_serving(net)

    asyncio.run(check())


def test_a_refused_frame_does_not_use_up_its_number(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            frame = net.frame("coordinator-0", "agent-0", messages=(b"\xc0",))
            require_problem(await net.post_frame(net.seal(frame)), "malformed-frame")
            mended = msgspec.structs.replace(frame, messages=())
            assert (await net.post_frame(net.seal(mended))).status == 200
            assert net.hosts["agent-0"].counters.frames_in == 1

    asyncio.run(check())


def test_a_duplicate_is_taken_once_and_acknowledged_again(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            sealed = of_now(net)
            answers = await asyncio.gather(*(net.post_frame(sealed) for _ in range(5)))
            assert [answer.status for answer in answers] == [200] * 5
            assert net.hosts["agent-0"].counters.frames_in == 1

    asyncio.run(check())


def test_a_replayed_frame_from_before_its_senders_start_is_refused(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            old = of_now(net, epoch=1)
            assert (await net.post_frame(old)).status == 200
            assert (await net.post_frame(of_now(net, epoch=2))).status == 200
            require_problem(await net.post_frame(old), "old-epoch")
            assert net.hosts["agent-0"].counters.problems == {"old-epoch": 1}
            await require_serving(net)

    asyncio.run(check())


def test_who_is_busy_says_when_to_come_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            monkeypatch.setattr(host_module, "WAITING_LIMIT", 0)
            answer = await net.post_frame(net.seal(net.frame("visitor-0", "agent-0")))
            require_problem(answer, "busy")
            assert answer.headers["Retry-After"] == "1"
            monkeypatch.undo()
            await require_counted(net, "busy", ("POST", "/v1/frames", 429))

    asyncio.run(check())


@pytest.mark.parametrize("media", ["", "application/json", "text/plain", "application/vnd.ehrcore.frames"])
def test_a_frame_comes_as_a_frame_alone(path: Path, media: str) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            # aiohttp names a media type of its own where none is given.
            require_problem(await net.post_frame(of_now(net), media=media), "unsupported-media-type")
            assert (await net.post_frame(of_now(net), media=f"{MEDIA_TYPE.upper()}; v=1")).status == 200
            for name, status in (("gzip", 415), ("identity", 200)):
                headers = {"Content-Type": MEDIA_TYPE, "Content-Encoding": name}
                sealed = of_now(net, epoch=time.time_ns())
                assert (await net.post("agent-0", "/v1/frames", sealed, headers=headers)).status == status

    asyncio.run(check())


def test_a_frame_of_full_length_passes(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            room = MAX_FRAME_BYTES - len(encode(net.frame("coordinator-0", "agent-0", messages=(bytes(1 << 16),))))
            sealed = of_now(net, messages=(bytes(room + (1 << 16)),))
            assert len(sealed) == MAX_FRAME_BYTES + TAG_BYTES
            require_problem(await net.post_frame(sealed), "too-large")
            keys = net.link_keys("coordinator-0")
            for greeting, slug in (
                # For its message, not for its length.
                (keys.greet("agent-0", time.time_ns()), "malformed-frame"),
                (keys.greet("administrator-0", time.time_ns()), "too-large"),
                (keys.greet("agent-0", time.time_ns() - 2 * MAX_SKEW_NS), "too-large"),
                (keys.greet("agent-0", time.time_ns())[:-8] + "AAAAAAA=", "too-large"),
                ("Ehrcore", "too-large"), ("Basic eA==", "too-large"), ("Ehrcore \xb5", "too-large"),
            ):  # fmt: skip
                answer = await net.post(
                    "agent-0", "/v1/frames", sealed, MEDIA_TYPE, headers={"Authorization": greeting}
                )
                require_problem(answer, slug)

    asyncio.run(check())


def test_a_body_of_no_declared_length_is_cut_off_as_well(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:

            async def endless() -> Any:
                for _ in range(MAX_FRAME_BYTES // (1 << 16) + 2):
                    yield bytes(1 << 16)

            answer = await net.ask(
                "agent-0", "/v1/frames", "POST", data=endless(), headers={"Content-Type": MEDIA_TYPE}
            )
            require_problem(answer, "too-large")
            assert answer.headers["Connection"] == "close"

            async def parted(sealed: bytes) -> Any:
                for index in range(0, len(sealed), 10):
                    yield sealed[index : index + 10]

            body = parted(of_now(net))
            answer = await net.ask("agent-0", "/v1/frames", "POST", data=body, headers={"Content-Type": MEDIA_TYPE})
            assert answer.status == 200

    asyncio.run(check())


# -- the frame codec -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(path: Path) -> tuple[Local, LinkKeys, bytes]:
    net = Local(path, "agent-0")
    return net, net.link_keys("agent-0"), of_now(net, messages=(b"one", b"two"))


@given(data=st.binary(max_size=300))
def test_no_bytes_open_but_a_frame(pair: tuple[Local, LinkKeys, bytes], data: bytes) -> None:
    with pytest.raises((CodecError, IdentityError)):
        pair[1].open(data)


@given(place=st.integers(0), bit=st.integers(0, 7))
def test_every_flipped_bit_closes_a_frame(pair: tuple[Local, LinkKeys, bytes], place: int, bit: int) -> None:
    _, keys, sealed = pair
    place %= len(sealed)
    spoilt = sealed[:place] + bytes([sealed[place] ^ 1 << bit]) + sealed[place + 1 :]
    with pytest.raises((CodecError, IdentityError)):
        keys.open(spoilt)


@given(messages=st.lists(st.binary(max_size=50), max_size=5).map(tuple), sequence=st.integers(0, (1 << 53) - 1))
def test_what_was_sealed_opens(pair: tuple[Local, LinkKeys, bytes], messages: tuple[bytes, ...], sequence: int) -> None:
    net, keys, _ = pair
    frame: Frame = net.frame("coordinator-0", "agent-0", messages, sequence=sequence)
    assert keys.open(net.seal(frame)) == frame


# -- routes, methods and HTTP itself ---------------------------------------------------------------------------------


ODD = {
    "media type": "POST /v1/frames HTTP/1.1\r\nContent-Type: \udcff\udcfe\r\nContent-Length: 1\r\n",
    "path": "GET /\udcff%FF HTTP/1.1\r\n",
    "query": "GET /v1/chain?limit=\udcff%FF%00 HTTP/1.1\r\n",
    "id": "GET /v1/transactions/\udcff%FF%00 HTTP/1.1\r\n",
    "id of the page": "GET /transaction?id=\udcff%FF%00 HTTP/1.1\r\n",
    "encoding": f"POST /v1/frames HTTP/1.1\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Encoding: \udcff\r\n",
    "expectation": "GET /v1/health HTTP/1.1\r\nExpect: \udcff\r\n",
    "method": "G\udcff /v1/health HTTP/1.1\r\n",
    "header": "GET /v1/health HTTP/1.1\r\n\udcff: x\r\n",
    "host": "GET http://\udcff/v1/nothing HTTP/1.1\r\n",
    "port": "GET http://x:99999999/v1/health HTTP/1.1\r\n",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_bytes_that_are_no_text_are_told_of_in_text(path: Path, text: str) -> None:
    async def check() -> None:
        async with Local(path, "contributor-0") as net:
            data = text.encode(errors="surrogateescape") + b"Host: x\r\nConnection: close\r\n\r\nx"
            answer = await net.raw("contributor-0", data)
            assert 400 <= int(answer.split(b" ")[1]) < 500
            answer.decode()
            assert sum(net.hosts["contributor-0"].counters.problems.values()) == 1

    asyncio.run(check())


@pytest.mark.parametrize("node", ["agent-0", "coordinator-0", "administrator-0", "contributor-0"])
def test_each_role_serves_its_routes_and_no_others(path: Path, node: str) -> None:
    async def check() -> None:
        async with Local(path, node) as net:
            own = routes_of(node, net.hosts[node].role)
            paths = {route.path for route in own}
            for route in ROUTES:
                place = route.path.replace("{id}", "00" * 32).replace("{height}", "1")
                answer = await net.ask(node, place, route.method)
                problem = msgspec.json.decode(answer.body)["type"] if answer.media == PROBLEM_MEDIA else ""
                if route in own:
                    assert problem not in {"/problems/unknown-route", "/problems/wrong-method"}
                    assert answer.status != 500
                else:
                    assert route.path not in paths
                    require_problem(answer, "unknown-route")

    asyncio.run(check())


def test_only_the_first_coordinator_keeps_a_ledger() -> None:
    from ehrcore.types import Role

    first, second = (routes_of(f"coordinator-{index}", Role.COORDINATOR) for index in range(2))
    assert {route.path for route in first} - {route.path for route in second} == {
        "/v1/blocks",
        "/v1/final",
        "/v1/transactions/{id}",
        "/v1/transactions/{id}/receipt",
        "/v1/chain",
        "/v1/chain/{height}",
    }


def test_a_wrong_method_is_told_the_right_ones(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "POST"):
                answer = await net.ask("agent-0", "/v1/health", method)
                require_problem(answer, "wrong-method")
                assert answer.headers["Allow"] == "GET, HEAD"
            answer = await net.ask("agent-0", "/v1/frames")
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
            assert net.hosts["agent-0"].counters.problems == {"wrong-method": 6}

    asyncio.run(check())


def test_made_up_methods_and_paths_make_no_labels(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            for index in range(20):
                await net.ask("agent-0", f"/made/up/{index}", "PROPFIND")
                await net.ask("agent-0", f"/made/up/{index}", f"MADEUP{index}")
            expected = {("OTHER", "unmatched", 404): 20, ("OTHER", "unmatched", 400): 20}
            assert net.hosts["agent-0"].counters.http == expected

    asyncio.run(check())


def test_head_is_get_without_the_body(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "contributor-0") as net:
            for route in ("/v1/health", "/v1/chain", "/openapi.json", "/", "/v1/chain/9"):
                get, head = await net.ask("contributor-0", route), await net.ask("contributor-0", route, "HEAD")
                assert (head.status, head.media, head.body) == (get.status, get.media, b"")
                assert get.body

    asyncio.run(check())


NO_HTTP = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no HTTP\r\n\r\n",
    "unknown version": b"GET /v1/health HTTP/9.9\r\n\r\n",
    "bad header": b"GET /v1/health HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
    "control character": b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "long line": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST /v1/frames HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
def test_bytes_that_are_no_http_get_a_problem_as_well(
    path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            head, _, body = (await net.raw("agent-0", data)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.0 400")
            assert f"Content-Type: {PROBLEM_MEDIA}".encode() in head
            assert msgspec.json.decode(body, type=ProblemView).slug == "/problems/malformed-http"
            await require_counted(net, "malformed-http", ("OTHER", "unmatched", 400))
            await require_serving(net)

    asyncio.run(check())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_chunked_body_that_is_none_gets_a_problem(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            head = f"POST /v1/frames HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\n".encode()
            answer = await net.raw("agent-0", head + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n")
            assert b" 400 Bad Request\r\n" in answer
            assert b"/problems/" in answer
            await require_serving(net)

    asyncio.run(check())


def test_what_cannot_be_expected_is_refused_and_what_can_is_met(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            answer = await net.ask("agent-0", "/v1/health", headers={"Expect": "a-miracle"})
            require_problem(answer, "failed-expectation")
            await require_counted(net, "failed-expectation", ("GET", "/v1/health", 417))
            sealed = of_now(net)
            head = f"POST /v1/frames HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\nExpect: 100-continue\r\n"
            head += f"Connection: close\r\nContent-Length: {len(sealed)}\r\n\r\n"
            answer = await net.raw("agent-0", head.encode() + sealed)
            assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")

    asyncio.run(check())


# -- clients that are slow or go away --------------------------------------------------------------------------------

HALF = f"POST /v1/frames HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: 1000\r\n\r\n".encode()


def test_a_slow_client_holds_up_nobody(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0", body_timeout_s=3_600) as net:
            place = net.plan.nodes["agent-0"]
            slow = [await asyncio.open_connection(place.host, place.port) for _ in range(50)]
            for index, (_, writer) in enumerate(slow):
                writer.write(HALF[: 40 if index % 2 else None] + b"x" * 10 * (index % 2 == 0))
            for _ in range(20):
                await require_serving(net)
            for reader, writer in slow:
                assert not reader.at_eof()
                writer.close()

    asyncio.run(check())


@pytest.mark.parametrize("data", [b"", b"GET /v1/heal", b"GET /v1/health HTTP/1.1\r\nHost: x\r\n"])
def test_headers_that_take_too_long_are_not_waited_for(path: Path, data: bytes) -> None:
    async def check() -> None:
        async with Local(path, "agent-0", headers_timeout_s=0.2) as net:
            head, _, body = (await net.raw("agent-0", data)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 Request Timeout")
            assert msgspec.json.decode(body, type=ProblemView).slug == "/problems/slow-headers"
            await require_counted(net, "slow-headers", ("OTHER", "unmatched", 408))
            # A whole request stops the clock; the beginning of another starts it again.
            place, ask = net.plan.nodes["agent-0"], b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(ask)
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.3)  # longer than headers may take: nobody minds an idle connection
            writer.write(ask)
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            writer.write(ask[:-4])
            assert (await reader.read()).startswith(b"HTTP/1.1 408")
            writer.close()

    asyncio.run(check())


@pytest.mark.parametrize(
    "text", ["", "[]", '{"of_address": 0}', '{"headers_timeout_s": -1}', '{"no_such_bound": 1}', "\xb5"]
)
def test_bounds_that_are_none_are_one_line(tmp_path: Path, text: str) -> None:
    assert read_bounds(tmp_path) == USUAL
    (tmp_path / "bounds.json").write_text('{"of_address": 7}')
    assert read_bounds(tmp_path) == Bounds(of_address=7)
    (tmp_path / "bounds.json").write_text(text, encoding="latin-1")
    with pytest.raises(DeploymentError, match=r"bounds\.json: expected bounds of a node, found: ") as caught:
        read_bounds(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_block_that_is_known_is_not_taken_from_who_says_none(written: Written) -> None:
    """It need not be read, but who it comes from is looked at first."""

    async def check() -> None:
        async with Local(written.path, "contributor-0") as net:
            host = net.hosts["contributor-0"]
            block = encode(host.finals(1, 1)[0])
            for sender, status in (("administrator-0", 200), ("visitor-0", 401), ("agent-0", 401)):
                sealed = net.seal(net.frame(sender, "contributor-0", (block,)))
                assert (await net.post_frame(sealed, "contributor-0")).status == status

    asyncio.run(check())


@pytest.mark.parametrize(("bounds", "taken"), [({"of_address": 3}, 3), ({"connections": 2}, 2)])
def test_more_connections_than_there_may_be_are_told_so_unread(path: Path, bounds: dict[str, int], taken: int) -> None:
    async def check() -> None:
        async with Local(path, "agent-0", **bounds) as net:
            place = net.plan.nodes["agent-0"]
            held = [await asyncio.open_connection(place.host, place.port) for _ in range(taken)]

            async def are_counted() -> bool:
                return net.apps["agent-0"][SITE].addresses.total() == taken

            await eventually(are_counted)
            head, _, body = (await net.raw("agent-0", b"")).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 429 Too Many Requests")
            assert b"Retry-After: 1" in head
            assert msgspec.json.decode(body, type=ProblemView).slug == "/problems/crowded"
            assert net.hosts["agent-0"].counters.problems == {"crowded": 1}
            held.pop()[1].close()

            async def is_one_free() -> bool:
                return net.apps["agent-0"][SITE].addresses.total() == taken - 1

            await eventually(is_one_free)
            assert (await net.ask("agent-0", "/v1/health")).status == 200
            for _, writer in held:
                writer.close()

    asyncio.run(check())


def test_a_body_that_takes_too_long_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        monkeypatch.setitem(app_module._HANDLER, "lingering_time", 0.05)
        async with Local(path, "agent-0", body_timeout_s=0.05) as net:
            head, _, body = (await net.raw("agent-0", HALF + b"half")).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408")
            assert b"Connection: close" in head
            assert msgspec.json.decode(body, type=ProblemView).slug == "/problems/slow-body"
            await require_counted(net, "slow-body", ("POST", "/v1/frames", 408))
            await require_serving(net)

    asyncio.run(check())


def test_headers_that_never_come_are_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        monkeypatch.setitem(app_module._HANDLER, "keepalive_timeout", 0.05)
        async with Local(path, "agent-0") as net:
            for data in (b"", HALF[:40]):
                assert await net.raw("agent-0", data) == b""
            await require_serving(net)

    asyncio.run(check())


@pytest.mark.parametrize(
    "data", [b"", HALF[:40], HALF, HALF + b"half"], ids=["silent", "in its head", "after it", "half"]
)
@pytest.mark.parametrize("is_reset", [False, True], ids=["closes", "resets"])
def test_a_client_that_vanishes_does_no_harm(
    path: Path, data: bytes, is_reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            place = net.plan.nodes["agent-0"]
            for _ in range(5):
                with socket.create_connection((place.host, place.port)) as client:
                    client.sendall(data)
                    if is_reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    await asyncio.sleep(0.01)
            await require_serving(net)
            if data.startswith(HALF):

                async def counted() -> bool:
                    return net.hosts["agent-0"].counters.problems == {"incomplete-body": 5}

                await eventually(counted)

    asyncio.run(check())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_client_that_leaves_before_the_answer_has_been_heard(path: Path) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            sealed = of_now(net)
            place = net.plan.nodes["agent-0"]
            head = HALF.replace(b"1000", str(len(sealed)).encode())
            with socket.create_connection((place.host, place.port)) as client:
                client.sendall(head + sealed)

            async def heard() -> bool:
                return net.hosts["agent-0"].counters.frames_in == 1

            await eventually(heard)
            await require_serving(net)

    asyncio.run(check())


# -- the node's own troubles -----------------------------------------------------------------------------------------


def test_a_full_disk_is_told_as_unavailable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A journal that may not grow: SQLite says that the disk is full."""

    async def check() -> None:
        path = tmp_path / "network"
        found_local(path)
        async with Local(path, "agent-0") as net:
            host = net.hosts["agent-0"]
            host.journal._db.execute("PRAGMA max_page_count=1")
            nonce = 1
            while True:
                tx = net.transaction(nonce, location="x" * 512)
                body = net.seal(net.frame("visitor-0", "agent-0", (encode(Submit(tx)),), sequence=nonce))
                answer = await net.post_frame(body)
                if answer.status != 200:
                    break
                nonce += 1
            problem = require_problem(answer, "unavailable")
            assert str(path) not in problem.detail, "where a node keeps what is no stranger's business"
            assert "full" in caplog.text
            assert host.failure.done()
            host.failure.exception()
            host.failure = asyncio.get_running_loop().create_future()

    asyncio.run(check())


def test_a_bug_is_logged_with_its_traceback_and_told_without(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        async with Local(path, "agent-0") as net:
            monkeypatch.setattr(net.hosts["agent-0"], "status", lambda: {}["planted secret"])
            answer = await net.ask("agent-0", "/v1/status")
            require_problem(answer, "internal")
            assert b"planted" not in answer.body
            monkeypatch.undo()
            await require_counted(net, "internal", ("GET", "/v1/status", 500))

    asyncio.run(check())
    assert "planted secret" in caplog.text
    assert "Traceback" in caplog.text
