"""What is known at one height: proposals and votes as they come in, counted by stake, and who contradicts itself."""

from typing import Final

from ehrcore.block import Evidence, Validator
from ehrcore.consensus.evidence import statement_of
from ehrcore.consensus.finality import header_hash
from ehrcore.consensus.seam import Seat, Tip, validate_content
from ehrcore.consensus.validators import TURNS, ValidatorSet
from ehrcore.errors import ValidationError
from ehrcore.messages import Propose, Vote

#: How far ahead of a node's own round it listens, which bounds what a height takes to remember.
ROUND_LIMIT: Final = 256


class HeightVotes:
    """Votes by round, step and block.

    One voter's votes for several blocks in one place each count for their block, as in the paper's algorithm, whose
    quorums count messages: otherwise a liar's second vote, which one node saw first and another never counts, could
    keep them apart for ever.  To bound them, a second vote is admitted only for a block that was proposed.
    """

    __slots__ = ("_by_block", "_first", "_held", "_latest", "_stake", "_voters", "validators")

    def __init__(self, validators: ValidatorSet) -> None:
        self.validators = validators
        self._by_block: dict[tuple[int, int, bytes], dict[str, Vote]] = {}
        self._held: dict[tuple[int, int, bytes], int] = {}
        self._first: dict[tuple[int, int, str], Vote] = {}
        self._stake: dict[tuple[int, int], int] = {}
        self._voters: dict[int, dict[str, int]] = {}
        self._latest = -1

    def first(self, vote: Vote) -> Vote | None:
        """The voter's first vote in the same round and step, if there was one."""
        return self._first.get((vote.body.round, vote.body.step, vote.voter))

    def holds(self, vote: Vote) -> bool:
        """Whether the voter's vote for the same is counted already."""
        body = vote.body
        return vote.voter in self._by_block.get((body.round, body.step, body.block), ())

    def add(self, vote: Vote, stake: int) -> None:
        """Count a verified vote that is not held."""
        body, voter = vote.body, vote.voter
        key, mine = (body.round, body.step, body.block), (body.round, body.step, voter)
        self._by_block.setdefault(key, {})[voter] = vote
        self._held[key] = self._held.get(key, 0) + stake
        if mine not in self._first:
            self._first[mine] = vote
            place = body.round, body.step
            self._stake[place] = self._stake.get(place, 0) + stake
        self._voters.setdefault(body.round, {})[voter] = stake
        self._latest = max(self._latest, body.round)

    def has_quorum(self, round_: int, step: int, block: bytes) -> bool:
        """Whether more than two thirds of the stake voted for ``block`` there."""
        return self.validators.is_quorum(self._held.get((round_, step, block), 0))

    def has_any_quorum(self, round_: int, step: int) -> bool:
        """Whether more than two thirds of the stake voted there, for whatever."""
        return self.validators.is_quorum(self._stake.get((round_, step), 0))

    def latest_third(self, after: int) -> int | None:
        """The latest round above ``after`` in which more than a third of the stake voted, if there is one."""
        if self._latest <= after:
            return None
        rounds = (
            round_
            for round_, voters in self._voters.items()
            if round_ > after and self.validators.is_third(sum(voters.values()))
        )
        return max(rounds, default=None)

    def of(self, round_: int, step: int, block: bytes) -> list[Vote]:
        """The votes for ``block`` there, by voter."""
        return sorted(self._by_block.get((round_, step, block), {}).values(), key=lambda vote: vote.voter)

    def voters(self, round_: int, step: int) -> tuple[str, ...]:
        """Who voted there, for whatever, by name."""
        return tuple(sorted(voter for at, kind, voter in self._first if (at, kind) == (round_, step)))

    def in_round(self, round_: int) -> list[Vote]:
        """All votes of a round, in order."""
        keys = sorted(key for key in self._by_block if key[0] == round_)
        return [vote for _, step, block in keys for vote in self.of(round_, step, block)]


class HeightRecord:
    """Proposals and votes of one height, each verified before it is believed."""

    def __init__(self, seat: Seat, tip: Tip) -> None:
        self._seat, self._tip, self.height = seat, tip, tip.height + 1
        self.votes = HeightVotes(seat.validators)
        self.proposals: dict[int, Propose] = {}
        self._proposed: set[bytes] = set()
        # By round, not by hash: the header's hash vouches for the transactions only once they have been compared.
        self._validity: dict[int, bool] = {}
        self._accused: set[str] = set()

    def proposer(self, round_: int) -> Validator:
        """Who proposes in a round."""
        seat, validators = self._seat, self._seat.validators
        if (turn := TURNS.get(seat.params.consensus)) is None:
            return validators.proposer(seat.crypto, seat.chain, self.height, round_)
        member = validators.find(turn({item.node: item.stake for item in validators.members}, self.height, round_))
        if member is None:
            raise AssertionError("a rule's turn is always that of somebody who votes")
        return member

    def admit(self, message: Propose | Vote, latest: int) -> tuple[bool, Evidence | None]:
        """Verify and record a message of this height and of a round up to ``latest``.

        False if it is not to be believed or not new; with it, what it shows of its author for the first time.
        """
        if message.body.round > latest:
            return False, None
        return self._admit_vote(message) if isinstance(message, Vote) else self._admit_proposal(message)

    def _admit_vote(self, vote: Vote) -> tuple[bool, Evidence | None]:
        voter = self._seat.validators.find(vote.voter)
        if voter is None or self.votes.holds(vote):
            return False, None
        first = self.votes.first(vote)
        is_counted = first is None or vote.body.block in self._proposed
        if not is_counted and vote.voter in self._accused:
            return False, None
        if not self._seat.crypto.verify(voter.public_key, vote.body, vote.signature):
            return False, None
        if is_counted:
            self.votes.add(vote, voter.stake)
        return is_counted, self._accuse(vote.voter, first, vote) if first else None

    def _admit_proposal(self, message: Propose) -> tuple[bool, Evidence | None]:
        crypto, body = self._seat.crypto, message.body
        proposer, first = self.proposer(body.round), self.proposals.get(body.round)
        if body.valid_round >= body.round or (first and (first.body == body or proposer.node in self._accused)):
            return False, None
        if not crypto.verify(proposer.public_key, body, message.signature):
            return False, None
        if first:
            return False, self._accuse(proposer.node, first, message)
        if header_hash(crypto, message.block.header) != body.block:
            return False, None
        self.add_proposal(message)
        return True, None

    def _accuse(self, node: str, first: Propose | Vote, second: Propose | Vote) -> Evidence | None:
        if node in self._accused or node == self._seat.me:
            return None
        self._accused.add(node)
        return Evidence(node, statement_of(first), statement_of(second))

    def add_proposal(self, message: Propose, *, is_own: bool = False) -> None:
        """Record a verified proposal; one's own is valid."""
        self.proposals[message.body.round] = message
        self._proposed.add(message.body.block)
        if is_own:
            self._validity[message.body.round] = True

    def is_valid(self, proposal: Propose) -> bool:
        """Whether the proposed block may follow the tip, whatever its certificate."""
        known = self._validity.get(proposal.body.round)
        if known is None:
            try:
                validate_content(self._seat, proposal.block, self._tip)
                known = True
            except ValidationError:
                known = False
            self._validity[proposal.body.round] = known
        return known

    def words(self, round_: int) -> list[Propose | Vote]:
        """All that was said in a round, as far as it came here."""
        proposal = self.proposals.get(round_)
        return [*([proposal] if proposal else []), *self.votes.in_round(round_)]
