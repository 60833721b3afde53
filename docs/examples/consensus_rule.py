"""A consensus rule: proof of authority, in which administrators propose in turn.

The machine is that of proof of stake, and so are its votes, locks, certificates and what it
stands: less than a third of the stake (give all the same) may do anything at all.
"""

from collections.abc import Mapping

from ehrcore.consensus import add_rule
from ehrcore.consensus.pos import ProofOfStake


def take_turns(stakes: Mapping[str, int], height: int, round_: int) -> str:
    """Whose turn it is: the next name with every height, and with every round in vain."""
    names = sorted(stakes)
    return names[(height + round_) % len(names)]


add_rule("poa", ProofOfStake, family="pos", turn=take_turns)
