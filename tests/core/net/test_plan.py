import stat
from pathlib import Path

import msgspec
import pytest

from ehrcore.drive.net.files import read_secret, write_file
from ehrcore.drive.net.plan import Address, NetworkConfig, NetworkFolder, NetworkPlan, found
from ehrcore.errors import DeploymentError, ParameterError
from ehrcore.params import WorkRule
from ehrcore.types import Role


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> NetworkFolder:
    path = tmp_path_factory.mktemp("plan") / "network"
    found(path, NetworkConfig(agents=2), 5)
    return NetworkFolder(path)


def changed(plan: NetworkPlan, **changes: object) -> NetworkPlan:
    return msgspec.structs.replace(plan, **changes)


def test_every_secret_is_its_owners_alone(folder: NetworkFolder) -> None:
    public = {
        path.name for path in folder.path.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
    }
    assert public == {"network.json", "certificate.pem", "ca.pem"}
    assert not any(b"secret" in path.read_bytes() for path in [folder.plan_path])


def test_two_foundings_have_nothing_in_common(folder: NetworkFolder, tmp_path: Path) -> None:
    found(tmp_path / "other", NetworkConfig(agents=2), 5)
    secrets = [
        {path.read_text() for path in place.path.rglob("*.key")}
        for place in (folder, NetworkFolder(tmp_path / "other"))
    ]
    assert not secrets[0] & secrets[1]


def test_a_label_founds_the_same_network_again(tmp_path: Path) -> None:
    plans = [found(tmp_path / name, NetworkConfig(), 5, "label") for name in ("one", "two")]
    assert plans[0] == plans[1]


def test_a_network_is_not_founded_over_another(folder: NetworkFolder) -> None:
    before = folder.plan_path.read_bytes()
    with pytest.raises(DeploymentError, match="expected no network, found one"):
        found(folder.path, NetworkConfig(), 5)
    assert folder.plan_path.read_bytes() == before


def test_the_paper_port_is_the_first_agents_and_all_others_follow(folder: NetworkFolder) -> None:
    ports = {name: place.port for name, place in folder.read_plan().nodes.items()}
    assert (ports["agent-0"], ports["agent-1"]) == (7777, 7778)
    assert len(set(ports.values())) == len(ports)


@pytest.mark.parametrize("moved", ["host", "port", "link_key"])
def test_an_address_that_the_authority_did_not_sign_is_found(folder: NetworkFolder, moved: str) -> None:
    plan = folder.read_plan()
    place = msgspec.structs.replace(
        plan.nodes["agent-0"], **{moved: {"host": "10.0.0.1", "port": 1, "link_key": "00"}[moved]}
    )
    with pytest.raises(DeploymentError, match="expected the authority's signature"):
        changed(plan, nodes=plan.nodes | {"agent-0": place}).open_genesis()


def test_a_plan_for_another_chain_is_found(folder: NetworkFolder) -> None:
    with pytest.raises(DeploymentError, match="expected chain 00"):
        changed(folder.read_plan(), chain="00" * 32).open_genesis()


@pytest.mark.parametrize("genesis", ["", "!", "AAAA"])
def test_a_genesis_that_is_none_is_found(folder: NetworkFolder, genesis: str) -> None:
    with pytest.raises(DeploymentError, match="expected a genesis"):
        changed(folder.read_plan(), genesis=genesis).open_genesis()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 1}', b"\xff\xfe"])
def test_a_damaged_plan_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "network.json").write_bytes(content)
    with pytest.raises(DeploymentError, match=r"network\.json: expected a network's plan"):
        NetworkFolder(tmp_path).read_plan()


def test_a_key_of_another_node_is_refused(folder: NetworkFolder, tmp_path: Path) -> None:
    plan = folder.read_plan()
    write_file(
        tmp_path / "nodes/agent-0/signing.key", (folder.node("agent-1") / "signing.key").read_bytes(), is_secret=True
    )
    with pytest.raises(DeploymentError, match="certified for, found another"):
        NetworkFolder(tmp_path).context(plan, "agent-0")


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "key", b"00", is_secret=True)
    assert read_secret(tmp_path / "key") == b"00"
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(DeploymentError, match="found 0640"):
        read_secret(tmp_path / "key")


def test_how_a_network_retargets_is_founded_with_it(tmp_path: Path) -> None:
    config = NetworkConfig(difficulty_bits=8, retarget_window=12, block_interval_ms=1_500, confirmations=3)
    found(tmp_path, config, 5)
    work = NetworkFolder(tmp_path).read_plan().open_genesis().params.work
    assert work == WorkRule(256, 1_500_000_000, 12, 3)
    assert NetworkConfig().params(0).work == WorkRule()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (NetworkConfig(agents=0), "agents"),
        (NetworkConfig(endorsements=2), "endorsements"),
        (NetworkConfig(nodes={"agent-9": Address()}), "agent-9"),
        (
            NetworkConfig(nodes={"agent-0": Address(port=9000), "contributor-0": Address(port=9000)}),
            "distinct addresses",
        ),
        (NetworkConfig(first_port=65_534), "first_port"),
        (NetworkConfig(hash_suite="sha0"), "sha0"),
    ],
)
def test_a_config_that_cannot_be_leaves_nothing_behind(tmp_path: Path, config: NetworkConfig, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        found(tmp_path / "network", config, 5)
    assert not (tmp_path / "network").exists()


def test_the_authority_that_is_reopened_names_patients_as_before(folder: NetworkFolder) -> None:
    plan = folder.read_plan()
    names = [folder.open_authority(plan).pseudonym("patient 1") for _ in range(2)]
    assert names[0] == names[1] != folder.open_authority(plan).pseudonym("patient 2")
    assert plan.roles()["agent-1"] is Role.AGENT
