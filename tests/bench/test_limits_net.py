"""The limits of real processes count what they say; what is planted in their counts is found."""

import base64
import json
import os
import shutil
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import psutil
import pytest

from bench.engines import limits as engine
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments import limits as experiment
from bench.experiments.base import Case
from bench.limits import PARTS, etcd, nodes, pingpong, processes, roundtrip, saturation, throughput
from bench.limits.base import Demand, Finding, Metric, Part, Unavailable
from bench.net.network import MeasuredNetwork
from bench.net.step import Moment, Played
from bench.record import RunDirectory
from bench.report.load import read_rows
from bench.scenario import load_scenario
from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.plan import NetworkConfig

METRIC = Metric("thing", "ns", "peer", Demand("at most", 2))
QUIET = {"steal_share": 0.0, "foreign_cpu_share": 0.0, "throttled_periods": 0}


def find_children():
    """Our descendants that run."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            found |= {child.pid} if child.status() != psutil.STATUS_ZOMBIE else set()
    return found


# -- the engine ----------------------------------------------------------------------------------------------------


def run_part(tmp_path, monkeypatch, findings, noise):
    class Watch:
        def lap(self):
            return noise

    monkeypatch.setattr(engine, "NoiseWatch", Watch)
    monkeypatch.setitem(PARTS, "hash", Part((METRIC,) * len(findings), lambda _: findings))
    context = Context(load_scenario("quick"), None, tmp_path)
    return engine.run_limit(context, Case("c", "limit", {"limit": "hash"}))


def test_what_others_disturbed_is_void_with_the_reason_and_its_values(tmp_path, monkeypatch):
    noise = {**QUIET, "foreign_cpu_share": 0.5}
    (row,) = run_part(tmp_path, monkeypatch, [Finding([3.0], [2.0])], noise)
    assert (row["status"], row["ratio"], row["foreign_cpu_share"]) == ("void", 1.5, 0.5)
    assert "taken by other processes" in row["reason"]


def test_what_nobody_disturbed_counts(tmp_path, monkeypatch):
    (row,) = run_part(tmp_path, monkeypatch, [Finding([3.0], [2.0])], QUIET)
    assert "status" not in row
    assert (row["ratio"], row["foreign_cpu_share"]) == (1.5, 0.0)


def test_a_part_may_lack_the_peer_of_one_metric_alone(tmp_path, monkeypatch):
    rows = run_part(tmp_path, monkeypatch, [Finding([3.0], [2.0]), Unavailable("no peer")], QUIET)
    assert [(row["met"], row["note"]) for row in rows] == [("true", ""), ("unavailable", "no peer")]


def test_rows_can_be_read_again_as_they_were_written(tmp_path, monkeypatch):
    rows = run_part(tmp_path, monkeypatch, [Finding([3.0], [2.0]), Unavailable("no peer")], QUIET)
    run = RunDirectory.create(tmp_path, "quick", {})
    written = run.append("limits", "c", rows)
    failed = {"status": "failed", "reason": "-", **experiment.EXPERIMENT.cases(load_scenario("quick"))[0].settings}
    written += run.append("limits", "d", [failed])
    run.release()
    assert read_rows(run.folder / "raw" / "limits.jsonl", may_be_cut=False).rows == written


# -- processes -----------------------------------------------------------------------------------------------------


def test_ports_that_are_taken_are_not_given(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(processes, "_PORTS", range(taken, taken + 60))
        monkeypatch.setattr(processes.random, "sample", lambda ports, _: [taken, *list(ports)[1:]])
        found = processes.find_ports(3)
        assert len(found) == 3
        assert taken not in found
        monkeypatch.setattr(processes.random, "sample", lambda _, k: [taken] * k)
        with pytest.raises(BenchError, match="^ports: expected 3 free ones"):
            processes.find_ports(3)


def test_ports_in_a_row_stay_within_their_range(monkeypatch):
    seen = []
    monkeypatch.setattr(processes.random, "sample", lambda ports, _: seen.append(ports) or [ports[0]])
    monkeypatch.setattr(processes, "require_free_ports", list)
    assert processes.find_ports(1) == range(20_000, 20_001)
    assert processes.find_ports(19) == range(20_000, 20_019)
    assert [ports[-1] for ports in seen] == [31_999, 31_981]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system holds no process on a core")
class TestHoldApart:
    def test_two_processes_have_a_core_each_and_ours_is_free_again(self):
        before = os.sched_getaffinity(0)
        if len(before) < 2:
            pytest.skip("one core")  # which cannot be shared out
        with pingpong.PingPong() as bare:
            with processes.hold_apart([bare.pid]):
                ours, others = os.sched_getaffinity(0), os.sched_getaffinity(bare.pid)
                assert len(ours) == len(others) == 1
                assert ours != others
            assert os.sched_getaffinity(0) == before
            with pytest.raises(ZeroDivisionError), processes.hold_apart([bare.pid]):
                raise ZeroDivisionError
        assert os.sched_getaffinity(0) == before

    def test_one_core_is_not_enough(self, monkeypatch):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
        with pytest.raises(Unavailable, match="expected two cores, found one"), processes.hold_apart([]):
            pass


def test_memory_of_processes_adds_up(monkeypatch):
    with pingpong.PingPong() as bare:
        pids = [os.getpid(), bare.pid]
        resident, proportional = processes.measure_memory(pids)
        assert resident > processes.measure_memory(pids[1:])[0] > 1_000_000
        assert proportional is None or 0 < proportional <= resident * 1.1

        def denied(self):
            raise psutil.AccessDenied

        monkeypatch.setattr(psutil.Process, "memory_full_info", denied)
        assert processes.measure_memory(pids)[1] is None


# -- the round trip ------------------------------------------------------------------------------------------------


def test_the_ping_pong_sends_back_all_and_is_another_process():
    with pingpong.PingPong() as bare:
        bare._ping = os.urandom(pingpong.SIZE_BYTES)
        bare.trip()
        assert bare._pong == bare._ping
        assert bare.pid in find_children()
    assert not psutil.pid_exists(bare.pid)


def test_an_end_that_is_gone_is_an_error_not_a_time():
    with pingpong.PingPong() as bare:
        bare._process.kill()
        bare._process.wait()
        with pytest.raises(ConnectionError):
            bare.trip()


@pytest.mark.slow
def test_frames_are_of_the_size_and_the_node_counts_every_one(tmp_path, short_turns):
    with ExitStack() as stack:
        network = stack.enter_context(MeasuredNetwork(tmp_path / "n", NetworkConfig(), "limits", ()))
        exchange = stack.enter_context(roundtrip.Exchange(network))
        assert len(exchange.seal()) == pingpong.SIZE_BYTES
        for side in (exchange.time_links, exchange.time_posts, exchange.time_client_posts, exchange.time_health):
            assert side() > 0
        assert exchange.taken == 15
        exchange.check()
        exchange.taken += 1
        with pytest.raises(BenchError, match="expected 16 messages of coordinators, found 15"):
            exchange.check()
        exchange._sequence -= 5  # duplicates: answered, not handled
        exchange.taken -= 1
        exchange.time_posts()
        with pytest.raises(BenchError, match="expected 20 messages of coordinators, found 15"):
            exchange.check()
        exchange.seal = lambda: bytes(pingpong.SIZE_BYTES)
        with pytest.raises(BenchError, match="expected status 200, found b'HTTP/1.1 400"):
            exchange.time_posts()


# -- saturation ----------------------------------------------------------------------------------------------------


def make_played(**changes):
    moments = [Moment(at, at, at + 5, at + 5, at + 5) for at in range(4)]
    before = {
        "contributor-0": {"now_ns": 1_000, "transactions": 10, "signs": 0, "verifies": 5},
        "agent-0": {"now_ns": 3_000, "transactions": None, "signs": 7, "verifies": 5},
        "generator": {"now_ns": 0},
    }
    after = {
        "contributor-0": {"now_ns": 2_000, "transactions": 20, "signs": 0, "verifies": 35},
        "agent-0": {"now_ns": 5_000, "transactions": None, "signs": 47, "verifies": 25},
        "generator": {"now_ns": 1},
    }
    given = {
        "since": 0, "until": 3_000_000_000, "ended_at": 4_000_000_000, "is_out_of_stock": False, "moments": moments,
        "completions": [1_000_000_000, 1_000_000_000, 2_000_000_000, 3_500_000_000], "before": before, "after": after,
        "unsettled": 0,
    }  # fmt: skip
    return Played(**{**given, **changes})


class PlannedNetwork:
    """Gives what it was told to give."""

    def __init__(self, played):
        self._played = played

    def play(self, step):
        return self._played


def test_the_rate_counts_what_was_in_every_ledger_while_load_was_on():
    assert saturation.find_rate(make_played()) == pytest.approx(1.0)


@pytest.mark.parametrize("completions", [[], [1], [1, 1]])
def test_less_than_two_blocks_have_no_rate(completions):
    with pytest.raises(BenchError, match="^load: expected committed transactions"):
        saturation.find_rate(make_played(completions=completions))


def test_operations_count_per_transaction_by_each_nodes_own_time():
    # 40 signatures in 2,000 ns against 10 transactions in 1,000 ns; 30 in 1,000 ns and 20 in 2,000 ns.
    assert saturation.count_per_tx(make_played(), "signs") == pytest.approx(2.0)
    assert saturation.count_per_tx(make_played(), "verifies") == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("name", "counter", "value", "message"),
    [
        ("agent-0", "signs", 6, "agent-0: expected signs to grow, found 7 and then 6"),
        ("agent-0", "signs", 7, "signs: expected counts that grow"),
        ("contributor-0", "transactions", 10, "signs: expected counts that grow"),
    ],
)
def test_counts_that_do_not_grow_are_refused(name, counter, value, message):
    played = make_played()
    played.after[name][counter] = value
    with pytest.raises(BenchError, match=message):
        saturation.count_per_tx(played, "signs")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unsettled": 2}, "2 without an answer"),
        ({"is_out_of_stock": True}, "none left to send"),
        ({"moments": [Moment(0, 0, 1, 1, 1, verdict="replayed")]}, "1 refused (replayed)"),
        ({"moments": [Moment(0, 0, refused=1)]}, "1 refused ()"),
    ],
)
def test_a_turn_with_anything_lost_or_refused_does_not_count(changes, message):
    load = saturation.Saturation(PlannedNetwork(make_played(**changes)), 60)
    with pytest.raises(BenchError) as raised:
        load.rate()
    assert message in str(raised.value)
    assert load.committed == 0


def test_a_turn_adds_all_that_it_committed():
    load = saturation.Saturation(PlannedNetwork(make_played()), 60)
    load.rate()
    load.rate()
    assert load.committed == 8


@pytest.mark.slow
def test_a_count_that_the_ledgers_do_not_hold_is_found(tmp_path, short_turns):
    with MeasuredNetwork(tmp_path / "n", NetworkConfig(), "limits", saturation.RECORDS) as network:
        load = saturation.Saturation(network, 60)
        assert load.rate() > 0
        running = LocalNetwork(network.folder.path).running()
        # What they take of the machine counts as ours, for whoever watches the noise.
        assert {*running.values()} <= find_children()
        load.committed += 1
        with pytest.raises(BenchError, match="^ledgers: expected the "):
            load.finish()


def test_the_limit_is_all_cores_at_signatures_alone():
    # Two signatures of 10 µs and four verifications of 20 µs are 100 µs: 10,000 per second and core.
    assert nodes.compute_limit(2, (2, 4), (10_000, 20_000)) == pytest.approx(20_000)


# -- etcd ----------------------------------------------------------------------------------------------------------


def test_a_machine_without_etcd_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="`etcd` is not on the path"):
        etcd.EtcdCluster(tmp_path / "e", 300)


def test_an_etcd_that_does_not_start_says_why_and_is_gone(tmp_path, monkeypatch):
    tool = tmp_path / "etcd"
    tool.write_text("#!/bin/sh\necho starting\necho 'unknown flag --logger' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    cluster = etcd.EtcdCluster(tmp_path / "e", 300)
    with pytest.raises(Unavailable, match="unknown flag --logger"), cluster:
        pass
    assert all(process.returncode is not None for process in cluster._processes)


@contextmanager
def serve_store(lost=0, status=200):
    """A store that answers puts as etcd does, but keeps all except the first ``lost`` ones."""
    kept, turns = {}, count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/range"):
                answer = {"count": str(len(kept))}
            else:
                answer = {}
                if next(turns) >= lost:
                    kept[asked["key"]] = asked["value"]
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", kept
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def attach(url, tmp_path, monkeypatch):
    """A cluster whose leader is another's."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/nowhere/{name}")
    cluster = etcd.EtcdCluster(tmp_path / "e", 300)
    with processes.open_runner() as cluster._runner:
        cluster._leader = url
        yield cluster


