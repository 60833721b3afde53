import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.links import LinkModel
from ehrcore.drive.sim import HostModel
from ehrcore.effects import ObservedKind, Persist, Send, TimerFired
from ehrcore.faults.plan import Behaviour, Byzantine, Crash, Cut, FaultPlan, Lossy, Pause, Skew, Slow, Twin, partition
from ehrcore.messages import Approve, Endorse, Propose, Vote
from ehrcore.params import ConsensusRule, WorkRule
from ehrcore.types import MILLISECOND, SECOND
from tests.core.faults.support import ADMINS, ALL, Trial, make_network

A, B, C, D = ADMINS
ROOT = Path(__file__).parents[3]
KEEPERS = ("coordinator-0", "contributor-0")
LOSS = Lossy(ALL[1:], ALL[1:], 0, 20 * SECOND, 0.2, 0.2, 20 * MILLISECOND)
PLANS = {
    "none": (),
    "crash": (Crash(A, SECOND, 5 * SECOND), Crash(B, 9 * SECOND, 12 * SECOND, is_torn=True)),
    "keepers": (Crash("coordinator-0", SECOND, 3 * SECOND), Crash("contributor-0", SECOND, 9 * SECOND)),
    "agent": (Crash("agent-0", 1_700 * MILLISECOND, 6 * SECOND), Cut(("agent-0",), ("coordinator-0",), 0, 5 * SECOND)),
    "pause": (Pause(A, 800 * MILLISECOND, 8 * SECOND), Slow(B, 0, 9 * SECOND, 50.0)),
    "partition": partition((A, B), (C, D), SECOND, 10 * SECOND),
    "one-way": (Cut((A,), (B, C, D)),),
    "lossy": (LOSS,),
    "skew": (Skew(A, 3 * SECOND), Skew(B, -3 * SECOND)),
    "twin": (Twin(A, (B,), (C, D)),),
    "equivocate": (Byzantine(A, Behaviour.EQUIVOCATE),),
    "lie": (Byzantine(A, Behaviour.LIE), LOSS),
}


def effects_between(trial, node, start, end):
    return [effect for now, name, effect in trial.said if name == node and start <= now < end]


@pytest.mark.parametrize("name", [name for name in PLANS if name != "equivocate"])
def test_within_the_limits_all_that_was_acknowledged_is_final_once_and_everywhere(name):
    liars = FaultPlan(PLANS[name]).faulty
    Trial(*PLANS[name]).submit().run().check_whole(*liars)


@pytest.mark.parametrize("name", PLANS)
def test_the_same_plan_gives_the_same_trace_and_another_seed_another(name):
    one, two = (Trial(*PLANS[name]).submit().run() for _ in range(2))
    assert one.sim.trace_digest() == two.sim.trace_digest()
    assert one.said == two.said
    links = LinkModel(jitter_ns=MILLISECOND)
    first, other = (Trial(*PLANS[name], seed=seed, links=links).submit().run() for seed in ("seed", "other"))
    assert first.sim.trace_digest() != other.sim.trace_digest()


def test_a_run_in_slices_has_the_trace_of_a_whole_one():
    whole, sliced = Trial(LOSS).submit().run(), Trial(LOSS).submit()
    for until in range(0, 200 * SECOND, SECOND // 3):
        sliced.run(until)
    assert sliced.run().sim.trace_digest() == whole.sim.trace_digest()


def test_the_order_of_sets_and_dicts_of_a_process_changes_nothing():
    script = (
        "import sys, msgspec, support\nfrom ehrcore.faults.plan import FaultPlan\nfor text in sys.argv[1:]:\n"
        "    faults = msgspec.json.decode(text, type=FaultPlan).faults\n"
        "    print(support.Trial(*faults).submit().run().sim.trace_digest())"
    )
    names = ("lossy", "twin", "equivocate", "lie")
    plans = [msgspec.json.encode(FaultPlan(PLANS[name])).decode() for name in names]
    found = set()
    for hash_seed in ("1", "12345"):
        environment = os.environ | {
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}",
        }
        command = [sys.executable, "-c", script, *plans]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        found.add(done.stdout)
    here = [Trial(*PLANS[name]).submit().run().sim.trace_digest() for name in names]
    assert found == {"".join(f"{digest}\n" for digest in here)}


