"""The votes of one height, counted by stake as they come in."""

from typing import Final

from ehrcore.consensus.validators import ValidatorSet
from ehrcore.messages import Vote

#: How far ahead of a node's own round it listens, which bounds what a height takes to remember.
ROUND_LIMIT: Final = 256


class HeightVotes:
    """Votes by round, step and block.

    One voter's votes for several blocks in one place each count for their block, as in the paper's algorithm, whose
    quorums count messages: otherwise a liar's second vote, which one node saw first and another never counts, could
    keep them apart for ever.  To bound them, a second vote is admitted only for a block that was proposed.
    """

    __slots__ = ("_by_block", "_heard", "_held", "_stake", "_validators", "_voters")

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._by_block: dict[tuple[int, int, bytes], dict[str, Vote]] = {}
        self._held: dict[tuple[int, int, bytes], int] = {}
        self._heard: set[tuple[int, int, str]] = set()
        self._stake: dict[tuple[int, int], int] = {}
        self._voters: dict[int, dict[str, int]] = {}

    def is_new(self, vote: Vote, *, is_proposed: bool) -> bool:
        """Whether this vote would count: its voter's first in this round and step, or for a proposed block."""
        body = vote.body
        if vote.voter in self._by_block.get((body.round, body.step, body.block), ()):
            return False
        return is_proposed or (body.round, body.step, vote.voter) not in self._heard

    def add(self, vote: Vote, stake: int) -> None:
        """Count a verified vote that is new."""
        body, voter = vote.body, vote.voter
        key = body.round, body.step, body.block
        self._by_block.setdefault(key, {})[voter] = vote
        self._held[key] = self._held.get(key, 0) + stake
        if (body.round, body.step, voter) not in self._heard:
            self._heard.add((body.round, body.step, voter))
            place = body.round, body.step
            self._stake[place] = self._stake.get(place, 0) + stake
        self._voters.setdefault(body.round, {})[voter] = stake

    def has_quorum(self, round_: int, step: int, block: bytes) -> bool:
        """Whether more than two thirds of the stake voted for ``block`` there."""
        return self._validators.is_quorum(self._held.get((round_, step, block), 0))

    def has_any_quorum(self, round_: int, step: int) -> bool:
        """Whether more than two thirds of the stake voted there, for whatever."""
        return self._validators.is_quorum(self._stake.get((round_, step), 0))

    def latest_third(self, after: int) -> int | None:
        """The latest round above ``after`` in which more than a third of the stake voted, if there is one."""
        rounds = (
            round_
            for round_, voters in self._voters.items()
            if round_ > after and self._validators.is_third(sum(voters.values()))
        )
        return max(rounds, default=None)

    def of(self, round_: int, step: int, block: bytes) -> list[Vote]:
        """The votes for ``block`` there, by voter."""
        return sorted(self._by_block.get((round_, step, block), {}).values(), key=lambda vote: vote.voter)
