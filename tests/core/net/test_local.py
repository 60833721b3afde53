"""Nodes as processes: started once, found by their locks, stopped by nobody's id but their own."""

import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ehrcore.drive.net.client import fetch_health
from ehrcore.drive.net.local import LocalNetwork, hold_launch, require_free_ports
from ehrcore.drive.net.plan import Address, NetworkConfig, found
from ehrcore.errors import DeploymentError

NAMES = ("agent-0", "coordinator-0", "administrator-0", "contributor-0")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalNetwork]:
    """A founded network at free ports; whatever a test leaves running is ended."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in NAMES]
    places = {name: Address(port=item.getsockname()[1]) for name, item in zip(NAMES, held, strict=True)}
    for item in held:
        item.close()
    found(tmp_path / "net", NetworkConfig(max_wait_ms=10, nodes=places), time.time_ns(), "tests")
    network = LocalNetwork(tmp_path / "net")
    yield network
    network.stop(timeout_s=30)


# -- without processes -----------------------------------------------------------------------------------------------


def test_a_folder_without_a_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=re.escape(f"{tmp_path}: expected the folder of a network")):
        LocalNetwork(tmp_path)


def test_nodes_are_here_if_their_keys_are(local: LocalNetwork) -> None:
    assert local.names() == NAMES
    (local.folder.node("agent-0") / "signing.key").unlink()
    assert local.names() == NAMES[1:]
    with pytest.raises(DeploymentError, match="expected one that runs here"):
        local.start(["agent-0"])


@pytest.mark.parametrize("name", ["visitor-0", "agent-7", ""])
def test_a_name_that_is_no_node_here_is_refused_before_anything_starts(local: LocalNetwork, name: str) -> None:
    for act in (local.start, local.stop):
        with pytest.raises(DeploymentError, match="expected one that runs here"):
            act(["agent-0", name])
    assert local.running() == {}


def test_a_process_id_without_a_held_lock_is_nobodys(local: LocalNetwork) -> None:
    """The id that a node has left may be anybody's by now."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        for name in NAMES:
            (local.folder.node(name) / "node.lock").write_text(str(bystander.pid))
        assert local.running() == {}
        assert local.stop() == {}
        local.kill("agent-0")
        bystander.communicate(b"\n")
    assert bystander.returncode == 0, "it was left alone"


@pytest.mark.parametrize("content", ["", "x", "-1", "0", "1", "99999999999999999999", "4194304000"])
def test_a_lock_with_an_odd_content_is_nobodys(local: LocalNetwork, content: str) -> None:
    (local.folder.node("agent-0") / "node.lock").write_text(content)
    assert local.stop() == {}


def test_whoever_holds_the_lock_runs(local: LocalNetwork) -> None:
    path = local.folder.node("agent-0") / "node.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
        assert local.running() == {"agent-0": os.getpid()}
        assert local.own() == ()
    assert local.running() == {}


def test_a_port_that_is_taken_is_named_and_nothing_starts(local: LocalNetwork) -> None:
    place = local.plan.nodes["coordinator-0"]
    with socket.create_server((place.host, place.port)):
        expected = f"coordinator-0: expected 127.0.0.1:{place.port} to be free, found: Address already in use"
        with pytest.raises(DeploymentError, match=re.escape(expected)):
            local.start()
    assert local.running() == {}
    assert not (local.folder.node("agent-0") / "log").exists()


def test_a_host_that_is_not_here_is_named() -> None:
    with pytest.raises(DeploymentError, match="agent-0: expected 192.0.2.1:7777 to be free, found: "):
        require_free_ports([("agent-0", "192.0.2.1", 7777)])


def test_a_log_that_cannot_be_written_is_named(local: LocalNetwork) -> None:
    path = local.folder.node("agent-0") / "log"
    path.mkdir()
    with pytest.raises(DeploymentError, match=re.escape(f"{path}: expected a file that can be written")):
        local.start()
    assert local.running() == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(local: LocalNetwork) -> None:
    local.folder.path.chmod(0o500)
    try:
        with pytest.raises(DeploymentError, match="expected a file that can be written, found: Permission denied"):
            local.start()
    finally:
        local.folder.path.chmod(0o700)


