"""Proof of work (Algorithm 2 corrected, E19): a hash below its target, the heaviest chain, confirmations."""

import hashlib
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.block import Block, Header, WorkCertificate
from ehrcore.codec import encode
from ehrcore.consensus.finality import check_work, verify_certificate
from ehrcore.consensus.pow import _ORPHAN_LIMIT, ProofOfWork
from ehrcore.consensus.seam import CLOCK_TOLERANCE
from ehrcore.consensus.work import MAX_STEP, grind, has_work, least_difficulty, next_difficulty
from ehrcore.crypto import MODELLED_NONCE
from ehrcore.effects import Work
from ehrcore.errors import ValidationError
from ehrcore.hashing import find_suite
from ehrcore.messages import Finalised, Mined
from ehrcore.params import ConsensusRule, WorkRule
from ehrcore.roles.keeper import LedgerKeeper
from ehrcore.types import SECOND
from tests.core.protocol.conftest import Council, Run, Scribe, check_invariants, make_network, make_params, messages

POW = ConsensusRule.PROOF_OF_WORK


def headers(count: int, rule: WorkRule, gaps: list[int] | None = None) -> list[Header]:
    """A chain of headers whose difficulties follow the rule; ``gaps`` are the times between them."""
    base = Scribe(make_network(make_params())).block([]).header
    chain: list[Header] = []
    for index in range(count):
        timestamp = (chain[-1].timestamp if chain else 0) + (gaps[index] if gaps else rule.block_interval_ns)
        difficulty = next_difficulty(rule, chain)
        chain.append(msgspec.structs.replace(base, height=index + 1, timestamp=timestamp, difficulty=difficulty))
    return chain


# -- the arithmetic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite_name", ["sha256", "sha1", "md5"])
def test_grinding_finds_the_nonce_that_a_naive_loop_finds(suite_name: str) -> None:
    suite = find_suite(suite_name)
    header = msgspec.structs.replace(Scribe(make_network(make_params())).block([]).header, difficulty=200)
    bound = (1 << 8 * suite.digest_size) // 200

    def naive(start: int, count: int) -> bytes | None:
        for number in range(start, start + count):
            nonce = number.to_bytes(8)
            if int.from_bytes(suite.hash(encode(msgspec.structs.replace(header, nonce=nonce)))) < bound:
                return nonce
        return None

    for start in (0, 977, 1 << 60):
        assert grind(suite, header, start, 2_000) == naive(start, 2_000) is not None
        assert grind(suite, header, start, 3) == naive(start, 3)
        assert grind(suite, header, start, 0) is None


def test_work_is_a_hash_below_the_target_and_not_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scribe = Scribe(make_network(make_params(is_modelled=False)))
    header = scribe.block([], difficulty=4).header
    for first, is_below in ((0x3F, True), (0x40, False), (0x41, False), (0xFF, False)):
        digest = bytes([first]) + bytes(31)
        monkeypatch.setattr(type(scribe.crypto), "hash_struct", lambda *_, digest=digest: digest)
        assert has_work(scribe.crypto, header) == is_below


def test_no_difficulty_is_no_work_and_a_modelled_nonce_counts_on_modelled_chains_alone() -> None:
    for is_modelled in (False, True):
        scribe = Scribe(make_network(make_params(is_modelled=is_modelled)))
        assert not has_work(scribe.crypto, scribe.block([], difficulty=0, nonce=MODELLED_NONCE).header)
        hard = scribe.block([], difficulty=1 << 61, nonce=MODELLED_NONCE).header
        assert has_work(scribe.crypto, hard) == is_modelled


@given(
    window=st.integers(2, 6),
    difficulty=st.integers(1, 1 << 40),
    interval=st.integers(1, 1 << 40),
    gaps=st.lists(st.integers(0, 1 << 45), min_size=18, max_size=18),
)
def test_one_retargeting_step_is_at_most_fourfold_either_way(
    window: int, difficulty: int, interval: int, gaps: list[int]
) -> None:
    rule = WorkRule(difficulty=difficulty, block_interval_ns=interval, retarget_window=window)
    chain = headers(18, rule, gaps)
    for before, after in pairwise(chain):
        if after.height % window:
            assert after.difficulty == before.difficulty
        assert before.difficulty // MAX_STEP <= after.difficulty <= before.difficulty * MAX_STEP
        assert after.difficulty >= least_difficulty(rule, after.height) >= 1


