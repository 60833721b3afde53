"""Same seed, same run, byte for byte: in one process or another, in slices, and through the wire or past it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ehrcore.drive.cost import HostModel
from ehrcore.drive.links import LinkModel, Partition
from ehrcore.params import ConsensusRule, WorkRule
from ehrcore.types import MICROSECOND, MILLISECOND, SECOND
from tests.core.protocol.conftest import END, Run, check_invariants, make_params

ROOT = Path(__file__).parents[3]
RULES: dict[str, dict[str, Any]] = {
    "stake": {},
    "work": {"consensus": ConsensusRule.PROOF_OF_WORK, "work": WorkRule(difficulty=1 << 20, confirmations=4)},
    "orderer": {"consensus": ConsensusRule.SINGLE_ORDERER},
    "leader": {"consensus": ConsensusRule.LEADER},
    "real signatures": {"is_modelled": False},
}
JITTER = LinkModel(jitter_ns=50 * MICROSECOND)
#: One run in a fresh process; prints its digest.
SCRIPT = """
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.links import LinkModel
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Requested
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Topology
from ehrcore.records import ClinicalRecord, RecordKind

params = ChainParams("t", Topology(3, 3, 4, 2), 2, 2, is_modelled=True)
network = found_network(params, "modelled", "x")
sim = Simulation(network, SimSetup("s", EXAMPLE, LinkModel(jitter_ns=50_000, loss=0.02)), lambda *_: None)
for number in range(60):
    record = ClinicalRecord(RecordKind.SENSOR, "p", "Observation", f"/{number}", b"x")
    sim.inject(number * 1_000, "visitor-0", Requested(record, network.authority.pseudonym("p")))
sim.run(10**14)
print(sim.trace_digest())
"""


def run_of(rule: str, seed: str = "seed", **more: Any) -> Run:
    return Run(make_params(**RULES[rule]), seed=seed, links=JITTER, **more).submit(30)


@pytest.mark.parametrize("rule", RULES)
def test_the_same_seed_gives_the_same_trace_and_another_seed_another(rule: str) -> None:
    one, two, other = run_of(rule).run(), run_of(rule).run(), run_of(rule, "other").run()
    assert one.sim.trace_digest() == two.sim.trace_digest() != other.sim.trace_digest()
    assert one.seen == two.seen
    assert one.hashes() == two.hashes()


@pytest.mark.parametrize("rule", RULES)
def test_a_run_in_slices_has_the_trace_of_a_whole_one(rule: str) -> None:
    """A progress bar or a debugger must change nothing."""
    whole, sliced = run_of(rule).run(), run_of(rule)
    for until in range(0, 20 * MILLISECOND, 3 * MILLISECOND):
        sliced.run(until)
    while sliced.sim.run(END, most=997):
        pass
    assert sliced.sim.trace_digest() == whole.sim.trace_digest()
    assert sliced.seen == whole.seen


@pytest.mark.parametrize("rule", RULES)
def test_messages_as_bytes_or_as_objects_commit_the_same_blocks(rule: str) -> None:
    objects, wire = run_of(rule).run(), run_of(rule, is_wired=True).run()
    check_invariants(wire)
    assert wire.hashes() == objects.hashes() != []
    assert wire.sim.trace_digest() == objects.sim.trace_digest()


@pytest.mark.parametrize(
    "more",
    [{"host": HostModel(is_shared=True, cores=2)},
     {"partitions": (Partition(0, 5 * SECOND, frozenset({"administrator-1"})),)}],
    ids=["shared host", "partition"],
)  # fmt: skip
def test_so_do_shared_hosts_and_faults(more: dict[str, Any]) -> None:
    assert run_of("stake", **more).run().sim.trace_digest() == run_of("stake", **more).run().sim.trace_digest()


def test_the_order_of_sets_and_dicts_of_a_process_changes_nothing() -> None:
    digests = set()
    for hash_seed in ("0", "1", "12345"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64
