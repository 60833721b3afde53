"""Relays carry bytes both ways, hold them up while a way is cut, one way or both, and lose none."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bench.net.relay import HOST, Relays
from ehrcore.codec import encode
from ehrcore.drive.net.plan import NetworkFolder
from ehrcore.drive.net.web.views import TRANSACTION_MEDIA
from tests.core.net.conftest import Local, eventually, found_local

WAYS = (("a", "b"), ("b", "a"))
#: Long enough for bytes to cross loopback many times, were they let through.
MOMENT_S = 0.1


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets until the other end closes."""
    server = socket.create_server((HOST, 0))

    def answer(end: socket.socket) -> None:
        with closing(end):
            while data := end.recv(1 << 16):
                end.sendall(data)

    def serve() -> None:
        while True:
            try:
                end, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(end,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[:2]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def call(relays: Relays, way: tuple[str, str]) -> socket.socket:
    end = socket.create_connection((HOST, relays.ports[way]), timeout=10)
    end.settimeout(10)
    return end


def read(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = end.recv(size - len(data))
        assert part, "the connection has ended early"
        data += part
    return data


def is_silent(end: socket.socket) -> bool:
    end.settimeout(MOMENT_S)
    try:
        return not end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(10)


def test_bytes_come_through_in_any_amount_and_so_does_the_end(echo: tuple[str, int]) -> None:
    with Relays(dict.fromkeys(WAYS, echo)) as relays, closing(call(relays, WAYS[0])) as end:
        data = bytes(range(256)) * 4_000
        sender = threading.Thread(target=end.sendall, args=(data,))
        sender.start()
        assert read(end, len(data)) == data
        sender.join()
        end.shutdown(socket.SHUT_WR)
        assert end.recv(1) == b""


def test_a_cut_is_silence_one_way_only_and_nothing_is_lost_by_it(echo: tuple[str, int]) -> None:
    with Relays(dict.fromkeys(WAYS, echo)) as relays:
        there, back = call(relays, WAYS[0]), call(relays, WAYS[1])
        with closing(there), closing(back):
            there.sendall(b"before")
            assert read(there, 6) == b"before"
            relays.cut([WAYS[0]])
            there.sendall(b"held up")
            back.sendall(b"other way")
            assert read(back, 9) == b"other way"
            assert is_silent(there)
            with closing(call(relays, WAYS[0])) as new:
                new.sendall(b"new")
                assert is_silent(new), "a new connection is not refused: it is not answered"
                relays.heal([WAYS[0]])
                assert (read(there, 7), read(new, 3)) == (b"held up", b"new")


def test_both_ways_are_cut_and_healed_together(echo: tuple[str, int]) -> None:
    with Relays(dict.fromkeys(WAYS, echo)) as relays:
        ends = [call(relays, way) for way in WAYS]
        relays.cut(WAYS)
        for end in ends:
            end.sendall(b"x")
        assert all(map(is_silent, ends))
        relays.heal()
        for end in ends:
            assert read(end, 1) == b"x"
            end.close()


def test_a_target_that_is_down_ends_the_connection() -> None:
    with socket.create_server((HOST, 0)) as held:
        target = held.getsockname()[:2]
    with Relays({WAYS[0]: target}) as relays, closing(call(relays, WAYS[0])) as end, suppress(ConnectionResetError):
        assert end.recv(1) == b""


def test_relays_end_with_connections_open_and_their_ports_are_free_again(echo: tuple[str, int]) -> None:
    with Relays({WAYS[0]: echo}) as relays:
        end = call(relays, WAYS[0])
        end.sendall(b"x")
        assert read(end, 1) == b"x"
        relays.cut(WAYS[:1])
    with closing(end), pytest.raises(ConnectionRefusedError):
        call(relays, WAYS[0])
    assert not [thread for thread in threading.enumerate() if thread.name == "relays"]


@pytest.mark.parametrize("tls", [False, True])
def test_links_and_fetches_of_a_node_take_its_routes(tmp_path: Path, tls: bool) -> None:
    """The agent tells and asks its peers through forwarded ports alone: over a way that is cut, nothing comes."""
    plan = found_local(tmp_path / "network", tls=tls)
    peers = ("coordinator-0", "administrator-0", "contributor-0")
    targets = {("agent-0", peer): (plan.nodes[peer].host, plan.nodes[peer].port) for peer in peers}
    folder = NetworkFolder(tmp_path / "network")

    async def check(relays: Relays) -> None:
        async with Local(folder.path) as net:
            agent, links = net.hosts["agent-0"], net.hosts["agent-0"].links

            async def submit(nonce: int) -> None:
                data = encode(net.transaction(nonce))
                answer = await net.post("agent-0", "/v1/transactions", data, TRANSACTION_MEDIA)
                assert answer.status == 202

            async def is_settled() -> bool:
                return not agent.waiting

            await submit(1)
            await eventually(is_settled)  # told of by fetching the block
            told = links.taken("coordinator-0")
            relays.cut(targets)
            await submit(2)
            await asyncio.sleep(MOMENT_S)
            assert (links.taken("coordinator-0"), agent.height, net.hosts["contributor-0"].height) == (told, 1, 1)
            relays.heal()
            await eventually(is_settled)
            assert agent.height == 2

    with Relays(targets) as relays:
        detours = {peer: f"{HOST}:{relays.ports['agent-0', peer]}" for peer in peers}
        (folder.node("agent-0") / "routes.json").write_text(json.dumps(detours))
        asyncio.run(check(relays))
