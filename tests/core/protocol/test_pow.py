"""Proof of work (Algorithm 2 corrected, E19): a hash below its target, the heaviest chain, confirmations."""

import hashlib
import math
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ehrcore.block import Block, Header, WorkCertificate
from ehrcore.codec import encode
from ehrcore.consensus.finality import check_work, verify_certificate
from ehrcore.consensus.pow import _ORPHAN_LIMIT, ProofOfWork
from ehrcore.consensus.seam import CLOCK_TOLERANCE, Tip
from ehrcore.consensus.work import MAX_STEP, MOST_DIFFICULTY, grind, has_work, least_difficulty, next_difficulty
from ehrcore.crypto import MODELLED_NONCE
from ehrcore.drive.links import LinkModel, Partition
from ehrcore.effects import Observed, ObservedKind, Work
from ehrcore.errors import ValidationError
from ehrcore.hashing import find_suite
from ehrcore.messages import Finalised, Mined, Missing
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


def naive_difficulty(rule: WorkRule, chain: list[Header]) -> int:
    """The definition in whole blocks and exact fractions, from the chain's first block on."""
    height, window = len(chain) + 1, rule.retarget_window
    if not chain:
        return rule.difficulty
    before = Fraction(chain[-1].difficulty)
    if window < 2 or height % window or height < 2 * window:
        return int(before)
    first, last = chain[height - window - 1], chain[height - 2]
    real = Fraction(last.timestamp - first.timestamp, window - 1)
    factor = Fraction(MAX_STEP) if real == 0 else Fraction(rule.block_interval_ns) / real
    factor = min(max(factor, Fraction(1, MAX_STEP)), Fraction(MAX_STEP))
    return min(max(math.floor(before * factor), 1), MOST_DIFFICULTY)


@given(
    window=st.integers(0, 6),
    difficulty=st.integers(1, 1 << 40) | st.integers((1 << 62) - 9, (1 << 62) - 1),
    interval=st.integers(1, 40) | st.integers(1, 1 << 40),
    gaps=st.lists(st.integers(0, 160) | st.integers(0, 1 << 42), min_size=20, max_size=20),
)
@example(window=2, difficulty=1000, interval=5, gaps=[1] * 20)  # a bound rounded to whole nanoseconds gives 2500
@example(window=2, difficulty=MOST_DIFFICULTY, interval=8, gaps=[0] * 20)
@example(window=2, difficulty=3, interval=1, gaps=[9] * 20)
def test_retargeting_is_the_definition_to_the_last_digit(
    window: int, difficulty: int, interval: int, gaps: list[int]
) -> None:
    rule = WorkRule(difficulty=difficulty, block_interval_ns=interval, retarget_window=window)
    chain = headers(20, rule, gaps)
    for height in range(1, 21):
        before = chain[: height - 1]
        assert chain[height - 1].difficulty == naive_difficulty(rule, before)
        # A node keeps no more than one window, and finds the same.
        assert next_difficulty(rule, before[-max(window, 1) :]) == chain[height - 1].difficulty


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

    def __init__(self, confirmations: int = 2, **rule: Any) -> None:
        work = WorkRule(difficulty=1_000, confirmations=confirmations, **rule)
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

    def observed(self, kind: ObservedKind) -> list[Observed]:
        return [step for step in self.council.steps[self.me] if isinstance(step, Observed) and step.kind is kind]

    def restart(self, *recent: Block) -> ProofOfWork:
        """The machine anew, with what it has kept of the final blocks ``recent``."""
        seat, last = self.machine._seat, recent[-1]
        tip = Tip(last.header.height, self.hash(last), last.header.timestamp)
        return ProofOfWork(replace(seat, recent=tuple(block.header for block in recent)), tip)


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


def asked(pit: Pit, *blocks: Block) -> list[Missing]:
    return messages(pit.council.tell(pit.me, *map(Mined, blocks), sender="administrator-1"), Missing)