@pytest.mark.parametrize(
    ("gap", "factor"), [(10, 1.0), (5, 2.0), (1, 4.0), (0, 4.0), (20, 0.5), (40, 0.25), (999, 0.25)]
)
def test_difficulty_is_scaled_by_wanted_over_real_time(gap: int, factor: float) -> None:
    rule = WorkRule(difficulty=1 << 20, block_interval_ns=10 * SECOND, retarget_window=4)
    chain = headers(8, rule, [gap * SECOND] * 8)
    assert chain[-1].difficulty == int(factor * (1 << 20))
    assert {header.difficulty for header in chain[:-1]} == {1 << 20}


@pytest.mark.parametrize("window", [0, 1])
def test_a_window_that_spans_no_time_keeps_the_difficulty(window: int) -> None:
    rule = WorkRule(difficulty=1 << 20, retarget_window=window)
    assert {header.difficulty for header in headers(12, rule, [1] * 12)} == {1 << 20}


# -- certificates ------------------------------------------------------------------------------------------------------


class Quarry:
    """Really mined headers on a chain with small difficulty and two confirmations."""

    def __init__(self, **changes: Any) -> None:
        rule = WorkRule(**({"difficulty": 16, "confirmations": 2} | changes))
        self.scribe = Scribe(make_network(make_params(consensus=POW, work=rule, is_modelled=False)))

    def mine(self, header: Header, difficulty: int = 16) -> Header:
        header = msgspec.structs.replace(header, difficulty=difficulty)
        nonce = grind(self.scribe.crypto.suite, header, 0, 100_000)
        assert nonce is not None
        return msgspec.structs.replace(header, nonce=nonce)

    def chain(self, count: int, difficulty: int = 16) -> list[Header]:
        found: list[Header] = []
        for _ in range(count):
            found.append(self.mine(self.scribe.block([], found[-1] if found else None).header, difficulty))
        return found

    def rule_of(self, header: Header, successors: list[Header], recent: tuple[Header, ...] | None = ()) -> str:
        scribe = self.scribe
        try:
            verify_certificate(
                scribe.crypto, scribe.params, scribe.validators, header, scribe.crypto.hash_struct(header),
                WorkCertificate(tuple(successors)), recent,
            )  # fmt: skip
        except ValidationError as error:
            return error.rule
        return ""


def test_a_block_is_final_under_its_linked_successors() -> None:
    quarry = Quarry()
    one, *rest = quarry.chain(3)
    assert quarry.rule_of(one, rest) == ""
    assert quarry.rule_of(one, rest, None) == ""
    assert int.from_bytes(hashlib.sha256(encode(one)).digest()) < (1 << 256) // 16


@pytest.mark.parametrize(
    ("mutation", "rule"),
    [
        ("missing", "certificate"), ("short", "certificate"), ("long", "certificate"), ("unlinked", "certificate"),
        ("of another parent", "certificate"),
        ("swapped", "certificate"), ("repeated", "certificate"), ("of another chain", "certificate"),
        ("first without work", "work"), ("last without work", "work"), ("an easy successor", "difficulty"),
        ("an easy block", "difficulty"),
    ],
)  # fmt: skip
def test_a_work_certificate_is_refused_that_is(mutation: str, rule: str) -> None:
    quarry = Quarry()
    one, two, three, four = quarry.chain(4)
    replace = msgspec.structs.replace
    lazy = next(
        header
        for number in range(1000)
        if not has_work(quarry.scribe.crypto, header := replace(three, nonce=number.to_bytes(8)))
    )
    idle = next(
        header
        for number in range(1000)
        if not has_work(quarry.scribe.crypto, header := replace(one, nonce=number.to_bytes(8)))
    )
    previous = quarry.scribe.crypto.hash_struct
    easy = quarry.chain(3, difficulty=1)
    cases: dict[str, tuple[Header, list[Header]]] = {
        "missing": (one, []),
        "short": (one, [two]),
        "long": (one, [two, three, four]),
        "unlinked": (one, [two, four]),
        "of another parent": (one, [two, quarry.mine(replace(three, previous=bytes(32)))]),
        "swapped": (one, [three, two]),
        "repeated": (one, [two, two]),
        "of another chain": (one, [two, quarry.mine(replace(three, chain=bytes(32)))]),
        "first without work": (idle, [quarry.mine(replace(two, previous=previous(idle))), three]),
        "last without work": (one, [two, lazy]),
        "an easy successor": (one, [two, quarry.mine(three, 1)]),
        "an easy block": (easy[0], easy[1:]),
    }
    assert quarry.rule_of(*cases[mutation]) == rule
    assert quarry.rule_of(*cases[mutation], None) == rule


