"""The section ``policy`` of a scenario."""

from typing import Annotated, Final

import msgspec

from bench.ranges import Count, Roles
from ehrcore.params import Topology, majority

#: Who is the first to look at a transaction, while everyone before looks away.
DEFENCES: Final = (
    "agents, who tell coordinators",
    "agents, who tell the author alone",
    "coordinators",
    "ledger keepers",
    "nobody",
)


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many of as many agents have to endorse, and of coordinators to approve.

    ``agents`` and ``coordinators`` are the networks in which fewer of that kind are asked, a majority of the other kind
    always.  ``asked`` are the numbers that are asked besides a majority and all.  The load offered for latency is
    ``load_share`` of what the network commits that asks all; a slow node takes ``slow_factor`` times as long.
    With ``net`` a real network asks a majority, and another one all.
    """

    agents: Roles = msgspec.field(default_factory=lambda: [5, 3, 4, 2])
    coordinators: Roles = msgspec.field(default_factory=lambda: [3, 5, 4, 2])
    asked: list[Count] = msgspec.field(default_factory=lambda: [1, 2, 3, 4])
    transactions: Count = 60
    outstanding: Count = 60
    load_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    repeats: Count = 3
    net: bool = False
    slow_factor: Annotated[float, msgspec.Meta(ge=1, le=1_000)] = 20.0

    def topology(self, who: str) -> Topology:
        """The network in which fewer of ``who`` are asked."""
        return Topology(*(self.agents if who == "agents" else self.coordinators))

    def levels(self, who: str) -> list[int]:
        """How many of ``who`` are asked, all of them first."""
        count: int = getattr(self.topology(who), who)
        fewer = {*self.asked, majority(count)} - {count}
        return [count, *sorted(number for number in fewer if number < count)]

    def net_levels(self, who: str) -> list[int]:
        """How many of ``who`` real networks ask: all, and a majority where that is fewer."""
        count: int = getattr(self.topology(who), who)
        return [*dict.fromkeys((count, majority(count)))]
