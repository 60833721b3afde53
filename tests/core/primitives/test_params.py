"""Parameters outside their domain are refused by name, before anything is made from them."""

from typing import Any

import msgspec
import pytest

from ehrcore.errors import ParameterError
from ehrcore.params import ChainParams, Limits, StakeRule, Topology, WorkRule, majority
from ehrcore.types import Role, node_id, require_count

GOOD = ChainParams("net", Topology(3, 3, 4, 2), 2, 2)


def test_the_defaults_are_valid() -> None:
    GOOD.validate()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("endorsements", 0, "endorsements: expected 1 to 3 of 3, found 0"),
        ("endorsements", 4, "endorsements: expected 1 to 3 of 3, found 4"),
        ("approvals", 0, "approvals: expected 1 to 3 of 3, found 0"),
        ("approvals", 4, "approvals: expected 1 to 3 of 3, found 4"),
        ("fanout", 0, "fanout: expected at least 1, found 0"),
        ("hash_suite", "sha0", "hash suite: expected one of"),
        ("curve", "p384", "curve: expected one of p256, secp256k1, found 'p384'"),
        ("consensus", "paxos", "consensus: .* found 'paxos'"),
        ("dissemination", "gossip", "dissemination: .* found 'gossip'"),
        ("genesis_time", -1, "genesis_time: .* found -1"),
        ("limits", Limits(max_transactions=0), r"limits\.max_transactions: .* found 0"),
        ("limits", Limits(max_transactions=65_536), r"limits\.max_transactions: .* found 65536"),
        ("limits", Limits(max_block_bytes=1_023), r"limits\.max_block_bytes: .* found 1023"),
        ("limits", Limits(max_block_bytes=(1 << 19) + 1), r"limits\.max_block_bytes: "),
        ("limits", Limits(max_wait_ns=-1), r"limits\.max_wait_ns: .* found -1"),
        ("stake", StakeRule(vote_timeout_ns=-1), r"stake\.vote_timeout_ns: .* found -1"),
        ("work", WorkRule(difficulty=0), r"work\.difficulty: .* found 0"),
        ("work", WorkRule(difficulty=1 << 62), r"work\.difficulty: "),
        ("work", WorkRule(block_interval_ns=0), r"work\.block_interval_ns: .* found 0"),
        ("work", WorkRule(retarget_window=-1), r"work\.retarget_window: .* found -1"),
        ("work", WorkRule(confirmations=129), r"work\.confirmations: .* found 129"),
    ],
)
def test_a_parameter_outside_its_domain_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        msgspec.structs.replace(GOOD, **{field: value}).validate()


@pytest.mark.parametrize("field", Topology.__struct_fields__)
@pytest.mark.parametrize("count", [0, -1])
def test_a_topology_has_every_role(field: str, count: int) -> None:
    with pytest.raises(ParameterError, match=f"topology: {field}: expected at least 1, found {count}"):
        Topology(**{**dict.fromkeys(Topology.__struct_fields__, 1), field: count})


def test_a_topology_counts_visitors_too() -> None:
    assert Topology(1, 2, 4, 8, 16).nodes == 31


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (100, 51)])
def test_a_majority_is_more_than_half(count: int, expected: int) -> None:
    assert majority(count) == expected
    assert 2 * expected > count >= 2 * (expected - 1)


def test_names_of_nodes_are_role_and_index() -> None:
    assert [node_id(role, 7) for role in Role] == [f"{role.value}-7" for role in Role]


def test_a_count_below_its_least_is_named() -> None:
    assert require_count("runs", 3, 3) == 3
    with pytest.raises(ParameterError, match="^runs: expected at least 3, found 2$"):
        require_count("runs", 2, 3)