def test_who_lacks_a_parent_asks_for_it_back_to_where_the_branches_part() -> None:
    pit = Pit(confirmations=6)
    chain = [pit.block(None, 50)]
    for _ in range(4):
        chain.append(pit.block(chain[-1]))
    assert asked(pit, chain[3]) == [Missing(pit.hash(chain[2]), pit.scribe.chain)]
    # A later orphan asks for the same again, in case the first question or its answer was lost.
    assert asked(pit, chain[4]) == [Missing(pit.hash(chain[2]), pit.scribe.chain)]
    assert asked(pit, chain[2]) == [Missing(pit.hash(chain[1]), pit.scribe.chain)]
    assert asked(pit, chain[0]) == []
    assert asked(pit, chain[1]) == []
    assert pit.best == pit.hash(chain[4])


def test_a_peer_is_given_the_block_that_it_lacks_or_the_final_ones_after_its_last() -> None:
    pit = Pit(confirmations=2)
    chain = [pit.block(None, 50)]
    for _ in range(4):
        chain.append(pit.block(chain[-1]))
    pit.hear(*chain)
    assert pit.decided() == list(map(pit.hash, chain[:3]))

    def given(block: Block, after: bytes) -> list[Any]:
        steps = pit.council.tell(pit.me, Missing(pit.hash(block), after), sender="administrator-2")
        assert all(step.to == ("administrator-2",) for step in steps)
        return [step.message for step in steps]

    assert given(chain[3], pit.scribe.chain) == [Mined(chain[3])]
    assert given(chain[2], pit.scribe.chain) == [final(pit, chain, index, 2) for index in range(3)]
    assert given(chain[2], pit.hash(chain[1])) == [final(pit, chain, 2, 2)]
    # One with other final blocks is beyond help.
    assert given(chain[2], bytes(32)) == []


def test_a_final_block_on_another_branch_is_told_of_once_and_that_branch_no_more_asked_for() -> None:
    pit = Pit(confirmations=1)
    mine, theirs = [pit.block(None, 50)], [pit.block(None, 60)]
    for chain in (mine, theirs):
        for _ in range(3):
            chain.append(pit.block(chain[-1]))
    pit.hear(*mine[:2])
    assert pit.decided() == [pit.hash(mine[0])]
    assert asked(pit, theirs[1]) == [Missing(pit.hash(theirs[0]), pit.hash(mine[0]))]
    weak = Finalised(theirs[1], WorkCertificate(()))
    for said in (weak, final(pit, theirs, 2, 1)):
        pit.council.tell(pit.me, said)
    assert asked(pit, theirs[1])
    for _ in range(2):
        pit.council.tell(pit.me, final(pit, theirs, 1, 1))
    (told,) = pit.observed(ObservedKind.DROPPED)
    assert told.subjects == (pit.hash(theirs[1]),)
    assert told.detail == f"previous: expected {pit.hash(mine[0]).hex()}, found {pit.hash(theirs[0]).hex()}"
    assert asked(pit, *theirs[1:]) == []
    assert pit.decided() == [pit.hash(mine[0])]
    # Its own branch goes on, and what it lacks there is asked for as before.
    assert asked(pit, mine[3]) == [Missing(pit.hash(mine[2]), pit.hash(mine[0]))]


def test_who_is_left_behind_is_shown_the_last_block() -> None:
    pit = Pit(confirmations=1)
    chain = [pit.block(None, 50)]
    chain.append(pit.block(chain[0]))
    pit.hear(*chain)
    steps = pit.council.tell(pit.me, Mined(pit.block(None, 60)), sender="administrator-1")
    assert messages(steps, Mined) == [Mined(chain[1])]
    # From nobody that it knows, and without work, a block is worth no answer.
    assert not messages(pit.council.tell(pit.me, Mined(pit.block(None, 70)), sender="visitor-0"), Mined)
    idle = pit.block(None, 80, nonce=bytes(8), height=5, previous=bytes(32))
    assert asked(pit, idle) == []


def test_orphans_are_bounded() -> None:
    pit = Pit()
    pit.hear(*(pit.block(None, previous=number.to_bytes(32)) for number in range(_ORPHAN_LIMIT + 50)))
    assert sum(map(len, pit.machine._orphans.values())) == _ORPHAN_LIMIT


def replace_header(block: Block, **changes: Any) -> Block:
    return Block(msgspec.structs.replace(block.header, **changes), block.transactions)


