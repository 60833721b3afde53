"""Two sentences of the paper as simulations: a lone transaction's block (C13), and contracts that disagree (C24)."""

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.engines.base import Context
from bench.engines.simulate import HORIZON_NS, chain_params, link_model
from ehrcore.block import RecordRef
from ehrcore.contracts import Contract
from ehrcore.crypto import Crypto
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Observed, ObservedKind, Requested, RoleMachine
from ehrcore.network import Network, found_network
from ehrcore.params import Topology
from ehrcore.records import ClinicalRecord
from ehrcore.roles.coordinator import Coordinator
from ehrcore.storage import ObjectStore
from ehrcore.types import SECOND, Role

#: Three coordinators, of which two must say the same.
TOPOLOGY = Topology(1, 3, 4, 1)


def _answer(more: bytes, crypto: Crypto, store: ObjectStore, record: RecordRef) -> bytes:
    del crypto, store
    return record.digest + more


class _Contracted(Simulation):
    """A network whose coordinators run one contract, made for each of them by its name."""

    def __init__(self, *network: Any, make_contract: Callable[[str], Contract]) -> None:
        self._make_contract = make_contract
        super().__init__(*network)

    def _machine(self, name: str, crypto: Crypto) -> RoleMachine:
        if self.network.roles[name] is not Role.COORDINATOR:
            return super()._machine(name, crypto)
        return Coordinator(self.network.context(name, crypto), self.store, {"contract": self._make_contract(name)})


def submit(
    context: Context, network: Network, visitor: str, record: ClinicalRecord,
    kind: Callable[..., Simulation] = Simulation,
) -> list[tuple[int, Observed]]:  # fmt: skip
    """Let a visitor submit one record to a quiet network; what nodes do about it, and when (ns)."""
    seen: list[tuple[int, Observed]] = []
    setup = SimSetup(network.params.name, context.calibration.costs["sha256"], link_model(context))
    simulation = kind(network, setup, lambda at, _, observed: seen.append((at, observed)))
    simulation.inject(0, visitor, Requested(record, network.authority.pseudonym(record.patient_id)))
    simulation.run(HORIZON_NS)
    return seen


def submit_one(context: Context, kind: Callable[..., Simulation] = Simulation) -> list[int]:
    """Let a visitor submit one record; the instants (ns) at which contributors held it."""
    params = chain_params("rules", TOPOLOGY, is_modelled=False, curve=context.scenario.curve)
    network = found_network(params, "cryptography", f"{context.scenario.seed}|rules")
    seen = submit(context, network, "visitor-0", context.workload.records[0], kind)
    return [at for at, observed in seen if observed.kind is ObservedKind.COMMITTED]


def count_by_contract(context: Context) -> tuple[int, int]:
    """Records that became final under a contract that is the same on every coordinator, and under one that is not."""
    same = partial(_Contracted, make_contract=lambda _: partial(_answer, b""))
    # What a clock, a random number or a node's own file would do to a contract: its output depends on the node.
    differing = partial(_Contracted, make_contract=lambda name: partial(_answer, name.encode()))
    return len(submit_one(context, same)), len(submit_one(context, differing))


def seconds_alone(context: Context) -> int | None:
    """Seconds, rounded, until a lone transaction was final; None if it never was."""
    instants = submit_one(context)
    return round(instants[0] / SECOND) if instants else None
