"""The example of a consensus rule under the invariants, and rules with a planted bug, which these catch."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from bench.experiments.variants_rows import list_rules
from ehrcore.consensus import add_rule
from ehrcore.consensus.pos import ProofOfStake
from ehrcore.effects import Persist
from ehrcore.faults.search import Search, run_seed
from ehrcore.ledger import MemoryLedger
from tests.extend.support import build, simulate


def test_authorities_propose_in_turn(load) -> None:
    load("consensus_rule")
    proposers: dict[int, str] = {}

    class Keep(MemoryLedger):
        def append(self, persist: Persist) -> None:
            proposers[persist.block.header.height] = persist.block.header.proposer

    simulate(build("modelled", is_modelled=True, consensus="poa"), 9, {"contributor-0": Keep()})
    assert len(proposers) >= 4
    assert proposers == {height: f"administrator-{height % 4}" for height in proposers}
    assert ("poa", None) in list_rules([10])


@pytest.mark.parametrize("seed", range(8))
def test_every_invariant_holds_under_the_rule(load, seed) -> None:
    load("consensus_rule")
    verdict = run_seed(Search(seed, seed + 1, rule="poa"), seed)
    assert not verdict.rule, verdict.detail
    assert verdict.heights > 0


_COUNT = itertools.count()


def whoever_asks_next(stakes: Mapping[str, int], height: int, round_: int) -> str:
    """A turn that is no function of what it is given: each node has another one."""
    return sorted(stakes)[next(_COUNT) % len(stakes)]


class Greedy(ProofOfStake):
    """Precommits what was proposed, whatever the others have prevoted."""

    def _vote(self, step: int, block: bytes, steps: list[Any]) -> None:
        proposal = self._record.proposals.get(self._round)
        super()._vote(step, proposal.body.block if proposal else block, steps)


class Mute(ProofOfStake):
    """Says nothing twice, though links lose messages."""

    def _repeat(self, steps: list[Any]) -> None:
        pass


BUGS = {"validity": (ProofOfStake, whoever_asks_next), "quorum": (Greedy, None), "liveness": (Mute, None)}


@pytest.mark.parametrize("invariant", BUGS)
def test_a_rule_with_a_bug_is_caught(load, invariant) -> None:
    load("consensus_rule")
    machine, turn = BUGS[invariant]
    add_rule("spoiled", machine, "pos", turn)
    found = (run_seed(Search(seed, seed + 1, rule="spoiled"), seed).rule for seed in range(10))
    assert next(filter(None, found)) == invariant
