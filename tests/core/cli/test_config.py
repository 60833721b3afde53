"""Founding: from flags and files, once, never at odds with what is there, and with one clear line if it cannot be."""

import socket
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ehrcore.cli.words import CONSENSUS
from ehrcore.drive.net.plan import NetworkFolder
from ehrcore.params import ConsensusRule

MISTAKES = [
    (("--agents", "0"), "topology: agents: expected at least 1, found 0"),
    (("--agents", "x"), "argument --agents: invalid int value: 'x'"),
    (("--visitors", "1000000"), "network: expected at most 1000 nodes"),
    (("--consensus", "luck"), "argument --consensus: invalid choice: 'luck'"),
    (("--first-port", "0"), "Expected `int` >= 1 - at `$.first_port`"),
    (("--first-port", "65534"), "first_port: expected room for 5 ports below 65536, found 65534"),
    (("--speed", "9"), "unrecognized arguments: --speed 9"),
    (("--config", "none.toml"), "none.toml: expected a file that can be read"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES)
@pytest.mark.parametrize("action", ["up", "init"])
def test_a_mistake_is_one_line_and_founds_nothing(tmp_path: Path, run, action, words, expected) -> None:
    folder = tmp_path / "net"
    done = run("network", action, "--folder", folder, *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert expected in done.err
    assert not folder.exists()


CONFIGS = {
    "no TOML": ("agents", "expected TOML"),
    "an unknown key": ("agent = 3", "unknown field `agent`"),
    "an unknown key of a node": ('[nodes.agent-0]\nhots = "h"', "unknown field `hots` - at `$.nodes[...]`"),
    "a text for a number": ('agents = "3"', "Expected `int`, got `str` - at `$.agents`"),
    "a node that is none": ("[nodes.agent-7]\nport = 9", "expected names of this network's nodes, found agent-7"),
    "one address twice": (
        "[nodes.agent-0]\nport = 9000\n[nodes.visitor-0]\nport = 9000",
        "expected distinct addresses, found 127.0.0.1:9000 for agent-0 and visitor-0",
    ),
    "more endorsements than agents": ("endorsements = 2", "endorsements: expected 1 to 1 of 1, found 2"),
    "bits that no header can say": ("difficulty_bits = 62", "Expected `int` <= 61 - at `$.difficulty_bits`"),
    "fewer bits than none": ("difficulty_bits = -1", "Expected `int` >= 0 - at `$.difficulty_bits`"),
    "a window without a duration": ("retarget_window = 1", "retarget_window: expected 0 or at least 2, found 1"),
    "too long a window": ("retarget_window = 4097", "Expected `int` <= 4096 - at `$.retarget_window`"),
    "no interval": ("block_interval_ms = 0", "Expected `int` >= 1 - at `$.block_interval_ms`"),
    "an unknown hash": ('hash_suite = "crc"', "hash suite: expected one of"),
    "a store without a URL": ('[store]\nendpoint = "http://h"', "missing required field `url` - at `$.store`"),
    "a store that is none": (
        '[store]\nurl = "ftp://h/x"',
        "store: expected file:///folder, s3://bucket, gs:// or az://",
    ),
    "a store with a secret": (
        '[store]\nurl = "s3://me:hunter2@b"',
        "store: expected a URL without credentials or options",
    ),
    "an unknown curve": ('curve = "p512"', "curve: expected one of"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_that_is_wrong_is_named_and_founds_nothing(tmp_path: Path, run, name) -> None:
    text, expected = CONFIGS[name]
    config, folder = tmp_path / "net.toml", tmp_path / "net"
    config.write_text(text)
    done = run("network", "init", "--folder", folder, "--config", config)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert expected in done.err
    assert not folder.exists()


def test_a_network_on_several_hosts_is_founded_from_a_file(tmp_path: Path, run) -> None:
    config, folder = tmp_path / "net.toml", tmp_path / "net"
    config.write_text(
        'name = "clinics"\nagents = 2\ncontributors = 2\nhash_suite = "blake2b"\nfirst_port = 9000\n'
        '[nodes.agent-1]\nhost = "10.0.0.2"\n[nodes.contributor-1]\nhost = "10.0.0.2"\nport = 80\n'
    )
    done = run("network", "init", "--folder", folder, "--config", config, "--contributors", "3", "--tls")
    assert (done.code, done.err) == (0, "")
    plan = NetworkFolder(folder).read_plan()
    assert done.out.startswith(f"{folder}: network clinics founded, chain {plan.chain}\n")
    assert "network.json, tls-authority.pem, objects/ and the folders nodes/NAME" in done.out
    assert plan.url("agent-1") == "https://10.0.0.2:9001"
    assert plan.url("contributor-1") == "https://10.0.0.2:80"
    params = plan.open_genesis().params
    assert (params.topology.contributors, params.endorsements, params.hash_suite) == (3, 2, "blake2b")


def test_secrets_are_their_owners_alone(tmp_path: Path, run) -> None:
    run("network", "init", "--folder", tmp_path / "net", "--tls")
    secrets = list((tmp_path / "net").rglob("*.key"))
    assert len(secrets) == 5 * 3 + 2 + 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    folders = {path.parent for path in secrets}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folders} == {0}


def test_a_store_elsewhere_stands_beside_the_plan_and_is_not_changed_by_another_up(tmp_path: Path, run) -> None:
    config, folder = tmp_path / "net.toml", tmp_path / "net"
    text = f'first_port = 9000\n[store]\nurl = "file://{tmp_path}/shared"\n[nodes.agent-0]\nhost = "10.0.0.2"\n'
    config.write_text(text)
    done = run("network", "init", "--folder", folder, "--config", config)
    assert (done.code, "network.json, store.json and the folders nodes/NAME" in done.out) == (0, True)
    assert msgspec.json.decode((folder / "store.json").read_bytes())["url"] == f"file://{tmp_path}/shared"
    config.write_text(config.read_text().replace("shared", "other"))
    done = run("network", "up", "--detach", "--folder", folder, "--config", config)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "as it was founded, found store" in done.err


@pytest.fixture
def founded(tmp_path: Path, run) -> Path:
    folder = tmp_path / "net"
    assert run("network", "init", "--folder", folder, "--agents", "2", "--first-port", "9000").code == 0
    return folder


CONTRADICTIONS = [
    (("--agents", "3"), "expected agents 2, as it was founded, found agents 3"),
    (("--consensus", "pow"), "expected consensus pos, as it was founded, found consensus pow"),
    (("--tls",), "expected tls False, as it was founded, found tls True"),
    (("--first-port", "9100", "--agents", "2"), "expected agent-0 at 127.0.0.1:9000, as it was founded, found"),
]


@pytest.mark.parametrize(("words", "expected"), CONTRADICTIONS)
def test_what_contradicts_the_network_is_named_and_starts_nothing(founded: Path, run, words, expected) -> None:
    done = run("network", "up", "--detach", "--folder", founded, *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"{founded}: {expected}" in done.err
    assert not list(founded.rglob("log"))


def test_a_network_is_founded_once(founded: Path, run) -> None:
    plan = (founded / "network.json").read_bytes()
    done = run("network", "init", "--folder", founded)
    assert done.code == 2
    assert done.err == f"ehrcore: {founded}: expected no network, found one\n"
    assert (founded / "network.json").read_bytes() == plan


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, run, free_ports) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    done = run("network", "up", "--detach", "--folder", tmp_path, "--first-port", free_ports(5))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "expected a network or an empty folder, found thesis.tex in it" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_folders_place_is_named(tmp_path: Path, run, free_ports) -> None:
    path = tmp_path / "net"
    path.write_text("mine")
    done = run("network", "up", "--detach", "--folder", path, "--first-port", free_ports(5))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{path}: expected a folder, found: Not a directory" in done.err


def test_a_port_that_is_taken_is_named_before_anything_is_founded(
    tmp_path: Path, run, free_ports: Callable[[int], int]
) -> None:
    first = free_ports(4)
    with socket.create_server(("127.0.0.1", first + 2)):
        done = run("network", "up", "--detach", "--folder", tmp_path / "net", "--first-port", first)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"administrator-0: expected 127.0.0.1:{first + 2} to be free, found: Address already in use" in done.err
    assert not (tmp_path / "net").exists()


def _not_json(plan: Path) -> str:
    plan.write_text("{")
    return "expected a network's plan, found: "


def _not_text(plan: Path) -> str:
    plan.write_bytes(b"\xff\xfe")
    return "expected a network's plan, found: "


def _another_format(plan: Path) -> str:
    plan.write_text(plan.read_text().replace("ehrcore-network-1", "ehrcore-network-9"))
    return "expected format ehrcore-network-1, found 'ehrcore-network-9'"


def _another_address(plan: Path) -> str:
    plan.write_text(plan.read_text().replace('"port": 9000', '"port": 9999'))
    return "expected the authority's signature, found another"


def _another_chain(plan: Path) -> str:
    content = msgspec.json.decode(plan.read_bytes())
    plan.write_bytes(msgspec.json.encode(content | {"chain": "00" * 32}))
    return f"expected chain {'00' * 32}, found "


def _another_genesis(plan: Path) -> str:
    content = msgspec.json.decode(plan.read_bytes())
    plan.write_bytes(msgspec.json.encode(content | {"genesis": content["genesis"][:-8]}))
    return "expected a genesis, found: "


def _gone(plan: Path) -> str:
    plan.unlink()
    return "expected the folder of a network, found no network.json in it"


SPOILED = [_not_json, _not_text, _another_format, _another_address, _another_chain, _another_genesis, _gone]
ID = "00" * 32
COMMANDS = [("submit", "FILE"), ("sign", "FILE"), ("read", ID), ("prove", ID), ("audit",)]


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_damaged_plan_is_named_by_every_command(founded: Path, records, run, command, spoil) -> None:
    expected = spoil(founded / "network.json")
    words = [str(records[0]) if word == "FILE" else word for word in command]
    done = run(*words, "--folder", founded)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert expected in done.err


@pytest.mark.parametrize("spoil", SPOILED[:3])
@pytest.mark.parametrize("command", [("network", "up", "--detach"), ("network", "down"), ("status",)])
def test_a_plan_that_cannot_be_read_is_named_by_who_starts_stops_and_looks(founded: Path, run, command, spoil) -> None:
    expected = spoil(founded / "network.json")
    done = run(*command, "--folder", founded)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert expected in done.err


@pytest.mark.parametrize("command", [("network", "down"), ("network", "resync", "agent-0"), ("status",), *COMMANDS])
def test_where_there_is_no_network_it_is_said(tmp_path: Path, run, command) -> None:
    done = run(*command, "--folder", tmp_path / "none")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"ehrcore: {tmp_path / 'none'}: expected the folder of a network, found no network.json in it\n"


def test_a_network_that_cannot_be_founded_leaves_nothing(tmp_path: Path, run) -> None:
    """No certificate can be made for such a host, which is found out half way."""
    folder, config = tmp_path / "net", tmp_path / "net.toml"
    config.write_text('[nodes.agent-0]\nhost = "a..b"\n')
    done = run("network", "init", "--folder", folder, "--tls", "--config", config)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "host of agent-0" in done.err
    assert [path.name for path in folder.iterdir()] == ["launch.lock"]
    assert run("network", "init", "--folder", folder).code == 0


def test_two_who_found_at_once_found_one_network(tmp_path: Path, background) -> None:
    folder = tmp_path / "net"
    both = [background("network", "init", "--folder", folder) for _ in range(2)]
    said = [each.communicate(timeout=60) for each in both]
    assert sorted(each.returncode for each in both) == [0, 2]
    (refused,) = (err for _, err in said if err)
    assert refused == f"ehrcore: {folder}: expected no network, found one\n"
    plan = NetworkFolder(folder).read_plan()
    for name in plan.nodes:
        assert NetworkFolder(folder).context(plan, name).me == name, "keys and plan are of one founding"


def test_every_rule_can_be_asked_for_by_name() -> None:
    assert set(CONSENSUS) == {rule.value for rule in ConsensusRule}
