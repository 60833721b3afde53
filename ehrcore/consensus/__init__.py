"""How administrators agree: one file per rule, behind one seam."""

from collections.abc import Callable
from typing import Final

from ehrcore.consensus.leader import ElectedLeader
from ehrcore.consensus.pos import ProofOfStake
from ehrcore.consensus.pow import ProofOfWork
from ehrcore.consensus.seam import Consensus, Seat, Tip
from ehrcore.consensus.single import SingleOrderer
from ehrcore.params import ConsensusRule

#: The table of rules; a new rule is a class and a row.
RULES: Final[dict[ConsensusRule, Callable[[Seat, Tip], Consensus]]] = {
    ConsensusRule.PROOF_OF_STAKE: ProofOfStake,
    ConsensusRule.PROOF_OF_WORK: ProofOfWork,
    ConsensusRule.SINGLE_ORDERER: SingleOrderer,
    ConsensusRule.LEADER: ElectedLeader,
}

__all__ = ["RULES", "Consensus", "Seat", "Tip"]