def test_a_stale_block_is_told_of_once_with_its_proposers_name() -> None:
    pit = Pit(confirmations=1)
    mine, theirs = pit.block(None, 50), pit.block(None, 60, proposer=2)
    child = pit.block(theirs, proposer=3)
    pit.hear(mine, theirs, pit.block(mine))
    assert pit.decided() == [pit.hash(mine)]
    # A stale block's child, a stale block that comes again, and final ones that do.
    pit.hear(child, theirs, theirs, child, mine)
    told = [(item.subjects, item.detail) for item in pit.observed(ObservedKind.STALE)]
    assert told == [((pit.hash(theirs),), "administrator-2")]


def test_a_stale_block_that_comes_late_is_told_of_and_one_without_work_is_not() -> None:
    pit = Pit(confirmations=0)
    mine, theirs, idle = pit.block(None, 50), pit.block(None, 60), pit.block(None, 70, nonce=bytes(8))
    easy, alien = pit.block(None, 80, difficulty=1), replace_header(pit.block(None, 90), proposer="somebody")
    pit.hear(mine, theirs, idle, easy, alien)
    assert [item.subjects for item in pit.observed(ObservedKind.STALE)] == [(pit.hash(theirs),)]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_reorganisation_names_the_blocks_that_it_leaves(depth: int) -> None:
    pit = Pit(confirmations=6)
    trunk = pit.block(None, 50)
    left, right = [trunk], [trunk]
    for number in range(depth):
        left.append(pit.block(left[-1], 60 + number))
        right.append(pit.block(right[-1], 70 + number))
    pit.hear(*left, *right[1:])
    assert not pit.observed(ObservedKind.REORGANISED)
    pit.hear(pit.block(right[-1]))
    (told,) = pit.observed(ObservedKind.REORGANISED)
    assert (told.subjects, told.detail) == (tuple(map(pit.hash, left[1:])), str(depth))
    assert not pit.observed(ObservedKind.STALE)


def test_to_follow_a_final_block_beside_ones_own_is_a_reorganisation_too() -> None:
    pit = Pit(confirmations=1)
    mine, theirs = pit.block(None, 50), pit.block(None, 60)
    pit.hear(mine)
    pit.council.tell(pit.me, final(pit, [theirs, pit.block(theirs)], 0, 1))
    assert [item.subjects for item in pit.observed(ObservedKind.REORGANISED)] == [(pit.hash(mine),)]
    assert [item.subjects for item in pit.observed(ObservedKind.STALE)] == [(pit.hash(mine),)]


def retargeted(pit: Pit, count: int) -> list[Block]:
    """A chain of blocks that come twice as fast as wanted, in nanoseconds."""
    rule, chain = pit.scribe.params.work, list[Block]()
    for index in range(count):
        difficulty = next_difficulty(rule, [block.header for block in chain])
        parent = chain[-1] if chain else None
        chain.append(pit.block(parent, timestamp=index * 5, difficulty=difficulty))
    return chain


def test_a_restarted_administrator_knows_the_difficulty_from_the_headers_that_it_has_kept() -> None:
    pit = Pit(confirmations=1, retarget_window=4, block_interval_ns=10)
    chain = retargeted(pit, 16)
    assert [block.header.difficulty for block in chain] == [1_000] * 7 + [2_000] * 4 + [4_000] * 4 + [8_000]
    pit.council.tell(pit.me, *(final(pit, chain, index, 1) for index in range(10)))
    assert len(pit.decided()) == 10
    for machine in (pit.machine, pit.restart(*chain[6:10])):
        machine.on_message("administrator-1", Mined(chain[10]), 1_000)
        machine.on_message("administrator-1", Mined(chain[11]), 1_000)
        assert machine._best == pit.hash(chain[11])
        (work,) = [step for step in machine.on_ready(1_000) if isinstance(step, Work)] or [None]
        assert work is None or work.header.difficulty == 4_000