def test_a_run_ends_when_there_is_nothing_left_to_do():
    trial = Trial(*PLANS["crash"]).submit().run(10**15)
    assert trial.sim.kernel.pending == 0
    last = trial.said[-1][0]
    trial.submit(1, trial.sim.kernel.now + SECOND)
    trial.run(2 * 10**15)
    assert trial.said[-1][0] > last


# -- crash and restart -----------------------------------------------------------------------------------------------


def test_a_node_that_is_down_says_nothing_and_hears_nothing():
    trial = Trial(Crash(A, SECOND, 6 * SECOND), records=True).submit().run()
    assert not effects_between(trial, A, SECOND, 6 * SECOND)
    assert effects_between(trial, A, 0, SECOND)
    assert effects_between(trial, A, 6 * SECOND, 200 * SECOND)
    assert max(now for now, _ in trial.heard(A)) < SECOND
    assert min(now for now, _ in trial.heard(A, number=1)) >= 6 * SECOND
    trial.check_whole()


def test_one_that_never_comes_back_is_missed_by_nobody():
    trial = Trial(Crash(A, SECOND)).submit().run()
    assert not effects_between(trial, A, SECOND, 200 * SECOND)
    assert trial.sim.machines[A] == ()
    trial.check_whole(A)


@pytest.mark.parametrize("is_torn", [False, True])
def test_restarted_at_any_instant_a_node_never_says_otherwise(is_torn):
    """Crashes fall on the agreement's busiest instants; words are told apart by height, round, step and block."""
    busy = [now for now, _, _ in Trial().submit().run().sent(Vote)]
    chance = random.Random("restarts")
    for number in range(30):
        at = max(chance.choice(busy) - chance.randrange(MILLISECOND), 1)
        node = chance.choice(ADMINS)
        trial = Trial(Crash(node, at, at + chance.randrange(1, 40 * MILLISECOND), is_torn)).submit().run()
        for place, blocks in trial.words(node).items():
            assert len(blocks) == 1, (number, node, at, place)
        trial.check_whole()


def test_a_node_that_forgets_is_faulty_and_can_say_otherwise():
    """The negative control of the test above: found, so that test would have found it."""
    chance, contradictions = random.Random("forgets"), 0
    busy = sorted({now for now, _, _ in Trial().submit().run().sent(Propose)})
    for at in busy:
        for node in ADMINS:
            crash = Crash(node, at + chance.randrange(1, MILLISECOND), at + 10 * MILLISECOND, forgets=True)
            trial = Trial(crash, *partition(ADMINS[:2], ADMINS[2:], at, at + 6 * SECOND)).submit().run()
            contradictions += any(len(blocks) > 1 for blocks in trial.words(node).values())
    assert contradictions


def test_every_own_word_is_in_the_log_before_it_leaves():
    trial, found = Trial().submit(), []

    def watch(now, node, effect):
        if isinstance(effect, Send) and isinstance(effect.message, Vote | Propose):
            log = trial.sim.log_of(node)
            found.append(effect.message.body.height <= log.height or effect.message.signature in log._said)
        elif isinstance(effect, Persist):
            found.append(trial.sim.log_of(node).height >= effect.block.header.height)

    trial.watch = watch
    trial.run()
    assert found
    assert all(found)


@pytest.mark.parametrize(("is_torn", "is_kept"), [(False, True), (True, False)])
def test_a_crash_while_the_disk_writes_loses_the_word_or_keeps_one_that_never_left(is_torn, is_kept):
    costs = replace(EXAMPLE, persist_ns=10 * MILLISECOND)
    plain = Trial(costs=costs).submit().run()
    now, node, send = plain.sent(Vote)[0]
    trial = Trial(Crash(node, now - MILLISECOND, is_torn=is_torn), costs=costs).submit().run(now + 1)
    assert not trial.sent(Vote, node)
    assert (send.message.signature in trial.sim.log_of(node)._said) is is_kept


def test_a_torn_log_keeps_the_last_own_word_and_nothing_after_it():
    trial = Trial(Crash(A, 4 * SECOND)).submit(1).run(350 * MILLISECOND)
    log = trial.sim.log_of(A)
    log._said = {b"1": (False, None), b"2": (True, None), b"3": (False, None), b"4": (False, None)}
    log.tear()
    assert list(log._said) == [b"1", b"2"]


