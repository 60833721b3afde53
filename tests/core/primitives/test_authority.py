"""The authority's orders travel like any transaction and change who may act, everywhere at the same block."""

from ehrcore.drive.cost import EXAMPLE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Observed, ObservedKind, Received, Requested
from ehrcore.messages import Submit
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import SECOND


def test_a_revoked_visitor_is_refused_and_told_why_and_an_enrolled_one_is_served_again() -> None:
    params = ChainParams("aaa", Topology(3, 3, 4, 2), 2, 2, limits=Limits(max_transactions=1))
    network = found_network(params, "cryptography", "aaa")
    seen: list[tuple[ObservedKind, str]] = []

    def observe(at: int, node: str, observed: Observed) -> None:
        if node == "visitor-0" and observed.kind is not ObservedKind.SUBMITTED:
            seen.append((observed.kind, observed.detail))

    simulation = Simulation(network, SimSetup("aaa", EXAMPLE), observe)
    record = ClinicalRecord(RecordKind.BILL, "p", "Claim", "/hospital/report-store/bill/1.json", b"{}")
    request = Requested(record, network.authority.pseudonym("p"))
    held = next(item for item in network.certificates if item.body.subject == "visitor-0")

    def order(transaction: object, at: int) -> None:
        for agent in ("agent-0", "agent-1", "agent-2"):
            simulation.inject(at, agent, Received("authority-0", Submit(transaction)))

    simulation.inject(0, "visitor-0", request)
    order(network.authority.revoke(network.chain, held.body.serial, SECOND), SECOND)
    simulation.inject(2 * SECOND, "visitor-0", request)
    renewed = network.authority.certify(
        "visitor-0", held.body.role, held.body.public_key, kinds=(int(RecordKind.BILL),)
    )
    order(network.authority.enrol(network.chain, renewed, 3 * SECOND), 3 * SECOND)
    simulation.inject(4 * SECOND, "visitor-0", request)
    simulation.run(60 * SECOND)
    assert seen == [(ObservedKind.FINAL, ""), (ObservedKind.REFUSED, "revoked"), (ObservedKind.FINAL, "")]
    assert {node.persisted for node in simulation.nodes if node.name.startswith("contributor")} == {4}
