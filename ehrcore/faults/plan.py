"""What goes wrong in a run, and when: typed faults, checked against a network.

A plan says everything about its faults: the same plan, network and seed give the same run, byte for byte.  Instants and
durations are virtual nanoseconds since the start; intervals are half-open.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final, TypeVar

import msgspec

from ehrcore.errors import ParameterError
from ehrcore.network import Network
from ehrcore.types import MINUTE, Nanos, NodeId, Role

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
#: A clock that is further off than this is no longer a clock (ns): certificates would have expired.
SKEW_LIMIT: Final = 24 * 60 * MINUTE


class Behaviour(StrEnum):
    """How an administrator lies; it has the node's key, so it can sign anything in its own name.

    ``EQUIVOCATE``: one proposal or vote for some, another for the others.  ``WITHHOLD``: says nothing to ``targets``,
    or to anyone if none is named; a miner then keeps its blocks back and shows them when another has found one (selfish
    mining).  ``CENSOR``: never proposes what ``targets`` wrote, or half of all transactions
    if nobody is named.  ``LIE``: invalid blocks, wrong votes, forged certificates.
    """

    EQUIVOCATE = "equivocate"
    WITHHOLD = "withhold"
    CENSOR = "censor"
    LIE = "lie"


class Crash(msgspec.Struct, frozen=True, tag="crash", forbid_unknown_fields=True):
    """The process ends at ``at_ns``; a new one starts at ``restart_ns`` (None: never) from what was durable.

    ``is_torn``: the log loses what was written after the node's last own word, and a write under way.  ``forgets``:
    it loses all of the height being decided, which makes the node faulty; for negative controls only.
    """

    node: NodeId
    at_ns: Nanos
    restart_ns: Nanos | None = None
    is_torn: bool = False
    forgets: bool = False


class Pause(msgspec.Struct, frozen=True, tag="pause", forbid_unknown_fields=True):
    """The process stands still; what comes in meanwhile, its timers included, it meets afterwards."""

    node: NodeId
    start_ns: Nanos
    end_ns: Nanos


class Slow(msgspec.Struct, frozen=True, tag="slow", forbid_unknown_fields=True):
    """Everything takes the node's processor ``factor`` times as long."""

    node: NodeId
    start_ns: Nanos
    end_ns: Nanos
    factor: Annotated[float, msgspec.Meta(ge=1, le=1_000_000)]


class Cut(msgspec.Struct, frozen=True, tag="cut", forbid_unknown_fields=True):
    """What ``senders`` send to ``receivers`` is lost; None: for good.  A partition is two cuts."""

    senders: tuple[NodeId, ...]
    receivers: tuple[NodeId, ...]
    start_ns: Nanos = 0
    end_ns: Nanos | None = None


class Lossy(msgspec.Struct, frozen=True, tag="lossy", forbid_unknown_fields=True):
    """Messages are lost or doubled with these probabilities.

    ``delay_ns`` is the mean of an exponential delay of each copy besides the link's own, so that they overtake one
    another.
    """

    senders: tuple[NodeId, ...]
    receivers: tuple[NodeId, ...]
    start_ns: Nanos = 0
    end_ns: Nanos | None = None
    loss: Probability = 0.0
    duplication: Probability = 0.0
    delay_ns: Nanos = 0


class Skew(msgspec.Struct, frozen=True, tag="skew", forbid_unknown_fields=True):
    """The node's clock is ahead by ``offset_ns``, or behind if that is negative (never before the start)."""

    node: NodeId
    offset_ns: Annotated[int, msgspec.Meta(ge=-SKEW_LIMIT, le=SKEW_LIMIT)]


class Byzantine(msgspec.Struct, frozen=True, tag="byzantine", forbid_unknown_fields=True):
    """An administrator that misbehaves from ``start_ns`` on; see `Behaviour` for ``targets``."""

    node: NodeId
    behaviour: Behaviour
    start_ns: Nanos = 0
    targets: tuple[NodeId, ...] = ()


class Twin(msgspec.Struct, frozen=True, tag="twin", forbid_unknown_fields=True):
    """Two copies of an administrator with one key, each talking to its side (Bano et al., arXiv:2004.10617).

    Each copy hears its own side, or everyone if it ``hears_all``.  Who is on neither side, or on both, hears both
    copies and is heard by both.
    """

    node: NodeId
    side_a: tuple[NodeId, ...]
    side_b: tuple[NodeId, ...]
    hears_all: bool = False


