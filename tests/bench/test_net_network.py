"""The load generator on a small real network: what it says was promised is in the ledgers, and trouble has a name."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.net.audit import audit_ledgers
from bench.net.network import MeasuredNetwork
from bench.net.step import GENERATOR, Finished, Played, Step
from bench.net.usage import describe_processes, describe_throughput, describe_use, total_flow
from bench.workload import vital_signs
from ehrcore.drive.net.local import LocalNetwork
from ehrcore.drive.net.plan import NetworkConfig
from ehrcore.types import SECOND

RECORDS = vital_signs(1, 6, 1).records
STAGES = ("intended", "sent", "first", "quorum", "everyone")


def ledgers(network: MeasuredNetwork) -> list[Path]:
    return [network.folder.node(name) / "ledger.sqlite" for name in network.contributors()]


def check_order(played: Played) -> None:
    for moment in played.moments:
        instants = [getattr(moment, name) for name in STAGES]
        assert None not in instants
        assert instants == sorted(instants)
        assert (moment.refused, moment.verdict) == (None, "")


@pytest.mark.slow
def test_load_goes_through_and_the_ledgers_hold_what_was_promised(tmp_path: Path) -> None:
    config = NetworkConfig(agents=2, contributors=2, visitors=2)
    with MeasuredNetwork(tmp_path / "network", config, "slow", RECORDS) as network:
        closed = network.play(Step(seed="a", seconds=1.0, warm_s=0.3, timeout_s=30, outstanding=30, stock=20_000))
        opened = network.play(Step(seed="b", seconds=1.5, warm_s=0.2, timeout_s=30, per_s=60, stock=2_000))
        finished = network.stop()
    assert not LocalNetwork(network.folder.path).running()
    for played in (closed, opened):
        assert played.unsettled == 0
        assert not played.is_out_of_stock
        assert played.completions == sorted(played.completions)
        check_order(played)
    assert all(closed.since <= moment.intended < closed.until for moment in closed.moments)
    assert closed.until - closed.since >= SECOND
    assert opened.until - opened.since == 1.5 * SECOND
    assert 40 < len(opened.moments) < 160, "about 90"
    check_rows(closed)
    assert finished.submitted == []
    assert len(finished.acknowledged) >= len(closed.moments) + len(opened.moments)
    assert audit_ledgers(ledgers(network), finished) == len(finished.acknowledged)
    with pytest.raises(BenchError, match="acknowledged transaction abab"):
        audit_ledgers(ledgers(network), Finished([*finished.acknowledged, "ab" * 32], []))


def check_rows(played: Played) -> None:
    row = describe_throughput(played, 30 * SECOND)
    for name in ("offered_per_s", "accepted_per_s", "committed_per_s", "goodput_per_s"):
        assert row[name] > 0
    processes = describe_processes(played)
    roles = {item["process"]: item["role"] for item in processes}
    assert roles == {
        GENERATOR: "visitor", "agent-0": "agent", "agent-1": "agent", "coordinator-0": "coordinator",
        "administrator-0": "administrator", "contributor-0": "contributor", "contributor-1": "contributor",
    }  # fmt: skip
    use = describe_use(processes, 100_000, cores=os.cpu_count() or 1)
    assert 0 < use["cores_busy"] <= (os.cpu_count() or 1) * 1.1
    assert use["messages:agent>coordinator"] == pytest.approx(2, rel=0.5), "each agent tells the coordinator"
    assert use["commits_per_tx"] > 0
    assert use["rss_bytes"] > 7 * 10_000_000
    assert all(total_flow(item, "messages") > 0 for item in processes)
    assert {item["process"] for item in processes if item["verifies_per_s"]} >= {"agent-0", "coordinator-0"}


@pytest.mark.slow
def test_a_node_that_ends_in_the_middle_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    with MeasuredNetwork(tmp_path / "network", NetworkConfig(), "killed", RECORDS) as network:
        os.kill(LocalNetwork(network.folder.path).running()["coordinator-0"], signal.SIGKILL)
        with pytest.raises(BenchError, match="coordinator-0: expected its status, found none"):
            network.play(Step(seed="a", seconds=0.5, warm_s=0.1, timeout_s=1, outstanding=20, stock=500))
    assert not LocalNetwork(network.folder.path).running()


@pytest.mark.slow
def test_a_generator_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with MeasuredNetwork(tmp_path / "network", NetworkConfig(), "ended", RECORDS) as network:
        (network.folder.path / "generator.log").write_text("something\ngenerator: it has had enough\n\n")
        network._generator._process.kill()
        with pytest.raises(BenchError, match="expected an answer, found its end: generator: it has had enough"):
            network.play(Step(seed="a", seconds=0.5, timeout_s=1, outstanding=20, stock=500))
    assert not LocalNetwork(network.folder.path).running()


KILLED = """
import os, sys
from pathlib import Path
from bench.net.network import MeasuredNetwork
from bench.workload import vital_signs
from ehrcore.drive.net.plan import NetworkConfig

with MeasuredNetwork(Path(sys.argv[1]), NetworkConfig(), "killed", vital_signs(1, 6, 1).records):
    os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_when_whoever_measures_is_killed_the_generator_ends_the_network(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "network")], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    network, end = LocalNetwork(tmp_path / "network"), time.monotonic() + 60
    while network.running() and time.monotonic() < end:
        time.sleep(0.1)  # processes that are not ours wake nobody when they end
    assert not network.running()


@pytest.mark.slow
def test_without_stock_a_closed_loop_ends_early(tmp_path: Path) -> None:
    with MeasuredNetwork(tmp_path / "network", NetworkConfig(), "stock", RECORDS) as network:
        played = network.play(Step(seed="a", seconds=600, warm_s=0.1, timeout_s=30, outstanding=30, stock=90))
        assert played.is_out_of_stock
        assert played.unsettled == 0
        finished = network.stop()
    assert audit_ledgers(ledgers(network), finished) == 90
