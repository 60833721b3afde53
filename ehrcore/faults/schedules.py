"""What happens to a network and when; and every two-way split of its administrators over three rounds."""

from typing import Final

import msgspec

from ehrcore.drive.links import LinkModel
from ehrcore.faults.plan import Crash, Fault, FaultPlan, Twin, partition
from ehrcore.network import Network, found_network
from ehrcore.params import ChainParams, ConsensusRule, Limits, StakeRule, Topology, WorkRule, family_of
from ehrcore.types import MILLISECOND, SECOND, Role, node_id

ROUNDS: Final = 3
#: What comes in after the last fault has healed, and how far apart (ns).
_LATE: Final = 4
_LATE_PAUSE: Final = 2 * SECOND


class Schedule(msgspec.Struct, frozen=True):
    """One run: the network, what it is asked (instants in ns), and what befalls it."""

    label: str
    rule: str
    stakes: tuple[int, ...]
    latency_ns: int
    jitter_ns: int
    load: tuple[int, ...]
    plan: FaultPlan

    @property
    def links(self) -> LinkModel:
        """The network between faults."""
        return LinkModel(self.latency_ns, self.jitter_ns)

    @property
    def healed_ns(self) -> int:
        """When the last fault that ends has ended."""
        return self.plan.healed_ns

    @property
    def down(self) -> frozenset[str]:
        """Nodes that crash and do not come back."""
        return frozenset(f.node for f in self.plan.faults if isinstance(f, Crash) and f.restart_ns is None)

    @property
    def is_tolerable(self) -> bool:
        """Whether enough is left to decide: two thirds of the stake, or, with a leader, a majority of the nodes."""
        gone = self.plan.faulty | self.down
        if family_of(self.rule) is ConsensusRule.LEADER:
            return not self.plan.faulty and 2 * len(gone & {*administrators(len(self.stakes))}) < len(self.stakes)
        held = dict(zip(administrators(len(self.stakes)), self.stakes, strict=True))
        lost = sum(stake for name, stake in held.items() if name in gone)
        return bool(3 * lost < sum(self.stakes))

    def network(self) -> Network:
        """Two of every other role, small blocks, and any one endorsement and approval: so one of each may crash."""
        topology = Topology(2, 2, len(self.stakes), 2)
        params = ChainParams(
            "check", topology, 1, 1, is_modelled=True, consensus=self.rule, limits=Limits(3, max_wait_ns=SECOND),
            work=WorkRule(1 << 22, confirmations=3),
        )  # fmt: skip
        return found_network(params, "modelled", "check", self.stakes)


def administrators(count: int) -> tuple[str, ...]:
    """Their names, in order."""
    return tuple(node_id(Role.ADMINISTRATOR, index) for index in range(count))


def late_load(plan: FaultPlan) -> tuple[int, ...]:
    """When something comes in that has to be decided after all has healed (ns)."""
    return tuple(plan.healed_ns + number * _LATE_PAUSE for number in range(1, _LATE + 1))


# -- splits ------------------------------------------------------------------------------------------------------------


def count_splits(nodes: int) -> int:
    """How many schedules `make_split` knows for so many nodes."""
    return (1 << ROUNDS * (nodes - 1)) * (2 * nodes + 1)


def make_split(index: int, nodes: int, rule: str) -> Schedule:
    """The ``index``-th way to split the nodes in two in each of the first three rounds (or in none of them).

    First all of them with honest nodes; then, for each node, all with it crashing in the second round; then, for each
    node, all with it as a twin whose copies live on the two sides of the first split.
    """
    ways, names = 2 ** (nodes - 1), administrators(nodes)
    variant, way = divmod(index, ways**ROUNDS)
    masks = [way // ways**round_ % ways for round_ in range(ROUNDS)]
    faults: list[Fault] = []
    starts = _round_starts()
    for mask, start, end in zip(masks, starts, starts[1:], strict=False):
        side = tuple(name for bit, name in enumerate(names) if mask >> bit & 1)
        other = tuple(name for name in names if name not in side)
        if side:
            faults += partition(side, other, start, end)
    if variant:
        node = names[(variant - 1) % nodes]
        if variant <= nodes:
            faults.append(Crash(node, starts[1], starts[2]))
        else:
            rest = [(masks[0] >> bit & 1, name) for bit, name in enumerate(names) if name != node]
            one, two = (tuple(name for bit, name in rest if bit == side) for side in (0, 1))
            if one and two:
                faults.append(Twin(node, one, two))
    plan = FaultPlan(tuple(faults))
    load = tuple(start + number * MILLISECOND for start in starts[:ROUNDS] for number in range(3))
    return Schedule(f"split {index}", rule, (1,) * nodes, 20 * MILLISECOND, 0, load + late_load(plan), plan)


def _round_starts() -> list[int]:
    """When each round would begin and the last end if every time-out ran out (ns)."""
    rule, starts = StakeRule(), [0]
    for round_ in range(ROUNDS):
        waits = rule.propose_timeout_ns + 2 * rule.vote_timeout_ns + 3 * round_ * rule.timeout_step_ns
        starts.append(starts[-1] + waits)
    return starts
