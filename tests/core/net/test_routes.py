"""Routes: a node reaches its peers where its own file says, and a file that cannot be meant is one line."""

import json

import pytest

from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder, NetworkPlan, found
from ehrcore.drive.net.routes import Routes, read_routes
from ehrcore.errors import DeploymentError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[NetworkFolder, NetworkPlan]:
    path = tmp_path_factory.mktemp("routes") / "network"
    return NetworkFolder(path), found(path, NetworkConfig(agents=2, tls=True), 5)


def write(folder: NetworkFolder, content: object) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder.node("agent-0") / "routes.json").write_text(text)


def test_without_a_file_everything_goes_where_the_plan_says(place: tuple[NetworkFolder, NetworkPlan]) -> None:
    folder, plan = place
    routes = read_routes(folder, plan, "coordinator-0")
    assert {routes.url(peer) for peer in plan.nodes} == {plan.url(peer) for peer in plan.nodes}
    assert {routes.tls_name(peer) for peer in plan.nodes} == {None}


@pytest.mark.parametrize("detour", ["gateway.example:443", "10.1.2.3:9000", "[fe80::1]:1"])
def test_a_detour_is_taken_and_the_certificate_is_still_the_plans(
    place: tuple[NetworkFolder, NetworkPlan], detour: str
) -> None:
    folder, plan = place
    write(folder, {"agent-1": detour})
    routes = read_routes(folder, plan, "agent-0")
    assert (routes.url("agent-1"), routes.tls_name("agent-1")) == (f"https://{detour}", "127.0.0.1")
    assert (routes.url("coordinator-0"), routes.tls_name("coordinator-0")) == (plan.url("coordinator-0"), None)


WRONG = ("", "host", "host:", ":1", "host:0", "host:65536", "http://host:1", "u@host:1", "host:1/x", "::1:1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "expected peers with host:port, found: Expected `object`"),
        ("{", "expected peers with host:port, found: Input data was truncated"),
        ({"agent-1": 7}, "expected peers with host:port, found: Expected `str`"),
        ({"agent-9": "a:1"}, "expected another node of the plan, found 'agent-9'"),
        ({"agent-0": "a:1"}, "expected another node of the plan, found 'agent-0'"),
        *(({"agent-1": wrong}, "agent-1: expected host:port, found ") for wrong in WRONG),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_file(
    place: tuple[NetworkFolder, NetworkPlan], content: object, words: str
) -> None:
    folder, plan = place
    write(folder, content)
    with pytest.raises(DeploymentError) as caught:
        read_routes(folder, plan, "agent-0")
    assert str(caught.value).startswith(f"{folder.node('agent-0') / 'routes.json'}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_peer_is_refused_as_by_the_plan(place: tuple[NetworkFolder, NetworkPlan]) -> None:
    with pytest.raises(DeploymentError, match="node: expected one of"):
        Routes(place[1]).url("agent-9")
