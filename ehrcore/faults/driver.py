"""The simulator with the faults of a plan, and with what real nodes do about them (`ehrcore.drive.net`)."""

from collections.abc import Callable
from typing import Any

from ehrcore.drive.sim import Observer, SimSetup, Simulation
from ehrcore.effects import Effect, RoleMachine
from ehrcore.errors import ParameterError
from ehrcore.faults.plan import FaultPlan
from ehrcore.ledger import Ledger
from ehrcore.network import Network, build_machine
from ehrcore.roles import Contributor, Coordinator
from ehrcore.roles.context import Context
from ehrcore.state import ChainState
from ehrcore.storage import ObjectStore
from ehrcore.types import Role

#: Called with the time (ns), the node's name and an effect as it leaves.
Watch = Callable[[int, str, Effect], None]
#: Makes a role's machine; a planted bug is another one.
Build = Callable[[Role, Context, ObjectStore], RoleMachine]


def ignore(now: int, node: str, subject: Any) -> None:
    """Watch or observe nothing."""


class FaultySimulation(Simulation):
    """One network in virtual time, with faults."""

    def __init__(
        self,
        network: Network,
        setup: SimSetup,
        observer: Observer = ignore,
        ledgers: dict[str, Ledger] | None = None,
        *,
        plan: FaultPlan,
        watch: Watch = ignore,
        build: Build = build_machine,
    ) -> None:
        plan.validate(network)
        self.plan, self._watch, self._build = plan, watch, build
        super().__init__(network, setup, observer, ledgers)

    @property
    def machines(self) -> dict[str, tuple[RoleMachine, ...]]:
        """The live role machines by node: two of a twin, none of a node that is down."""
        return {node.name: (node.machine,) for node in self.nodes}

    def state_of(self, name: str) -> ChainState:
        """The chain as the ledger keeper ``name`` knows it."""
        (machine,) = self.machines[name]
        if not isinstance(machine, Coordinator | Contributor):
            raise ParameterError(f"state: expected a coordinator or contributor, found {name}")
        return machine.state