def test_who_knows_no_history_still_asks_for_the_least_difficulty_possible() -> None:
    """A visitor that took any difficulty would believe a chain ground in a millisecond."""
    quarry = Quarry(retarget_window=2)
    quarter, sixteenth = quarry.chain(5, difficulty=4), quarry.chain(5, difficulty=1)
    assert quarry.rule_of(quarter[1], quarter[2:4], None) == ""
    assert quarry.rule_of(sixteenth[1], sixteenth[2:4], None) == "difficulty"
    assert quarry.rule_of(sixteenth[3], sixteenth[3:5], None) == "certificate"


@pytest.mark.parametrize("difficulty", [1, 15, 17, 64])
def test_a_block_of_another_difficulty_is_refused_by_who_knows_the_history(difficulty: int) -> None:
    quarry = Quarry()
    header = quarry.mine(quarry.scribe.block([]).header, difficulty)
    with pytest.raises(ValidationError, match="^difficulty: expected 16, found"):
        check_work(quarry.scribe.crypto, quarry.scribe.params, header, ())


# -- one administrator -------------------------------------------------------------------------------------------------


class Pit:
    """One machine of four on a modelled chain; the test mines for itself and for the others."""

    def __init__(self, confirmations: int = 2) -> None:
        work = WorkRule(difficulty=1_000, confirmations=confirmations)
        self.council = Council(4, rule=ProofOfWork, consensus=POW, work=work)
        self.scribe, self.me = self.council.scribe, "administrator-0"
        self.machine: Any = self.council.machines[self.me]
        self.council.machines = {self.me: self.machine}

    def block(self, parent: Block | None, *nonces: int, proposer: int = 1, **changes: Any) -> Block:
        items = [self.scribe.endorsed(self.scribe.transaction(nonce)) for nonce in nonces]
        given = {"difficulty": 1_000, "nonce": MODELLED_NONCE, "timestamp": 0} | changes
        header = parent.header if parent else None
        return self.scribe.block(items, header, proposer=f"administrator-{proposer}", **given)

    def hear(self, *blocks: Block) -> None:
        self.council.tell(self.me, *map(Mined, blocks), sender="administrator-1")

    def hash(self, block: Block) -> bytes:
        return self.scribe.hash(block)

    @property
    def best(self) -> bytes:
        found: bytes = self.machine._best
        return found

    @property
    def work(self) -> Work:
        """What is being searched."""
        return next(step for step in reversed(self.council.steps[self.me]) if isinstance(step, Work))

    def find(self) -> Block:
        """Let the search succeed; the block that is published."""
        steps = self.council.take(self.me, self.machine.on_work(self.work.job, MODELLED_NONCE, 0))
        block: Block = messages(steps, Mined)[0].block
        return block

    def decided(self) -> list[bytes]:
        return [step.block_hash for step in self.council.decided[self.me]]


def test_the_first_of_two_equal_chains_stays_and_the_heavier_wins() -> None:
    pit = Pit()
    left, right = pit.block(None, 50), pit.block(None, 60)
    pit.hear(left, right)
    assert pit.best == pit.hash(left)
    heavier = pit.block(right)
    pit.hear(heavier)
    assert pit.best == pit.hash(heavier)
    assert pit.work.header is not None
    assert pit.work.header.previous == pit.hash(heavier)


