"""A node that runs for long holds no more than one that has just warmed up: what it remembers has a bound.

The bounds are lowered, so that a short run reaches them.
"""

import gc
from collections import deque
from typing import Any

import msgspec
import pytest

from ehrcore.bounded import RecentSet
from ehrcore.crypto import Crypto
from ehrcore.params import ChainParams, ConsensusRule, Dissemination, WorkRule
from ehrcore.types import MILLISECOND
from tests.core.protocol.conftest import Run, check_invariants, make_params

#: What the bounds are lowered to.
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
        f"{node.name}{path}": size for node in run.sim.nodes for path, size in containers(node.machine, set()).items()
    }


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ehrcore.roles.coordinator.PENDING_LIMIT", LIMIT)
    monkeypatch.setattr("ehrcore.roles.pool.CANDIDATE_LIMIT", LIMIT)
    monkeypatch.setattr("ehrcore.consensus.laggards.CATCH_UP_LIMIT", 4)
    monkeypatch.setattr("ehrcore.consensus.pow.CATCH_UP_LIMIT", 4)
    monkeypatch.setattr("ehrcore.consensus.pow._CLOSED_LIMIT", 8)
    monkeypatch.setattr("ehrcore.roles.visitor.RecentSet", lambda _: RecentSet(8))
    monkeypatch.setattr("ehrcore.network.Crypto", lambda *given: Crypto(*given, memo_size=32))


def grown(params: ChainParams, count: int) -> dict[str, tuple[int, int]]:
    """Containers that grew between ``count`` and twice as many transactions.

    One key per node is no growth, and the off-chain objects are no node's memory: to keep them is the store's task.
    """
    run = Run(params, keep=4)
    run.submit(count, every=MILLISECOND // 2).run()
    before, height = sizes(run), run.ledgers["contributor-0"].height
    run.submit(count, start=run.sim.kernel.now, every=MILLISECOND // 2).run()
    after = sizes(run)
    assert run.ledgers["contributor-0"].height >= 2 * height > 0
    return {
        path: (before.get(path, 0), size)
        for path, size in after.items()
        if size > max(before.get(path, 0), len(run.sim.nodes)) and not path.endswith("._store._objects")
    }


RULES: list[dict[str, Any]] = [
    {},
    {"dissemination": Dissemination.TREE},
    {"consensus": ConsensusRule.SINGLE_ORDERER},
    {"consensus": ConsensusRule.LEADER},
    {"consensus": ConsensusRule.PROOF_OF_WORK, "work": WorkRule(difficulty=1 << 20, confirmations=3)},
]


@pytest.mark.usefixtures("small_bounds")
@pytest.mark.parametrize("rule", RULES, ids=["stake", "tree", "orderer", "leader", "work"])
def test_twice_the_transactions_take_no_more_memory(rule: dict[str, Any]) -> None:
    assert grown(make_params(**rule), 300) == {}


#: Bounded memories that hold more entries than the run has blocks or transactions.
STILL_FILLING = {
    "_settled._items", "_pool._settled._items", "_verified._items", "_context.crypto._memo",
}  # fmt: skip


@pytest.mark.slow
def test_3000_transactions_take_no_more_memory_than_1500_with_the_real_bounds_but_those_not_reached_yet() -> None:
    """What remembers ids of settled transactions holds up to 16,384 and has not filled; all else stands still."""
    found = grown(make_params(), 1_500)
    assert {path.partition(".")[2] for path in found} <= STILL_FILLING


def test_the_walk_finds_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted leak: coordinators that never forget what they have approved."""
    monkeypatch.setattr("ehrcore.roles.coordinator.Coordinator._settle", lambda *_: None)
    monkeypatch.setattr("ehrcore.roles.coordinator.Coordinator._approve", lambda *_: ())
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