def test_whoever_starts_the_network_is_waited_for_but_not_for_ever(local: LocalNetwork) -> None:
    with (
        hold_launch(local.folder.path),
        pytest.raises(DeploymentError, match="expected nobody else to start this network"),
    ):
        LocalNetwork(local.folder.path).start(timeout_s=0.2)
    assert local.running() == {}


def test_secrets_are_for_their_owner_alone(local: LocalNetwork) -> None:
    secrets = [path for path in local.folder.path.rglob("*.key") if path.is_file()]
    # Two of each node and of the authority, and one of each to whom secrets are sealed: a reader, a keeper of shares.
    assert len(secrets) == 2 * (len(NAMES) + 1) + 2 + 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


# -- with processes --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nodes_start_answer_and_stop(local: LocalNetwork) -> None:
    assert local.start() == NAMES
    running = local.running()
    assert tuple(running) == NAMES
    assert local.own() == NAMES
    for name in NAMES:
        assert fetch_health(local.folder, local.plan, name)["name"] == name
        assert os.getsid(running[name]) == running[name], "Ctrl-C at the terminal is not for it"
    assert local.start() == (), "they run already"
    assert local.running() == running
    assert local.stop(["agent-0"]) == {"agent-0": "stopped"}
    assert tuple(local.running()) == NAMES[1:]
    assert local.stop() == dict.fromkeys(NAMES[1:], "stopped")
    assert local.stop() == {}
    assert {"stopped at height 0" in local.last_line(name) for name in NAMES} == {True}


@pytest.mark.slow
def test_another_finds_them_and_stops_them(local: LocalNetwork) -> None:
    local.start()
    other = LocalNetwork(local.folder.path)
    assert other.running() == local.running()
    assert (other.start(), other.own()) == ((), ())
    assert other.stop() == dict.fromkeys(NAMES, "stopped")
    assert local.running() == {}


@pytest.mark.slow
def test_a_node_that_was_killed_is_started_again_alone(local: LocalNetwork) -> None:
    local.start()
    before = local.running()
    local.kill("contributor-0")
    assert tuple(local.running()) == NAMES[:3]
    other = LocalNetwork(local.folder.path)
    assert other.start() == ("contributor-0",)
    assert {name: pid == before[name] for name, pid in local.running().items()} == {
        name: name != "contributor-0" for name in NAMES
    }
    assert (local.own(), other.own()) == (NAMES[:3], ("contributor-0",))


@pytest.mark.slow
def test_a_node_that_ends_early_says_why_and_takes_the_others_with_it(local: LocalNetwork) -> None:
    ledger = local.folder.node("contributor-0") / "ledger.sqlite"
    ledger.write_bytes(b"not a ledger\n" * 900)
    with pytest.raises(DeploymentError) as refused:
        local.start()
    assert str(refused.value).startswith(f"contributor-0: {ledger}: expected a ledger")
    assert "\n" not in str(refused.value)
    assert local.running() == {}
    assert ledger.read_bytes() == b"not a ledger\n" * 900, "nothing is repaired behind anybody's back"


@pytest.mark.slow
def test_a_node_that_does_not_listen_is_killed_and_it_is_said(local: LocalNetwork) -> None:
    local.start()
    os.kill(local.running()["agent-0"], signal.SIGSTOP)
    assert local.stop(timeout_s=5.0) == {name: "killed" if name == "agent-0" else "stopped" for name in NAMES}
    assert local.running() == {}


@pytest.mark.slow
def test_two_who_start_at_once_start_each_node_once(local: LocalNetwork) -> None:
    others = [LocalNetwork(local.folder.path) for _ in range(2)]
    started: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda each=other: started.append(each.start())) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == [(), NAMES]
    assert tuple(local.running()) == NAMES


@pytest.mark.slow
def test_nodes_outlive_who_started_them(local: LocalNetwork) -> None:
    code = "import sys, pathlib, ehrcore.drive.net.local as m; m.LocalNetwork(pathlib.Path(sys.argv[1])).start()"
    words, root = [sys.executable, "-c", code, str(local.folder.path)], Path(__file__).parents[3]
    subprocess.run(words, check=True, cwd=root, env=os.environ | {"PYTHONPATH": "."})
    assert tuple(local.running()) == NAMES
