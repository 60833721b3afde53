"""Final blocks that proof of work has reversed: told by their ids, and counted, not hidden.

Its finality is one of probability (`ehrcore.consensus.reversal`): a cut or a race that outlasts the confirmations
leaves nodes that hold different blocks final at one height.  Each has kept to the rule, and nothing joins them
again: so it is neither a failure of liveness nor a breach of what the rule promises.  Blocks link, so two chains are on
one branch if they have the same block at the lower of their heights.
"""

from collections import Counter
from collections.abc import Collection, Mapping

#: By height, the hash of the block that a node has accepted.
Chain = Mapping[int, bytes]


def find_main(chains: Collection[Chain]) -> Chain:
    """The longest of these chains, beginning with the genesis; of equally long ones that which most nodes have."""
    heights = [max(chain) for chain in chains]
    counts = Counter(chain[height] for chain, height in zip(chains, heights, strict=True))
    ranked = [
        ((height, counts[chain[height]], chain[height]), chain) for chain, height in zip(chains, heights, strict=True)
    ]
    return max(ranked, key=lambda item: item[0])[1]


def is_on(main: Chain, chain: Chain) -> bool:
    """Whether one of the chains is a part of the other."""
    height = min(max(main), max(chain))
    return main[height] == chain[height]


def find_fork(main: Chain, chain: Chain) -> int:
    """The first height at which two chains, which are not on one branch, differ."""
    return min(height for height, block in chain.items() if main.get(height, block) != block)
