"""What administrators may say: votes, locks, proposals, and the words of leaders."""

from collections import defaultdict
from typing import Final

from ehrcore.faults.weights import Weights
from ehrcore.messages import Append, Ballot, Propose, Stored, Vote
from ehrcore.network import Network

PREVOTE: Final = 1
PRECOMMIT: Final = 2


class Words(Weights):
    """All that was ever said; see `ehrcore.faults.invariants` for the arguments."""

    def __init__(self, network: Network, faulty: frozenset[str], overlooked: frozenset[str]) -> None:
        super().__init__(network, faulty, overlooked)
        #: Who said what: the blocks by voter, height, round and step; the voters by height, round, step and block.
        self._said: dict[tuple[str, int, int, int], set[bytes]] = defaultdict(set)
        self._voters: dict[tuple[int, int, int, bytes], set[str]] = defaultdict(set)
        self._precommits: dict[tuple[str, int], list[tuple[int, bytes]]] = defaultdict(list)
        self._proposals: dict[tuple[str, int, int], set[tuple[bytes, int]]] = defaultdict(set)
        self._proposed: set[tuple[int, int, bytes]] = set()
        #: With a leader: who has stored a block by term, height and block; whom a node voted for by term.
        self._holders: dict[tuple[int, int, bytes], set[str]] = defaultdict(set)
        self._ballots: dict[tuple[str, int], str] = {}
        self._appended: dict[tuple[int, int], tuple[str, bytes]] = {}
        #: By height: the latest round that an honest node voted in.
        self.rounds: dict[int, int] = {}

    def _vote(self, node: str, vote: Vote) -> None:
        voter, body = vote.voter, vote.body
        said = self._said[voter, body.height, body.round, body.step]
        if body.block in said or not self._is_signed(voter, body, vote.signature):
            return
        if voter not in self._faulty:
            self._check_vote(node, vote, said)
        said.add(body.block)
        self._voters[body.height, body.round, body.step, body.block].add(voter)

    def _check_vote(self, node: str, vote: Vote, said: set[bytes]) -> None:
        voter, body = vote.voter, vote.body
        height, round_, block = body.height, body.round, body.block
        if node != voter:
            self._fail(voter, "quorum", f"{node} has a vote that {voter} never gave", height, round_)
        if said:
            both = " and ".join(item.hex()[:16] or "none" for item in (*said, block))
            self._fail(voter, "double-sign", f"voted for {both} in step {body.step}", height, round_)
        self.rounds[height] = max(self.rounds.get(height, 0), round_)
        if block and body.step == PREVOTE:
            self._check_lock(voter, height, round_, block)
        elif block:
            if not self._is_quorum({voter, *self._voters[height, round_, PREVOTE, block]}, height):
                self._fail(voter, "quorum", "precommitted without a quorum of prevotes", height, round_)
            self._precommits[voter, height].append((round_, block))

    def _check_lock(self, voter: str, height: int, round_: int, block: bytes) -> None:
        if (height, round_, block) not in self._proposed:
            detail = f"prevoted {block.hex()[:16]}, which {self._proposer(height, round_)} has not proposed"
            self._fail(voter, "validity", detail, height, round_)
        for locked_in, locked in self._precommits[voter, height]:
            since = range(locked_in, round_)
            if locked == block or any(self._is_quorum(self._voters[height, v, PREVOTE, block], height) for v in since):
                continue
            detail = f"prevoted {block.hex()[:16]} after its precommit for {locked.hex()[:16]} in round {locked_in}"
            self._fail(voter, "lock", detail, height, round_)

    def _propose(self, node: str, proposal: Propose) -> None:
        body = proposal.body
        height, round_ = body.height, body.round
        if height not in self._weights:
            return  # nobody can know yet whose turn it is
        proposer = self._proposer(height, round_)
        if (height, round_, body.block) in self._proposed and node != proposer:
            return
        if not self._is_signed(proposer, body, proposal.signature):
            if node not in self._faulty:
                detail = f"sent a proposal that is not {proposer}'s"
                self._fail(node, "validity", detail, height, round_)
            return
        said = self._proposals[proposer, height, round_]
        said.add((body.block, body.valid_round))
        self._proposed.add((height, round_, body.block))
        if len(said) > 1 and proposer not in self._faulty:
            self._fail(proposer, "double-sign", f"made {len(said)} proposals", height, round_)

    def _follow_leader(self, node: str, message: Append | Stored | Ballot) -> None:
        """One vote per term; one leader and block per term and height (Ongaro and Ousterhout 2014, Figure 3)."""
        match message:
            case Ballot(term=term, candidate=candidate):
                if self._ballots.setdefault((node, term), candidate) != candidate:
                    self._fail(node, "double-sign", f"voted twice in term {term}", message.height)
            case Append(term=term, block=block):
                height, block_hash = block.header.height, self._hash(block.header)
                if self._appended.setdefault((term, height), (node, block_hash)) != (node, block_hash):
                    self._fail(node, "double-sign", f"led term {term} beside another", height)
                self._holders[term, height, block_hash].add(node)
            case Stored(term=term, height=height, block=block_hash):
                self._holders[term, height, block_hash].add(node)
