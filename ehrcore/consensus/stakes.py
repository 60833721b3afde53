"""Who votes, and with how much: stake is bonded, unbonded and lost through the chain itself.

What a final block at height h orders is in force from height h + 2 on.  So a block can name, besides the set that
certifies it, the set of the next height, and whoever trusts the one learns the other from its certificate alone
(`ehrcore.light`).  Stake that is unbonded no longer votes, but can still be lost for `StakeRule.unbonding_blocks`
heights: nobody votes twice and is gone.  An offence at one height is punished once, however much is shown of it.
"""

from ehrcore.block import Bond, Evidence, Unbond, Validator
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.crypto import Crypto
from ehrcore.identity import Reason
from ehrcore.params import ChainParams, ConsensusRule

#: Orders about stake.
StakeOrder = Bond | Unbond | Evidence
_MOST = 1 << 53


class Stakes:
    """The voters of the height after the last block and of the one after that, and what is about to change."""

    __slots__ = ("_bonded", "_crypto", "_keys", "_leaving", "_params", "_punished", "upcoming", "validators")

    def __init__(self, crypto: Crypto, params: ChainParams, first: ValidatorSet) -> None:
        self._crypto, self._params = crypto, params
        self.validators = self.upcoming = first
        self._keys = {member.node: member.public_key for member in first.members}
        self._bonded = {member.node: member.stake for member in first.members}
        self._leaving: tuple[tuple[int, str, int], ...] = ()
        self._punished: frozenset[tuple[str, int]] = frozenset()

    def copy(self) -> "Stakes":
        """An independent copy."""
        twin = Stakes(self._crypto, self._params, self.validators)
        twin.upcoming, twin._keys, twin._bonded = self.upcoming, self._keys, dict(self._bonded)
        twin._leaving, twin._punished = self._leaving, self._punished
        return twin

    def carry_out(self, order: StakeOrder, height: int) -> Reason:
        """Do what a transaction of the block at ``height`` says, or say why not; see `advance`."""
        if self._params.family is not ConsensusRule.PROOF_OF_STAKE:
            return Reason.FIXED_ADMINISTRATORS
        node = order.offender if isinstance(order, Evidence) else order.node
        if node not in self._keys:
            return Reason.UNKNOWN_ADMINISTRATOR
        if isinstance(order, Evidence):
            return self._punish(order, height)
        held, total = self._bonded[node], sum(self._bonded.values())
        if isinstance(order, Bond):
            if total + order.amount >= _MOST:
                return Reason.NO_STAKE
            self._bonded[node] = held + order.amount
        else:
            # Somebody has to vote.
            if order.amount > held or order.amount == total:
                return Reason.NO_STAKE
            self._bonded[node] = held - order.amount
            # It still votes at the next height, and what is said there can be shown for as long as at any other.
            self._leaving += ((height + 1 + self._params.stake.unbonding_blocks, node, order.amount),)
        return Reason.ACCEPTED

    def _punish(self, evidence: Evidence, height: int) -> Reason:
        offence, node = evidence.first.body.height, evidence.offender
        if offence > height:
            return Reason.BAD_EVIDENCE
        if offence + self._params.stake.unbonding_blocks < height:
            return Reason.EXPIRED
        if (node, offence) in self._punished:
            return Reason.PUNISHED
        self._punished |= {(node, offence)}
        lost = self._share(self._bonded[node])
        if lost < sum(self._bonded.values()):
            self._bonded[node] -= lost
        self._leaving = tuple(
            (until, name, amount - self._share(amount) if name == node else amount)
            for until, name, amount in self._leaving
        )
        return Reason.ACCEPTED

    def _share(self, amount: int) -> int:
        """What an offender loses of ``amount``, rounded up."""
        return -(-amount * self._params.stake.slash_percent // 100)

    def advance(self, height: int) -> None:
        """The block at ``height`` is final, and its orders have been carried out."""
        self.validators = self.upcoming
        self._leaving = tuple(item for item in self._leaving if item[0] > height)
        oldest = height - self._params.stake.unbonding_blocks
        self._punished = frozenset(item for item in self._punished if item[1] >= oldest)
        held = {member.node: member.stake for member in self.validators.members}
        wanted = {node: stake for node, stake in self._bonded.items() if stake}
        if wanted != held:
            members = (Validator(node, stake, self._keys[node]) for node, stake in wanted.items())
            self.upcoming = ValidatorSet(self._crypto, members)

    def unbonding(self, node: str) -> int:
        """Stake of ``node`` that no longer votes and can still be lost."""
        return sum(amount for _, name, amount in self._leaving if name == node)