def test_a_child_that_comes_before_its_parent_waits_for_it() -> None:
    pit = Pit()
    one = pit.block(None, 50)
    two = pit.block(one)
    three = pit.block(two)
    pit.hear(three, two)
    assert pit.best == pit.scribe.chain
    pit.hear(one)
    assert pit.best == pit.hash(three)


def test_a_block_is_decided_under_its_confirmations_and_convinces_a_keeper() -> None:
    pit = Pit(confirmations=2)
    one = pit.block(None, 50)
    two = pit.block(one)
    pit.hear(one, two)
    assert pit.decided() == []
    pit.hear(pit.block(two))
    assert pit.decided() == [pit.hash(one)]
    decided = pit.council.decided[pit.me][0]
    pit.scribe.state().validate(decided.block, decided.certificate)


def test_a_final_block_never_reverts_however_heavy_another_branch_becomes() -> None:
    pit = Pit(confirmations=1)
    one = pit.block(None, 50)
    rival = [pit.block(None, 60)]
    for _ in range(6):
        rival.append(pit.block(rival[-1]))
    pit.hear(rival[0], one, pit.block(one))
    assert pit.decided() == [pit.hash(one)]
    pit.hear(*rival[1:])
    assert pit.decided() == [pit.hash(one)]
    assert not {pit.hash(block) for block in rival} & set(pit.machine._nodes)


def test_a_keeper_never_reverts_either() -> None:
    pit = Pit(confirmations=1)
    keeper = LedgerKeeper(pit.scribe.network.context("contributor-0"))
    chains = []
    for nonce in (50, 60):
        one = pit.block(None, nonce)
        two = pit.block(one)
        three = pit.block(two)
        chains.append([
            Finalised(one, WorkCertificate((two.header,))), Finalised(two, WorkCertificate((three.header,)))
        ])  # fmt: skip
    (one, _), (other, after_other) = chains
    assert [item.final for item in keeper.take(one)[0]] == [one]
    assert keeper.take(other) == ([], None)
    appended, error = keeper.take(after_other)
    assert (appended, error and error.rule) == ([], "previous")
    assert keeper.state.tip == pit.hash(one.block)


