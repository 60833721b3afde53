"""Parameters of a chain: everything that all nodes must agree on, and that its id therefore covers.

A variant of the framework is a value here (hash suite, curve, consensus rule, policy, limits), never a copied module.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from ehrcore.errors import ParameterError
from ehrcore.hashing import find_suite
from ehrcore.signing import CURVES
from ehrcore.types import MILLISECOND, MINUTE, SECOND, Nanos, Role, require_count


class ConsensusRule(StrEnum):
    """How administrators agree on the next block."""

    PROOF_OF_STAKE = "pos"
    PROOF_OF_WORK = "pow"
    SINGLE_ORDERER = "single"
    LEADER = "leader"


#: Every rule by name, with its family: the one of ours whose certificates it makes and whose promises it keeps.
FAMILIES: Final[dict[str, ConsensusRule]] = {rule.value: rule for rule in ConsensusRule}


def family_of(rule: str) -> ConsensusRule:
    """The family of the rule called ``rule``, for ours the rule itself; `ParameterError` if there is none."""
    if rule not in FAMILIES:
        raise ParameterError(f"consensus: expected one of {', '.join(FAMILIES)}, found {rule!r}")
    return FAMILIES[rule]


class Dissemination(StrEnum):
    """Who sends a final block to whom (paper, step 4 and section 3 item 4).

    ``ALL``: every administrator to every coordinator and contributor.  ``TREE``: every administrator to every
    coordinator and to the first contributor; contributors forward down their hierarchy.
    """

    ALL = "all"
    TREE = "tree"


class Topology(msgspec.Struct, frozen=True, array_like=True):
    """Number of nodes by role; each at least 1."""

    agents: int
    coordinators: int
    administrators: int
    contributors: int
    visitors: int = 1

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            require_count(f"topology: {name}", getattr(self, name), 1)

    @property
    def nodes(self) -> int:
        """All nodes, visitors included."""
        return sum(msgspec.structs.astuple(self))

    def count(self, role: Role) -> int:
        """The nodes of one of the five roles."""
        count: int = getattr(self, f"{role.value}s")
        return count


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """When a block is cut: whichever comes first (paper section 3; E41 for the byte count)."""

    max_transactions: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 15
    max_block_bytes: Annotated[int, msgspec.Meta(ge=1_024, le=1 << 19)] = 30_720
    max_wait_ns: Nanos = 6 * MINUTE


class StakeRule(msgspec.Struct, frozen=True, array_like=True):
    """Time-outs of proof of stake, each of which grows by ``timeout_step_ns`` per round; and what is at stake.

    The rule with a leader takes its time-outs from here, so that both wait equally long for a node that is silent.

    Who is shown to have voted twice loses ``slash_percent`` of its stake, also of what it has unbonded within the last
    ``unbonding_blocks`` heights.
    """

    propose_timeout_ns: Nanos = 3 * SECOND
    vote_timeout_ns: Nanos = 1 * SECOND
    timeout_step_ns: Nanos = 500 * MILLISECOND
    unbonding_blocks: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 1_024
    slash_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100


class WorkRule(msgspec.Struct, frozen=True, array_like=True):
    """Proof of work: ``difficulty`` is the expected number of hashes per block (Algorithm 2, E19).

    Every ``retarget_window`` blocks it is scaled by wanted over real time, by at most 4 either way; 0 keeps it.
    A block is final under ``confirmations`` successors.
    """

    difficulty: Annotated[int, msgspec.Meta(ge=1, lt=1 << 62)] = 1 << 16
    block_interval_ns: Annotated[int, msgspec.Meta(ge=1, lt=1 << 62)] = 10 * SECOND
    retarget_window: Annotated[int, msgspec.Meta(ge=0, le=4_096)] = 0
    confirmations: Annotated[int, msgspec.Meta(ge=0, le=128)] = 6


class ChainParams(msgspec.Struct, frozen=True, array_like=True):
    """All that the nodes of one chain agree on before it starts.

    ``endorsements`` of the agents and ``approvals`` of the coordinators make a transaction orderable (m of n).
    """

    name: str
    topology: Topology
    endorsements: int
    approvals: int
    hash_suite: str = "sha256"
    curve: str = "p256"
    is_modelled: bool = False
    consensus: str = ConsensusRule.PROOF_OF_STAKE
    dissemination: Dissemination = Dissemination.ALL
    fanout: int = 2
    limits: Limits = Limits()
    stake: StakeRule = StakeRule()
    work: WorkRule = WorkRule()
    authority_key: bytes = b""
    genesis_time: Nanos = 0

    def __post_init__(self) -> None:
        family_of(self.consensus)  # here, too, so that no bytes decode to a rule that nobody knows

    @property
    def family(self) -> ConsensusRule:
        """What of ours the consensus rule is like: see `FAMILIES`."""
        return family_of(self.consensus)

    def validate(self) -> None:
        """Raise `ParameterError` that names the first parameter outside its domain."""
        _validate_fields(self, "")
        find_suite(self.hash_suite)
        if self.curve not in CURVES:
            raise ParameterError(f"curve: expected one of {', '.join(CURVES)}, found {self.curve!r}")
        for name, value, most in (
            ("endorsements", self.endorsements, self.topology.agents),
            ("approvals", self.approvals, self.topology.coordinators),
        ):
            if not 1 <= value <= most:
                raise ParameterError(f"{name}: expected 1 to {most} of {most}, found {value}")
        require_count("fanout", self.fanout, 1)


def _validate_fields(params: Any, prefix: str) -> None:
    """Raise unless every field is in its type's range, which the codec checks on the way in but no constructor does."""
    for field in msgspec.structs.fields(params):
        value = getattr(params, field.name)
        if isinstance(value, msgspec.Struct):
            _validate_fields(value, f"{field.name}.")
            continue
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            raise ParameterError(f"{prefix}{field.name}: {error}, found {value!r}") from None


def majority(count: int) -> int:
    """More than half of ``count``."""
    return count // 2 + 1