@pytest.mark.parametrize(("kept", "is_enough"), [(4, True), (3, False), (0, False), (9, True)])
def test_a_restart_without_the_window_is_refused(kept: int, is_enough: bool) -> None:
    pit = Pit(retarget_window=4)
    chain = retargeted(pit, 9)
    seat, tip = pit.machine._seat, Tip(9, pit.hash(chain[-1]), 0)
    seat = replace(seat, recent=tuple(block.header for block in chain[9 - kept :]))
    if is_enough:
        assert ProofOfWork(seat, tip)
    else:
        with pytest.raises(ValueError, match=f"^recent headers: expected 4, found {kept}$"):
            ProofOfWork(seat, tip)


def test_final_blocks_that_are_too_easy_are_not_followed() -> None:
    """A mutation that asks for no more than a possible difficulty lets a quarter of the work pass for a whole."""
    pit = Pit(confirmations=1, retarget_window=2)
    chain = [pit.block(None)]
    for _ in range(2):
        chain.append(pit.block(chain[-1]))
    easy = [chain[0], pit.block(chain[0], difficulty=250)]
    easy.append(pit.block(easy[1], difficulty=250))
    assert least_difficulty(pit.scribe.params.work, 2) == 250
    pit.council.tell(pit.me, final(pit, chain, 0, 1), final(pit, easy, 1, 1))
    assert pit.decided() == [pit.hash(chain[0])]
    pit.council.tell(pit.me, final(pit, chain, 1, 1))
    assert pit.decided() == list(map(pit.hash, chain[:2]))


@pytest.mark.parametrize(
    "changes", [{"size": 9}, {"merkle_root": bytes(32)}, {"proposer": 9}, {"validators": bytes(32)}]
)
def test_a_final_block_whose_content_is_bad_is_not_followed(changes: dict[str, Any]) -> None:
    pit = Pit(confirmations=1)
    bad = pit.block(None, 50, **changes)
    pit.council.tell(pit.me, final(pit, [bad, pit.block(bad)], 0, 1))
    assert pit.decided() == []


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


@pytest.mark.parametrize("seed", ["one", "two"])
def test_forks_are_told_of_by_all_in_the_same_words(seed: str) -> None:
    """Slow links beside fast blocks: forks come, and what they leave behind is no final block."""
    work = WorkRule(difficulty=20_000, confirmations=12)
    run = Run(make_params(consensus=POW, work=work), seed=seed, links=LinkModel(latency_ns=300_000)).submit(200).run()
    check_invariants(run)
    stale = run.of(ObservedKind.STALE)
    proposers = {item.subjects[0]: item.detail for _, _, item in stale}
    assert proposers
    assert not set(proposers) & set(run.hashes())
    for name, finals in run.decided().items():
        told = [item.subjects[0] for _, node, item in stale if node == name]
        assert set(Counter(told).values()) <= {1}
        assert set(told) == set(proposers), name
        left = [block for _, node, item in run.of(ObservedKind.REORGANISED) if node == name for block in item.subjects]
        # What was left is stale by now, or was returned to, or lies among the last blocks, which are not final yet.
        assert set(left) <= set(finals) | set(told) | set(run.node(name).machine._rule._nodes), name


HALF = frozenset({"administrator-0", "administrator-1"})


@pytest.mark.parametrize("seed", ["a", "b", "c"])
@pytest.mark.parametrize(
    ("group", "start", "end"),
    [(HALF, 10, 16), (HALF, 0, 9), ({"administrator-0"}, 10, 60), ({"administrator-3"}, 0, 50)],
)  # fmt: skip
def test_a_cut_that_heals_before_either_side_is_final_leaves_no_more_than_a_reorganisation(
    seed: str, group: Collection[str], start: int, end: int
) -> None:
    """A block comes every 2 ms; one administrator of four finds 13 in about 100 ms, two in 50, three in 35."""
    work, cut = WorkRule(difficulty=20_000, confirmations=12), Partition(start * 10**6, end * 10**6, frozenset(group))
    run = Run(make_params(consensus=POW, work=work), seed=seed, links=LinkModel(latency_ns=300_000), partitions=(cut,))
    run.submit(200).run()
    check_invariants(run)
    assert {len(chain) for chain in run.decided().values()} == {len(run.hashes())}
    assert run.of(ObservedKind.REORGANISED)
