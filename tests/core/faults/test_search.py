"""The search: the same seed is the same run, all that is within tolerance holds, and what breaks can be replayed."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ehrcore.__main__ import main
from ehrcore.block import WorkCertificate
from ehrcore.consensus.pow import ProofOfWork
from ehrcore.errors import ParameterError
from ehrcore.faults.mixtures import make_random
from ehrcore.faults.plan import Byzantine, Crash, Cut, FaultPlan, Lossy, partition
from ehrcore.faults.schedules import Schedule, administrators, count_splits, make_split
from ehrcore.faults.search import Search, compute_digest, run_many, run_schedule, run_seed
from ehrcore.faults.trial import DONE_WITHIN_NS, ROUND_LIMIT, Verdict
from ehrcore.messages import Finalised
from ehrcore.params import ConsensusRule
from ehrcore.types import SECOND

POS, POW = ConsensusRule.PROOF_OF_STAKE, ConsensusRule.PROOF_OF_WORK


def require_all(search: Search, jobs: int = 1) -> list[Verdict]:
    verdicts = list(run_many(search, jobs))
    broken = [f"{verdict.detail} ({search.command(verdict.seed)})" for verdict in verdicts if verdict.rule]
    assert not broken, broken[:3]
    assert max(verdict.rounds for verdict in verdicts) <= ROUND_LIMIT
    assert max(verdict.live_ns for verdict in verdicts) <= DONE_WITHIN_NS
    return verdicts


def test_some_random_schedules_hold() -> None:
    require_all(Search(0, 30))


@pytest.mark.slow
def test_random_schedules_of_four_hold() -> None:
    require_all(Search(30, 120), jobs=2)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [5, 7])
def test_random_schedules_of_more_hold(nodes: int) -> None:
    require_all(Search(0, 12, nodes), jobs=2)


@pytest.mark.slow
def test_splits_hold() -> None:
    assert count_splits(4) == 8**3 * 9
    search = Search(0, count_splits(4), is_split=True)
    for seed in range(0, count_splits(4), 61):
        verdict = run_seed(search, seed)
        assert not verdict.rule, verdict.detail


def test_every_split_is_another() -> None:
    plans = {make_split(index, 4, POS).plan for index in range(8**3)}
    assert len(plans) == 8**3
    assert max(make_split(index, 4, POS).healed_ns for index in range(8**3)) == 19.5 * SECOND


def test_every_kind_of_fault_comes_up_and_tolerance_is_kept() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(300):
        schedule = make_random(seed, 4, POS)
        kinds.update(type(fault).__name__ for fault in schedule.plan.faults)
        kinds.update(fault.behaviour.value for fault in schedule.plan.of(Byzantine))
        assert schedule.is_tolerable
        schedule.plan.validate(schedule.network())
    words = {"Crash", "Pause", "Slow", "Cut", "Lossy", "Skew", "Byzantine", "Twin"}
    assert words | {"equivocate", "withhold", "censor", "lie"} <= {kind for kind, count in kinds.items() if count > 5}


@pytest.mark.parametrize("fault", ["none", "down", "cut"])
def test_with_a_node_down_for_good_or_a_link_cut_one_way_all_goes_on(fault: str) -> None:
    names = tuple(f"administrator-{index}" for index in range(4))
    faults = {
        "none": (),
        "down": (Crash(names[0], 3 * SECOND),),
        "cut": (Cut((names[0],), (names[1],)),),
    }
    schedule = msgspec.structs.replace(make_random(3, 4, POS), stakes=(1,) * 4, plan=FaultPlan(faults[fault]))
    verdict = run_schedule(schedule, 3)
    assert not verdict.rule, verdict.detail
    assert verdict.heights >= 5


def test_a_silent_liar_and_a_crash_between_prevote_and_precommit_hold_nobody_up() -> None:
    """A node that restarts takes up its round where it left it: the others need its word there to go on at all."""
    for seed in (17, 149, 163):
        verdict = run_seed(Search(seed, seed + 1), seed)
        assert not verdict.rule, verdict.detail


def test_what_is_handed_on_comes_before_time_outs_have_grown() -> None:
    """A link cut for good and a liar: the third honest node's repetition has to come within some round's time-outs."""
    verdict = run_seed(Search(186, 187), 186)
    assert not verdict.rule, verdict.detail


def test_who_has_left_a_round_hands_on_what_let_it_leave() -> None:
    """A node down for good and a link cut for good: the third node holds the precommit that the receiver lacks."""
    verdict = run_seed(Search(11_147, 11_148), 11_147)
    assert not verdict.rule, verdict.detail


def test_a_reversal_is_told_by_ids_and_counted_and_is_no_failure_of_liveness(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The miners are cut in halves for longer than three confirmations take: each half has its own final blocks."""
    names = administrators(4)
    plan = FaultPlan(tuple(partition(names[:2], names[2:], 2 * SECOND, 20 * SECOND)))
    load = tuple(number * SECOND // 2 for number in range(50))
    schedule = Schedule("cut", POW, (1,) * 4, 20_000_000, 0, load, plan)
    verdict = run_schedule(schedule, 0)
    # Ledgers follow whichever side they heard of first.
    keepers = {"coordinator-0", "contributor-0", "contributor-1"}
    assert not verdict.rule
    assert verdict.reverted.keys() - keepers in (set(names[:2]), set(names[2:]))
    assert max(verdict.reverted.values()) < verdict.heights
    code, shown = run_command(capsys, "--rule", "pow", "--seeds", "58:59")
    assert code == 0
    assert "all invariants held; 1 reversed final blocks, of 1 nodes; " in shown
    code, shown = run_command(capsys, "--rule", "pow", "--seed", "58", "--trace")
    assert code == 0
    assert shown.endswith("reversed: administrator-0 holds other blocks final from height 1 on\n")


def test_without_a_fault_of_the_network_and_delays_nothing_is_reversed() -> None:
    count = 0
    for seed in range(300):
        schedule = make_random(seed, 4, POW)
        kinds = {type(fault) for fault in schedule.plan.faults}
        if schedule.latency_ns <= 20_000_000 and not kinds & {Cut, Lossy, Byzantine}:
            verdict = run_schedule(schedule, seed)
            assert not verdict.rule, verdict.detail
            assert not verdict.reverted
            count += 1
    assert count >= 8


def test_who_is_behind_on_the_common_branch_is_not_taken_for_reverted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProofOfWork, "_follow", lambda *_: False)
    plan = FaultPlan((Crash("administrator-1", 3 * SECOND, 12 * SECOND),))
    load = tuple(number * SECOND for number in range(20))
    verdict = run_schedule(Schedule("deaf", POW, (1,) * 4, 1_000_000, 0, load, plan), 0)
    assert (verdict.rule, verdict.reverted) == ("liveness", {})


