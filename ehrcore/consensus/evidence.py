"""Evidence: two signed words of one administrator that contradict each other.

A voter may say one thing in each step of a round, and a proposer one in each round.  Whoever holds two different words
for one place, both signed by the same key for the same chain, can show the guilt to anybody; nobody can make it up for
a node that keeps to the protocol, crashes and restarts included (its log, `ehrcore.consensus.pos`).
"""

from ehrcore.block import Evidence, ProposalBody, Statement, VoteBody
from ehrcore.crypto import Crypto
from ehrcore.messages import Propose, Vote


def place_of(body: VoteBody | ProposalBody) -> tuple[int, int, int]:
    """Where a word was given: height, round and step (0 for a proposal); one word may be given in each."""
    return body.height, body.round, body.step if isinstance(body, VoteBody) else 0


def statement_of(message: Propose | Vote) -> Statement:
    """What a message's author has signed."""
    return Statement(message.body, message.signature)


def is_contradiction(crypto: Crypto, chain: bytes, public_key: bytes, evidence: Evidence) -> bool:
    """Whether both words are valid on ``chain``, of this key, for one place, and different."""
    first, second = evidence.first.body, evidence.second.body
    if first == second or place_of(first) != place_of(second) or {first.chain, second.chain} != {chain}:
        return False
    words = (evidence.first, evidence.second)
    return all(crypto.verify(public_key, word.body, word.signature) for word in words)
