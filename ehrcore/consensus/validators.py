"""The administrators that may certify blocks, with their stakes and keys."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ehrcore.block import Validator
from ehrcore.crypto import Crypto
from ehrcore.errors import ParameterError
from ehrcore.identity import CertificateBody

#: Whose turn it is to propose, from the stakes of those who vote (in order of name), the height and the round.
Turn = Callable[[Mapping[str, int], int, int], str]
#: By rule, where proposers are not drawn by stake.
TURNS: Final[dict[str, Turn | None]] = {}


class ValidatorSet:
    """Voters in order of name; immutable.  `ParameterError` if there is none, or one twice."""

    __slots__ = ("_by_node", "digest", "members", "total_stake")

    def __init__(self, crypto: Crypto, members: Iterable[Validator]) -> None:
        self.members = tuple(sorted(members, key=lambda member: member.node))
        if not self.members:
            raise ParameterError("validator set: expected at least one administrator, found none")
        self._by_node = {member.node: member for member in self.members}
        if len(self._by_node) < len(self.members):
            raise ParameterError("validator set: expected distinct administrators, found one twice")
        self.total_stake = sum(member.stake for member in self.members)
        self.digest = crypto.hash_struct(
            ("validators", tuple((member.node, member.stake, member.public_key) for member in self.members))
        )

    @classmethod
    def of(cls, crypto: Crypto, certificates: Iterable[CertificateBody]) -> "ValidatorSet":
        """The set that these administrators' certificates make."""
        return cls(crypto, (Validator(body.subject, body.stake, body.public_key) for body in certificates))

    def find(self, node: str) -> Validator | None:
        """The member called ``node``, if it is one."""
        return self._by_node.get(node)

    def is_quorum(self, stake: int) -> bool:
        """Whether ``stake`` is strictly more than two thirds of the total (exact, in integers)."""
        return 3 * stake > 2 * self.total_stake

    def is_third(self, stake: int) -> bool:
        """Whether ``stake`` is strictly more than one third of the total: at least one honest voter among them."""
        return 3 * stake > self.total_stake

    def proposer(self, crypto: Crypto, chain: bytes, height: int, round_: int) -> Validator:
        """The proposer of a round, drawn in proportion to stake.

        The draw hashes what no proposer can choose (chain, height, round), so nobody can grind it by varying a
        block.  Reduction of the digest modulo the stake is biased by less than 2^-75 even for MD5.
        """
        return self.owner(int.from_bytes(crypto.hash_struct(("proposer", chain, height, round_))) % self.total_stake)

    def owner(self, draw: int) -> Validator:
        """Whose a draw below the total stake is: each member owns exactly as many as it has stake."""
        for member in self.members:
            draw -= member.stake
            if draw < 0:
                return member
        raise AssertionError("a draw below the total stake always hits a member")
