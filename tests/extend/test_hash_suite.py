"""The example of a hash suite, in hashes, ledgers and experiments."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.experiments import find_experiment
from bench.micro.groups import build_groups
from bench.scenario import load_scenario
from ehrcore.block import Genesis
from ehrcore.hashing import find_suite
from ehrcore.ledger import SqliteLedger
from tests.extend.support import EXAMPLES, build, simulate


def test_the_suites_are_the_functions_that_they_are_named_after(load) -> None:
    load("hash_suite")

    @given(message=st.binary(max_size=300))
    def check(message: bytes) -> None:
        assert find_suite("blake2s").hash(message) == hashlib.blake2s(message).digest()
        assert find_suite("sha384-256").hash(message) == hashlib.sha384(message).digest()[:32]

    check()


@pytest.mark.parametrize("name", ["blake2s", "sha384-256"])
def test_a_chain_is_kept_and_replayed_under_a_suite_of_ones_own(load, tmp_path, name) -> None:
    load("hash_suite")
    network = build(hash_suite=name)
    ledger = SqliteLedger.create(tmp_path / "a.db", Genesis(network.params, network.certificates))
    simulate(network, 6, {"contributor-0": ledger})
    assert ledger.verify().height >= 2
    ledger.close()


def test_the_experiments_take_a_suite_of_ones_own(load, tmp_path) -> None:
    load("hash_suite")
    scenario = load_scenario("smoke", EXAMPLES / "hash_suite.toml")
    groups = {
        group.name: group for group in build_groups("hashes", {"sizes_bytes": [64], "suites": scenario.hashes.suites})
    }
    assert {"blake2s", "sha384-256"} <= set(groups["hashlib-64"].variants)
    assert groups["hashlib-64"].details["sha384-256"]["version"] == "", "not hashlib's own"
    for make in groups["hashlib-64"].variants.values():
        make()(1)
    labels = {case.label for case in find_experiment("variants").cases(scenario)}
    assert {"pos-blake2s-0", "single-sha384-256-0"} <= labels


def test_without_its_extension_a_scenario_names_what_is_missing() -> None:
    with pytest.raises(BenchError, match=r"Expected one of sha256, .* got 'blake2s' - at `\$.variants.suites`"):
        load_scenario("smoke", EXAMPLES / "hash_suite.toml")
