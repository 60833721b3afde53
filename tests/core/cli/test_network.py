"""The whole way, on real processes: start, submit, read, prove, audit, kill, start again, stop."""

import base64
import fcntl
import json
import os
import re
import shutil
import signal
import struct
import termios
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.objects import FileStore
from ehrcore.drive.net.plan import NetworkFolder
from tests import s3

pytestmark = pytest.mark.slow
TOPOLOGY = ("--agents", "3", "--coordinators", "3", "--administrators", "4", "--contributors", "2")
NODES = 3 + 3 + 4 + 2
PATIENCE_S = 120.0
LINE = re.compile(r"([0-9a-f]{64})  (?:block (\d+)|-) +(\S.*?)  (\S+)")


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.1)  # what other processes do has to be looked at


def submitted(done: Any) -> dict[str, tuple[str, str]]:
    """Id and verdict by file."""
    found = [match for line in done.lines if (match := LINE.fullmatch(line))]
    assert len(found) == len(done.lines), done.out
    return {match[4]: (match[1], match[3]) for match in found}


def post_json(url: str, content: str) -> Any:
    request = urllib.request.Request(url, content.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


#: How a doctor reads where no patient has said anything.
GLASS = ("--as", "doctor", "--break-glass", "unconscious")


def enrol_doctor(process, network: Path) -> None:
    done = process("person", "enrol", "doctor", "--practitioner", "--folder", network)
    assert (done.code, done.err) == (0, "")


def heights(process, folder: Path) -> dict[str, int | None]:
    told = json.loads(process("status", "--folder", folder, "--json").out)
    return {name: node and node["height"] for name, node in told.items()}


@pytest.fixture(
    params=[pytest.param((), id="one-of-each"), pytest.param(TOPOLOGY, id="3-3-4-2", marks=pytest.mark.long)]
)
def network(request, started) -> Path:
    return started(*request.param)


def test_records_go_in_come_back_are_proven_and_the_proof_needs_no_network(
    network: Path, records: list[Path], process, tmp_path: Path
) -> None:
    done = process("submit", "--folder", network, records[0].parent)
    assert (done.code, done.err) == (0, "")
    ids = submitted(done)
    assert [verdict for _, verdict in ids.values()] == ["valid"] * len(records)
    assert list(ids) == list(map(str, records))
    # What is signed for others to send is taken as JSON, once.
    signed = process("sign", "--folder", network, records[0]).out
    plan = NetworkFolder(network).read_plan()
    agents = [f"{plan.url(name)}/v1/transactions" for name in plan.nodes if name.startswith("agent")]
    answers = [post_json(agent, signed) for agent in agents]
    assert {answer["status"] for answer in answers} == {"accepted"}
    wait_until(lambda: process("prove", "--folder", network, answers[0]["id"]).code == 0)
    enrol_doctor(process, network)
    copy, evidence = tmp_path / "copy", tmp_path / "evidence.json"
    wanted = {answers[0]["id"]: records[0], **{ids[str(path)][0]: path for path in records[:2]}}
    for tx_id, path in wanted.items():
        # In text mode a child's line ends would be translated; what comes back is compared as bytes.
        words = ("read", "--folder", network, tx_id, *GLASS, "-o", copy, "--evidence", evidence)
        assert process(*words).code == 0
        assert copy.read_bytes() == path.read_bytes()
        assert copy.stat().st_mode & evidence.stat().st_mode & 0o777 == 0o600
    proof, tx_id = tmp_path / "proof.json", ids[str(records[1])][0]
    assert process("prove", "--folder", network, tx_id, "-o", proof).code == 0
    assert process("prove", "--folder", network, tx_id).out == proof.read_text()
    audit = process("audit", "--folder", network)
    assert (audit.code, audit.lines[-1]) == (0, "nothing was found")
    count = len(records) + 1
    asked = 1 + len(wanted)
    assert f"checked   {count + asked} valid transactions, 0 marked invalid, {count} stored records" in audit.out
    assert process("network", "down", "--folder", network).code == 0
    _verify_offline(process, proof, records, evidence, NetworkFolder(network).read_plan().chain, tmp_path)


def _verify_offline(process, proof: Path, records: list[Path], evidence: Path, chain: str, folder: Path) -> None:
    empty = folder / "empty"
    empty.mkdir()
    shown = process("verify-proof", proof, "--chain", chain, "--record", records[1], "--evidence", evidence, cwd=empty)
    assert (shown.code, shown.err) == (0, "")
    assert shown.lines[0] == f"{proof}: the proof holds"
    assert f"proven   the record is {records[1]}, byte for byte" in shown.lines
    assert not [line for line in shown.lines if line.startswith("open")]
    assert len([line for line in process("verify-proof", proof).lines if line.startswith("open")]) == 2
    content = json.loads(proof.read_text())
    receipt = bytearray(base64.b64decode(content["receipt"]))
    receipt[len(receipt) // 2] ^= 1
    for name, words, spoil in (
        ("record: expected the bytes", ("--record", records[1]), {}),
        ("record: expected what the evidence", ("--record", records[0], "--evidence", evidence), {}),
        ("evidence: expected the JSON", ("--evidence", records[0]), {}),
        ("genesis: expected the reader's chain", ("--chain", "00" * 32), {}),
        ("receipt: ", (), {"receipt": base64.b64encode(receipt).decode()}),
        ("genesis: expected the proof's chain", (), {"chain": "00" * 32}),
        ("proof: expected format", (), {"format": "ehrcore-proof-1"}),
    ):
        other = folder / "other.json"
        other.write_text(json.dumps(content | spoil))
        refused = process("verify-proof", other, *words)
        assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
        assert f"{other}: {name}" in refused.err


def test_a_contributor_that_was_killed_is_started_again_and_catches_up(started, records, process) -> None:
    network = started(*TOPOLOGY[:-1], "3")
    assert process("submit", "--folder", network, *records[:2]).code == 0
    local = LocalNetwork(network)
    pids = local.running()
    os.kill(pids["contributor-1"], signal.SIGKILL)
    wait_until(lambda: "contributor-1" not in local.running())
    status = process("status", "--folder", network)
    assert status.code == 1
    assert [line.split()[:2] for line in status.lines if "down" in line] == [["contributor-1", "down"]]
    # Two of three contributors are enough; that one keeps no share is said once.
    done = process("submit", "--folder", network, *records[2:4])
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert done.err.startswith("ehrcore: contributor-1 keeps no share of the keys of records: ")
    os.kill(pids["contributor-2"], signal.SIGKILL)
    wait_until(lambda: "contributor-2" not in local.running())
    # One of three is no majority: nobody could read what it alone keeps a share of.
    done = process("submit", "--folder", network, "--timeout", "4", records[4])
    assert (done.code, done.lines[0][:64].strip()) == (1, "-")
    assert "not submitted: custodians: expected 2 of 3 to keep the record's key, found 1 (" in done.out
    up = process("network", "up", "--detach", "--folder", network)
    assert up.out.startswith(f"{network}: started 2 of {NODES + 1} nodes in ")
    wait_until(lambda: (told := heights(process, network))["contributor-0"] == told["contributor-1"])
    again = {name for name, pid in local.running().items() if pids[name] != pid}
    assert again == {"contributor-1", "contributor-2"}
    wait_until(lambda: " 4 valid transactions, 0 marked invalid" in process("audit", "--folder", network).out)
    assert process("audit", "--folder", network).code == 0


def test_with_an_agent_down_the_others_are_enough(started, records, process) -> None:
    network = started(*TOPOLOGY)
    LocalNetwork(network).kill("agent-1")
    done = process("submit", "--folder", network, *records)
    assert (done.code, done.err) == (0, "")
    assert {verdict for _, verdict in submitted(done).values()} == {"valid"}


def test_two_who_submit_as_the_same_visitor_are_both_heard(started, records, background, process) -> None:
    network = started()
    others = [background("submit", "--folder", network, *records) for _ in range(3)]
    codes = [other.wait(timeout=PATIENCE_S) for other in others]
    said = [(other.stdout.read(), other.stderr.read()) for other in others]
    for other in others:
        other.stdout.close()
        other.stderr.close()
    assert (codes, [err for _, err in said]) == ([0, 0, 0], ["", "", ""])
    assert "15 valid transactions, 0 marked invalid" in process("audit", "--folder", network).out


def test_tampering_with_the_store_is_found_and_nothing_false_is_handed_out(
    started, records, process, tmp_path: Path
) -> None:
    network = started()
    ids = submitted(process("submit", "--folder", network, *records))
    tampered, missing, good = (ids[str(path)][0] for path in records[:3])
    store, copy = FileStore(network / "objects"), tmp_path / "copy"
    places = {tx_id: place_of(process, network, tx_id) for tx_id in (tampered, missing)}
    store.path(places[tampered]).write_bytes(b'{"resourceType":"Observation","forged":true}')
    store.path(places[missing]).unlink()
    enrol_doctor(process, network)
    for tx_id, expected in ((tampered, "found other bytes"), (missing, "expected an object in the store, found none")):
        done = process("read", "--folder", network, tx_id, *GLASS, "-o", copy)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
        assert f"{places[tx_id]}: expected " in done.err
        assert expected in done.err
    assert not copy.exists()
    assert process("read", "--folder", network, good, *GLASS, "-o", copy).code == 0
    audit = process("audit", "--folder", network)
    assert (audit.code, audit.lines[-1]) == (1, "2 findings")
    for tx_id in (tampered, missing):
        assert any(line.startswith("FINDING") and places[tx_id] in line and tx_id in line for line in audit.lines)


def place_of(process, network: Path, tx_id: str) -> str:
    """Where the chain says that the record is."""
    proof = network.parent / "proof.json"
    process("prove", "--folder", network, tx_id, "-o", proof)
    shown = process("verify-proof", proof).out
    return re.search(r"the record is at (\S+),", shown)[1]  # type: ignore[index]


def test_a_patients_trail_names_every_record_once_and_nobody_elses(started, records, process) -> None:
    network = started()
    assert process("submit", "--folder", network, *records).code == 0
    trails = [process("audit", "--folder", network, "--patient", f"p{number}") for number in range(4)]
    assert [sum("  write  " in line for line in trail.lines) for trail in trails] == [2, 2, 1, 0]
    assert [trail.code for trail in trails] == [0] * 4
    row = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  visitor-0 +write +(\S+) +\d+ +valid +[0-9a-f]{64} *")
    # Records of one call are sent side by side: which of them the chain takes first is the network's to say.
    assert sorted(row.findall(trails[0].out)) == ["bill", "diagnostic-report"]
    everything = "".join(trail.out for trail in trails)
    assert not re.search(r"\bp[0-3]\b", everything), "no patient's own name"


def test_a_damaged_ledger_stops_the_start_until_it_is_fetched_again(started, records, process) -> None:
    network = started(*TOPOLOGY)
    assert process("submit", "--folder", network, *records).code == 0
    assert process("network", "resync", "--folder", network, "contributor-1").code == 2, "not while it runs"
    assert process("network", "down", "--folder", network, "--only", "contributor-1").code == 0
    ledger = network / "nodes" / "contributor-1" / "ledger.sqlite"
    damaged = ledger.read_bytes()[:5_000] + b"\x00" * 3_000
    ledger.write_bytes(damaged)
    up = process("network", "up", "--detach", "--folder", network)
    assert (up.code, up.out, up.err.count("\n")) == (2, "", 1)
    assert f"contributor-1: {ledger}: " in up.err
    assert process("network", "resync", "--folder", network, "contributor-1").code == 0
    assert ledger.with_name("ledger.sqlite.damaged-1").read_bytes() == damaged
    assert process("network", "up", "--detach", "--folder", network).code == 0
    wait_until(lambda: (told := heights(process, network))["contributor-0"] == told["contributor-1"] != 0)
    audit = process("audit", "--folder", network)
    assert (audit.code, audit.lines[-1]) == (0, "nothing was found")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_stops_what_this_command_started_and_nothing_else(started, process, background, number) -> None:
    network = started("--only", "agent-0")
    assert process("network", "up", "--detach", "--folder", network, "--only", "coordinator-0").code == 0
    local = LocalNetwork(network)
    before = local.running()
    assert set(before) == {"agent-0", "coordinator-0"}
    live = background("network", "up", "--folder", network)
    with live:
        said = [live.stdout.readline() for _ in range(5)]
        assert said[0].startswith(f"{network}: started 2 of 4 nodes in ")
        assert re.fullmatch(r"\d\d:\d\d:\d\d  4 of 4 nodes up  block 0  .*\n", said[-1])
        live.send_signal(number)
        out, err = live.communicate(timeout=PATIENCE_S)
    assert (live.returncode, err) == (0, "")
    assert out.endswith(f"{network}: stopped 2 nodes\n")
    assert local.running() == before


def test_an_interrupt_during_the_start_leaves_nothing_behind(started, process, background) -> None:
    network = started()
    assert process("network", "down", "--folder", network).code == 0
    live = background("network", "up", "--folder", network)
    local = LocalNetwork(network)
    with live:
        wait_until(local.running)
        live.send_signal(signal.SIGINT)
        live.communicate(timeout=PATIENCE_S)
    assert live.returncode in {0, 130}, "whether it was up already or not"
    assert local.running() == {}


def test_two_who_bring_the_same_network_up_at_once_have_one(tmp_path: Path, process, background, free_ports) -> None:
    words = ("network", "up", "--detach", "--folder", tmp_path / "net", "--first-port", free_ports(5))
    both = [background(*words) for _ in range(2)]
    said = [each.communicate(timeout=PATIENCE_S) for each in both]
    try:
        assert ([each.returncode for each in both], [err for _, err in said]) == ([0, 0], ["", ""])
        firsts = sorted(out.splitlines()[0].partition(": ")[2][:17] for out, _ in said)
        assert firsts == ["all nodes already", "started 4 of 4 no"]
        assert process("status", "--folder", tmp_path / "net").code == 0
    finally:
        assert process("network", "down", "--folder", tmp_path / "net").out.endswith(": stopped 4 nodes\n")


def test_a_second_up_says_that_all_is_running(started, process, background) -> None:
    network = started()
    before = LocalNetwork(network).running()
    again = process("network", "up", "--detach", "--folder", network, "--agents", "1")
    assert (again.code, again.err) == (0, "")
    assert again.lines[0] == f"{network}: all nodes already running"
    with background("network", "up", "--folder", network) as watching:
        assert watching.stdout.readline() == f"{network}: all nodes already running\n"
        watching.send_signal(signal.SIGINT)
        assert "stopped" not in watching.communicate(timeout=PATIENCE_S)[0]
    assert LocalNetwork(network).running() == before, "who only watches stops nothing"


def test_mutual_tls_is_for_every_command(started, records, process, tmp_path: Path) -> None:
    network = started("--tls")
    ids = submitted(process("submit", "--folder", network, *records))
    assert {verdict for _, verdict in ids.values()} == {"valid"}
    enrol_doctor(process, network)
    tx_id = ids[str(records[0])][0]
    assert process("read", "--folder", network, tx_id, *GLASS, "-o", tmp_path / "copy").code == 0
    assert (tmp_path / "copy").read_bytes() == records[0].read_bytes()
    assert process("status", "--folder", network).code == 0
    assert process("audit", "--folder", network).code == 0


@pytest.mark.parametrize("rule", ["pow", "single", "leader"])
def test_other_rules_prove_as_well(started, records, process, tmp_path: Path, rule: str) -> None:
    network = started("--consensus", rule)
    ids = submitted(process("submit", "--folder", network, records[0]))
    proof = tmp_path / "proof.json"
    assert process("prove", "--folder", network, ids[str(records[0])][0], "-o", proof).code == 0
    shown = process("verify-proof", proof)
    assert shown.code == 0
    words = {
        "pow": "6 blocks with proof of work follow it",
        "single": "administrator-0 signed it",
        "leader": "administrator-0 says, as leader of term 1, that a majority has stored it",
    }
    assert words[rule] in shown.out


def test_on_a_terminal_it_is_a_screen_until_it_is_interrupted(started, process, background) -> None:
    network = started(*TOPOLOGY)
    assert process("network", "down", "--folder", network).code == 0
    screen, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = os.environ | {"TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[3])}
    live = background("network", "up", "--folder", network, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    shown, end = "", time.monotonic() + PATIENCE_S
    while f"{NODES} of {NODES} nodes up" not in shown or "contributor-1" not in shown:
        assert time.monotonic() < end, shown
        shown += os.read(screen, 65_536).decode(errors="replace")
    live.send_signal(signal.SIGINT)
    while f"stopped {NODES} nodes" not in shown:
        shown += os.read(screen, 65_536).decode(errors="replace")
    assert live.wait(timeout=PATIENCE_S) == 0
    os.close(screen)
    assert "Traceback" not in shown
    assert LocalNetwork(network).running() == {}


def test_a_network_lives_on_two_hosts(tmp_path: Path, records, process, free_ports) -> None:
    """As the README has it: two folders and two loopback addresses stand for the hosts."""
    here, there, config = tmp_path / "here", tmp_path / "there", tmp_path / "two.toml"
    config.write_text(
        f"agents = 2\ncontributors = 2\nfirst_port = {free_ports(8)}\n"
        '[nodes.agent-1]\nhost = "127.0.0.2"\n[nodes.contributor-1]\nhost = "127.0.0.2"\n'
    )
    assert process("network", "init", "--folder", here, "--config", config).code == 0
    (there / "nodes").mkdir(parents=True)
    shutil.copy(here / "network.json", there)
    for name in ("agent-1", "contributor-1"):
        (here / "nodes" / name).rename(there / "nodes" / name)
    (there / "objects").symlink_to(here / "objects")
    try:
        assert process("network", "up", "--detach", "--folder", there).code == 0
        assert process("network", "up", "--detach", "--folder", here).code == 0
        done = process("submit", "--folder", here, *records)
        assert {verdict for _, verdict in submitted(done).values()} == {"valid"}
        assert process("status", "--folder", there).code == 0
        assert set(LocalNetwork(there).running()) == {"agent-1", "contributor-1"}
    finally:
        for folder in (here, there):
            assert process("network", "down", "--folder", folder).code == 0


def test_records_in_a_store_elsewhere(started, records, process, tmp_path: Path, monkeypatch) -> None:
    """Every command and every coordinator finds them there; what the store does wrong is found, its secrets never."""
    with s3.serve_s3(tmp_path / "served") as server:
        for name, value in s3.CREDENTIALS.items():
            monkeypatch.setenv(f"AWS_{name.upper()}", value)
        config = tmp_path / "net.toml"
        url = f"s3://{s3.BUCKET}/clinics"
        config.write_text(f'[store]\nurl = "{url}"\nendpoint = "{server.url}"\nregion = "us-east-1"\ntimeout_s = 2\n')
        network = started("--config", str(config))
        ids = submitted(process("submit", "--folder", network, *records))
        assert {verdict for _, verdict in ids.values()} == {"valid"}
        assert len(server.objects) == len(records)
        assert not list((network / "objects").rglob("*.*"))
        server.objects[0].write_bytes(b"forged")
        server.objects[1].unlink()
        audit = process("audit", "--folder", network)
        assert (audit.code, f"{len(records)} stored records" in audit.out, audit.lines[-1]) == (1, True, "2 findings")
        server.stop()
        done = process("submit", "--folder", network, "--timeout", "5", records[0])
        assert (done.code, done.out.count("\n") + done.err.count("\n")) == (2, 1)
        assert f"expected an answer of the store {url}, found none" in done.err
        assert process("status", "--folder", network).code == 0  # the nodes have come to no harm
    written = b"".join(path.read_bytes() for path in network.rglob("*") if path.is_file())
    assert s3.SECRET.encode() not in written