def test_final_under_fewer_confirmations_is_no_reversal_but_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(self: ProofOfWork, final: Finalised, *rest: Any) -> None:
        assert isinstance(final.certificate, WorkCertificate)
        short = WorkCertificate(final.certificate.successors[:-1])
        honest(self, Finalised(final.block, short), *rest)

    honest = ProofOfWork._decide
    monkeypatch.setattr(ProofOfWork, "_decide", decide)
    verdict = run_seed(Search(0, 1, rule=POW), 0)
    assert verdict.rule == "quorum"
    assert "accepted under 2 confirmations of 3" in verdict.detail


def test_processes_change_nothing() -> None:
    search = Search(0, 12)
    assert list(run_many(search, 2)) == [run_seed(search, seed) for seed in range(12)]


@pytest.mark.parametrize("hash_seed", ["1", "77"])
def test_the_same_seed_is_the_same_trace_under_any_hash_seed(hash_seed: str) -> None:
    words = "from ehrcore.faults.search import *; print(compute_digest(list(run_many(Search(0, 4), 1))))"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", words], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == compute_digest(list(run_many(Search(0, 4), 1)))


@pytest.mark.parametrize(
    ("search", "text"),
    [
        (Search(5, 5), "seeds: expected A:B"),
        (Search(0, count_splits(4) + 1, is_split=True), "seeds: expected A:B"),
        (Search(0, 1, mutant="none"), "mutant: expected one of"),
        (Search(0, 1, rule=ConsensusRule.LEADER, mutant="no-lock"), "rule: expected pos"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(search: Search, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        search.validate()


def run_command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    try:
        main(("check", *words))
        code = 0
    except SystemExit as done:
        code = int(done.code or 0)
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def test_the_command_says_that_all_holds(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run_command(capsys, "--seeds", "0:3")
    assert code == 0
    assert shown.startswith("3 random schedules of 4 nodes under pos: all invariants held; ")


def test_what_breaks_is_shown_with_the_one_command_that_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run_command(capsys, "--seeds", "0:1", "--mutant", "two-thirds-of-3")
    assert code == 1
    (replay,) = re.findall(r"replay: ehrcore check (.*)", shown)
    code, trace = run_command(capsys, *replay.split())
    assert code == 1
    assert trace.splitlines()[-1] in shown
    assert len(trace.splitlines()) > 10


def test_what_replays_says_how_many_nodes_there_were_unless_the_bug_says_it() -> None:
    assert "--nodes" not in Search(0, 1, 6, mutant="two-thirds-of-6").command(0)
    assert "--nodes 4" in Search(0, 1, 4, mutant="two-thirds-of-6").command(0)
    assert "--nodes" not in Search(0, 1).command(0)


@pytest.mark.parametrize("rule", ConsensusRule)
def test_heights_are_counted_under_every_rule(rule: ConsensusRule) -> None:
    assert run_seed(Search(0, 1, rule=rule), 0).heights > 4


def test_a_search_that_was_interrupted_says_how_much_of_it_was_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(search: Search, jobs: int) -> Iterator[Verdict]:
        yield run_seed(search, 0)
        raise KeyboardInterrupt

    monkeypatch.setattr("ehrcore.cli.check.run_many", stop)
    code, shown = run_command(capsys, "--seeds", "0:9")
    assert code == 130
    assert shown.startswith("1 of 9 random schedules of 4 nodes under pos: all invariants held; ")


@pytest.mark.parametrize(
    "words",
    [
        ("--seeds", "3"),
        ("--mutants", "--rule", "leader"),
        ("--mutants", "--splits"),
        ("--mutant", "no-lock", "--rule", "pow"),
        ("--seeds", "2:1"),
        ("--jobs", "0"),
        ("--mutant", "x"),
        ("--trace",),
        ("--nodes", "0"),
        ("--nodes", "100000"),
        ("--splits", "--nodes", "100000"),
        ("--rule", "x"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, shown = run_command(capsys, *words)
    assert code == 2
    assert len(shown.splitlines()) == 1