@pytest.mark.parametrize(
    "changes",
    [{"difficulty": 999}, {"difficulty": 0}, {"nonce": bytes(8)}, {"merkle_root": bytes(32)}, {"size": 9},
     {"validators": bytes(32)}, {"proposer": "agent-0"}, {"chain": bytes(32)}, {"height": 7},
     {"timestamp": CLOCK_TOLERANCE + 1}],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_a_bad_block_is_not_adopted(changes: dict[str, Any]) -> None:
    pit = Pit()
    pit.hear(pit.block(None, 50, **changes))
    assert pit.best == pit.scribe.chain


def test_a_transaction_is_in_one_chain_once() -> None:
    pit = Pit()
    one = pit.block(None, 50)
    again = pit.block(one, 50)
    pit.hear(one, again)
    assert pit.best == pit.hash(one)


def test_it_mines_for_its_batch_then_empty_blocks_until_that_is_final_and_then_rests() -> None:
    pit = Pit(confirmations=2)
    pit.council.ready()
    found = [pit.find() for _ in range(3)]
    assert [len(block.transactions) for block in found] == [1, 0, 0]
    assert pit.decided() == [pit.hash(found[0])]
    assert len([step for step in pit.council.steps[pit.me] if isinstance(step, Work)]) == 3


def test_a_search_ends_when_anothers_block_leaves_nothing_to_confirm() -> None:
    pit = Pit(confirmations=0)
    pit.council.pools[pit.me].ready = pit.council.pools[pit.me].ready[:1]
    pit.council.ready()
    pit.hear(pit.block(None, 0))
    assert len(pit.decided()) == 1
    assert pit.work.header is None


def test_with_nothing_to_order_it_does_not_mine() -> None:
    pit = Pit()
    pit.council.pools[pit.me].ready = ()
    pit.council.ready()
    assert not [step for step in pit.council.steps[pit.me] if isinstance(step, Work)]


def test_what_has_just_become_final_is_not_mined_again() -> None:
    """The pool learns of a decision only after the rule has returned it: no search may start in between."""
    pit = Pit(confirmations=0)
    pit.council.ready()
    steps = pit.machine.on_work(pit.work.job, MODELLED_NONCE, 0)
    assert not [step for step in steps if isinstance(step, Work)]


def test_a_stale_job_and_a_bad_nonce_are_not_published() -> None:
    pit = Pit()
    pit.council.ready()
    job = pit.work.job
    assert pit.machine.on_work(job + 1, MODELLED_NONCE, 0) == []
    assert pit.machine.on_work(job, bytes(8), 0) == []
    assert pit.find()
    assert pit.machine.on_work(job, MODELLED_NONCE, 0) == []


def final(pit: Pit, chain: list[Block], index: int, confirmations: int) -> Finalised:
    successors = tuple(block.header for block in chain[index + 1 : index + 1 + confirmations])
    return Finalised(chain[index], WorkCertificate(successors))


def test_who_has_missed_blocks_does_not_mine_below_them_and_catches_up_by_final_ones() -> None:
    """As after a restart: the others are at work on blocks that this node has never seen."""
    pit = Pit(confirmations=2)
    chain = [pit.block(None, 50)]
    for _ in range(4):
        chain.append(pit.block(chain[-1]))
    pit.machine._may_lack = True
    pit.council.ready()
    assert pit.work.header is not None
    pit.hear(*chain[3:])
    assert pit.work.header is None
    pit.council.tell(pit.me, *(final(pit, chain, index, 2) for index in (1, 0)))
    # Block 2 came too early; block 1 is followed, and nothing connects to it yet.
    assert pit.decided() == [pit.hash(chain[0])]
    pit.council.tell(pit.me, final(pit, chain, 1, 2))
    pit.council.tell(pit.me, final(pit, chain, 2, 2))
    assert pit.decided() == [pit.hash(block) for block in chain[:3]]
    assert pit.best == pit.hash(chain[4])
    assert pit.machine._root.height == 3


def test_a_final_block_drops_what_was_mined_beside_it() -> None:
    pit = Pit(confirmations=1)
    mine, theirs = pit.block(None, 50), pit.block(None, 60)
    pit.hear(mine)
    chain = [theirs, pit.block(theirs)]
    pit.council.tell(pit.me, final(pit, chain, 0, 1))
    assert pit.decided() == [pit.hash(theirs)]
    assert pit.best == pit.hash(theirs)
    assert not pit.machine._nodes


def test_a_block_without_its_confirmations_is_not_followed() -> None:
    pit = Pit(confirmations=2)
    chain = [pit.block(None, 50)]
    chain.append(pit.block(chain[0]))
    pit.council.tell(pit.me, final(pit, chain, 0, 1))
    assert pit.decided() == []


def test_orphans_are_bounded() -> None:
    pit = Pit()
    pit.hear(*(pit.block(None, previous=number.to_bytes(32)) for number in range(_ORPHAN_LIMIT + 50)))
    assert sum(map(len, pit.machine._orphans.values())) == _ORPHAN_LIMIT


# -- networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3])
def test_a_network_really_grinds_agrees_and_rests(size: int) -> None:
    work = WorkRule(difficulty=1 << 11, confirmations=4)
    params = make_params((2, 2, size, 2), consensus=POW, work=work, is_modelled=False)
    run = Run(params).submit(30).run()
    check_invariants(run)
    assert run.sim.kernel.pending == 0
    for entry in run.ledgers["contributor-0"].entries:
        assert int.from_bytes(hashlib.sha256(encode(entry.block.header)).digest()) < (1 << 256) >> 11
    assert {len(chain) for chain in run.decided().values()} == {len(run.hashes())}


def test_a_network_retargets_and_its_keepers_follow() -> None:
    work = WorkRule(difficulty=1 << 20, confirmations=3, retarget_window=4, block_interval_ns=5 * SECOND)
    run = Run(make_params(consensus=POW, work=work)).submit(300).run()
    check_invariants(run)
    found = [entry.block.header.difficulty for entry in run.ledgers["contributor-0"].entries]
    assert found[0] == 1 << 20 < found[-1]
    assert run.sim.kernel.pending == 0
