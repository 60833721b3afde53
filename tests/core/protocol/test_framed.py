"""Framed links: one frame at a time between two nodes, batches that grow with the load, one wait for the disk."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from ehrcore.drive.cost import EXAMPLE, CostModel, HostModel
from ehrcore.drive.framed import FramedSimulation, _Frame, _Way, needs_disk
from ehrcore.drive.links import LinkModel
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Observed, ObservedKind, Requested, SetTimer
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology, majority
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import MICROSECOND, MILLISECOND, SECOND, Role

COSTS = replace(EXAMPLE, frame_ns=300 * MICROSECOND, commit_ns=50 * MICROSECOND)
NODES = Topology(2, 2, 4, 2)


def build(
    kind: type[Simulation] = FramedSimulation, costs: CostModel = COSTS
) -> tuple[Simulation, list[tuple[int, str, Observed]]]:
    params = ChainParams(
        "framed", NODES, majority(NODES.agents), majority(NODES.coordinators), is_modelled=True,
        limits=Limits(max_wait_ns=250 * MILLISECOND),
    )  # fmt: skip
    seen: list[tuple[int, str, Observed]] = []
    network = found_network(params, "modelled", "framed")
    links = LinkModel(latency_ns=0, bytes_per_second=0)
    setup = SimSetup("framed", costs, links, HostModel(is_shared=True, cores=2))
    return kind(network, setup, lambda *found: seen.append(found)), seen


def submit(simulation: Simulation, count: int, distance_ns: int) -> None:
    pseudonym = simulation.network.authority.pseudonym("patient")
    for index in range(count):
        record = ClinicalRecord(RecordKind.SENSOR, "patient", "Observation", f"/records/{index}", bytes(500))
        simulation.inject(index * distance_ns, "visitor-0", Requested(record, pseudonym))


def final(seen: list[tuple[int, str, Observed]]) -> Counter[str]:
    return Counter(observed.detail for _, _, observed in seen if observed.kind is ObservedKind.FINAL)


@pytest.mark.parametrize("distance_ns", [0, MICROSECOND, 5 * MILLISECOND])
def test_everything_is_final_once_and_the_ledgers_agree(distance_ns: int) -> None:
    simulation, seen = build()
    submit(simulation, 100, distance_ns)
    simulation.run(60 * SECOND)
    assert final(seen) == {"": 100}
    keepers = [node for node in simulation.nodes if node.role is Role.CONTRIBUTOR]
    committed = Counter(
        (name, tx_id) for _, name, observed in seen if observed.kind is ObservedKind.COMMITTED
        for tx_id in observed.subjects
    )  # fmt: skip
    assert set(committed.values()) == {1}
    assert len(committed) == 100 * len(keepers)


def test_as_many_messages_travel_as_without_frames() -> None:
    """Of one lone transaction: frames hold messages, they add none."""
    legs = []
    for kind in (Simulation, FramedSimulation):
        simulation, seen = build(kind)
        submit(simulation, 1, 0)
        simulation.run(60 * SECOND)
        assert final(seen) == {"": 1}
        legs.append({leg: (item.messages, item.size_bytes) for leg, item in simulation.legs.items()})
    assert legs[0] == legs[1]


def test_the_same_seed_gives_the_same_trace() -> None:
    digests = []
    for _ in range(2):
        simulation, _ = build()
        submit(simulation, 40, 100 * MICROSECOND)
        simulation.run(60 * SECOND)
        digests.append(simulation.trace_digest())
    assert digests[0] == digests[1]
    simulation, _ = build(costs=replace(COSTS, frame_ns=COSTS.frame_ns + 1))
    submit(simulation, 40, 100 * MICROSECOND)
    simulation.run(60 * SECOND)
    assert simulation.trace_digest() != digests[0]


class Watched(FramedSimulation):
    """Notes every frame that departs."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.under_way: Counter[tuple[int, int]] = Counter()
        self.sizes: list[int] = []
        super().__init__(*given, **named)

    def _depart(self, frame: _Frame) -> None:
        key = frame.way.sender, frame.way.receiver
        self.under_way[key] += 1
        assert self.under_way[key] == 1, "one frame at a time"
        self.sizes.append(len(frame.events))
        super()._depart(frame)

    def _answered(self, index: int, way: _Way) -> None:
        self.under_way[way.sender, way.receiver] -= 1
        super()._answered(index, way)


def test_one_frame_at_a_time_and_fuller_ones_under_load() -> None:
    means = []
    for distance_ns in (20 * MILLISECOND, 100 * MICROSECOND):
        simulation, seen = build(Watched)
        submit(simulation, 150, distance_ns)
        simulation.run(60 * SECOND)
        assert final(seen) == {"": 150}
        assert isinstance(simulation, Watched)
        assert not any(simulation.under_way.values()), "every frame has been answered"
        sizes = simulation.sizes
        assert sum(sizes) == sum(leg.messages for leg in simulation.legs.values())
        means.append(sum(sizes) / len(sizes))
    assert means[1] > 1.5 * means[0]


def test_processors_pay_for_frames_and_commits() -> None:
    def spent(**changes: int) -> int:
        simulation, _ = build(Watched, costs=replace(COSTS, **changes))
        submit(simulation, 1, 0)
        simulation.run(60 * SECOND)
        frames.append(len(simulation.sizes))
        return sum(node.cpu_ns for node in simulation.nodes)

    frames: list[int] = []
    base, dearer = spent(frame_ns=10_000), spent(frame_ns=10_100)
    # A lone transaction has its frames in the same order whatever they cost; each is paid for at both ends.
    assert frames[0] == frames[1]
    assert dearer - base == 2 * 100 * frames[0]
    assert spent(frame_ns=10_000, commit_ns=COSTS.commit_ns + 1_000) > base


def test_visitors_are_a_load_generator_whose_signatures_are_free() -> None:
    simulation, _ = build(costs=replace(COSTS, frame_ns=0, message_ns=0, message_byte_ps=0))
    submit(simulation, 10, 0)
    simulation.run(60 * SECOND)
    visitor = simulation.nodes[0]
    assert (visitor.role, visitor.cpu_ns) == (Role.VISITOR, 0)
    assert visitor.crypto.meter.signs == 10


def test_what_has_to_be_durable() -> None:
    simulation, _ = build(Watched)
    found: Counter[str] = Counter()
    for node in simulation.nodes:
        handle = node.machine.handle

        def note(event: Any, now: int, handle: Any = handle, role: Role = node.role) -> Any:
            effects = handle(event, now)
            found[role.value] += needs_disk(effects)
            return effects

        node.machine.handle = note  # type: ignore[method-assign]
    submit(simulation, 15, 0)
    simulation.run(60 * SECOND)
    assert found["visitor"] == 0
    assert found["agent"] == 15 * NODES.agents, "each accepted transaction"
    assert found["contributor"] == NODES.contributors, "the block, once each"
    assert found["administrator"] >= 3 * NODES.administrators, "proposal or votes, and the block"
    assert not needs_disk((SetTimer("a", 1),))
