"""The description is valid, says what is served and nothing else, and the node keeps to it, whatever comes."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from ehrcore.drive.net.plan import NetworkFolder
from ehrcore.drive.net.web.openapi import build_openapi
from ehrcore.drive.net.web.problems import PROBLEM_MEDIA, PROBLEMS
from ehrcore.drive.net.web.routes import ROUTES, routes_of
from ehrcore.drive.net.web.views import JSON_MEDIA, decode_transaction
from tests.core.net.conftest import Local, Written, found_local

NODES = ("agent-0", "coordinator-0", "administrator-0", "contributor-0")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


def describe(path: Path, node: str) -> dict[str, Any]:
    plan = NetworkFolder(path).read_plan()
    document: dict[str, Any] = json.loads(
        msgspec.json.encode(build_openapi(plan, node, routes_of(node, plan.roles()[node])))
    )
    return document


@pytest.mark.parametrize("node", NODES)
def test_the_description_is_valid(written: Written, node: str) -> None:
    validate(describe(written.path, node))


def test_the_description_is_served_as_it_is(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, "agent-0") as net:
            answer = await net.ask("agent-0", "/openapi.json")
            assert (answer.status, answer.media) == (200, JSON_MEDIA)
            assert json.loads(answer.body) == describe(written.path, "agent-0")

    asyncio.run(check())


@pytest.mark.parametrize("node", NODES)
def test_it_says_what_the_node_serves(written: Written, node: str) -> None:
    document = describe(written.path, node)
    said = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    role = NetworkFolder(written.path).read_plan().roles()[node]
    assert said == {(route.method, route.path) for route in routes_of(node, role)}
    operations = [item for methods in document["paths"].values() for item in methods.values()]
    assert len({item["operationId"] for item in operations}) == len(operations)
    assert all(item["summary"].endswith(".") for item in operations)


def test_every_parameter_of_a_path_is_described() -> None:
    for route in ROUTES:
        named = {item.name for item in route.parameters if item.place == "path"}
        assert named == {part[1:-1] for part in route.path.split("/") if part.startswith("{")}
        assert set(route.all_problems) <= set(PROBLEMS)


def test_the_example_is_a_transaction_of_this_chain(written: Written) -> None:
    document = describe(written.path, "agent-0")
    content = document["paths"]["/v1/transactions"]["post"]["requestBody"]["content"]
    example = content[JSON_MEDIA]["example"]
    tx = decode_transaction(json.dumps(example).encode())
    assert tx.body.chain.hex() == NetworkFolder(written.path).read_plan().chain


def test_a_network_under_tls_says_so(tmp_path: Path) -> None:
    found_local(tmp_path / "network", tls=True)
    document = describe(tmp_path / "network", "agent-0")
    validate(document)
    assert document["security"] == [{"node": []}]
    assert document["servers"][0]["url"].startswith("https://")


def test_json_answers_are_as_described(written: Written) -> None:
    async def check() -> None:
        async with Local(written.path, "contributor-0") as net:
            document = describe(written.path, "contributor-0")
            for route in routes_of("contributor-0", net.hosts["contributor-0"].role):
                if route.answer.media != JSON_MEDIA or route.method != "GET":
                    continue
                place = route.path.replace("{id}", written.tx_ids[0]).replace("{height}", "1")
                for asked, status in ((place, "200"), (place.replace(written.tx_ids[0], "00" * 32), "404")):
                    answer = await net.ask("contributor-0", asked)
                    media = PROBLEM_MEDIA if answer.status == 404 else JSON_MEDIA
                    if place == asked and status == "404":
                        continue
                    said = document["paths"][route.path]["get"]["responses"][status]["content"][media]["schema"]
                    schema = {**said, "components": document["components"]}
                    Draft202012Validator(schema).validate(json.loads(answer.body))

    asyncio.run(check())


HOOKS = """
import schemathesis
from ehrcore.codec import encode

KNOWN = {tx_ids!r}

def write(context, value):
    try:
        return value if isinstance(value, bytes) else encode(value)
    except (TypeError, OverflowError, UnicodeEncodeError):
        return repr(value).encode(errors="replace")

for media in ("frame", "transaction", "ids", "deposit", "release-request", "search-request", "link-use"):
    schemathesis.serializer(f"application/vnd.ehrcore.{{media}}")(write)

@schemathesis.hook
def map_path_parameters(context, parameters):
    if parameters and len(parameters.get("id", "")) >= 32:
        parameters["id"] = KNOWN[len(parameters["id"]) % len(KNOWN)]
    if parameters and isinstance(parameters.get("height"), int):
        parameters["height"] %= 8
    return parameters
"""


async def fuzz(net: Local, written: Written, folder: Path, node: str, *more: str) -> tuple[int | None, str]:
    """Exit code and words of the fuzzer, which asks the node from outside."""
    (folder / "hooks.py").write_text(HOOKS.format(tx_ids=written.tx_ids))
    words = ["run", f"{net.plan.url(node)}/openapi.json", "--checks", ",".join(CHECKS), "--max-examples", "15"]
    words += ["--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--no-color", *more]
    places = os.pathsep.join([str(folder), str(Path(__file__).parents[3])])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from schemathesis.cli import schemathesis; schemathesis()",
        *words,
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": places},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.slow
@pytest.mark.parametrize("node", NODES)
def test_the_node_keeps_to_its_description_whatever_comes(written: Written, tmp_path: Path, node: str) -> None:
    async def check() -> None:
        async with Local(written.path, node) as net:
            code, said = await fuzz(net, written, tmp_path, node, "--continue-on-failure")
            assert code == 0, said
            counters = net.hosts[node].counters
            assert sum(counters.http.values()) > 100
            assert not [key for key in counters.http if key[2] >= 500]
            assert {route for method, route, status in counters.http if status == 200 and method == "GET"} >= {
                route.path for route in routes_of(node, net.hosts[node].role) if route.has_head
            }
            assert (await net.ask(node, "/v1/health")).status == 200

    asyncio.run(check())


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug", [lambda: {"name": 1}, lambda: {}["planted"]], ids=["another answer than described", "a server error"]
)
def test_the_fuzzer_catches_a_planted_bug(
    written: Written, tmp_path: Path, bug: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with Local(written.path, "agent-0") as net:
            monkeypatch.setattr(net.hosts["agent-0"], "status", bug)
            code, said = await fuzz(net, written, tmp_path, "agent-0", "--include-path", "/v1/status")
            assert code == 1, said

    asyncio.run(check())
