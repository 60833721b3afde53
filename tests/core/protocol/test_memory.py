"""A node that runs for long holds no more than one that has just warmed up: what it remembers has a bound.

The bounds are lowered, so that a short run reaches them.
"""

import gc
from collections import deque
from typing import Any

import msgspec
import pytest

from ehrcore.params import ChainParams, ConsensusRule, Dissemination, WorkRule
from ehrcore.types import MILLISECOND
from tests.core.protocol.conftest import Run, check_invariants, make_params

#: What a long run may still have more of: the visitor's clock of nonces is a number, not a container.
LIMIT = 64


def containers(value: Any, seen: set[int], path: str = "") -> dict[str, int]:
    """Sizes of all containers that can be reached from a role without entering messages and blocks."""
    if id(value) in seen or isinstance(value, str | bytes | int | type | msgspec.Struct):
        return {}
    seen.add(id(value))
    found: dict[str, int] = {}
    children: list[tuple[str, Any]] = []
    if isinstance(value, dict | set | frozenset | list | tuple | deque):
        found[path] = len(value)
        children = [("[]", item) for item in (value.values() if isinstance(value, dict) else value)]
    elif type(value).__module__.startswith("ehrcore"):
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        names = {*getattr(value, "__dict__", ()), *slots}
        children = [(f".{name}", getattr(value, name)) for name in sorted(names) if hasattr(value, name)]
    for name, child in children:
        for where, size in containers(child, seen, path + name).items():
            found[where] = found.get(where, 0) + size
    return found


def sizes(run: Run) -> dict[str, int]:
    """All containers of all roles by node and path."""
    return {
        f"{node.name}{path}": size
        for node in run.sim.nodes
        for path, size in containers(node.machine, set()).items()
    }


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ehrcore.roles.coordinator.PENDING_LIMIT", LIMIT)
    monkeypatch.setattr("ehrcore.roles.pool.CANDIDATE_LIMIT", LIMIT)
    monkeypatch.setattr("ehrcore.consensus.laggards.CATCH_UP_LIMIT", 4)
    init = __import__("ehrcore.crypto", fromlist=["Crypto"]).Crypto.__init__
    monkeypatch.setattr("ehrcore.crypto.Crypto.__init__", lambda self, *given: init(self, *given[:3], 256))


def grown(params: ChainParams, count: int) -> dict[str, tuple[int, int]]:
    """Containers that grew between ``count`` and twice as many transactions."""
    run = Run(params, keep=4)
    run.submit(count, every=MILLISECOND // 2).run()
    assert sum(len(entry.block.transactions) for entry in run.ledgers["contributor-0"].entries) > 0
    before = sizes(run)
    run.submit(count, start=run.sim.kernel.now, every=MILLISECOND // 2).run()
    after = sizes(run)
    return {
        path: (before.get(path, 0), size)
        for path, size in after.items()
        if size > before.get(path, 0) + 2 and not path.endswith("._said")
    }


RULES: list[dict[str, Any]] = [
    {},
    {"dissemination": Dissemination.TREE},
    {"consensus": ConsensusRule.SINGLE_ORDERER},
    {"consensus": ConsensusRule.PROOF_OF_WORK, "work": WorkRule(difficulty=1 << 14, confirmations=3)},
]


@pytest.mark.usefixtures("small_bounds")
@pytest.mark.parametrize("rule", RULES, ids=["stake", "tree", "orderer", "work"])
def test_twice_the_transactions_take_no_more_memory(rule: dict[str, Any]) -> None:
    assert grown(make_params(**rule), 300) == {}


@pytest.mark.slow
def test_3000_transactions_take_no_more_memory_than_1500_with_the_real_bounds_but_those_not_reached_yet() -> None:
    """What remembers ids of settled transactions holds up to 16,384 and has not filled; all else stands still."""
    found = grown(make_params(), 1_500)
    assert {path.rpartition(".")[0].rpartition(".")[2] for path in found} <= {"_settled", "_crypto", "crypto", "_verified"}


def test_the_walk_finds_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted leak: coordinators that never forget what they have approved."""
    monkeypatch.setattr("ehrcore.roles.coordinator.Coordinator._settle", lambda self, tx_id: None)
    monkeypatch.setattr("ehrcore.roles.coordinator.Coordinator._approve", lambda self, *_: ())
    run = Run(make_params()).submit(50).run()
    before = sizes(run)
    run.submit(50, start=run.sim.kernel.now).run()
    after = sizes(run)
    assert after["coordinator-0._pending"] == 2 * before["coordinator-0._pending"]
    check_invariants(run, is_complete=False)


def test_the_kernel_and_the_nodes_hold_nothing_when_all_is_done() -> None:
    run = Run(make_params()).submit(60).run()
    gc.collect()
    assert run.sim.kernel.pending == 0
    for node in run.sim.nodes:
        assert not node.station.inbox
        assert not node.timers
    assert not run.node("visitor-0").machine._pending