def test_a_keeper_goes_on_from_its_ledger_and_appends_each_block_once():
    for at in range(200 * MILLISECOND, 3 * SECOND, 350 * MILLISECOND):
        trial = Trial(*(Crash(name, at, at + SECOND) for name in KEEPERS)).submit().run()
        for name in KEEPERS:
            heights = [entry.block.header.height for entry in trial.ledgers[name].entries]
            assert heights == list(range(1, len(heights) + 1))
        trial.check_whole()


def test_what_a_restarted_keeper_validates_is_still_counted():
    """Its state goes on with the process's own cryptography, so that its processor time stays true."""
    plain, trial = (Trial(*faults).submit(12).run() for faults in ((), (Crash("contributor-0", SECOND, 2 * SECOND),)))
    cpu = [next(node.cpu_ns for node in item.sim.nodes if node.name == "contributor-0") for item in (plain, trial)]
    assert cpu[1] > 0.8 * cpu[0]


def test_a_restarted_administrator_takes_messages_only_when_it_has_asked_for_the_chain():
    others = tuple(name for name in ALL if name != A)
    alone = Trial(Crash(A, SECOND, 2 * SECOND), Cut(others, (A,), 2 * SECOND, 9 * SECOND), records=True).submit().run()
    assert min(now for now, _ in alone.heard(A, number=1)) >= 9 * SECOND
    assert not effects_between(alone, A, SECOND, 9 * SECOND)
    alone.check_whole()


# -- pauses, processors, clocks --------------------------------------------------------------------------------------


def test_a_paused_node_says_nothing_and_meets_everything_afterwards():
    start, end = 700 * MILLISECOND, 20 * SECOND
    plain = Trial(records=True).submit().run()
    trial = Trial(Pause(A, start, end), records=True).submit().run()
    assert not effects_between(trial, A, start, end)
    (recorder,) = (item for item in trial.recorders if item.name == A)
    assert not [event for now, event in recorder.heard if start <= now < end]
    held = [message for now, message in trial.heard(A) if now >= end]
    sent = [send.message for now, _, send in trial.sent(Vote | Propose) if start < now < end and A in send.to]  # type: ignore[arg-type]
    assert sent
    assert all(message in held for message in sent)
    assert any(isinstance(event, TimerFired) for now, event in recorder.heard if now >= end)
    trial.check_whole()
    assert len(plain.heard(A)) > 0


def test_pauses_that_overlap_end_with_the_last_and_a_crash_ends_them():
    trial = Trial(Pause(A, SECOND, 4 * SECOND), Pause(A, 2 * SECOND, 6 * SECOND)).submit().run()
    assert not effects_between(trial, A, SECOND, 6 * SECOND)
    trial = Trial(Pause(A, SECOND, 60 * SECOND), Crash(A, 2 * SECOND, 3 * SECOND)).submit(20).run()
    assert effects_between(trial, A, 3 * SECOND, 60 * SECOND)
    trial.check_whole()


@pytest.mark.parametrize("fault", [Pause(A, SECOND, 9 * SECOND), Crash(A, SECOND, 9 * SECOND), Slow(A, 0, 9, 10.0)])
def test_on_a_shared_host_the_others_have_its_processor(fault):
    for offset in range(0, 30 * MILLISECOND, 3 * MILLISECOND):
        host = HostModel(is_shared=True, cores=1)
        trial = Trial(fault, host=host).submit(start=950 * MILLISECOND + offset).run()
        trial.check_whole()


def test_a_slow_processor_takes_so_many_times_as_long():
    plain = Trial().submit(1).run()
    slow = Trial(Slow("agent-0", 0, 100 * SECOND, 10.0)).submit(1).run()
    cpu = [next(node.cpu_ns for node in trial.sim.nodes if node.name == "agent-0") for trial in (plain, slow)]
    assert cpu[1] == pytest.approx(10 * cpu[0], rel=1e-6)


