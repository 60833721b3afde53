"""The votes of one height, counted by stake as they come in."""

from typing import Final

from ehrcore.consensus.validators import ValidatorSet
from ehrcore.messages import Vote

#: How far ahead of a node's own round it listens, which bounds what a height takes to remember.
ROUND_LIMIT: Final = 256


class HeightVotes:
    """Votes by round and step; of several by one voter in the same place, the first counts."""

    __slots__ = ("_all", "_by_block", "_stake", "_validators", "_voters")

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._all: dict[tuple[int, int, str], Vote] = {}
        self._by_block: dict[tuple[int, int, bytes], int] = {}
        self._stake: dict[tuple[int, int], int] = {}
        self._voters: dict[int, dict[str, int]] = {}

    def has(self, vote: Vote) -> bool:
        """Whether this voter has already voted in this round and step."""
        return (vote.body.round, vote.body.step, vote.voter) in self._all

    def add(self, vote: Vote, stake: int) -> bool:
        """Count a verified vote; False if its voter had voted there before."""
        body = vote.body
        if self.has(vote):
            return False
        self._all[body.round, body.step, vote.voter] = vote
        place = body.round, body.step
        self._by_block[*place, body.block] = self._by_block.get((*place, body.block), 0) + stake
        self._stake[place] = self._stake.get(place, 0) + stake
        self._voters.setdefault(body.round, {})[vote.voter] = stake
        return True

    def has_quorum(self, round_: int, step: int, block: bytes) -> bool:
        """Whether more than two thirds of the stake voted for ``block`` there."""
        return self._validators.is_quorum(self._by_block.get((round_, step, block), 0))

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

    def signatures(self, round_: int, step: int, block: bytes) -> list[tuple[str, bytes]]:
        """Voters for ``block`` there and their signatures, by name."""
        return sorted(
            (voter, vote.signature)
            for (at, kind, voter), vote in self._all.items()
            if at == round_ and kind == step and vote.body.block == block
        )