def test_puts_are_distinct_and_of_the_size_and_counted_once_each(tmp_path, monkeypatch):
    monkeypatch.setattr(etcd, "WARM_S", 0.05)
    with serve_store() as (url, kept), attach(url, tmp_path, monkeypatch) as cluster:
        rates = [cluster.put_rate(connections, 0.2) for connections in (1, 3)]
        assert cluster.check() == len(kept) == cluster.acknowledged
        # What the warm-up put is not in the rate.
        assert 0 < sum(rates) * 0.2 <= len(kept)
        assert {len(base64.b64decode(value)) for value in kept.values()} == {300}


def test_a_put_that_was_acknowledged_and_lost_is_found(tmp_path, monkeypatch):
    with serve_store(lost=1) as (url, _), attach(url, tmp_path, monkeypatch) as cluster:
        cluster.put_rate(2, 0.1)
        with pytest.raises(BenchError, match="^etcd: expected the [0-9]+ keys that were acknowledged, found "):
            cluster.check()


def test_a_put_that_fails_is_an_error(tmp_path, monkeypatch):
    with serve_store(status=503) as (url, _), attach(url, tmp_path, monkeypatch) as cluster:
        with pytest.raises(BenchError, match="^etcd: expected status 200, found 503"):
            cluster.put_rate(2, 0.1)
        assert cluster.acknowledged == 0