@pytest.mark.parametrize("offset", [3 * SECOND, -3 * SECOND])
def test_a_skewed_clock_is_off_by_so_much_and_never_goes_back(offset):
    plain, trial = (Trial(*faults, records=True).submit(start=9 * SECOND).run() for faults in ((), (Skew(A, offset),)))
    times = [[now for now, _ in item.heard(A)] for item in (plain, trial)]
    assert times[1][0] - times[0][0] == offset
    assert times[1] == sorted(times[1])
    early = Trial(Skew(A, -(10**12)), records=True).submit().run()
    assert {now for now, _ in early.heard(A)} == {0}


# -- links -----------------------------------------------------------------------------------------------------------


def test_a_cut_has_one_direction_and_an_end():
    trial = Trial(Cut((A,), (B,), 0, 2 * SECOND), records=True).submit().run()
    assert not [now for now, _ in trial.heard(B, A) if now < 2 * SECOND]
    assert [now for now, _ in trial.heard(A, B) if now < 2 * SECOND]
    assert [now for now, _ in trial.heard(C, A) if now < 2 * SECOND]
    trial.check_whole()


def test_a_partition_without_a_quorum_decides_nothing_until_it_heals():
    trial = Trial(*partition((A, B), (C, D), 0, 30 * SECOND)).submit().run()
    decided = [now for now, _, effect in trial.said if getattr(effect, "kind", "") is ObservedKind.DECIDED]
    assert min(decided) > 30 * SECOND
    trial.check_whole()


def test_certain_loss_is_a_cut_and_no_loss_is_none():
    def way(**rates):
        return Lossy((A,), (B,), 0, 5 * SECOND, **rates)

    lost, cut = Trial(way(loss=1.0)).submit().run(), Trial(Cut((A,), (B,), 0, 5 * SECOND)).submit().run()
    assert lost.said == cut.said
    nothing, plain = Trial(way()).submit().run(), Trial().submit().run()
    assert nothing.said == plain.said


def test_doubled_messages_come_twice_and_change_nothing():
    trial = Trial(Lossy(ALL, ALL, duplication=1.0), records=True).submit().run()
    for sender in (B, C, D):
        sent = [send.message for _, _, send in trial.sent(Vote, sender) if A in send.to]
        got = [message for _, message in trial.heard(A, sender) if isinstance(message, Vote)]
        assert len(got) == 2 * len(sent)
        assert set(got) == set(sent)
    trial.check_whole()


def test_delayed_messages_overtake_one_another():
    def order(*faults):
        trial = Trial(*faults, records=True).submit().run()
        sent = [send.message for _, _, send in trial.sent(Approve)]
        places = [sent.index(message) for _, message in trial.heard(A) if message in sent]
        trial.check_whole()
        return places

    assert order() == sorted(order())
    late = order(Lossy(("coordinator-0",), ADMINS, delay_ns=SECOND))
    assert late != sorted(late)


# -- twins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hears_all", [False, True])
def test_each_twin_talks_to_its_side_and_hears_it_or_all(hears_all):
    trial = Trial(Twin(A, (B,), (C, D), hears_all), records=True).submit().run()
    assert len(trial.sim.machines[A]) == 2
    for number, own, other in ((0, {B}, {C, D}), (1, {C, D}, {B})):
        heard = {name for name in (B, C, D) if trial.heard(A, name, number)}
        assert heard == (own | other if hears_all else own)
        assert trial.heard(A, "coordinator-0", number)
    one, two = ({message for _, message in trial.heard(name, A)} for name in (B, C))
    assert one
    assert two
    trial.check_whole(A)


def test_twins_have_one_key_and_contradict_each_other():
    found = 0
    for index, name in enumerate(ADMINS):
        trial = Trial(Twin(name, (ADMINS[index - 1],), (ADMINS[index - 2],))).submit()
        trial.run()
        (twin,) = trial.plan.faulty
        found += any(len(blocks) > 1 for blocks in trial.words(twin).values())
        trial.check_whole(twin)
    assert found


# -- nothing is lost for ever ----------------------------------------------------------------------------------------


def test_a_lost_approval_becomes_final_through_repeats():
    trial = Trial(Cut(("coordinator-0",), ADMINS, 0, 5 * SECOND)).submit().run()
    approvals = trial.sent(Approve)
    assert len(approvals) == 2 * len({send.message for _, _, send in approvals})
    trial.check_whole()