Fault = Crash | Pause | Slow | Cut | Lossy | Skew | Byzantine | Twin
_Kind = TypeVar("_Kind")


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that goes wrong in one run."""

    faults: tuple[Fault, ...] = ()

    @property
    def faulty(self) -> frozenset[str]:
        """Nodes that may contradict themselves: liars, twins, and those that forget what they have said."""
        lying = (Byzantine, Twin)
        return frozenset(
            fault.node
            for fault in self.faults
            if isinstance(fault, lying) or (isinstance(fault, Crash) and fault.forgets)
        )

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """The faults of one kind, in order."""
        return [fault for fault in self.faults if isinstance(fault, kind)]

    @property
    def healed_ns(self) -> int:
        """When the last fault that ends has ended; one for good counts from when it begins."""
        ends = (start if end is None else end for start, end in map(span_of, self.faults))
        return max(ends, default=0)

    def validate(self, network: Network) -> None:
        """Raise `ParameterError` that names the first fault that this network cannot have."""
        try:
            msgspec.convert(msgspec.to_builtins(self), FaultPlan)
        except msgspec.ValidationError as error:
            raise ParameterError(f"fault plan: expected a plan, found: {error}") from None
        for index, fault in enumerate(self.faults):
            where = f"fault {index} ({type(fault).__name__.lower()})"
            for name in _names(fault):
                if name not in network.roles:
                    raise ParameterError(f"{where}: expected a node of the network, found {name!r}")
            _validate_times(where, fault)
            _validate_role(where, fault, network.roles)
        self._validate_together()

    def _validate_together(self) -> None:
        """One clock and one way of lying per node, and no crash of a node that is down."""
        for name, kinds in (("skew", (Skew,)), ("byzantine or twin", (Byzantine, Twin))):
            nodes = [fault.node for fault in self.faults if isinstance(fault, kinds)]
            for node in nodes:
                if nodes.count(node) > 1:
                    raise ParameterError(f"{name} of {node}: expected one at most, found {nodes.count(node)}")
        crashes = sorted(self.of(Crash), key=lambda crash: (crash.node, crash.at_ns))
        for first, second in pairwise(crashes):
            if first.node == second.node and (first.restart_ns is None or second.at_ns < first.restart_ns):
                raise ParameterError(
                    f"crash of {first.node}: expected a node that runs at {second.at_ns}, found it down"
                )


def _names(fault: Fault) -> Iterable[str]:
    match fault:
        case Cut() | Lossy():
            return (*fault.senders, *fault.receivers)
        case Twin():
            return (fault.node, *fault.side_a, *fault.side_b)
        case Byzantine():
            return (fault.node, *fault.targets)
        case _:
            return (fault.node,)


def span_of(fault: Fault) -> tuple[int, int | None]:
    """When a fault begins and ends (ns); None if it is for good."""
    match fault:
        case Crash(at_ns=start, restart_ns=end):
            return start, end
        case Skew() | Twin():
            return 0, None
        case Byzantine(start_ns=start):
            return start, None
        case _:
            return fault.start_ns, fault.end_ns


def _validate_times(where: str, fault: Fault) -> None:
    start, end = span_of(fault)
    if end is not None and end <= start:
        name = "restart_ns" if isinstance(fault, Crash) else "end_ns"
        raise ParameterError(f"{where}: {name}: expected more than {start}, found {end}")


def _validate_role(where: str, fault: Fault, roles: Mapping[str, Role]) -> None:
    if isinstance(fault, Byzantine | Twin) and roles[fault.node] is not Role.ADMINISTRATOR:
        raise ParameterError(f"{where}: expected an administrator, found {fault.node}")
    if isinstance(fault, Crash) and fault.restart_ns is not None and roles[fault.node] is Role.VISITOR:
        # It keeps nothing, so it would sign other transactions with the nonces that it has used.
        raise ParameterError(f"{where}: expected no restart of a visitor, found one at {fault.restart_ns}")
    if isinstance(fault, Byzantine) and fault.targets and fault.behaviour in {Behaviour.EQUIVOCATE, Behaviour.LIE}:
        raise ParameterError(f"{where}: targets: expected none for {fault.behaviour.value}, found {fault.targets[0]!r}")


def partition(
    group: Iterable[str], others: Iterable[str], start_ns: int = 0, end_ns: int | None = None
) -> tuple[Cut, Cut]:
    """Two groups that do not hear each other from ``start_ns`` until ``end_ns`` (None: for good)."""
    one, two = tuple(group), tuple(others)
    return Cut(one, two, start_ns, end_ns), Cut(two, one, start_ns, end_ns)
