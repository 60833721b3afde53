"""How administrators agree: one file per rule, behind one seam."""

from collections.abc import Callable
from typing import Final

from ehrcore.consensus.leader import ElectedLeader
from ehrcore.consensus.pos import ProofOfStake
from ehrcore.consensus.pow import ProofOfWork
from ehrcore.consensus.seam import Consensus, Seat, Tip
from ehrcore.consensus.single import SingleOrderer
from ehrcore.consensus.validators import TURNS, Turn
from ehrcore.params import FAMILIES, ConsensusRule, family_of
from ehrcore.registry import register

#: The table of rules; a new rule is a class and a row.
RULES: Final[dict[str, Callable[[Seat, Tip], Consensus]]] = {
    ConsensusRule.PROOF_OF_STAKE: ProofOfStake,
    ConsensusRule.PROOF_OF_WORK: ProofOfWork,
    ConsensusRule.SINGLE_ORDERER: SingleOrderer,
    ConsensusRule.LEADER: ElectedLeader,
}


def add_rule(name: str, machine: Callable[[Seat, Tip], Consensus], family: str, turn: Turn | None = None) -> None:
    """Add a rule of one's own: a machine behind the seam, for whatever takes a rule by name.

    It makes the certificates of its ``family``, one of ours, for every ledger and every light client has to read them,
    and is asked to stand what that one stands.  ``turn`` says whose turn it is to propose, in the family of proof of
    stake; without it proposers are drawn by stake.  `ParameterError` for an unknown family, or a name that is taken.
    """
    register("consensus rule", FAMILIES, name, family_of(family))
    RULES[name], TURNS[name] = machine, turn


__all__ = ["RULES", "Consensus", "Seat", "Tip", "Turn", "add_rule"]