def test_a_lost_endorsement_becomes_final_through_repeats():
    trial = Trial(Cut(("agent-0",), ("coordinator-0",), 0, 5 * SECOND)).submit().run()
    assert {now >= 10 * SECOND for now, _, _ in trial.sent(Approve)} == {True}
    trial.check_whole()


def test_what_an_agent_accepted_it_says_again_as_soon_as_it_is_back():
    trial = Trial(Cut(("agent-0",), ("coordinator-0",), 0, 4 * SECOND), Crash("agent-0", 4 * SECOND, 5 * SECOND))
    trial.submit().run()
    again = [send.message for now, _, send in trial.sent(Endorse) if 5 * SECOND <= now < 6 * SECOND]
    first = [send.message for now, _, send in trial.sent(Endorse) if now < 4 * SECOND]
    assert again == first
    trial.check_whole()


def test_what_is_final_is_not_said_again():
    trial = Trial().submit().run()
    for kind in (Approve, Endorse):
        messages = [send.message for _, _, send in trial.sent(kind)]
        assert len(messages) == len(set(messages))
    assert not trial.sim.log_of("agent-0").pending


@pytest.mark.parametrize("name", [*KEEPERS, "agent-0", D])
def test_who_missed_blocks_fetches_them(name):
    """No final block is ever sent to it, so all that it has it has asked for."""
    senders = tuple(other for other in ADMINS if other != name)
    sources = tuple(other for other in KEEPERS if other != name)
    trial = Trial(Cut(senders, (name,), 0, 10 * SECOND), records=True).submit().run()
    height = trial.sim._height(trial.sim._index[name])
    assert height == trial.sim._height(trial.sim._index[sources[0]]) > 1
    trial.check_whole()


def test_a_new_agent_follows_the_chain_from_its_start():
    trial = Trial(Crash("agent-0", 5 * SECOND, 6 * SECOND)).submit().run()
    settled = trial.ids(ObservedKind.SETTLED, "agent-0")
    assert sorted(set(settled)) == sorted(trial.accepted)
    (agent,) = trial.sim.machines["agent-0"]
    assert agent.tip.height == trial.sim.machines["contributor-0"][0].state.height


def test_blocks_go_down_a_tree_of_contributors_with_one_of_them_down():
    network = make_network((1, 1, 4, 3, 1), dissemination="tree")
    trial = Trial(Crash("contributor-0", SECOND, 30 * SECOND), network=network).submit().run()
    heights = {trial.sim.machines[f"contributor-{index}"][0].state.height for index in range(3)}
    assert len(heights) == 1
    trial.check_whole()


def test_a_final_block_that_comes_too_early_is_asked_for_at_once():
    """Unless the request before it goes to one that cannot answer, which takes ten seconds to show."""
    firsts = []
    for seed in "12345":
        trial = Trial(Cut(ADMINS, ("contributor-0",), 0, 1_200 * MILLISECOND), seed=seed).submit().run()
        firsts.append(min(now for now, name, item in trial.said if name == "contributor-0" and type(item) is Persist))
        trial.check_whole()
    assert min(firsts) < 2 * SECOND


# -- other rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [ConsensusRule.PROOF_OF_WORK, ConsensusRule.SINGLE_ORDERER])
@pytest.mark.parametrize("name", ["crash", "keepers", "agent", "pause"])
def test_what_fails_and_comes_back_harms_no_other_rule_either(rule, name):
    network = make_network(consensus=rule, work=WorkRule(600_000, confirmations=3))
    Trial(*PLANS[name], network=network).submit().run(400 * SECOND).check_whole()


def test_a_restarted_miner_knows_a_window_that_is_longer_than_what_is_remembered(monkeypatch):
    monkeypatch.setattr("ehrcore.faults.log.REMEMBERED_BLOCKS", 2)
    work = WorkRule(600_000, SECOND, retarget_window=6, confirmations=1)
    network = make_network(consensus=ConsensusRule.PROOF_OF_WORK, work=work)
    trial = Trial(Crash(ADMINS[1], 12 * SECOND, 13 * SECOND), network=network).submit(40).run(400 * SECOND)
    (machine,) = trial.sim.machines[ADMINS[1]]
    assert len(machine._rule._recent) == 6
    assert len(trial.hashes(ADMINS[1])) > 12
