"""The speed limits measure what they say; none of these tests depends on how fast this machine is."""

import pandas as pd
import pytest
from msgspec.structs import replace

from bench.engines.base import Context
from bench.engines.limits import run_limit
from bench.errors import BenchError
from bench.experiments import limits as experiment
from bench.experiments.base import Case
from bench.limits import PARTS, access, compiled, critical, hashing, kernel, network, openssl, sealing, startup, storage
from bench.limits.base import Demand, Finding, Metric, Part, Unavailable, build_row, cpu_ns, take_turns
from bench.limits.midstate import MidstateSearch
from bench.scenario import load_scenario
from ehrcore.codec import encode
from ehrcore.consensus.work import grind
from ehrcore.hashing import find_suite
from ehrcore.merkle import verify_inclusion
from ehrcore.spec.merkle import tree_hash

METRIC = Metric("thing", "ns", "peer", Demand("at most", 2))


@pytest.fixture
def context(tmp_path):
    return Context(load_scenario("smoke"), None, tmp_path)


# -- the arithmetic ------------------------------------------------------------------------------------------------


def test_a_ratio_is_the_median_of_the_blocks_ratios_not_the_ratio_of_medians():
    row = build_row("part", METRIC, Finding([1.0, 8.0, 3.0], [1.0, 2.0, 2.0]))
    assert (row["measured"], row["measured_min"], row["measured_max"]) == (3.0, 1.0, 8.0)
    assert (row["peer_value"], row["ratio"], row["ratio_min"], row["ratio_max"]) == (2.0, 1.5, 1.0, 4.0)
    assert (row["blocks"], row["met"], row["demanded"]) == (3, "true", "≤ 2 × peer")


@pytest.mark.parametrize(
    ("demand", "ours", "met"),
    [
        (Demand("at most", 2), 20.0, "true"),
        (Demand("at most", 2), 20.1, "false"),
        (Demand("at least", 2), 20.0, "true"),
        (Demand("at least", 2), 19.9, "false"),
        (Demand("within", 0.02), 10.19, "true"),
        (Demand("within", 0.02), 9.79, "false"),
        (Demand("within", 0.02), 10.21, "false"),
        (Demand("at least", 19.5, "value"), 19.6, "true"),
        (Demand("at most", 19.5, "value"), 19.6, "false"),
    ],
)
def test_a_demand_is_on_the_ratio_or_on_the_value(demand, ours, met):
    assert build_row("part", Metric("thing", "ns", "peer", demand), Finding([ours], [10.0]))["met"] == met


def test_a_metric_without_a_peer_has_no_ratio():
    row = build_row("part", Metric("thing", "1/s", "", Demand("at least", 1_500_000, "value")), Finding([2e6]))
    assert (row["ratio"], row["peer_value"], row["met"]) == (None, None, "true")
    assert row["demanded"] == "≥ 1,500,000 1/s"


def test_sides_take_turns_and_change_who_goes_first():
    order = []
    values = take_turns(3, lambda: order.append("a") or 1.0, lambda: order.append("b") or 2.0)
    assert "".join(order) == "abbaab"
    assert values == [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]


def test_the_timer_calls_with_the_arguments_it_was_given():
    seen = set()
    assert cpu_ns(0.0001, lambda *given: seen.add(given), 1, "b") > 0
    assert seen == {(1, "b")}


# -- the engine ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"limit": "nothing"}, {"limit": 3}, {"limit": ["hash"]}])
def test_an_unknown_part_is_refused(context, settings):
    with pytest.raises(BenchError, match="^limit: expected one of control, hash, "):
        run_limit(context, Case("c", "limit", settings))


def test_what_the_machine_lacks_is_a_row_with_the_reason(context, monkeypatch):
    def measure(folder):
        raise Unavailable("no such tool")

    monkeypatch.setitem(PARTS, "hash", Part((METRIC, METRIC), measure))
    rows = run_limit(context, Case("c", "limit", {"limit": "hash"}))
    assert [(row["met"], row["note"], row["ratio"]) for row in rows] == [("unavailable", "no such tool", None)] * 2
    frame = experiment.build_limits(pd.DataFrame(rows))
    assert list(frame.columns) == list(experiment.COLUMNS)


def test_the_experiment_declares_each_part_once():
    cases = experiment.EXPERIMENT.cases(load_scenario("smoke"))
    assert [case.settings["limit"] for case in cases] == list(PARTS)


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
def test_every_part_gives_a_row_for_each_metric(context, part, short_turns):
    rows = run_limit(context, Case(part, "limit", {"limit": part}))
    assert [row["metric"] for row in rows] == [metric.name for metric in PARTS[part].metrics]
    frame = experiment.build_limits(pd.DataFrame(rows))
    assert list(frame.columns) == list(experiment.COLUMNS)
    assert set(frame["met"]) <= {"true", "false", "unavailable"}
    assert not list(context.folder.iterdir())


