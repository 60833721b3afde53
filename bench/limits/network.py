"""The simulator at work: protocol messages per second of the clock in a network of the paper's size."""

import time
from pathlib import Path
from typing import Final

from bench.limits.base import Demand, Finding, Metric, Part
from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Observed, ObservedKind, Requested
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Topology
from ehrcore.records import ClinicalRecord, RecordKind

TOPOLOGY: Final = Topology(agents=3, coordinators=3, administrators=5, contributors=2)
TRANSACTIONS: Final = 600
_BLOCKS: Final = 3


def simulate() -> Simulation:
    """Simulate `TRANSACTIONS` until all are final, and check that they are."""
    params = ChainParams("limits", TOPOLOGY, endorsements=2, approvals=2, is_modelled=True)
    network = found_network(params, "modelled", "limits")
    final = []

    def observe(_at: int, _name: str, observed: Observed) -> None:
        if observed.kind is ObservedKind.FINAL:
            final.append(observed)

    simulation = Simulation(network, SimSetup("limits", EXAMPLE), observe)
    pseudonym = network.authority.pseudonym("patient")
    for index in range(TRANSACTIONS):
        record = ClinicalRecord(RecordKind.SENSOR, "patient", "Observation", f"/records/{index}", bytes(500))
        simulation.inject(index * 1_000, "visitor-0", Requested(record, pseudonym))
    simulation.run(1 << 50)
    if len(final) != TRANSACTIONS:
        raise AssertionError(f"simulation: expected {TRANSACTIONS} final transactions, found {len(final)}")
    return simulation


def messages_per_s() -> float:
    """Protocol messages per second of the clock, founding the network included."""
    start = time.perf_counter()
    simulation = simulate()
    return sum(leg.messages for leg in simulation.legs.values()) / (time.perf_counter() - start)


def measure(_folder: Path) -> list[Finding]:
    """Messages per second, block by block; there is no peer that runs this protocol."""
    return [Finding([messages_per_s() for _ in range(_BLOCKS)], note=f"{TOPOLOGY.nodes} nodes, modelled signatures")]


PART: Final = Part((Metric("simulated network", "messages/s", "", Demand("at least", 20_000, "value")),), measure)