@pytest.mark.long
@pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")
def test_a_real_cluster_keeps_what_it_acknowledges_and_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("ETCD_NAME", "another")  # settings of the user's own are not meant for it
    with etcd.EtcdCluster(tmp_path / "e", 300) as cluster:
        assert cluster.put_rate(2, 0.3) > 0
        assert cluster.check() == cluster.acknowledged
        assert cluster.version()[0].isdigit()
        pids = {process.pid for process in cluster._processes}
        assert len(pids) == etcd.NODES
        assert pids <= find_children()
    assert not any(map(psutil.pid_exists, pids))


# -- whole parts, with the smallest counts ---------------------------------------------------------------------------


@pytest.mark.long
def test_without_etcd_the_network_is_measured_all_the_same(tmp_path, short_turns, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    alone, beside = throughput.PART.measure(tmp_path)
    assert alone.ours[0] > 0
    assert isinstance(beside, Unavailable)
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_share_is_of_what_was_counted(tmp_path, short_turns):
    share, memory, start = nodes.PART.measure(tmp_path)
    # One signature of the author is verified by each of the four nodes at the very least.
    assert 0 < share.peers[0] < nodes.count_cores() / (4 * 50e-6)
    assert 0 < share.ratios()[0] <= 1
    assert memory.ours[0] > 4 * 10
    assert start.ours[0] > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_start_that_fails_says_why_and_leaves_nothing_running(tmp_path, monkeypatch):
    before = find_children()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(nodes, "find_ports", lambda count: range(port, port + count))
        with pytest.raises(BenchError, match="^network up: expected .*to be free"):
            nodes.time_start(tmp_path / "n")
    assert find_children() <= before


def test_a_transaction_is_as_long_as_one_that_a_visitor_sends():
    assert 250 < saturation.count_transaction_bytes() < 400
    assert Path(saturation.RECORDS[0].location).is_absolute()