# -- openssl speed -------------------------------------------------------------------------------------------------


def test_openssl_speed_is_read_from_its_machine_readable_lines(monkeypatch):
    text = "+DTP:256:sign:ecdsa:1\n+R5:50000:256:1.00\n+R6:20000:256:0.50\n+F4:3:256:1:2\n"
    monkeypatch.setattr(openssl, "_run", lambda *_: text)
    assert openssl.p256_ns() == (pytest.approx(20_000), pytest.approx(25_000))
    monkeypatch.setattr(openssl, "_run", lambda *_: "+R:4000000:sha256:0.80\n")
    assert openssl.hash_ns(64) == pytest.approx(200)


@pytest.mark.parametrize("text", ["", "+R:many:sha256:1.0", "+R:0:sha256:1.0", "+R:5:sha256:soon", "+R"])
def test_output_of_another_form_is_unavailable_not_a_number(monkeypatch, text):
    monkeypatch.setattr(openssl, "_run", lambda *_: text)
    with pytest.raises(Unavailable, match="openssl speed"):
        openssl.hash_ns(64)


def test_a_machine_without_the_tool_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="not on the path"):
        openssl.hash_ns(64)


def test_a_tool_that_fails_says_why(monkeypatch, tmp_path):
    tool = tmp_path / "openssl"
    tool.write_text("#!/bin/sh\necho 'speed: unknown option -bytes' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="unknown option -bytes$"):
        openssl.hash_ns(64)


# -- the search for a nonce in C -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "blocks"), [(15, 1), (56, 2)])
def test_the_search_in_c_finds_what_ours_finds(tmp_path, length, blocks):
    try:
        bare = MidstateSearch.compile(tmp_path)
    except Unavailable as error:
        pytest.skip(str(error))  # no C compiler or library to hold it beside
    suite, header = find_suite("sha256"), replace(hashing.hard_header(), proposer="a" * length, difficulty=1_000)
    size = len(encode(header))
    assert -(-(size + 9) // 64) - (size - 8) // 64 == blocks
    for start in (0, 123_456, (1 << 62) - 5):
        nonce = grind(suite, header, start, 50_000)
        assert nonce is not None
        assert bare.find(header, start, 50_000)[0] == nonce
        assert bare.find(header, start, int.from_bytes(nonce) - start)[0] is None


def test_without_a_compiler_or_where_it_fails_it_is_said_why(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="`cc` is not on the path"):
        MidstateSearch.compile(tmp_path)
    tool = tmp_path / "cc"
    tool.write_text("#!/bin/sh\necho 'midstate.c:9:10: fatal error: openssl/sha.h: no such file' >&2\nexit 1\n")
    tool.chmod(0o755)
    with pytest.raises(Unavailable, match="^cc: expected a C compiler that finds OpenSSL, found: .*openssl/sha.h"):
        MidstateSearch.compile(tmp_path)


# -- sealing in C ----------------------------------------------------------------------------------------------------


def test_sealing_is_measured_both_ways_beside_c(tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "_BLOCKS", 2)
    monkeypatch.setattr(sealing, "_CALLS", 2)
    monkeypatch.setattr(sealing, "_SECONDS", 0.001)
    try:
        findings = sealing.measure(tmp_path)
    except Unavailable as error:
        pytest.skip(str(error))  # no C compiler or library to hold it beside
    assert [len(finding.ratios()) for finding in findings] == [2] * len(sealing.PART.metrics) == [2] * 4
    assert all(value > 0 for finding in findings for value in (*finding.ours, *finding.peers))
    assert not list(tmp_path.iterdir())
    with pytest.raises(Unavailable, match="expected an answer of sealing.c"):
        compiled.run_program([str(compiled.compile_program("sealing", tmp_path)), "0", "1"], "an answer of sealing.c")


# -- both sides of each comparison do the same -----------------------------------------------------------------


def test_the_kernel_and_simpy_deliver_the_same_messages_to_the_same_nodes():
    pytest.importorskip("simpy")
    count = kernel.NODES * 500
    ours, peer = kernel.KernelExchange(), kernel.SimpyExchange()
    ours.run(count)
    peer.run(count)
    assert ours.received == peer.received
    assert sum(ours.received) == count


def test_nobody_sends_to_itself():
    assert all(kernel.receiver_of(node, hop) != node for node in range(kernel.NODES) for hop in range(40))


def test_without_simpy_the_comparison_is_unavailable(monkeypatch):
    def missing(name):
        raise ImportError

    monkeypatch.setattr(kernel, "import_module", missing)
    with pytest.raises(Unavailable, match="'simpy' is not installed"):
        kernel.SimpyExchange()


def test_the_proofs_that_are_timed_verify():
    suite, leaves = find_suite("sha256"), hashing.make_leaves(37)
    root, proofs = hashing.prove_all(leaves)
    assert root == tree_hash(suite, leaves)
    for index, proof in enumerate(proofs):
        verify_inclusion(suite, root, len(leaves), index, leaves[index], proof)


def test_merkletools_makes_as_many_proofs():
    pytest.importorskip("merkletools")
    root, proofs = hashing.prove_all_merkletools(hashing.make_leaves(8))
    assert len(bytes.fromhex(root)) == 32
    assert [len(proof) for proof in proofs] == [3] * 8


def test_the_simulated_network_makes_every_transaction_final(monkeypatch):
    monkeypatch.setattr(network, "TRANSACTIONS", 30)
    assert sum(leg.messages for leg in network.simulate().legs.values()) > 30


def test_the_critical_path_keeps_valid_distinct_transactions(tmp_path):
    path = critical.CriticalPath(tmp_path)
    with path.ledger:
        waiting = path.make_waiting(2 * critical.BLOCK_SIZE)
        signs, verifies = path.crypto.meter.signs, path.crypto.meter.verifies
        done = [path.process(item) for item in waiting]
        assert path.crypto.meter.signs - signs == len(done)
        assert path.crypto.meter.verifies - verifies == critical.ENDORSEMENTS * len(done)
        assert len({encode(transaction) for transaction in done}) == len(done)
        for first in range(0, len(done), critical.BLOCK_SIZE):
            path.ledger.append(path.build(tuple(done[first : first + critical.BLOCK_SIZE])))
        kept = [entry.block.transactions for entry in path.ledger.entries()]
    assert [transaction for block in kept for transaction in block] == done


def test_the_critical_path_remembers_no_verification(tmp_path):
    path = critical.CriticalPath(tmp_path)
    with path.ledger:
        (item,) = path.make_waiting(1)
        before = path.crypto.meter.verifies
        path.process(item)
        path.process(item)
        assert path.crypto.meter.verifies - before == 2 * critical.ENDORSEMENTS


def test_the_critical_path_refuses_a_forged_endorsement(tmp_path):
    path = critical.CriticalPath(tmp_path)
    with path.ledger:
        (body, tx_id, endorsements), (_, _, others) = path.make_waiting(2)
        with pytest.raises(AssertionError, match="expected a valid signature"):
            path.process((body, tx_id, (others[0], *endorsements[1:])))


def test_the_committed_block_is_of_the_papers_size():
    assert len(encode(storage.make_persist(bytes(32)).block)) == storage.BLOCK_BYTES


def test_start_up_is_timed_with_byte_code(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in startup.environment()


def test_a_command_that_fails_is_unavailable_with_its_last_line():
    with pytest.raises(Unavailable, match="No module named"):
        startup.start("-m", "bench.no_such_module")


def test_a_hash_that_the_host_lacks_fails_when_it_is_used_not_when_it_is_listed():
    from ehrcore.hashing import HashSuite

    def missing(data):
        raise ValueError("unsupported hash type")

    suite = HashSuite("lost", 32, 64, 128, missing)
    with pytest.raises(ValueError, match="unsupported hash type"):
        suite.hash(b"")


# -- consents and audit --------------------------------------------------------------------------------------------


@pytest.fixture
def few_patients(monkeypatch):
    for name, value in {"PATIENTS": 200, "BUSY_PATIENTS": 200, "_BLOCKS_PER_TURN": 2, "_TURNS": 3}.items():
        monkeypatch.setattr(access, name, value)


def test_all_sides_take_the_same_records_and_two_tell_of_each(few_patients, tmp_path):
    some, most = access.measure(tmp_path)
    assert (len(some.ours), len(most.ours), some.peers) == (3, 3, most.peers)
    assert some.note == "2 provisions of each of 200 patients; 120 audit events"
    assert most.note == "96 provisions of each of 200 patients; 120 audit events"


def test_the_consents_are_those_of_the_patients_whose_records_come(few_patients):
    """A denial that did apply would be found, so those that do not are looked at."""
    writer = access.Writer()
    some, most, none = (access.Keeper(writer.network, count, 200) for count in (2, 96, 0))
    book = some.state.consents
    ((_, consent),) = book.held.get(access.name_patient(17))
    denial = replace(consent.provisions[1], organisations=())
    book.put(b"planted", replace(consent, provisions=(denial,)), 0)
    finals = writer.make(2)
    none.take(finals)
    most.take(finals)
    with pytest.raises(AssertionError, match="denied-by-patient"):
        some.take(finals)
    for keeper, count in ((some, 2), (most, 96)):
        held = keeper.state.consents.held.get(access.name_patient(29))
        assert sum(len(consent.provisions) for _, consent in held) == count
