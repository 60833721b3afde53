"""Whole networks under proof of stake, in virtual time: what is submitted is final everywhere, once."""

import pytest

from ehrcore.drive.links import LinkModel, Partition
from ehrcore.effects import ObservedKind
from ehrcore.params import Dissemination, StakeRule
from ehrcore.types import MICROSECOND, MILLISECOND, MINUTE, SECOND
from tests.core.protocol.conftest import Run, Scribe, check_invariants, make_params

STAKES = (10, 1, 5, 3, 7, 2, 4)


def administrators(*indices: int) -> frozenset[str]:
    return frozenset(f"administrator-{index}" for index in indices)


@pytest.mark.parametrize("size", [1, 4, 5, 7])
def test_with_real_signatures_and_unequal_stakes_all_agree_on_all(size: int) -> None:
    params = make_params((3, 3, size, 2), is_modelled=False)
    run = Run(params, STAKES[:size], links=LinkModel(jitter_ns=50 * MICROSECOND)).submit(20).run()
    check_invariants(run)
    decided = run.decided()
    assert set(decided) == administrators(*range(size))
    assert {tuple(chain) for chain in decided.values()} == {tuple(run.hashes())}
    digests = {run.node(f"coordinator-{i}").machine.state.digest for i in range(3)}
    digests |= {run.node(f"contributor-{i}").machine.state.digest for i in range(2)}
    assert digests == {run.ledgers["contributor-0"].entries[-1].state}
    assert sorted(run.ids(ObservedKind.FINAL)) == sorted(run.ids(ObservedKind.SUBMITTED))
    assert not run.of(ObservedKind.DROPPED)


@pytest.mark.parametrize("size", [2, 3, 6, 10])
def test_with_any_number_of_administrators(size: int) -> None:
    run = Run(make_params((2, 2, size, 1), endorsements=1), links=LinkModel(jitter_ns=MILLISECOND)).submit(40).run()
    check_invariants(run)


@pytest.mark.parametrize("policy", [(1, 1), (2, 3), (3, 3)])
def test_under_any_policy(policy: tuple[int, int]) -> None:
    run = Run(make_params(endorsements=policy[0], approvals=policy[1])).submit(20).run()
    check_invariants(run)
    needed = {(len(item.endorsements), len(item.approvals)) for e in run.ledgers["contributor-0"].entries
              for item in e.block.transactions}  # fmt: skip
    assert needed == {policy}


@pytest.mark.parametrize(("suite", "curve"), [("sha1", "p256"), ("md5", "secp256k1"), ("blake2b", "secp256k1")])
def test_under_any_suite_and_curve(suite: str, curve: str) -> None:
    params = make_params((2, 2, 4, 1), hash_suite=suite, curve=curve, is_modelled=False)
    check_invariants(Run(params).submit(15).run())


def first_proposer(run: Run, height: int = 1, round_: int = 0) -> str:
    scribe = Scribe(run.network)
    return scribe.validators.proposer(scribe.crypto, scribe.chain, height, round_).node


def test_a_silent_proposer_costs_one_round_and_no_more() -> None:
    # Whose turn it is is drawn from the chain's id: here it is not the silent one's twice.
    chains = (make_params(genesis_time=index) for index in range(16))
    params = next(item for item in chains if first_proposer(Run(item)) != first_proposer(Run(item), round_=1))
    silent = first_proposer(Run(params))
    run = Run(params, partitions=(Partition(0, 1 << 62, frozenset({silent})),)).submit(15).run(10 * SECOND)
    check_invariants(run)
    decided = run.decided()
    assert set(decided) == administrators(0, 1, 2, 3) - {silent}
    (entry,) = run.ledgers["contributor-0"].entries
    assert entry.certificate.round >= 1  # type: ignore[union-attr]
    rule, (at, _, _) = StakeRule(), run.of(ObservedKind.FINAL)[0]
    assert rule.propose_timeout_ns < at < 2 * rule.propose_timeout_ns + 4 * rule.vote_timeout_ns


def test_two_of_four_decide_nothing() -> None:
    run = Run(make_params(), partitions=(Partition(0, 1 << 62, administrators(2, 3)),)).submit(15).run(10 * MINUTE)
    assert run.decided() == {}
    check_invariants(run, is_complete=False)


def test_when_a_split_of_two_and_two_heals_all_is_decided() -> None:
    split = Partition(0, 30 * SECOND, administrators(2, 3))
    run = Run(make_params(), partitions=(split,)).submit(30).run(30 * SECOND)
    assert run.decided() == {}
    run.run()
    check_invariants(run)
    assert {len(chain) for chain in run.decided().values()} == {len(run.hashes())}
    assert set(run.decided()) == administrators(0, 1, 2, 3)


def test_one_that_was_cut_off_catches_up_when_it_hears_of_a_later_height() -> None:
    cut_off = Partition(0, MINUTE, administrators(3))
    run = Run(make_params(), partitions=(cut_off,)).submit(45).submit(15, start=2 * MINUTE).run()
    check_invariants(run)
    decided = run.decided()
    assert decided["administrator-3"] == decided["administrator-0"]
    assert len(decided["administrator-3"]) == 4


@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_administrators_agree_and_go_on_over_links_that_lose_a_tenth(seed: str) -> None:
    run = Run(make_params((3, 3, 4, 1)), links=LinkModel(jitter_ns=MILLISECOND, loss=0.1), seed=seed)
    run.submit(60, every=100 * MILLISECOND).run(20 * MINUTE)
    check_invariants(run, is_complete=False)
    decided = run.decided()
    assert len({len(chain) for chain in decided.values()}) == 1
    assert len(decided["administrator-0"]) >= 3


def test_a_network_with_nothing_to_do_comes_to_rest() -> None:
    run = Run(make_params()).submit(15).run()
    assert run.sim.kernel.pending == 0


@pytest.mark.parametrize("fanout", [1, 2, 3])
@pytest.mark.parametrize("contributors", [1, 2, 3, 4, 7])
def test_a_tree_of_contributors_hands_every_block_to_each_once(contributors: int, fanout: int) -> None:
    params = make_params((2, 2, 4, contributors), dissemination=Dissemination.TREE, fanout=fanout)
    run = Run(params).submit(30).run()
    check_invariants(run)
    assert all(ledger.height == 2 for ledger in run.ledgers.values())
    assert {node.persisted for node in run.sim.nodes if node.name.startswith("contributor")} == {2}


def test_a_tree_sends_each_block_to_the_first_contributor_and_down_from_there() -> None:
    legs = {}
    for kind in Dissemination:
        run = Run(make_params((2, 2, 4, 7), dissemination=kind)).submit(15).run()
        legs[kind] = {key[0].value: leg.messages for key, leg in run.sim.legs.items() if key[1].value == "contributor"}
    assert legs == {
        Dissemination.ALL: {"administrator": 4 * 7},
        Dissemination.TREE: {"administrator": 4, "contributor": 6},
    }


def test_several_visitors_each_have_their_own_nonces_and_receipts() -> None:
    run = Run(make_params((3, 3, 4, 1, 3)))
    for index in range(3):
        run.submit(10, visitor=f"visitor-{index}")
    run.run()
    check_invariants(run)
    for index in range(3):
        assert len(run.of(ObservedKind.FINAL, f"visitor-{index}")) == 10
